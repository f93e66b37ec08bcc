//! Tumbling windows: which window a delivery is for, when a window ends, and what becomes of its state.
//!
//! A window ends with a call that runs alone and is repeated until it succeeds, like `initialize`: nothing of the next
//! window is handled before. The state as of a position is told with the position, so that both are committed by one write.

use crate::{
    delivery::Windows,
    record::Batch,
    shard::{Call, Outcome, ShardEffect, ShardMachine},
    time::Tick,
};

impl ShardMachine {
    /// Makes a delivery, for its window.
    pub(super) fn deliver(&mut self, mut effect: ShardEffect) {
        if let ShardEffect::Call {
            call: Call::Process { batch, window, .. },
            ..
        } = &mut effect
            && let Some(first) = batch.first()
            && let Some(windows) = self.handling.lanes.rules_mut().windows_mut()
        {
            *window = Some(windows.call(first.approximate_arrival_timestamp));
        }
        self.effects.push_back(effect);
    }

    /// These records are next, whether or not anybody wants them: time has come so far in the shard.
    pub(super) fn look_at(&mut self, batch: &Batch) {
        if let Some(windows) = self.handling.lanes.rules_mut().windows_mut() {
            for record in batch {
                windows.saw(record.approximate_arrival_timestamp);
            }
        }
    }

    /// A read that began then was answered, and there was nothing behind it if `to_tip`.
    pub(in crate::shard) fn note_read(&mut self, began: Tick, batch: &Batch, to_tip: bool) {
        let rules = self.handling.lanes.rules_mut();
        let began = rules.wall(began);
        let Some(windows) = rules.windows_mut() else { return };
        if to_tip {
            windows.read_to_tip(began);
        }
        if self.handling.nothing.is_none() {
            self.handling.nothing = Some(batch.with_records(Vec::new()));
        }
    }

    /// Takes over the state that the user's code returned, if records were handled.
    pub(super) fn note_state(&mut self, outcome: &Outcome, records: usize) {
        let Some(windows) = self.handling.lanes.rules_mut().windows_mut() else {
            return;
        };
        match outcome {
            Outcome::Windowed { failed: Some(0), .. } if records > 0 => {}
            Outcome::Windowed { state, .. } => windows.handled(Some(state.clone())),
            Outcome::Success | Outcome::SuccessBefore(1..) => windows.handled(None),
            Outcome::FailedItems(items) if items.iter().all(|item| *item > 0) => windows.handled(None),
            _ => {}
        }
    }

    /// Whether nothing can be committed before the open window ended early.
    pub(super) fn awaits_window(&self) -> bool {
        let windows = self.handling.lanes.rules().windows();
        windows.is_some_and(Windows::has_overflown)
    }

    /// Whether nothing joins the records that wait for company.
    pub(super) fn window_is_over(&self) -> bool {
        let windows = self.handling.lanes.rules().windows();
        windows
            .zip(self.handling.lanes.next_arrival())
            .is_some_and(|(windows, next)| windows.is_over_for(next))
    }

    /// Begins the call that ends the open window, if its time has come, and says so.
    pub(super) fn end_window(&mut self) -> bool {
        let Some(batch) = self.handling.nothing.clone() else {
            return false;
        };
        let lanes = &self.handling.lanes;
        let Some(windows) = lanes.rules().windows().filter(|_| !lanes.is_calling()) else {
            return false;
        };
        let next = lanes.next_arrival();
        let all_is_seen = next.is_some() || self.reading.buffer.is_empty();
        let due = windows.ending_early().or_else(|| {
            let ended = self.reading.is_exhausted();
            windows
                .ending(next, ended)
                .filter(|_| lanes.delivers_nothing() && all_is_seen)
        });
        let Some(window) = due else { return false };
        self.start_call(Call::Process {
            batch,
            attempt: 1,
            window: Some(window),
        });
        true
    }

    /// The call that ends a window succeeded.
    pub(super) fn window_ended(&mut self, call: &Call) {
        let Call::Process {
            window: Some(window), ..
        } = call
        else {
            return;
        };
        if let Some(windows) = self.handling.lanes.rules_mut().windows_mut() {
            windows.ended(window);
            self.tell_progress();
        }
    }
}
