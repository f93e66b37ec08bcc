//! What the service said, and what follows.

use super::{
    CallFailure, CallFailureKind, Placed, ProducerEffect, ProducerMachine, PutFailure, Refusal, Written, collect::Unit,
};
use crate::{catalog::Shard, ids::HashKeyRange, time::Tick};

impl ProducerMachine {
    pub(super) fn answered(
        &mut self,
        now: Tick,
        call: u64,
        result: Result<Vec<Result<Written, Refusal>>, CallFailure>,
    ) {
        let Some(units) = self.calls.remove(&call) else { return };
        self.stuck = false;
        for unit in &units {
            self.let_go(unit);
        }
        let results = result.and_then(|results| match results.len() == units.len() {
            true => Ok(results),
            // Which record an answer is for cannot be told.
            false => Err(CallFailure {
                kind: CallFailureKind::Passing,
                refusal: Refusal {
                    code: "MalformedAnswer".to_owned(),
                    message: format!("{} answers for {} records", results.len(), units.len()),
                },
            }),
        });
        match results {
            Ok(results) => {
                for (unit, result) in units.into_iter().zip(results) {
                    match result {
                        Ok(written) => self.written(now, unit, written),
                        Err(refusal) => self.refused(now, unit, refusal),
                    }
                }
            }
            Err(failure) => self.call_failed(now, units, &failure),
        }
    }

    fn written(&mut self, now: Tick, unit: Unit, written: Written) {
        let expected = unit.shard.as_ref().is_none_or(|shard| *shard == written.shard);
        if expected {
            return self.placed(&unit, &written);
        }
        self.shards.is_outdated(now);
        if unit.members.len() == 1 {
            // The service itself chose the shard by the record's hash key.
            self.placed(&unit, &written);
        } else {
            self.hold(&unit);
            self.astray.push((unit, written));
        }
    }

    fn placed(&mut self, unit: &Unit, written: &Written) {
        for (sub_sequence_number, member) in (0..).zip(&unit.members) {
            let placed = Placed {
                shard: written.shard.clone(),
                sequence_number: written.sequence_number.clone(),
                sub_sequence_number,
                attempts: member.attempts,
            };
            self.done(member, Ok(placed));
        }
    }

    fn refused(&mut self, now: Tick, unit: Unit, refusal: Refusal) {
        self.effects.push_back(ProducerEffect::Again {
            records: unit.members.len(),
            code: refusal.code.clone(),
        });
        let refusal = Some(refusal);
        self.send_again(now, Unit { refusal, ..unit });
    }

    fn call_failed(&mut self, now: Tick, units: Vec<Unit>, failure: &CallFailure) {
        let single = units.len() == 1;
        for unit in units {
            match failure.kind {
                CallFailureKind::Passing => self.refused(now, unit, failure.refusal.clone()),
                CallFailureKind::Invalid if !single => {
                    self.refused(now, Unit { alone: true, ..unit }, failure.refusal.clone());
                }
                CallFailureKind::Invalid | CallFailureKind::Permanent => self.given_up(&unit, &failure.refusal),
            }
        }
    }

    fn given_up(&mut self, unit: &Unit, refusal: &Refusal) {
        for member in &unit.members {
            let failure = PutFailure::Refused {
                attempts: member.attempts,
                refusal: refusal.clone(),
            };
            self.done(member, Err(failure));
        }
    }

    /// The shards are known: aggregates that went astray are sent again, record by record, if some of their records belong
    /// elsewhere. Consumers may leave those out, and Java's leaves out all.
    pub(super) fn listed(&mut self, now: Tick, result: Result<Vec<Shard>, String>) {
        self.stuck = false;
        match result {
            Ok(shards) => {
                self.shards.listed(now, shards);
                self.recollect(now);
                self.sort_in_early();
            }
            Err(_) => self.shards.listing_failed(now),
        }
        for (unit, written) in std::mem::take(&mut self.astray) {
            match self.shards.range_of(&written.shard) {
                Some(range) => {
                    self.let_go(&unit);
                    self.settle(now, unit, &written, range);
                }
                // It is in the stream: where no listing says more within its time, that has to do.
                None if unit.members.iter().all(|member| member.expires <= now) => {
                    self.let_go(&unit);
                    self.placed(&unit, &written);
                }
                None => {
                    self.shards.is_outdated(now);
                    self.astray.push((unit, written));
                }
            }
        }
    }

    fn settle(&mut self, now: Tick, unit: Unit, written: &Written, range: HashKeyRange) {
        if unit.members.iter().all(|member| range.contains(member.hash_key)) {
            return self.placed(&unit, written);
        }
        let refusal = Refusal {
            code: "WrongShard".to_owned(),
            message: "the aggregate straddled shards after a reshard".to_owned(),
        };
        self.effects.push_back(ProducerEffect::Again {
            records: unit.members.len(),
            code: refusal.code.clone(),
        });
        let records = unit.into_records();
        let units = self.regroup(now, records, Some(&refusal));
        self.put_first(units);
    }
}
