//! The leases that a peer holds: renewed by a timer, written one write at a time, passed on when somebody asked for them,
//! and otherwise dropped without a word, so that others wait until they expire.

use std::time::Duration;

use kcl_core::{Lease, LeaseKey, Position, Tick, WriteOutcome};

use super::{
    Kind, Peer,
    consumer::{Consumer, Step},
    io::{Effect, Op, Write},
    leader, rows,
};
use crate::servers::{TableAnswer, TableRequest};

/// After a write that came to nothing.
const AGAIN: Duration = Duration::from_secs(1);

/// A lease that a peer holds.
#[derive(Debug)]
pub(super) struct Held {
    /// As this peer wrote or saw it last.
    pub(super) lease: Lease,
    /// When it was renewed last.
    pub(super) renewed: Tick,
    writing: bool,
    not_before: Tick,
    renew: bool,
    /// The children are to be noted.
    follow: bool,
    wanted: Option<Position>,
    /// Somebody asked for it: until when it is passed on, whatever the application does.
    give_by: Option<Tick>,
    pub(super) consumer: Consumer,
}

impl Held {
    pub(super) fn next_deadline(&self, stopping: bool) -> Option<Tick> {
        let ends = stopping || self.give_by.is_some();
        let consumer = self
            .consumer
            .next_deadline()
            .filter(|_| !ends || !self.consumer.is_at_rest());
        let retry = (!self.writing && self.wants_to_write()).then_some(self.not_before);
        let give = self.give_by.filter(|_| !self.writing).map(|by| by.max(self.not_before));
        [consumer, retry, give].into_iter().flatten().min()
    }

    fn wants_to_write(&self) -> bool {
        self.renew || self.follow || self.wanted.is_some() || (self.give_by.is_some() && self.consumer.is_at_rest())
    }

    /// Whether nothing remains to be written before the lease can be let go.
    pub(super) fn is_settled(&self) -> bool {
        self.consumer.is_at_rest() && self.wanted.is_none() && !self.writing
    }

    /// What to write now, if anything.
    fn next_write(&self, now: Tick) -> Option<Write> {
        if self.writing || self.not_before > now {
            return None;
        }
        if self.follow {
            return Some(Write::Follow);
        }
        let late = self.give_by.is_some_and(|by| by <= now);
        if let Some(position) = self.wanted.clone().filter(|_| !late) {
            return Some(Write::Checkpoint(position));
        }
        let gives = self.give_by.is_some() && (late || self.consumer.is_at_rest());
        if let Some(to) = self.lease.owner.clone().filter(|_| gives) {
            return Some(Write::PassOn(to));
        }
        self.renew.then_some(Write::Renew)
    }
}

impl Peer {
    /// A lease is this peer's from now on.
    pub(super) fn hold(&mut self, now: Tick, lease: Lease) {
        if self.held.contains_key(&lease.key) {
            return;
        }
        self.readers += 1;
        let consumer = Consumer::new(self.readers, &lease, now, self.config.idle);
        self.by_reader.insert(self.readers, lease.key.clone());
        self.note(format!("holds {} at {}", lease.key, lease.checkpoint));
        let held = Held {
            renewed: now,
            writing: false,
            not_before: now,
            renew: false,
            follow: false,
            wanted: None,
            give_by: None,
            consumer,
            lease,
        };
        self.held.insert(held.lease.key.clone(), held);
    }

    /// Forgets a lease. The table is not told.
    pub(super) fn drop_lease(&mut self, key: &LeaseKey, why: &str) {
        if let Some(held) = self.held.remove(key) {
            let reader = held.consumer.reader;
            self.by_reader.remove(&reader);
            self.effects.push_back(Effect::End { reader });
            self.note(format!("no longer holds {key}: {why}"));
        }
    }

    /// The round of renewals. What was not renewed for the failover time may be another's, and is given up.
    pub(super) fn renew_all(&mut self, now: Tick) {
        let failover = self.config.failover;
        let expired: Vec<LeaseKey> = self
            .held
            .values()
            .filter(|held| now.since(held.renewed) > failover)
            .map(|held| held.lease.key.clone())
            .collect();
        for key in expired {
            self.drop_lease(&key, "it expired");
        }
        for held in self.held.values_mut() {
            held.renew = true;
        }
    }

    /// Does what is due for every lease.
    pub(super) fn advance_held(&mut self, now: Tick) {
        let stopping = self.stopping.is_some();
        let due = |held: &&Held| held.next_deadline(stopping).is_some_and(|at| at <= now);
        let keys: Vec<LeaseKey> = self
            .held
            .values()
            .filter(due)
            .map(|held| held.lease.key.clone())
            .collect();
        for key in keys {
            let Some(held) = self.held.get_mut(&key) else { continue };
            // Who passes a lease on begins nothing new.
            let ends = stopping || held.give_by.is_some();
            let step = held.consumer.advance(now, ends);
            self.step(&key, step);
            self.write(now, &key);
        }
    }

    fn write(&mut self, now: Tick, key: &LeaseKey) {
        let Some(held) = self.held.get_mut(key) else { return };
        let Some(write) = held.next_write(now) else { return };
        held.writing = true;
        let request = match &write {
            Write::Renew => rows::renew(&held.lease, self.config.kind == Kind::ThreeX && held.give_by.is_none()),
            Write::Checkpoint(position) => {
                let ends = *position == Position::ShardEnd;
                let children = if ends { held.consumer.children.as_slice() } else { &[] };
                rows::checkpoint(&held.lease, position.clone(), children)
            }
            Write::Follow => rows::follow(key, &held.consumer.children),
            Write::PassOn(to) => rows::assign(&held.lease, to),
        };
        self.ask(Op::Held(key.clone(), write), TableRequest::Update(request));
    }

    /// What a consumer wants.
    pub(super) fn step(&mut self, key: &LeaseKey, step: Option<Step>) {
        let (Some(step), Some(held)) = (step, self.held.get_mut(key)) else {
            return;
        };
        let reader = held.consumer.reader;
        match step {
            Step::Ask(keys) => {
                for about in keys {
                    self.ask(Op::About(key.clone(), about.clone()), TableRequest::Get(about));
                }
            }
            Step::Begin(start) => {
                let shard = held.lease.shard.clone();
                self.effects.push_back(Effect::Begin { reader, shard, start });
            }
            Step::Open(position) => self.effects.push_back(Effect::Open { reader, position }),
            Step::Fetch(iterator) => self.effects.push_back(Effect::Fetch { reader, iterator }),
            Step::Handle(batch) => self.effects.push_back(Effect::Handle { reader, batch }),
            Step::Checkpoint(position) => {
                held.follow = position == Position::ShardEnd;
                held.wanted = Some(position);
            }
            Step::Create(children) => {
                for child in children {
                    let mut lease = Lease::new(child.id, Position::TrimHorizon).with_parents(child.parents);
                    lease.hash_key_range = child.hash_key_range;
                    self.ask(Op::CreateChild(key.clone()), TableRequest::Create(lease));
                }
            }
            Step::GiveUp => self.drop_lease(key, "one parent of the merged shard has no lease"),
            Step::Remove => {
                // Nothing is expected of the row.
                let request = TableRequest::Delete(key.clone(), kcl_core::Expect::exists());
                self.ask(Op::Cleanup(key.clone()), request);
            }
        }
    }

    /// A write for a held lease was answered, or not.
    pub(super) fn held_written(&mut self, now: Tick, key: &LeaseKey, write: &Write, answer: Option<TableAnswer>) {
        let Some(held) = self.held.get_mut(key) else { return };
        held.writing = false;
        let Some(TableAnswer::Outcome(outcome)) = answer else {
            held.not_before = now + AGAIN;
            // The next round renews again.
            held.renew &= *write != Write::Renew;
            return;
        };
        match (write, outcome) {
            (Write::Follow, WriteOutcome::Applied(_)) => held.follow = false,
            (Write::PassOn(to), WriteOutcome::Applied(_)) => {
                let why = format!("passed on to {to}");
                self.drop_lease(key, &why);
            }
            (Write::Renew, WriteOutcome::Applied(row)) => held.adopt(now, row),
            (Write::Checkpoint(position), WriteOutcome::Applied(row)) => {
                held.adopt(now, row);
                held.wanted.take_if(|wanted| wanted == position);
                held.consumer.committed(now, position);
            }
            (Write::Renew, WriteOutcome::Conflict(Some(row))) => self.renewal_refused(now, key, row),
            (_, WriteOutcome::Conflict(_)) => self.drop_lease(key, "the row is another's"),
        }
        self.settle_hand_off(key);
        self.write(now, key);
    }

    /// A refused renewal: somebody asked for the lease, or an answer was lost before, or the lease is another's.
    fn renewal_refused(&mut self, now: Tick, key: &LeaseKey, row: Lease) {
        let me = self.config.id.clone();
        let Some(held) = self.held.get_mut(key) else { return };
        let knows_givers = self.config.kind == Kind::ThreeX;
        if knows_givers && held.give_by.is_none() && row.checkpoint_owner.is_some() {
            let mine = row.checkpoint_owner.as_ref() == Some(&me) && row.owner.as_ref() != Some(&me);
            if !mine {
                return self.drop_lease(key, "another passes it on");
            }
            // It goes on to renew, and says so by its name as the giver.
            (held.lease.owner, held.lease.checkpoint_owner) = (row.owner.clone(), row.checkpoint_owner);
            held.give_by = Some(now + leader::HAND_OFF);
            held.renew = true;
            self.note(format!("is asked for {key}"));
            return;
        }
        let owner = if knows_givers { row.holder() } else { row.owner.as_ref() };
        if owner == Some(&me) && row.counter == held.lease.counter.wrapping_add(1) {
            held.adopt(now, row);
        } else {
            self.drop_lease(key, "the row is another's");
        }
    }

    /// Whoever passes a lease on commits what was handled first.
    pub(super) fn settle_hand_off(&mut self, key: &LeaseKey) {
        let stopping = self.stopping.is_some();
        let Some(held) = self.held.get_mut(key) else { return };
        if (stopping || held.give_by.is_some()) && held.consumer.is_at_rest() && held.wanted.is_none() {
            held.wanted = held.consumer.handled.clone();
        }
    }
}

impl Held {
    fn adopt(&mut self, now: Tick, row: Lease) {
        self.lease = row;
        (self.renewed, self.renew) = (now, false);
    }
}
