//! One worker, with the table played by the test.

use std::time::Duration;

use crate::{
    ChildShard, HashKeyRange, Lease, LeaseKey, LeaseWrite, Patch, Position, Session, Shard, ShardId, Tick, WorkerId,
    WriteOutcome,
    fetch::FetchFailure,
    shard::StopReason,
    worker::{
        Exit, LossReason, OpId, ShardReport, StoreFailure, TenureId, WorkerConfig, WorkerEffect, WorkerEvent,
        WorkerInput, WorkerMachine,
    },
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn seconds(count: u32) -> Duration {
    SECOND * count
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

pub(super) fn shard(number: u8) -> ShardId {
    ShardId::new(format!("shardId-{number}")).unwrap()
}

pub(super) fn key(number: u8) -> LeaseKey {
    LeaseKey::of_shard(&shard(number))
}

pub(super) fn at(number: u64) -> Position {
    Position::after(number.to_string().parse().unwrap())
}

pub(super) fn child(number: u8, parents: &[u8]) -> ChildShard {
    ChildShard {
        id: shard(number),
        parents: parents.iter().map(|parent| shard(*parent)).collect(),
        hash_key_range: None,
    }
}

/// A lease that this worker, in an earlier life, or another one holds.
pub(super) fn held(number: u8, owner: &str, session: u64) -> Lease {
    let mut lease = Lease::new(shard(number), Position::TrimHorizon);
    (lease.owner, lease.session, lease.counter) = (Some(worker(owner)), Some(Session(session)), 10);
    lease
}

/// A worker called `me`, in its fifth life, and its clock.
pub(super) struct Bench {
    pub(super) machine: WorkerMachine,
    pub(super) now: Tick,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::of(WorkerConfig::new(worker("me"), Session(5)))
    }

    pub(super) fn of(config: WorkerConfig) -> Self {
        let now = Tick::from_origin(seconds(1_000));
        Self {
            machine: WorkerMachine::new(config, now, 7),
            now,
        }
    }

    /// One that consumes these shards, which an earlier life had held.
    pub(super) fn consuming(numbers: &[u8]) -> Self {
        let mut bench = Self::new();
        let effects = bench.listed(numbers.iter().map(|number| held(*number, "me", 4)).collect());
        for (op, write) in writes(&effects) {
            bench.applied(op, &write);
        }
        assert_eq!(bench.machine.leases_held(), numbers.len());
        let open = numbers
            .iter()
            .map(|number| Shard::new(shard(*number), HashKeyRange::FULL))
            .collect();
        bench.handle(shards_listed(Ok(open)));
        bench
    }

    pub(super) fn effects(&mut self) -> Vec<WorkerEffect> {
        std::iter::from_fn(|| self.machine.poll_effect()).collect()
    }

    pub(super) fn handle(&mut self, input: WorkerInput) -> Vec<WorkerEffect> {
        self.machine.handle(self.now, input);
        self.effects()
    }

    pub(super) fn listed(&mut self, leases: Vec<Lease>) -> Vec<WorkerEffect> {
        self.handle(WorkerInput::Leases(Ok(leases.into_iter().collect())))
    }

    pub(super) fn after(&mut self, wait: Duration) -> Vec<WorkerEffect> {
        self.now = self.now + wait;
        self.handle(WorkerInput::Wake)
    }

    pub(super) fn report(&mut self, tenure: u64, report: ShardReport) -> Vec<WorkerEffect> {
        self.handle(WorkerInput::Shard {
            tenure: TenureId(tenure),
            report,
        })
    }

    pub(super) fn answer(&mut self, op: OpId, result: Result<WriteOutcome, StoreFailure>) -> Vec<WorkerEffect> {
        self.handle(WorkerInput::Written { op, result })
    }

    /// The row as the worker knows it.
    pub(super) fn row(&self, number: u8) -> Lease {
        Lease::clone(&self.machine.table[&key(number)])
    }

    /// The table does what was asked.
    pub(super) fn applied(&mut self, op: OpId, write: &LeaseWrite) -> Vec<WorkerEffect> {
        let row = write.patch.apply(&self.machine.table[&write.key]);
        self.answer(op, Ok(WriteOutcome::Applied(row)))
    }

    /// Lets a renewal become due, and gives it.
    pub(super) fn renewal(&mut self) -> (OpId, LeaseWrite) {
        let effects = self.after(seconds(4));
        writes(&effects).pop().expect("a renewal is due")
    }

    /// Another worker asks for the first lease; the next renewal finds out.
    pub(super) fn asked_for_first(&mut self) -> Vec<WorkerEffect> {
        let row = self.machine.table[&key(1)].clone();
        let request = LeaseWrite::request_hand_off(&row, &worker("other"));
        let (op, _) = self.renewal();
        let mut effects = self.answer(op, Ok(WriteOutcome::Conflict(Some(request.patch.apply(&row)))));
        // The renewal that found out is still due.
        for (op, write) in writes(&effects)
            .into_iter()
            .filter(|(_, write)| write.patch == Patch::renewal())
        {
            effects.extend(self.applied(op, &write));
        }
        effects
    }
}

/// The answer to a listing of the only stream.
pub(super) fn shards_listed(result: Result<Vec<Shard>, FetchFailure>) -> WorkerInput {
    WorkerInput::Shards { stream: None, result }
}

pub(super) fn writes(effects: &[WorkerEffect]) -> Vec<(OpId, LeaseWrite)> {
    let write = |effect: &WorkerEffect| match effect {
        WorkerEffect::Update { op, write } => Some((*op, write.clone())),
        _ => None,
    };
    effects.iter().filter_map(write).collect()
}

pub(super) fn creates(effects: &[WorkerEffect]) -> Vec<(OpId, Lease)> {
    let create = |effect: &WorkerEffect| match effect {
        WorkerEffect::Create { op, lease } => Some((*op, lease.clone())),
        _ => None,
    };
    effects.iter().filter_map(create).collect()
}

pub(super) fn look(effects: &[WorkerEffect]) -> Option<OpId> {
    effects.iter().find_map(|effect| match effect {
        WorkerEffect::Get { op, .. } => Some(*op),
        _ => None,
    })
}

pub(super) fn stops(effects: &[WorkerEffect]) -> Vec<(u64, StopReason)> {
    let stop = |effect: &WorkerEffect| match effect {
        WorkerEffect::StopShard { tenure, reason } => Some((tenure.0, *reason)),
        _ => None,
    };
    effects.iter().filter_map(stop).collect()
}

pub(super) fn starts(effects: &[WorkerEffect]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, WorkerEffect::StartShard { .. }))
        .count()
}

pub(super) fn lost(effects: &[WorkerEffect]) -> Option<LossReason> {
    effects.iter().find_map(|effect| match effect {
        WorkerEffect::Event(WorkerEvent::LeaseLost { reason, .. }) => Some(*reason),
        _ => None,
    })
}

pub(super) fn exit(effects: &[WorkerEffect]) -> Option<&Exit> {
    effects.iter().find_map(|effect| match effect {
        WorkerEffect::Exit(exit) => Some(exit),
        _ => None,
    })
}

pub(super) fn ambiguous() -> Result<WriteOutcome, StoreFailure> {
    Err(StoreFailure::Ambiguous("no answer".to_owned()))
}
