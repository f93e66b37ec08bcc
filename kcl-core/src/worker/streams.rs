//! The streams of a worker: one for its whole life, or several that come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{WorkerConfig, WorkerEvent, WorkerFailure, WorkerMachine, shards::Shards, tenure::Tenure};
use crate::{
    ids::LeaseKey,
    lease::Lease,
    sequence::InitialPosition,
    store::LeaseListing,
    stream::{LeaseStream, StreamId},
    time::Tick,
};

/// One of the streams that a worker of several reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Which.
    pub id: StreamId,
    /// Where to start with shards of it that nobody has read before.
    pub initial_position: InitialPosition,
}

/// What becomes of the rows of a stream that is read no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormerStreams {
    /// They stay: should the stream come back, it goes on where it was.
    #[default]
    Keep,
    /// They are deleted when nobody has touched them for so long, and for no less than the failover time.
    DeleteAfter(Duration),
}

/// What a worker knows of its streams.
#[derive(Debug)]
pub(super) struct Streams {
    known: Known,
    /// Streams of this life of the worker that it reads no more, and since when.
    former: BTreeMap<StreamId, Tick>,
    /// The leases of children that must exist before their parents can be finished.
    pub(super) children: BTreeMap<LeaseKey, Lease>,
    /// Creations of children that failed and are tried again.
    pub(super) retry_children_at: Option<Tick>,
}

#[derive(Debug)]
enum Known {
    One(Box<Shards>),
    Several(BTreeMap<StreamId, Shards>),
}

impl Streams {
    pub(super) fn new(config: &WorkerConfig, now: Tick) -> Self {
        let known = match &config.streams {
            None => Known::One(Box::new(Shards::new(now, config.initial_position))),
            Some(streams) => {
                let shards = |stream: &StreamConfig| (stream.id.clone(), Shards::new(now, stream.initial_position));
                Known::Several(streams.iter().map(shards).collect())
            }
        };
        Self {
            known,
            former: BTreeMap::new(),
            children: BTreeMap::new(),
            retry_children_at: None,
        }
    }

    /// The shards of a stream; an application of one stream calls it `None`.
    pub(super) fn get(&self, stream: Option<&StreamId>) -> Option<&Shards> {
        match (&self.known, stream) {
            (Known::One(shards), None) => Some(shards),
            (Known::Several(several), Some(stream)) => several.get(stream),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, stream: Option<&StreamId>) -> Option<&mut Shards> {
        match (&mut self.known, stream) {
            (Known::One(shards), None) => Some(shards),
            (Known::Several(several), Some(stream)) => several.get_mut(stream),
            _ => None,
        }
    }

    /// Whether the row is of a stream that this worker reads.
    pub(super) fn have(&self, lease: &Lease) -> bool {
        self.get(lease.stream_id()).is_some()
    }

    fn all(&self) -> impl Iterator<Item = (Option<&StreamId>, &Shards)> {
        let (one, several) = match &self.known {
            Known::One(shards) => (Some((None, &**shards)), None),
            Known::Several(several) => (None, Some(several)),
        };
        let several = several.into_iter().flatten();
        one.into_iter()
            .chain(several.map(|(stream, shards)| (Some(stream), shards)))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = (Option<&StreamId>, &mut Shards)> {
        let (one, several) = match &mut self.known {
            Known::One(shards) => (Some((None, &mut **shards)), None),
            Known::Several(several) => (None, Some(several)),
        };
        let several = several.into_iter().flatten();
        one.into_iter()
            .chain(several.map(|(stream, shards)| (Some(stream), shards)))
    }

    /// The streams whose shards are to be listed by now.
    pub(super) fn due(&self, now: Tick) -> Vec<Option<StreamId>> {
        self.all()
            .filter(|(_, shards)| shards.next_listing().is_some_and(|at| at <= now))
            .map(|(stream, _)| stream.cloned())
            .collect()
    }

    pub(super) fn next_listing(&self) -> Option<Tick> {
        self.all().filter_map(|(_, shards)| shards.next_listing()).min()
    }

    /// The streams that have no lease, as far as is known.
    pub(super) fn waiting(&self, table: &BTreeMap<LeaseKey, Arc<Lease>>) -> Vec<StreamId> {
        let leased: BTreeSet<&StreamId> = table.values().filter_map(|lease| lease.stream_id()).collect();
        let known = self.all().filter_map(|(stream, _)| stream);
        known.filter(|stream| !leased.contains(stream)).cloned().collect()
    }

    /// The stream of a row that need not be readable.
    pub(super) fn of_key(&self, key: &LeaseKey) -> Option<StreamId> {
        match self.known {
            Known::One(_) => None,
            Known::Several(_) => StreamId::of_key(key.as_str()),
        }
    }

    /// A row of the stream came to light.
    pub(super) fn note_row(&mut self, lease: &Lease) {
        if let Some(shards) = self.get_mut(lease.stream_id()) {
            shards.found_empty = false;
        }
    }

    /// A tenure is over.
    pub(super) fn forget(&mut self, tenure: &Tenure) {
        if let Some(shards) = self.get_mut(tenure.lease.stream_id()) {
            shards.missing.remove(&tenure.id);
        }
    }

    /// Takes in a scan of the table.
    fn note_scan(&mut self, listing: &LeaseListing) {
        let unreadable: Vec<Option<StreamId>> = listing
            .unreadable
            .iter()
            .map(|row| match self.known {
                Known::One(_) => None,
                Known::Several(_) => StreamId::of_key(&row.key),
            })
            .collect();
        for (stream, shards) in self.all_mut() {
            shards.begin_scan(!unreadable.iter().any(|row| row.as_ref() == stream));
        }
        for lease in &listing.leases {
            if let Some(shards) = self.get_mut(lease.stream_id()) {
                shards.note_scanned(lease);
            }
        }
        for (_, shards) in self.all_mut() {
            shards.end_scan();
        }
    }
}

impl WorkerMachine {
    /// Takes in a scan of the table: gives the rows of this worker's streams. Those of other streams are none of its business,
    /// whoever holds them.
    pub(super) fn rows_of_mine(&mut self, now: Tick, mut listing: LeaseListing) -> Vec<Arc<Lease>> {
        self.streams.note_scan(&listing);
        let mine = |lease: &Lease| self.streams.have(lease) || self.held.contains_key(&lease.key);
        let others: Vec<Arc<Lease>> = listing.leases.extract_if(.., |lease| !mine(lease)).collect();
        for row in &others {
            // What is on its way to this worker, and was asked for before the stream was removed.
            self.decline(now, row);
        }
        self.delete_former(now, &others);
        listing.leases
    }

    fn delete_former(&mut self, now: Tick, rows: &[Arc<Lease>]) {
        let FormerStreams::DeleteAfter(wait) = self.config.former_streams else {
            return;
        };
        for row in rows {
            let wait = wait.max(row.patience(self.config.failover_time));
            let former = row.stream_id().and_then(|stream| self.streams.former.get(stream));
            let is_due = former.is_some_and(|since| *since + wait <= now);
            let rested = self.watch.unchanged_for(now, row) >= Some(wait);
            if is_due && rested && !self.busy.contains(&row.key) && !self.held.contains_key(&row.key) {
                self.send_delete(now, row);
            }
        }
    }

    /// Whether the table is of another kind of application than this worker's, or of another stream. To read on would end
    /// shards of that stream which this one does not have, or read everything once more beside the rows that are there.
    pub(super) fn other_stream(&self, leases: &[Arc<Lease>]) -> Option<WorkerFailure> {
        leases.iter().find_map(|lease| self.misfit(lease))
    }

    /// Whether a row is of an application such as this worker takes it for.
    pub(super) fn is_of_this_kind(&self, lease: &Lease) -> bool {
        self.misfit(lease).is_none()
    }

    fn misfit(&self, lease: &Lease) -> Option<WorkerFailure> {
        let several = self.config.streams.is_some();
        match &lease.stream {
            Some(LeaseStream::OfSeveral(_)) if several => None,
            Some(LeaseStream::OfSeveral(_)) => Some(WorkerFailure::SeveralStreams { key: lease.key.clone() }),
            _ if several => Some(WorkerFailure::OneStream { key: lease.key.clone() }),
            Some(LeaseStream::One(other)) => {
                let stream = self.config.stream.as_ref().filter(|stream| *stream != other)?;
                Some(WorkerFailure::OtherStream {
                    stream: stream.clone(),
                    other: other.clone(),
                })
            }
            None => None,
        }
    }

    /// From now on these are the worker's streams. An application of one stream keeps to it.
    pub(super) fn set_streams(&mut self, now: Tick, streams: Vec<StreamConfig>) {
        let Known::Several(known) = &mut self.streams.known else {
            return;
        };
        if self.stopping.is_some() {
            return;
        }
        let wanted: BTreeMap<StreamId, InitialPosition> = streams
            .into_iter()
            .map(|stream| (stream.id, stream.initial_position))
            .collect();
        let gone: Vec<StreamId> = known
            .keys()
            .filter(|stream| !wanted.contains_key(*stream))
            .cloned()
            .collect();
        let mut added = Vec::new();
        for (stream, initial) in wanted {
            match known.get_mut(&stream) {
                Some(shards) => shards.initial = initial,
                None => {
                    known.insert(stream.clone(), Shards::new(now, initial));
                    added.push(stream);
                }
            }
        }
        for stream in added {
            self.streams.former.remove(&stream);
            self.event(WorkerEvent::StreamAdded { stream });
            // Whether it was read before, the table tells.
            self.next_scan = now;
        }
        for stream in gone {
            self.drop_stream(now, &stream);
            self.event(WorkerEvent::StreamRemoved { stream });
        }
    }

    /// A stream cannot be read any more. That ends a worker that has only this one.
    pub(super) fn lose_stream(&mut self, now: Tick, stream: Option<StreamId>, failure: WorkerFailure) {
        let Some(stream) = stream else {
            return self.stop(now, Some(failure));
        };
        if self.drop_stream(now, &stream) {
            self.event(WorkerEvent::StreamLost { stream, failure });
        }
    }

    /// Gives back what this worker holds of a stream, and forgets the stream. Says whether it was known.
    fn drop_stream(&mut self, now: Tick, stream: &StreamId) -> bool {
        let Known::Several(known) = &mut self.streams.known else {
            return false;
        };
        if known.remove(stream).is_none() {
            return false;
        }
        self.streams.former.insert(stream.clone(), now);
        let is_of = |lease: &Lease| lease.stream_id() == Some(stream);
        self.vanished.retain(|_, vanished| !is_of(&vanished.row));
        let deadline = now + self.config.shutdown_grace;
        let tenures: Vec<_> = self
            .tenures
            .values()
            .filter(|tenure| is_of(&tenure.lease))
            .map(|tenure| tenure.id)
            .collect();
        for id in tenures {
            self.stop_tenure(now, id, deadline);
        }
        let rows: Vec<Arc<Lease>> = self.table.values().filter(|lease| is_of(lease)).cloned().collect();
        for row in rows.iter().filter(|row| !self.held.contains_key(&row.key)) {
            self.table.remove(&row.key);
        }
        for row in &rows {
            self.decline(now, row);
        }
        true
    }
}
