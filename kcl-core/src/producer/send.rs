//! What goes into which call, and when.

use std::collections::BTreeSet;

use super::{ProducerEffect, ProducerMachine, collect::Unit};
use crate::{ids::HashKey, time::Tick};

/// Where many units wait for others of their keys, so many are looked at for each call.
const LOOK_AHEAD: usize = 2_000;

/// What one call would hold.
#[derive(Debug, Default)]
struct Draft {
    count: usize,
    bytes: usize,
    /// Nothing more fits.
    full: bool,
    /// Something has waited long enough.
    due: bool,
    /// Keys of units in the call, and of those that were passed by: what comes behind them waits.
    keys: BTreeSet<HashKey>,
}

impl ProducerMachine {
    /// Begins calls as long as there is enough for one, or something has waited long enough.
    pub(super) fn send(&mut self, now: Tick) {
        if self.stuck && self.ready_due.is_none_or(|due| now < due) {
            return;
        }
        self.stuck = false;
        self.ready_due = None;
        while self.calls.len() < self.config.max_calls {
            let units = self.next_call(now);
            if units.is_empty() {
                self.ready_due = self
                    .ready
                    .iter()
                    .take(LOOK_AHEAD)
                    .map(|unit| unit.due)
                    .find(|due| *due > now);
                self.stuck = self.config.ordered && self.is_worth_a_call(now);
                return;
            }
            self.begin(units);
        }
    }

    fn is_worth_a_call(&self, now: Tick) -> bool {
        let due = self.ready.front().is_some_and(|unit| unit.due <= now);
        let full = self.ready.len() >= self.config.collection_max_count;
        due || full || self.ready_bytes >= self.config.collection_max_size
    }

    /// The units of the next call; none if it is too early for one.
    fn next_call(&mut self, now: Tick) -> Vec<Unit> {
        if !self.is_worth_a_call(now) {
            return Vec::new();
        }
        let mut draft = Draft::default();
        let mut looked_at = Vec::new();
        for _ in 0..LOOK_AHEAD {
            let Some(unit) = self.ready.pop_front() else { break };
            self.ready_bytes -= unit.outer.size();
            let Some(unit) = self.unexpired(now, unit) else {
                continue;
            };
            let waits = self.waits_for_others(&mut draft, &unit);
            let taken = !waits && self.has_room(&draft, &unit);
            draft.full |= !waits && !taken;
            if taken {
                draft.count += 1;
                draft.bytes += unit.outer.size();
                draft.due |= unit.due <= now;
                draft.full |= unit.alone || draft.count == self.config.collection_max_count;
            }
            looked_at.push((taken, unit));
            if draft.full {
                break;
            }
        }
        // What does not go is put back in its order.
        let go = draft.full || draft.due;
        let (mut call, mut back) = (Vec::new(), Vec::new());
        for (taken, unit) in looked_at {
            if taken && go {
                call.push(unit);
            } else {
                back.push(unit);
            }
        }
        self.put_first(back);
        call
    }

    fn has_room(&self, draft: &Draft, unit: &Unit) -> bool {
        let fits = draft.bytes + unit.outer.size() <= self.config.collection_max_size;
        draft.count == 0 || (fits && !unit.alone)
    }

    /// Whether the order of its keys forbids that the unit goes now.
    fn waits_for_others(&self, draft: &mut Draft, unit: &Unit) -> bool {
        if !self.config.ordered {
            return false;
        }
        let keys = unit.keys();
        let waits = keys
            .iter()
            .any(|key| self.busy.contains_key(key) || draft.keys.contains(key));
        draft.keys.extend(keys);
        waits
    }

    fn begin(&mut self, mut units: Vec<Unit>) {
        for unit in &mut units {
            for member in &mut unit.members {
                member.attempts += 1;
            }
        }
        for unit in &units {
            self.hold(unit);
        }
        let call = self.serial();
        self.effects.push_back(ProducerEffect::Call {
            call,
            records: units.iter().map(|unit| unit.outer.clone()).collect(),
            user_records: units.iter().map(|unit| unit.members.len()).sum(),
        });
        self.calls.insert(call, units);
    }

    /// Until the unit is let go, nothing of its keys is sent.
    pub(super) fn hold(&mut self, unit: &Unit) {
        if self.config.ordered {
            for key in unit.keys() {
                *self.busy.entry(key).or_insert(0) += 1;
            }
        }
    }

    pub(super) fn let_go(&mut self, unit: &Unit) {
        if self.config.ordered {
            for key in unit.keys() {
                if let Some(count) = self.busy.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.busy.remove(&key);
                    }
                }
            }
        }
    }

    /// Sends a unit again after a while.
    pub(super) fn send_again(&mut self, now: Tick, unit: Unit) {
        let attempts = unit.members.iter().map(|member| member.attempts).max();
        let at = now + self.config.backoff.wait(attempts.unwrap_or(1), &mut self.rng);
        self.hold(&unit);
        let serial = self.serial();
        self.retrying.insert((at, serial), unit);
    }

    /// What has waited long enough goes before everything else.
    pub(super) fn retry_due(&mut self, now: Tick) {
        let mut due = Vec::new();
        while let Some(entry) = self.retrying.first_entry().filter(|entry| entry.key().0 <= now) {
            let unit = entry.remove();
            self.let_go(&unit);
            due.push(Unit { due: now, ..unit });
            self.stuck = false;
        }
        self.put_first(due);
    }
}
