//! [`Court`]: where the lives of the workers are judged: the oracle, the table as it really is, and a trace.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use fleet_sim::{Handler, Oracle, TenureLog};
use integration::WorldClock;
use kcl_core::{Batch, Lease, LeaseKey, LeaseWrite, Position, Session, ShardId, WorkerId, lineage};

/// One life of one worker: the process, not the name.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) id: WorkerId,
}

/// A tenure, as the source and the handlers of its life see it.
#[derive(Debug)]
struct Tenure {
    log: TenureLog,
    /// How far it had handled, and when.
    handled: VecDeque<(Duration, Position)>,
}

/// What a handler is to do with a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) takes: Duration,
    pub(crate) outcome: Drawn,
    /// Whether to checkpoint, where that is the handler's to do.
    pub(crate) checkpoints: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Drawn {
    Success,
    /// The records before this index are handled.
    Partly(usize),
    Failure,
    Panic,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) oracle: Oracle,
    pub(crate) rng: Rng,
    pub(crate) rows: BTreeMap<LeaseKey, Lease>,
    pub(crate) trace: Vec<String>,
    pub(crate) quiet: bool,
    pub(crate) stale_shards: Option<Vec<kcl_core::Shard>>,
    clock: WorldClock,
    manual: bool,
    handler: Handler,
    failover_time: Duration,
    /// Which life says which session: later lives have larger numbers.
    sessions: BTreeMap<Session, u64>,
    /// Lives that took a lease and have not opened its shard yet.
    fresh: BTreeSet<(u64, ShardId)>,
    tenures: BTreeMap<(u64, ShardId), Arc<Mutex<Tenure>>>,
    /// When a life last wrote to the lease of a shard.
    touched: BTreeMap<(u64, ShardId), Duration>,
    /// What a tenure had handled when its last write was sent.
    sent: BTreeMap<(u64, LeaseKey), TenureLog>,
}

/// Clones are the same court.
#[derive(Clone, Debug)]
pub(crate) struct Court(Arc<Mutex<State>>);

/// A batch in the hands of a handler.
#[derive(Debug)]
pub(crate) struct Hands {
    court: Court,
    tenure: Arc<Mutex<Tenure>>,
    batch: Batch,
    pub(crate) task: Task,
}

impl Court {
    pub(crate) fn new(scenario: &fleet_sim::Scenario, clock: WorldClock) -> Self {
        Self(Arc::new(Mutex::new(State {
            oracle: Oracle::default(),
            rng: Rng::with_seed(scenario.seed ^ 0xb41d),
            rows: BTreeMap::new(),
            trace: Vec::new(),
            quiet: false,
            stale_shards: None,
            clock,
            manual: scenario.manual,
            handler: scenario.handler,
            failover_time: scenario.failover_time,
            sessions: BTreeMap::new(),
            fresh: BTreeSet::new(),
            tenures: BTreeMap::new(),
            touched: BTreeMap::new(),
            sent: BTreeMap::new(),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch reaches the user's code.
    pub(crate) fn delivered(&self, life: &Life, batch: &Batch) -> Hands {
        let state = &mut *self.lock();
        let key = (life.number, batch.shard().clone());
        let tenure = Arc::clone(
            state
                .tenures
                .get(&key)
                .expect("a shard is opened before it is delivered"),
        );
        let first = batch.first().map(|record| record.sequence_number.clone());
        state.note(&format!(
            "{}#{} got {} of {} from {first:?}",
            life.id,
            life.number,
            batch.len(),
            batch.shard()
        ));
        state.oracle.delivered(&mut locked(&tenure).log, batch, &state.rows);
        let task = state.draw(batch.len());
        Hands {
            court: self.clone(),
            tenure,
            batch: batch.clone(),
            task,
        }
    }
}

impl Hands {
    /// The first `count` records are handled.
    pub(crate) fn handled(&self, count: usize) {
        let state = &mut *self.court.lock();
        let tenure = &mut *locked(&self.tenure);
        state.oracle.handled(&mut tenure.log, &self.batch, count);
        if let Some(position) = tenure.log.handled_to.clone() {
            state.note(&format!("{} is handled to {position}", self.batch.shard()));
            tenure.handled.push_back((state.clock.elapsed(), position));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(crate) fn note(&mut self, what: &str) {
        let at = self.clock.elapsed().as_secs_f64();
        self.trace.push(format!("{at:10.3} {what}"));
    }

    fn draw(&mut self, records: usize) -> Task {
        if self.quiet {
            return Task {
                takes: Duration::from_millis(self.rng.u64(1..=20)),
                outcome: Drawn::Success,
                checkpoints: true,
            };
        }
        let takes = if self.rng.f64() < self.handler.slow {
            self.failover_time.mul_f64(self.rng.f64() * 3.0)
        } else {
            self.handler.usual.mul_f64(self.rng.f64()) + Duration::from_millis(1)
        };
        let draw = self.rng.f64();
        let outcome = if draw < self.handler.fails {
            if self.rng.u8(..4) == 0 {
                Drawn::Panic
            } else {
                Drawn::Failure
            }
        } else if draw < self.handler.fails + self.handler.partly {
            Drawn::Partly(self.rng.usize(..records.max(1)))
        } else {
            Drawn::Success
        };
        let checkpoints = self.rng.bool();
        Task {
            takes,
            outcome,
            checkpoints,
        }
    }

    /// A reader was placed: the first one after a take begins a tenure, others go on with it.
    pub(crate) fn opened(&mut self, life: &Life, shard: &ShardId, position: &Position) {
        let row = self.rows.get(shard.as_str());
        // Only where nothing was pinned yet, and no parent was consumed, is LATEST what the application asked for.
        let asked = *position == Position::Latest
            && row.is_some_and(|row| {
                row.checkpoint == Position::Latest && lineage::start_position(row, &self.rows) == Position::Latest
            });
        if asked {
            self.oracle.opened_at_latest(shard);
        }
        self.note(&format!("{}#{} opens {shard} at {position}", life.id, life.number));
        let key = (life.number, shard.clone());
        if self.fresh.remove(&key) || !self.tenures.contains_key(&key) {
            let tenure = Tenure {
                log: self.oracle.tenure(shard, position),
                handled: VecDeque::new(),
            };
            self.tenures.insert(key, Arc::new(Mutex::new(tenure)));
        }
    }

    /// A row came into being.
    pub(crate) fn created(&mut self, life: &Life, row: &Lease) {
        self.note(&format!(
            "{}#{} created {} at {}",
            life.id, life.number, row.key, row.checkpoint
        ));
        self.oracle.written(None, row);
        self.rows.insert(row.key.clone(), row.clone());
    }

    pub(crate) fn deleted(&mut self, life: &Life, row: &Lease) {
        self.note(&format!("{}#{} deleted {}", life.id, life.number, row.key));
        self.rows.remove(&row.key);
    }

    /// A row was changed.
    pub(crate) fn written(&mut self, life: &Life, write: &LeaseWrite, after: &Lease) {
        let before = self.rows.insert(after.key.clone(), after.clone());
        let before = before.expect("a row is created before it is changed");
        let owner = after.owner.as_ref().map_or("nobody", WorkerId::as_str);
        let giver = after.checkpoint_owner.as_ref().map_or("", WorkerId::as_str);
        self.note(&format!(
            "{}#{} wrote {}: {giver}>{owner}, counter {}, checkpoint {}",
            life.id, life.number, after.key, after.counter, after.checkpoint
        ));
        self.oracle.written(Some(&before), after);
        let takes = matches!(write.patch.owner, Some(Some(_))) && write.patch.session.is_some();
        if let (true, Some(Some(session))) = (takes, write.patch.session) {
            self.sessions.insert(session, life.number);
            self.fresh.insert((life.number, after.shard.clone()));
        }
        let (key, now) = ((life.number, after.shard.clone()), self.clock.elapsed());
        let untouched = now.saturating_sub(self.touched.insert(key, now).unwrap_or(now));
        let keeps = write.patch.increment_counter && !matches!(write.patch.owner, Some(Some(_)));
        if !keeps {
            return;
        }
        // A later life of the same name may go on where an earlier one was stopped, and not the other way round.
        let theirs = before.session.and_then(|session| self.sessions.get(&session));
        let holds = before.holder() == Some(&life.id) && theirs.is_none_or(|theirs| *theirs <= life.number);
        self.oracle.checks += 1;
        if !holds {
            let what = format!(
                "{}: {}#{} wrote to a lease of {:?}",
                after.key,
                life.id,
                life.number,
                before.holder()
            );
            self.oracle.broken("fenced", what);
        }
        // A worker that could not renew in time gave the lease up long before it passes it on: that is no clean hand-over.
        let clean = untouched < self.failover_time / 2;
        let sent = self.sent.get(&(life.number, after.key.clone()));
        if let Some(log) = sent.filter(|_| clean && ends_tenure(write) && !after.is_finished() && !self.manual) {
            self.oracle.handed_over(log, &after.checkpoint);
        }
    }

    /// A write that ends a tenure is on its way: what the tenure handled before this moment must be in it.
    pub(crate) fn sent(&mut self, life: &Life, write: &LeaseWrite) {
        let row = self.rows.get(&write.key);
        let key = row.map(|row| (life.number, row.shard.clone()));
        self.sent.remove(&(life.number, write.key.clone()));
        // A lease that was taken and not opened has nothing handled: what is known is of the tenure before.
        let tenure = key
            .filter(|key| !self.fresh.contains(key))
            .and_then(|key| self.tenures.get(&key));
        let Some(tenure) = tenure.filter(|_| ends_tenure(write)) else {
            return;
        };
        let (tenure, now) = (locked(tenure), self.clock.elapsed());
        let mut log = tenure.log.clone();
        let before = tenure.handled.iter().rev().find(|(at, _)| *at < now);
        log.handled_to = before.map(|(_, position)| position.clone());
        self.sent.insert((life.number, write.key.clone()), log);
    }
}

/// Whether a write gives a lease back or passes it on.
pub(crate) fn ends_tenure(write: &LeaseWrite) -> bool {
    let patch = &write.patch;
    patch.owner == Some(None) || (patch.owner.is_none() && patch.checkpoint_owner == Some(None))
}
