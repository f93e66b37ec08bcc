//! The states of a stream's life, and the changes that take time.
//!
//! A change begins with the call that asks for it and takes effect when the time that changes take is over. Until then a
//! stream that is being made takes and gives nothing, and one that is being updated does so as before: the parents of a
//! split close and its children open when the update ends. Nobody waits for that time: the first call after it finds the
//! change made, as of the time at which it was due.

use kcl_core::{StreamName, Timestamp};

use super::{Engine, reshard::Reshard, stream::Stream};
use crate::api::{ApiError, ErrorKind, StreamMode, StreamSettings, StreamStatus};

/// A change of a stream that has begun and has not taken effect.
#[derive(Debug)]
pub(super) struct Transition {
    change: Change,
    due_at: Timestamp,
}

/// How a stream is changed.
#[derive(Debug)]
enum Change {
    Creation,
    Deletion,
    Update(Update),
}

/// What an update makes of a stream when it takes effect.
#[derive(Debug)]
pub(super) enum Update {
    /// Shards in the place of others, one step after the other.
    Shards(Vec<Reshard>),
    /// Another mode, and shards in the place of others.
    Mode(StreamMode, Vec<Reshard>),
    /// Another size of the largest record, in kibibytes.
    MaxRecordSize(u32),
    /// Other settings.
    Settings(StreamSettings),
}

impl Transition {
    /// Of a stream that is being made.
    pub(super) fn creation(due_at: Timestamp) -> Self {
        Self {
            change: Change::Creation,
            due_at,
        }
    }

    /// How many more shards are open at the most because of it.
    pub(super) fn additional_shards(&self) -> usize {
        match &self.change {
            Change::Update(Update::Shards(steps) | Update::Mode(_, steps)) => Reshard::additional(steps),
            _ => 0,
        }
    }
}

impl Stream {
    pub(super) fn status(&self) -> StreamStatus {
        match self.transition.as_ref().map(|transition| &transition.change) {
            None => StreamStatus::Active,
            Some(Change::Creation) => StreamStatus::Creating,
            Some(Change::Deletion) => StreamStatus::Deleting,
            Some(Change::Update(_)) => StreamStatus::Updating,
        }
    }

    /// When the change that has begun takes effect, if one has.
    pub(super) fn changes_at(&self) -> Option<Timestamp> {
        self.transition.as_ref().map(|transition| transition.due_at)
    }
}

impl Engine {
    /// The stream that a request changes. It must be in the state ACTIVE.
    pub(super) fn active_stream(&self, name: Option<&String>, arn: Option<&String>) -> Result<&Stream, ApiError> {
        let stream = self.stream(name, arn)?;
        self.require(stream, &[StreamStatus::Active])?;
        Ok(stream)
    }

    /// The stream that a request writes to. One that is being made is not there yet.
    pub(super) fn writable_stream(&self, name: Option<&String>, arn: Option<&String>) -> Result<&Stream, ApiError> {
        let stream = self.stream(name, arn)?;
        if stream.is_creating() {
            return Err(self.no_such_stream(stream.name.as_str()));
        }
        Ok(stream)
    }

    /// Refuses what needs `stream` in one of these states.
    pub(super) fn require(&self, stream: &Stream, states: &[StreamStatus]) -> Result<(), ApiError> {
        let (status, account) = (stream.status(), &self.config.account);
        if states.contains(&status) {
            return Ok(());
        }
        let message = format!(
            "Stream {} under account {account} not ACTIVE, instead in state {status}",
            stream.name
        );
        Err(ApiError::new(ErrorKind::ResourceInUse, message))
    }

    /// Adds a stream, which can be used when the time that changes take is over.
    pub(super) fn begin_creation(&mut self, mut stream: Stream, now: Timestamp) {
        let due_at = self.due_at(now);
        stream.transition = Some(Transition::creation(due_at));
        self.streams.insert(stream.name.clone(), stream);
        self.settle_from(due_at, now);
    }

    /// Removes a stream when the time that changes take is over. Another change that has begun does not take effect.
    pub(super) fn begin_deletion(&mut self, name: &StreamName, now: Timestamp) {
        let is_deleting = |stream: &Stream| stream.status() == StreamStatus::Deleting;
        if !self.streams.get(name).is_some_and(is_deleting) {
            self.begin(name, Change::Deletion, now);
        }
    }

    /// Lets `update` take effect when the time that changes take is over. Until then the stream is UPDATING.
    ///
    /// The stream must be [active](Self::active_stream).
    pub(super) fn begin_update(&mut self, name: &StreamName, update: Update, now: Timestamp) {
        self.begin(name, Change::Update(update), now);
    }

    fn begin(&mut self, name: &StreamName, change: Change, now: Timestamp) {
        let due_at = self.due_at(now);
        if let Some(stream) = self.streams.get_mut(name) {
            stream.transition = Some(Transition { change, due_at });
        }
        self.settle_from(due_at, now);
    }

    fn due_at(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.config.transition)
    }

    fn settle_from(&mut self, due_at: Timestamp, now: Timestamp) {
        self.change_due = Some(self.change_due.map_or(due_at, |due| due.min(due_at)));
        self.settle(now);
    }

    /// Lets the changes that are due take effect, each at its time.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while self.change_due.is_some_and(|due| due <= now) {
            let changes = |stream: &Stream| Some((stream.changes_at()?, stream.name.clone()));
            let first = self.streams.values().filter_map(changes).min();
            self.change_due = first.as_ref().map(|(due_at, _)| *due_at);
            if let Some((due_at, name)) = first.filter(|(due_at, _)| *due_at <= now) {
                self.take_effect(&name, due_at);
            }
        }
    }

    fn take_effect(&mut self, name: &StreamName, at: Timestamp) {
        let stream = self.streams.get_mut(name);
        let Some(transition) = stream.and_then(|stream| stream.transition.take()) else {
            return;
        };
        match transition.change {
            Change::Creation => {}
            Change::Deletion => self.remove_stream(name),
            Change::Update(Update::Shards(steps)) => self.reshard_all(name, &steps, at),
            Change::Update(Update::Mode(mode, steps)) => {
                self.set_mode(name, mode);
                self.reshard_all(name, &steps, at);
            }
            Change::Update(Update::MaxRecordSize(kib)) => self.set_max_record_size(name, kib),
            Change::Update(Update::Settings(settings)) => self.set_settings(name, settings),
        }
    }

    fn remove_stream(&mut self, name: &StreamName) {
        if let Some(stream) = self.streams.remove(name) {
            self.stored_bytes -= stream.footprint();
            self.subscriptions.wake_stream(name);
            self.deleted_second = self.deleted_second.max(stream.last_created_second());
        }
    }
}
