//! From single records to units: what is sent as one Kinesis record.

use std::collections::BTreeSet;

use super::{ProducerEffect, ProducerMachine, PutFailure, Refusal};
use crate::{
    aggregate::{Aggregate, Aggregator, UserRecord},
    ids::{HashKey, ShardId},
    time::Tick,
};

/// A user record, as far as it is remembered: its bytes are in the unit.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) hash_key: HashKey,
    pub(super) expires: Tick,
    pub(super) attempts: u32,
}

/// A Kinesis record on its way.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) outer: UserRecord,
    pub(super) aggregated: bool,
    pub(super) members: Vec<Member>,
    /// The shard for which it was made.
    pub(super) shard: Option<ShardId>,
    /// When it is to go, with others or without.
    pub(super) due: Tick,
    /// Another record of its call may have been at fault: it goes alone.
    pub(super) alone: bool,
    /// Why it was refused last.
    pub(super) refusal: Option<Refusal>,
}

impl Unit {
    /// The keys whose order it takes part in, each once.
    pub(super) fn keys(&self) -> BTreeSet<HashKey> {
        self.members.iter().map(|member| member.hash_key).collect()
    }

    /// The user records again, in order.
    pub(super) fn into_records(self) -> Vec<(Member, UserRecord)> {
        let inside = self.aggregated.then(|| Aggregate::read(&self.outer.data)).flatten();
        let Some(inside) = inside else {
            return self
                .members
                .into_iter()
                .map(|member| (member, self.outer.clone()))
                .collect();
        };
        let records = inside.map(|record| UserRecord {
            partition_key: record.partition_key,
            explicit_hash_key: record.explicit_hash_key,
            data: record.data,
        });
        self.members.into_iter().zip(records).collect()
    }
}

/// Records of one shard that wait for more.
#[derive(Debug)]
pub(super) struct Collecting {
    aggregator: Aggregator,
    members: Vec<Member>,
    shard: Option<ShardId>,
    due: Tick,
}

impl Collecting {
    fn new(size_max: usize, shard: Option<ShardId>, due: Tick) -> Self {
        Self {
            aggregator: Aggregator::new(size_max),
            members: Vec::new(),
            shard,
            due,
        }
    }

    fn append(&mut self, member: Member, record: &UserRecord) -> Result<(), Member> {
        if self.aggregator.append(record) {
            self.members.push(member);
            Ok(())
        } else {
            Err(member)
        }
    }

    /// What was collected, as one record.
    fn close(mut self) -> Option<Unit> {
        let aggregated = self.aggregator.is_aggregate();
        Some(Unit {
            outer: self.aggregator.take()?,
            aggregated,
            members: self.members,
            shard: self.shard,
            due: self.due,
            alone: false,
            refusal: None,
        })
    }
}

impl ProducerMachine {
    pub(super) fn put(&mut self, now: Tick, id: u64, record: &UserRecord) {
        let member = Member {
            id,
            hash_key: record.hash_key(),
            expires: now + self.config.record_ttl,
            attempts: 0,
        };
        self.sort_in(now + self.config.record_max_buffered_time, member, record);
    }

    /// Puts a record to others of its shard.
    fn sort_in(&mut self, due: Tick, member: Member, record: &UserRecord) {
        let shard = self
            .shards
            .shard_of(member.hash_key)
            .filter(|_| self.config.aggregation);
        let Some((range, shard)) = shard.map(|(range, id)| (range.end, id.clone())) else {
            // Whose shard is not known goes alone.
            let mut alone = Collecting::new(self.config.aggregation_max_size, None, due);
            let appended = alone.append(member, record);
            debug_assert!(appended.is_ok(), "there is always room for the first");
            self.make_ready(alone);
            return;
        };
        let Err(member) = self.collect(range, &shard, due, member, record) else {
            return;
        };
        // It is full: what is there goes, and another one begins.
        self.close(range);
        let appended = self.collect(range, &shard, due, member, record);
        debug_assert!(appended.is_ok(), "there is always room for the first");
    }

    /// The shards are known for the first time: records that came before are put together after all, unless some were sent.
    pub(super) fn sort_in_early(&mut self) {
        let is_early = |unit: &Unit| unit.shard.is_none() && unit.members.iter().all(|member| member.attempts == 0);
        if !self.ready.iter().all(is_early) {
            return;
        }
        self.ready_bytes = 0;
        for unit in std::mem::take(&mut self.ready) {
            let due = unit.due;
            for (member, record) in unit.into_records() {
                self.sort_in(due, member, &record);
            }
        }
    }

    fn collect(
        &mut self,
        range: HashKey,
        shard: &ShardId,
        due: Tick,
        member: Member,
        record: &UserRecord,
    ) -> Result<(), Member> {
        let size_max = self.config.aggregation_max_size;
        let collecting = self.collecting.entry(range).or_insert_with(|| {
            self.collecting_due.insert((due, range));
            Collecting::new(size_max, Some(shard.clone()), due)
        });
        collecting.append(member, record)?;
        if collecting.members.len() >= self.config.aggregation_max_count {
            self.close(range);
        }
        Ok(())
    }

    fn close(&mut self, range: HashKey) {
        if let Some(collecting) = self.collecting.remove(&range) {
            self.collecting_due.remove(&(collecting.due, range));
            self.make_ready(collecting);
        }
    }

    fn make_ready(&mut self, collecting: Collecting) {
        if let Some(unit) = collecting.close() {
            self.wait_for_call(unit);
        }
    }

    fn wait_for_call(&mut self, unit: Unit) {
        if self.stuck {
            self.ready_due = self.ready_due.min(Some(unit.due)).or(Some(unit.due));
        }
        self.ready_bytes += unit.outer.size();
        self.ready.push_back(unit);
    }

    /// Closes what has waited long enough.
    pub(super) fn collect_due(&mut self, now: Tick) {
        while let Some((due, range)) = self.collecting_due.first().copied().filter(|(due, _)| *due <= now) {
            debug_assert!(self.collecting.get(&range).is_some_and(|open| open.due == due));
            self.close(range);
        }
    }

    /// Everything that waits for company goes now.
    pub(super) fn hurry(&mut self, now: Tick) {
        while let Some((range, _)) = self.collecting.first_key_value() {
            self.close(*range);
        }
        for unit in &mut self.ready {
            unit.due = unit.due.min(now);
        }
        self.stuck = false;
    }

    /// The shards are others than before: what is collected for those that are gone is collected anew.
    pub(super) fn recollect(&mut self, now: Tick) {
        let of_gone = |(range, open): (&HashKey, &Collecting)| {
            let shard = self.shards.shard_of(*range).map(|(_, id)| id);
            (shard != open.shard.as_ref()).then_some(*range)
        };
        let gone: Vec<HashKey> = self.collecting.iter().filter_map(of_gone).collect();
        for range in gone {
            let Some(open) = self.collecting.remove(&range) else {
                continue;
            };
            self.collecting_due.remove(&(open.due, range));
            let records = open.close().map(Unit::into_records).unwrap_or_default();
            for unit in self.regroup(now, records, None) {
                self.wait_for_call(unit);
            }
        }
    }

    /// Makes units of records that are sent again, by the shards as they are known now. Each is due at once.
    pub(super) fn regroup(
        &mut self,
        now: Tick,
        records: Vec<(Member, UserRecord)>,
        refusal: Option<&Refusal>,
    ) -> Vec<Unit> {
        let mut groups: Vec<Collecting> = Vec::new();
        for (mut member, record) in records {
            let found = self
                .shards
                .shard_of(member.hash_key)
                .filter(|_| self.config.aggregation);
            let shard = found.map(|(_, id)| id.clone());
            let open = groups
                .iter_mut()
                .rev()
                .find(|group| shard.is_some() && group.shard == shard);
            if let Some(group) = open {
                match group.append(member, &record) {
                    Ok(()) => continue,
                    Err(back) => member = back,
                }
            }
            let mut group = Collecting::new(self.config.aggregation_max_size, shard, now);
            let appended = group.append(member, &record);
            debug_assert!(appended.is_ok(), "there is always room for the first");
            groups.push(group);
        }
        let with_reason = |unit: Unit| Unit {
            refusal: refusal.cloned(),
            ..unit
        };
        groups
            .into_iter()
            .filter_map(Collecting::close)
            .map(with_reason)
            .collect()
    }

    /// These units go before all others, in their order.
    pub(super) fn put_first(&mut self, units: Vec<Unit>) {
        for unit in units.into_iter().rev() {
            self.ready_bytes += unit.outer.size();
            self.ready.push_front(unit);
        }
    }

    /// Gives up what has expired, and gives back what is left of the unit.
    pub(super) fn unexpired(&mut self, now: Tick, unit: Unit) -> Option<Unit> {
        if unit.members.iter().all(|member| now < member.expires) {
            return Some(unit);
        }
        let (refusal, due, alone) = (unit.refusal.clone(), unit.due, unit.alone);
        let (left, expired): (Vec<_>, Vec<_>) = unit
            .into_records()
            .into_iter()
            .partition(|(member, _)| now < member.expires);
        for (member, _) in expired {
            let failure = PutFailure::Expired {
                attempts: member.attempts,
                last: refusal.clone(),
            };
            self.done(&member, Err(failure));
        }
        // What comes behind the first group of records stays before everything else.
        let mut units = self.regroup(now, left, refusal.as_ref());
        let rest = units.split_off(units.len().min(1));
        self.put_first(rest);
        units.pop().map(|unit| Unit { due, alone, ..unit })
    }

    pub(super) fn done(&mut self, member: &Member, result: Result<super::Placed, PutFailure>) {
        let id = member.id;
        self.effects.push_back(ProducerEffect::Done { id, result });
    }
}
