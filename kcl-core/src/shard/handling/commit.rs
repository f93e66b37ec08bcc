//! How far the shard is handled without a gap, and when that is committed.

use super::Handling;
use crate::{
    record::Batch,
    sequence::Position,
    shard::{CheckpointPolicy, ShardEffect, ShardEvent, ShardMachine, ShardPhase},
    time::Tick,
};

/// What is handled and not committed.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    since: Option<Tick>,
    records: u64,
    /// A checkpoint that is being written.
    requested: Option<Position>,
}

impl Handling {
    pub(in crate::shard) fn checkpoint_stored(&mut self, now: Tick, checkpoint: &Position) {
        let uncommitted = &mut self.uncommitted;
        uncommitted.requested.take_if(|requested| *requested <= *checkpoint);
        if *checkpoint >= self.handled {
            uncommitted.since = None;
            uncommitted.records = 0;
        } else if uncommitted.since.is_some() {
            uncommitted.since = Some(now);
        }
    }
}

impl ShardMachine {
    /// Records were handled. What they complete without a gap is to be committed.
    pub(super) fn handled(&mut self, now: Tick, batch: &Batch, passed_before: u64) {
        let (records, bytes) = (batch.len(), batch.size() as u64);
        self.effects
            .push_back(ShardEffect::Event(ShardEvent::Handled { records, bytes }));
        let handling = &mut self.handling;
        handling.handled_records += records as u64;
        handling.handled_bytes += bytes;
        self.advance_watermark(now, passed_before);
    }

    /// The dead letters hold records: they are passed.
    pub(super) fn discarded(&mut self, now: Tick, batch: &Batch, passed_before: u64) {
        self.handling.discarded_records += batch.len() as u64;
        self.advance_watermark(now, passed_before);
    }

    /// What is handled without a gap may have grown.
    pub(super) fn advance_watermark(&mut self, now: Tick, passed_before: u64) {
        let handling = &mut self.handling;
        let Some(watermark) = handling.acks.take_watermark() else {
            return;
        };
        handling.handled = watermark;
        handling.uncommitted.records += handling.acks.passed() - passed_before;
        handling.uncommitted.since.get_or_insert(now);
        self.tell_progress();
    }

    /// Tells how far everything is handled, and what the windows came to.
    pub(super) fn tell_progress(&mut self) {
        if !self.is_automatic() || self.awaits_window() {
            return;
        }
        let position = self.handling.handled.clone();
        self.effects.push_back(match self.handling.lanes.rules().windows() {
            None => ShardEffect::Progress(position),
            Some(windows) => ShardEffect::ProgressWith {
                position,
                state: windows.to_keep(),
            },
        });
    }

    fn is_automatic(&self) -> bool {
        matches!(self.config.checkpoint, CheckpointPolicy::Automatic { .. })
    }

    pub(in crate::shard) fn checkpoint_due(&self) -> Option<Tick> {
        let CheckpointPolicy::Automatic { interval, records } = self.config.checkpoint else {
            return None;
        };
        let uncommitted = &self.handling.uncommitted;
        let since = uncommitted.since?;
        if self.stop.is_some() || uncommitted.requested.is_some() || self.awaits_window() {
            return None;
        }
        Some(if uncommitted.records >= records {
            since
        } else {
            since + interval
        })
    }

    pub(in crate::shard) fn advance_checkpoint(&mut self, now: Tick) {
        if self.phase == ShardPhase::Finished || self.checkpoint_due().is_none_or(|due| now < due) {
            return;
        }
        let position = self.handling.handled.clone();
        // What is handled from here on counts for the next checkpoint: else a busy shard would ask for one after another.
        self.handling.uncommitted = Uncommitted {
            requested: Some(position.clone()),
            ..Uncommitted::default()
        };
        self.effects.push_back(ShardEffect::Checkpoint(position));
    }
}
