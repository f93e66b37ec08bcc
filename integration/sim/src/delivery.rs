//! Fleets that deliver by rules: what is drawn, which records are left out, and what the user's code says of its batches.

mod letters;

use std::{sync::Arc, time::Duration};

use bytestring::ByteString;
use fastrand::Rng;
use kcl_core::{
    Batch, Record,
    delivery::{
        Admission, Admitted, BreakerConfig, DeliveryPolicy, DeliverySettings, DiscardReason, Exhausted, FailedItems,
    },
    shard::{Call, CallId, Lanes, Outcome, ShardInput},
    worker::TenureId,
};

use self::letters::Letters;
pub(super) use self::letters::{Letter, Letterbox};
use crate::{
    mutant::Mutant,
    scenario::{DrawnLanes, Scenario},
    world::World,
};

/// Keeps these draws apart from everything else that a seed decides.
const SALT: u64 = 0xdead_1e77;

/// How a fleet delivers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnDelivery {
    /// The rules.
    pub policy: DeliveryPolicy,
    /// Of so many keys the records of one are not asked for.
    pub left_out: Option<u64>,
    /// Of so many records one is poison: every batch with it fails.
    pub poison: u64,
    /// Whether poison works in quiet times. It has to where nothing would ever be given up, or not soon enough.
    pub heals: bool,
    /// What the user's code says of poison.
    pub says: Says,
    /// How often a call cannot be made, or is put off.
    pub not_called: f64,
    /// How often the dead letters do not answer that they have one.
    pub store_fails: f64,
    /// How often they are slow.
    pub store_slow: f64,
}

/// What the user's code says of a batch with poison in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// That it failed.
    Failure,
    /// What was handled before the first record that failed.
    First,
    /// Which records failed.
    Items,
    /// Now this, now that.
    Any,
}

impl DrawnDelivery {
    /// The rules of a life, and the lanes for it if it has none.
    pub(super) fn draw(scenario: &Scenario) -> (Self, DrawnLanes) {
        let mut rng = Rng::with_seed(scenario.seed ^ SALT);
        let calls = rng.usize(1..=6);
        let lanes = DrawnLanes {
            lanes: pick(
                &mut rng,
                &[Lanes::One, Lanes::One, Lanes::Hashed(calls), Lanes::PerKey { calls }],
            ),
            window: pick(&mut rng, &[10, 100, 10_000]),
        };
        let breaker = BreakerConfig {
            failures: rng.u32(1..=10),
            pause: Duration::from_millis(rng.u64(100..=10_000)),
        };
        let policy = DeliveryPolicy {
            // Handlers of this fleet keep no state.
            tumbling_window: None,
            batching_window: Duration::from_millis(pick(&mut rng, &[0, 0, 1, 300, 1_000, 5_000])),
            max_payload: pick(&mut rng, &[None, None, None, Some(9), Some(40)]),
            max_retries: pick(&mut rng, &[None, Some(0), Some(0), Some(1), Some(2), Some(3)]),
            max_record_age: pick(&mut rng, &[None, None, None, Some(60), Some(300), Some(1_500)])
                .map(Duration::from_secs),
            bisect: rng.bool(),
            failed_items: pick(&mut rng, &[FailedItems::FromFirst, FailedItems::Each]),
            exhausted: pick(&mut rng, &[Exhausted::Discard, Exhausted::Quarantine]),
            breaker: (rng.u8(..3) == 0).then_some(breaker),
        };
        let poison = pick(&mut rng, &[10, 50, 500]);
        let drawn = Self {
            policy,
            left_out: pick(&mut rng, &[None, Some(2), Some(5)]),
            poison,
            heals: heals(&policy, scenario, poison),
            says: pick(&mut rng, &[Says::Failure, Says::First, Says::Items, Says::Any]),
            not_called: pick(&mut rng, &[0.0, 0.02, 0.2]),
            store_fails: pick(&mut rng, &[0.0, 0.1, 0.6]),
            store_slow: pick(&mut rng, &[0.0, 0.02, 0.2]),
        };
        (drawn, lanes)
    }
}

/// Whether poison has to heal for a fleet to come to an end in quiet times, should all of it lie in one lane.
fn heals(policy: &DeliveryPolicy, scenario: &Scenario, poison: u64) -> bool {
    let Some(retries) = policy.max_retries else {
        return true;
    };
    // The waits between tries: half a second, doubled each time; and those of the breaker.
    let waits = Duration::from_millis(500) * (1 << retries);
    let pause = policy.breaker.map_or(Duration::ZERO, |breaker| breaker.pause);
    let cuts = if policy.bisect { 7 } else { 1 };
    let cost = waits + pause * (retries + cuts);
    let puts = scenario.troubled.div_duration_f64(scenario.workload.every);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let records = puts * scenario.workload.burst as f64 / poison as f64;
    cost.mul_f64(records) > scenario.quiet / 4
}

/// A number that looks random, the same for the same bytes on every machine (FNV-1a, with a last stir).
fn number_of(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// Leaves the records of some keys out, and measures records by chance.
#[derive(Debug)]
struct Filter {
    seed: u64,
    left_out: Option<u64>,
}

impl Filter {
    fn number_of_key(&self, key: &str) -> Option<u64> {
        let keys = self.left_out?;
        let number = number_of(self.seed, &[key.as_bytes()]);
        number.is_multiple_of(keys).then_some(number / keys)
    }
}

impl Admission for Filter {
    fn admits(&self, record: &Record) -> Admitted {
        match self.number_of_key(&record.partition_key) {
            None => Admitted::Yes,
            Some(number) if number.is_multiple_of(4) => Admitted::Unreadable,
            Some(_) => Admitted::No,
        }
    }

    /// From 1 to 10.
    fn payload(&self, record: &Record) -> u64 {
        1 + number_of_record(self.seed, record) % 10
    }
}

fn number_of_record(seed: u64, record: &Record) -> u64 {
    let place = [
        record.sequence_number.as_str().as_bytes(),
        &record.sub_sequence_number.to_be_bytes(),
    ];
    number_of(seed ^ 0x9015_0000, &place)
}

/// How the fleet of a world delivers.
#[derive(Debug)]
pub(super) struct Delivery {
    drawn: DrawnDelivery,
    seed: u64,
    filter: Arc<Filter>,
    /// Chance for what only these fleets do, apart from all other.
    pub(super) rng: Rng,
    letters: Letters,
}

impl Delivery {
    pub(super) fn new(scenario: &Scenario) -> Option<Self> {
        let seed = scenario.seed ^ SALT;
        let drawn = scenario.delivery?;
        Some(Self {
            drawn,
            seed,
            filter: Arc::new(Filter {
                seed,
                left_out: drawn.left_out,
            }),
            rng: Rng::with_seed(seed ^ 1),
            letters: Letters::default(),
        })
    }

    pub(super) fn settings(&self) -> DeliverySettings {
        DeliverySettings {
            policy: self.drawn.policy,
            admission: self.filter.clone(),
        }
    }

    /// Whether the records of a key are left out.
    pub(super) fn leaves_out(&self, key: &str) -> bool {
        self.filter.number_of_key(key).is_some()
    }

    /// What records have to have in common to keep their order: the key, or nothing.
    pub(super) fn order_of<'a>(&self, lanes: Option<DrawnLanes>, key: &'a str) -> &'a str {
        let is_one = lanes.is_some_and(|drawn| drawn.lanes == Lanes::One);
        if is_one && self.drawn.policy.failed_items == FailedItems::FromFirst {
            return "";
        }
        key
    }

    fn is_poison(&self, quiet: bool, record: &Record) -> bool {
        !(quiet && self.drawn.heals) && (number_of_record(self.seed, record) / 10).is_multiple_of(self.drawn.poison)
    }

    /// What the user's code says of a batch.
    fn says(&mut self, quiet: bool, batch: &Batch) -> Outcome {
        let drawn = self.drawn;
        let wait = Duration::from_millis(self.rng.u64(..5_000));
        if !quiet && self.rng.f64() < drawn.not_called {
            let (wait, reason) = (wait, "drawn".to_owned());
            return match self.rng.u8(..3) {
                0 => Outcome::NotCalled { wait: None, reason },
                1 => Outcome::NotCalled {
                    wait: Some(wait),
                    reason,
                },
                _ => Outcome::Postponed { wait, reason },
            };
        }
        let failed: Vec<usize> = (0..batch.len())
            .filter(|at| self.is_poison(quiet, &batch[*at]))
            .collect();
        let Some(first) = failed.first().copied() else {
            return Outcome::Success;
        };
        let says = match drawn.says {
            Says::Any => pick(&mut self.rng, &[Says::Failure, Says::First, Says::Items]),
            says => says,
        };
        match says {
            Says::First => Outcome::SuccessBefore(first),
            Says::Items => Outcome::FailedItems(failed),
            _ => Outcome::Failure("poison".to_owned()),
        }
    }

    /// What is handled of a batch, by the rules, when the user's code says this.
    fn handled(&self, batch: &Batch, outcome: &Outcome) -> Vec<bool> {
        let before = |index: usize| (0..batch.len()).map(|at| at < index).collect();
        match outcome {
            Outcome::Success => before(batch.len()),
            Outcome::SuccessBefore(index) => before(*index),
            Outcome::FailedItems(items) if self.drawn.policy.failed_items == FailedItems::FromFirst => {
                before(items.iter().min().copied().unwrap_or(batch.len()))
            }
            Outcome::FailedItems(items) => {
                let follows = |at: usize, item: &usize| batch[*item].partition_key == batch[at].partition_key;
                let waits = |at: usize| items.iter().any(|item| *item <= at && follows(at, item));
                (0..batch.len()).map(|at| !waits(at)).collect()
            }
            _ => before(0),
        }
    }

    /// Whether a call that failed used one of the tries of its records up.
    pub(super) fn counts(outcome: &Outcome) -> bool {
        !matches!(outcome, Outcome::NotCalled { .. } | Outcome::Postponed { .. })
    }
}

impl World<'_> {
    /// A call ends that the rules of delivery are about: says so, or gives the call back.
    pub(super) fn call_ends_by_rules(
        &mut self,
        node: usize,
        tenure: TenureId,
        (id, call): (CallId, Call),
        (fails, partly, cut): (bool, bool, f64),
    ) -> Option<Call> {
        if self.delivery.is_none() {
            return Some(call);
        }
        match &call {
            Call::Process { batch, .. } => {
                let outcome = self.process_by_rules(node, tenure, batch, (fails, partly, cut));
                self.tell_shard(node, tenure, ShardInput::Called(id, outcome));
            }
            Call::Initialize { .. } => self.initialized(node, tenure, id, fails),
            _ => return Some(call),
        }
        None
    }

    fn process_by_rules(
        &mut self,
        node: usize,
        tenure: TenureId,
        batch: &Batch,
        (fails, partly, cut): (bool, bool, f64),
    ) -> Outcome {
        let (quiet, mutant) = (self.quiet, self.mutant);
        let tick = self.nodes[node].clock.tick(self.now);
        let (Some(delivery), Some(consumer)) = (&mut self.delivery, self.nodes[node].consumers.get_mut(&tenure)) else {
            return Outcome::Success;
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a small batch"
        )]
        let count = (batch.len() as f64 * cut) as usize;
        let outcome = if fails {
            Outcome::Failure("drawn".to_owned())
        } else if partly && delivery.rng.bool() {
            Outcome::SuccessBefore(count)
        } else if partly {
            Outcome::FailedItems((0..batch.len()).filter(|_| delivery.rng.u8(..4) == 0).collect())
        } else {
            delivery.says(quiet, batch)
        };
        let handled = delivery.handled(batch, &outcome);
        let cuts = delivery.drawn.policy.bisect && !consumer.letterbox.is_stopping;
        self.oracle
            .tried(&mut consumer.log, batch, &handled, Delivery::counts(&outcome), cuts);
        let works = match &outcome {
            Outcome::Postponed { .. } => None,
            Outcome::FailedItems(items) => Some(items.len() < batch.len()),
            _ => Some(handled.first() == Some(&true)),
        };
        let breaker = delivery.drawn.policy.breaker;
        consumer.letterbox.health.note(tick, works, breaker);
        match outcome {
            Outcome::NotCalled { reason, .. } if mutant == Some(Mutant::CountNotCalled) => Outcome::Failure(reason),
            Outcome::Failure(_) if mutant == Some(Mutant::ForgetRightHalf) && batch.len() > 1 => {
                Outcome::FailedItems((0..batch.len() / 2).collect())
            }
            outcome => outcome,
        }
    }

    /// The user's code gets a batch, or the dead letters do.
    pub(super) fn called_by_rules(&mut self, node: usize, tenure: TenureId, call: &Call) {
        let process = &mut self.nodes[node];
        let tick = process.clock.tick(self.now);
        let (Some(delivery), Some(consumer)) = (&self.delivery, process.consumers.get_mut(&tenure)) else {
            return;
        };
        let (opened, wall) = consumer.letterbox.opened;
        let wall = wall.saturating_add(tick.since(opened));
        let policy = &delivery.drawn.policy;
        match call {
            Call::Process { batch, .. } => {
                let is_stopping = consumer.letterbox.is_stopping;
                // A consumer that stops gives nothing up that it tried.
                let oldest = policy.max_record_age.filter(|_| !is_stopping);
                let oldest = oldest.map(|age| wall.saturating_sub(age));
                if consumer.letterbox.health.is_left_alone(tick) && !is_stopping {
                    let what = format!("{}: a batch was delivered in a pause of the breaker", consumer.shard);
                    self.oracle.broken("given-up", what);
                }
                self.oracle.delivered_by_rules(&mut consumer.log, batch, oldest);
                let payload: u64 = batch.iter().map(|record| delivery.filter.payload(record)).sum();
                let fits = policy.max_payload.is_none_or(|limit| payload <= limit);
                if !fits {
                    let what = format!("{}: a batch measures {payload}", consumer.shard);
                    self.oracle.broken("given-up", what);
                }
            }
            Call::Discard(discard) => {
                let table = &self.table.rows;
                self.oracle.given_up(&mut consumer.log, discard, policy, wall, table);
                let too_large = |record: &Record| {
                    let limit = policy.max_payload.unwrap_or(u64::MAX);
                    delivery.filter.payload(record) > limit
                };
                if discard.reason == DiscardReason::PayloadTooLarge && !discard.batch.iter().all(too_large) {
                    let what = format!("{}: a record that fits was given up as too large", consumer.shard);
                    self.oracle.broken("given-up", what);
                }
            }
            _ => {}
        }
    }

    /// The keys that the dead letters know to be in quarantine.
    fn keys_in_quarantine(&self) -> Vec<ByteString> {
        let letters = self.delivery.as_ref().map(|delivery| &delivery.letters);
        letters.map(Letters::quarantined).unwrap_or_default()
    }
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}
