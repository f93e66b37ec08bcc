//! The dead letters of a world: a store that is slow, fails, or keeps a letter and loses the answer; the keys in quarantine
//! with it, what consumers hear of these, and operators who release them.

use std::{collections::BTreeSet, time::Duration};

use bytestring::ByteString;
use kcl_core::{
    ShardId, Tick, Timestamp,
    delivery::{BreakerConfig, Discard, Exhausted},
    shard::{CallId, Outcome, ShardInput},
    worker::TenureId,
};

use crate::{event::Event, mutant::Mutant, world::World};

/// How often a consumer asks for the keys in quarantine.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What the store knows.
#[derive(Debug, Default)]
pub(super) struct Letters {
    quarantined: BTreeSet<ByteString>,
}

impl Letters {
    pub(super) fn quarantined(&self) -> Vec<ByteString> {
        self.quarantined.iter().cloned().collect()
    }
}

/// A letter on its way to the store.
#[derive(Debug)]
pub(crate) struct Letter {
    node: usize,
    tenure: TenureId,
    id: CallId,
    shard: ShardId,
    /// How often the checkpoint had been moved when the tenure began.
    seeks: u64,
    discard: Discard,
    /// Whether the store keeps it.
    is_kept: bool,
    /// Whether the sender hears that it was kept.
    is_told: bool,
    answer_in: Duration,
}

/// How the calls of a consumer end, and whether its user's code is to be left alone for that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    /// So many failed in a row.
    failures: u32,
    alone_until: Option<Tick>,
}

impl Health {
    pub(super) fn is_left_alone(&self, now: Tick) -> bool {
        self.alone_until.is_some_and(|until| now < until)
    }

    /// A call ended. `None` if what it said tells nothing about the code.
    pub(super) fn note(&mut self, now: Tick, works: Option<bool>, breaker: Option<BreakerConfig>) {
        match (works, breaker) {
            (Some(true), _) => *self = Self::default(),
            (Some(false), Some(breaker)) => {
                self.failures += 1;
                if self.failures >= breaker.failures {
                    self.alone_until = Some(now + breaker.pause);
                }
            }
            _ => {}
        }
    }
}

/// What a consumer has under way with the dead letters.
#[derive(Debug, Default)]
pub(crate) struct Letterbox {
    /// When the consumer began, by both its clocks.
    pub(crate) opened: (Tick, Timestamp),
    /// Whether it was told to stop.
    pub(crate) is_stopping: bool,
    /// How the user's code does.
    pub(super) health: Health,
    /// What the lookup before its first call gave; `None` if that failed.
    at_first: Option<Vec<ByteString>>,
    /// How many letters are being kept that put keys in quarantine, and whether one was since a look began.
    keeping: usize,
    is_outdated: bool,
}

impl Letterbox {
    pub(crate) fn new(now: Tick, wall: Timestamp) -> Self {
        Self {
            opened: (now, wall),
            ..Self::default()
        }
    }
}

impl World<'_> {
    /// A consumer that may quarantine keys begins: it looks from time to time.
    pub(crate) fn begin_looking(&mut self, node: usize, tenure: TenureId) {
        let quarantines = self
            .delivery
            .as_ref()
            .is_some_and(|delivery| delivery.drawn.policy.exhausted == Exhausted::Quarantine);
        if quarantines {
            self.at(LOOK_INTERVAL, Event::LookAtLetters { node, tenure });
        }
    }

    /// The store does not answer as it should.
    fn letters_fail(&mut self) -> bool {
        let quiet = self.quiet;
        self.delivery
            .as_mut()
            .is_some_and(|delivery| !quiet && delivery.rng.f64() < delivery.drawn.store_fails)
    }

    fn letters_take(&mut self) -> Duration {
        let quiet = self.quiet;
        let Some(delivery) = &mut self.delivery else {
            return Duration::ZERO;
        };
        if !quiet && delivery.rng.f64() < delivery.drawn.store_slow {
            return Duration::from_millis(delivery.rng.u64(..10_000));
        }
        Duration::from_micros(delivery.rng.u64(500..=10_000))
    }

    /// Before the first call the keys in quarantine are looked up.
    pub(crate) fn look_first(&mut self, node: usize, tenure: TenureId) {
        let keys = self.keys_in_quarantine();
        let found = (!self.letters_fail()).then_some(keys);
        if let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) {
            consumer.letterbox.at_first = found;
        }
    }

    /// The first call ends. What the lookup gave is told before it does.
    pub(super) fn initialized(&mut self, node: usize, tenure: TenureId, id: CallId, fails: bool) {
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        let Some(keys) = consumer.letterbox.at_first.take() else {
            let outcome = Outcome::Failure("the dead letters do not answer".to_owned());
            return self.tell_shard(node, tenure, ShardInput::Called(id, outcome));
        };
        consumer.log.quarantined(&keys);
        if self.mutant != Some(Mutant::DeafToQuarantine) {
            self.tell_shard(node, tenure, ShardInput::Quarantined(keys));
        }
        let outcome = if fails {
            Outcome::Failure("drawn".to_owned())
        } else {
            Outcome::Success
        };
        self.tell_shard(node, tenure, ShardInput::Called(id, outcome));
    }

    /// A consumer gives records to the dead letters. The letter arrives whether its sender lives on or not.
    pub(crate) fn post(&mut self, node: usize, tenure: TenureId, id: CallId, discard: &Discard) {
        let fails = self.letters_fail();
        let loses_answer = fails && self.delivery.as_mut().is_some_and(|delivery| delivery.rng.bool());
        let (there, answer_in) = (self.letters_take(), self.letters_take());
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        // What only follows a key into quarantine does not change what a look finds.
        if discard.quarantines {
            consumer.letterbox.keeping += 1;
            consumer.letterbox.is_outdated = true;
        }
        let letter = Letter {
            node,
            tenure,
            id,
            shard: consumer.shard.clone(),
            seeks: consumer.log.seeks(),
            discard: discard.clone(),
            is_kept: !fails || loses_answer,
            is_told: !fails || self.mutant == Some(Mutant::LoseLetters),
            answer_in,
        };
        self.at(there, Event::AtLetters(Box::new(letter)));
    }

    /// A letter reaches the store.
    pub(crate) fn at_letters(&mut self, letter: Box<Letter>) {
        let Some(delivery) = &mut self.delivery else { return };
        let keys = letter.discard.batch.iter().map(|record| &record.partition_key);
        if letter.is_kept {
            if letter.discard.quarantines {
                delivery.letters.quarantined.extend(keys.cloned());
            }
            self.oracle.kept(&letter.shard, letter.seeks, &letter.discard.batch);
            let count = letter.discard.batch.len() as u64;
            *self.met.entry(letter.discard.reason.as_str()).or_insert(0) += count;
        }
        let what = match (letter.is_kept, letter.is_told) {
            (true, true) => "letters kept",
            (true, false) => "letters kept, and the answer lost",
            (false, _) => "letters refused",
        };
        *self.met.entry(what).or_insert(0) += 1;
        self.trace
            .note(self.now, letter.shard.as_str(), &[letter.tenure.0, letter.id.0], || {
                let first = letter.discard.batch.first().map(kcl_core::Record::position);
                format!("{what}: {} records from {first:?}", letter.discard.batch.len())
            });
        self.at(letter.answer_in, Event::LetterAnswered(letter));
    }

    /// A consumer hears of its letter.
    pub(crate) fn letter_answered(&mut self, letter: &Letter) {
        let (node, tenure, id) = (letter.node, letter.tenure, letter.id);
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        if letter.discard.quarantines {
            consumer.letterbox.keeping -= 1;
            consumer.letterbox.is_outdated = true;
        }
        if consumer.running.remove(&id).is_none() {
            return;
        }
        let outcome = if letter.is_told {
            self.oracle.told_kept(&mut consumer.log, &letter.discard);
            Outcome::Success
        } else {
            Outcome::Failure("the dead letters do not answer".to_owned())
        };
        self.tell_shard(node, tenure, ShardInput::Called(id, outcome));
    }

    /// A consumer looks. What it finds may be of before it began to keep a letter; then it does not count.
    pub(crate) fn look_at_letters(&mut self, node: usize, tenure: TenureId) {
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        consumer.letterbox.is_outdated = consumer.letterbox.keeping > 0;
        let keys = self.keys_in_quarantine();
        let keys = (!self.letters_fail()).then_some(keys);
        let takes = self.letters_take();
        self.at(takes, Event::LookedAtLetters { node, tenure, keys });
    }

    /// A look ends.
    pub(crate) fn looked_at_letters(&mut self, node: usize, tenure: TenureId, keys: Option<Vec<ByteString>>) {
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        let keys = keys.filter(|_| !consumer.letterbox.is_outdated);
        if let Some(keys) = &keys {
            consumer.log.quarantined(keys);
        }
        self.at(LOOK_INTERVAL, Event::LookAtLetters { node, tenure });
        if let Some(keys) = keys {
            self.tell_shard(node, tenure, ShardInput::Quarantined(keys));
        }
    }

    /// An operator releases a key.
    pub(crate) fn release(&mut self) {
        let Some(delivery) = self.delivery.as_mut().filter(|_| !self.quiet) else {
            return;
        };
        let keys = delivery.letters.quarantined();
        if let Some(key) = keys.get(delivery.rng.usize(..keys.len().max(1))) {
            delivery.letters.quarantined.remove(key);
            *self.met.entry("keys released").or_insert(0) += 1;
        }
        let wait = Duration::from_millis(delivery.rng.u64(500..120_000));
        self.at(wait, Event::Release);
    }
}

impl Letter {
    /// Who sent it.
    pub(crate) fn sender(&self) -> usize {
        self.node
    }
}
