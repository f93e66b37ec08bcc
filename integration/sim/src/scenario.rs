//! What a seed stands for: the fleet, the workload, and the trouble that comes over them.

use std::time::Duration;

use fastrand::Rng;
use kcl_core::{InitialPosition, shard::Lanes};

use crate::{
    DrawnDelivery, PeerKind,
    features::{Feature, FeatureChoice, Features},
};

/// A fleet's life, drawn from a seed. Everything that happens follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where all chance comes from.
    pub seed: u64,
    /// Workers at the start.
    pub workers: usize,
    /// Shards at the start.
    pub shards: usize,
    /// The workers' failover time.
    pub failover_time: Duration,
    /// How often they scan the lease table.
    pub scan_interval: Duration,
    /// How often a shard is read at its tip.
    pub idle_at_tip: Duration,
    /// Where the application starts.
    pub initial: Initial,
    /// Whether the user's code checkpoints itself.
    pub manual: bool,
    /// How long the service takes to make, change and delete a stream.
    pub transition: Duration,
    /// Whether the service holds its shards to their limits.
    pub limits: bool,
    /// How records come in.
    pub workload: Workload,
    /// How the user's code behaves.
    pub handler: Handler,
    /// Trouble comes until here.
    pub troubled: Duration,
    /// After it, nothing goes wrong for so long, and everything must come right.
    pub quiet: Duration,
    /// The trouble.
    pub faults: Vec<Fault>,
    /// The workers of Java among them, if there are any.
    pub peers: Option<Peers>,
    /// What the fleet makes use of.
    pub features: Features,
    /// The lanes, if it has that feature.
    pub lanes: Option<DrawnLanes>,
    /// The rules of delivery, if it has that feature.
    pub delivery: Option<DrawnDelivery>,
}

/// How a fleet handles the records of a shard in lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnLanes {
    /// Which lanes.
    pub lanes: Lanes,
    /// The largest window.
    pub window: usize,
}

/// The workers of Java in a fleet: the last ones of those at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers {
    /// Which; with `both`, which comes first.
    pub kind: PeerKind,
    /// Whether they are of 2.x and of 3.x, turn by turn. Java does not mean both to run in one application, and does not keep
    /// them from it.
    pub both: bool,
    /// How many; at least one worker of ours remains.
    pub count: usize,
}

/// Which lives have workers of Java.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerChoice {
    /// None.
    #[default]
    None,
    /// A quarter of all, as the seed says.
    Drawn,
    /// All, with workers of 2.x.
    TwoX,
    /// All, with workers of 3.x.
    ThreeX,
    /// All that have room for two, with both at once.
    Both,
    /// All, with either.
    Any,
}

/// What is drawn besides the life itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Which lives have workers of Java.
    pub peers: PeerChoice,
    /// Which lives use what.
    pub features: FeatureChoice,
}

impl From<PeerChoice> for Choice {
    /// These workers, and no features.
    fn from(peers: PeerChoice) -> Self {
        Self {
            peers,
            features: FeatureChoice::default(),
        }
    }
}

/// Where the application starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// With the oldest record.
    TrimHorizon,
    /// With records that arrive from now on.
    Latest,
}

impl From<Initial> for InitialPosition {
    fn from(initial: Initial) -> Self {
        match initial {
            Initial::TrimHorizon => Self::TrimHorizon,
            Initial::Latest => Self::Latest,
        }
    }
}

/// How records come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Between two puts.
    pub every: Duration,
    /// Records of one put, at most.
    pub burst: usize,
    /// Different partition keys: few make hot shards.
    pub keys: u64,
}

/// How the user's code behaves while there is trouble. In quiet times it is quick and succeeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Handler {
    /// The longest that a call takes as a rule.
    pub usual: Duration,
    /// How often a call takes far longer, up to three failover times.
    pub slow: f64,
    /// How often a call fails.
    pub fails: f64,
    /// How often a call handles a part of its batch.
    pub partly: f64,
}

/// Trouble that begins at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// When.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// A worker's process dies and is started again.
    Crash {
        /// Which worker.
        worker: usize,
        /// When it is started again.
        after: Duration,
        /// Whether under its old id.
        same_id: bool,
    },
    /// A worker's process stands still, and then goes on as if nothing had happened.
    Pause {
        /// Which worker.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A second process starts under the id of one that runs.
    Twin {
        /// Which worker.
        worker: usize,
    },
    /// A worker joins.
    Join,
    /// Every worker in turn is stopped cleanly and started again.
    RollingDeploy,
    /// A worker's monotonic clock runs at another speed.
    Drift {
        /// Which worker.
        worker: usize,
        /// Times the true speed.
        speed: f64,
    },
    /// A worker cannot reach the lease table, the service, or either.
    Partition {
        /// Which worker.
        worker: usize,
        /// Whether the table is out of reach.
        table: bool,
        /// Whether the service is out of reach.
        service: bool,
        /// For how long.
        lasts: Duration,
    },
    /// Nobody can reach the lease table.
    TableOutage {
        /// For how long.
        lasts: Duration,
    },
    /// Many requests to the lease table are refused.
    TableThrottle {
        /// For how long.
        lasts: Duration,
    },
    /// Many answers of the lease table are lost after the write was applied.
    LostAnswers {
        /// For how long.
        lasts: Duration,
    },
    /// The lease table is slow.
    TableSlow {
        /// For how long.
        lasts: Duration,
    },
    /// Scans give what the table was when this began.
    StaleScans {
        /// For how long.
        lasts: Duration,
    },
    /// Nobody can reach the service.
    ServiceOutage {
        /// For how long.
        lasts: Duration,
    },
    /// Many reads are throttled.
    ServiceThrottle {
        /// For how long.
        lasts: Duration,
    },
    /// Every iterator that was given out is forgotten.
    ExpireIterators,
    /// Some reads come back without an iterator and without children.
    NullIterators {
        /// For how long.
        lasts: Duration,
    },
    /// Listings of shards give what they were when this began.
    StaleShards {
        /// For how long.
        lasts: Duration,
    },
    /// The stream is deleted. The last thing that happens to a fleet: every worker must end and say why.
    DeleteStream,
    /// The stream is deleted, and another is made under its name: every worker whose leases have checkpoints must end
    /// and say why, and leave the checkpoints as they are.
    RecreateStream {
        /// How long there is no stream; workers need not notice.
        after: Duration,
        /// Shards of the new stream.
        shards: usize,
    },
    /// The stream is given another number of shards, in as many splits and merges as that takes.
    Scale {
        /// Times as many shards as it has.
        by: f64,
    },
    /// Shards are split and merged, one after the other.
    Reshard {
        /// How many times.
        times: usize,
        /// Between two.
        every: Duration,
    },
}

impl FaultKind {
    /// The name, as reports count it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash { same_id: true, .. } => "crash, same id",
            Self::Crash { same_id: false, .. } => "crash, new id",
            Self::Pause { .. } => "pause",
            Self::Twin { .. } => "twin",
            Self::Join => "join",
            Self::RollingDeploy => "rolling deploy",
            Self::Drift { .. } => "drift",
            Self::Partition { .. } => "partition",
            Self::TableOutage { .. } => "table outage",
            Self::TableThrottle { .. } => "table throttle",
            Self::LostAnswers { .. } => "lost answers",
            Self::TableSlow { .. } => "table slow",
            Self::StaleScans { .. } => "stale scans",
            Self::ServiceOutage { .. } => "service outage",
            Self::ServiceThrottle { .. } => "service throttle",
            Self::ExpireIterators => "expired iterators",
            Self::NullIterators { .. } => "null iterators",
            Self::StaleShards { .. } => "stale shard lists",
            Self::DeleteStream => "delete stream",
            Self::RecreateStream { .. } => "recreate stream",
            Self::Scale { .. } => "scale",
            Self::Reshard { .. } => "reshard",
        }
    }
}

impl Scenario {
    /// The life that `seed` stands for.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let failover_time = pick(&mut rng, &[10, 30, 60, 60].map(Duration::from_secs));
        // Small fleets are the rule, so that many lives are seen; large ones are seen too.
        let (workers, shards) = match rng.u8(..32) {
            0..=24 => (rng.usize(3..=5), rng.usize(4..=8)),
            25..=30 => (rng.usize(3..=8), rng.usize(6..=16)),
            _ => (rng.usize(6..=20), rng.usize(16..=64)),
        };
        let troubled = Duration::from_secs(rng.u64(600..=3000));
        let lull = rng.u64(30..=240);
        let mut faults = Vec::new();
        let mut at = Duration::from_secs(rng.u64(5..=60));
        while at + Duration::from_secs(60) < troubled {
            faults.push(Fault {
                at,
                kind: draw_fault(&mut rng, workers, failover_time),
            });
            at += Duration::from_millis(rng.u64(500..=lull * 1000));
        }
        let last = match rng.u8(..20) {
            0 => Some((Duration::from_secs(1), FaultKind::DeleteStream)),
            1..=3 => Some((
                Duration::from_secs(rng.u64(60..=300)),
                FaultKind::RecreateStream {
                    after: Duration::from_millis(pick(&mut rng, &[1, 1_000, 50_000])),
                    shards: rng.usize(1..=shards + 2),
                },
            )),
            _ => None,
        };
        if let Some((before, kind)) = last {
            faults.push(Fault {
                at: troubled - before,
                kind,
            });
        }
        Self {
            seed,
            workers,
            shards,
            failover_time,
            scan_interval: failover_time / pick(&mut rng, &[10, 5, 4, 4]),
            idle_at_tip: Duration::from_secs(rng.u64(2..=40)),
            initial: if rng.u8(..4) == 0 {
                Initial::Latest
            } else {
                Initial::TrimHorizon
            },
            manual: rng.u8(..4) == 0,
            transition: pick(&mut rng, &[0, 0, 2, 30].map(Duration::from_secs)),
            limits: rng.u8(..3) == 0,
            workload: Workload {
                every: Duration::from_millis(rng.u64(500..=30_000)),
                burst: pick(&mut rng, &[1, 3, 20]),
                keys: pick(&mut rng, &[2, 50, 1_000_000]),
            },
            handler: Handler {
                usual: Duration::from_millis(rng.u64(1..=2_000)),
                slow: pick(&mut rng, &[0.0, 0.01, 0.1]),
                fails: pick(&mut rng, &[0.0, 0.05, 0.3]),
                partly: pick(&mut rng, &[0.0, 0.1]),
            },
            troubled,
            quiet: failover_time * 6 + Duration::from_secs(300),
            faults,
            peers: None,
            features: Features::default(),
            lanes: None,
            delivery: None,
        }
    }

    /// The life that `seed` stands for, with workers of Java in it if it is one of those. They are drawn apart from
    /// everything else, which stays as it is, but for what they do not survive: they start at the trim horizon, since Java
    /// loses records at LATEST, and keep their stream, since Java takes the end of a stream for the end of its shards.
    ///
    /// Features are drawn apart too. Fleets with workers of Java have none: their models know nothing of them.
    #[must_use]
    pub fn draw_with(seed: u64, choice: &Choice) -> Self {
        let mut scenario = Self::draw(seed);
        scenario.add_peers(choice.peers);
        if scenario.peers.is_none() {
            scenario.features = choice.features.draw(seed);
            scenario.add_lanes();
            scenario.add_delivery();
        }
        scenario
    }

    /// Lanes are for handlers whose work the runtime commits.
    fn add_lanes(&mut self) {
        if !self.features.has(Feature::Lanes) {
            return;
        }
        let mut rng = Rng::with_seed(self.seed ^ 0x1a4e5);
        let calls = rng.usize(2..=10);
        self.lanes = Some(DrawnLanes {
            lanes: if rng.bool() {
                Lanes::Hashed(calls)
            } else {
                Lanes::PerKey { calls }
            },
            window: pick(&mut rng, &[10, 100, 10_000]),
        });
        self.manual = false;
    }

    /// Rules work on lanes, if only on one.
    fn add_delivery(&mut self) {
        if self.features.has(Feature::Delivery) {
            let (delivery, lanes) = DrawnDelivery::draw(self);
            self.delivery = Some(delivery);
            self.lanes.get_or_insert(lanes);
            self.manual = false;
        }
    }

    fn add_peers(&mut self, choice: PeerChoice) {
        let mut rng = Rng::with_seed(self.seed ^ 0x1a7a);
        let (is_one, either) = (rng.u8(..4) == 0, rng.bool());
        let kind = match choice {
            PeerChoice::None => return,
            PeerChoice::Drawn if !is_one => return,
            PeerChoice::TwoX => PeerKind::TwoX,
            PeerChoice::ThreeX => PeerKind::ThreeX,
            _ if either => PeerKind::TwoX,
            _ => PeerKind::ThreeX,
        };
        let mut count = rng.usize(1..self.workers);
        let both = choice == PeerChoice::Both && self.workers > 2;
        if both {
            count = count.max(2);
        }
        self.peers = Some(Peers { kind, both, count });
        self.initial = Initial::TrimHorizon;
        let ends = |kind: &FaultKind| matches!(kind, FaultKind::DeleteStream | FaultKind::RecreateStream { .. });
        self.faults.retain(|fault| !ends(&fault.kind));
        // A leader of Java's that died is replaced after two minutes, and its successor judges everybody anew.
        self.quiet += self.failover_time * 6 + Duration::from_secs(300);
    }

    /// Which worker of Java fills a slot, if one does.
    #[must_use]
    pub fn peer_in(&self, slot: usize) -> Option<PeerKind> {
        let peers = self.peers?;
        let index = slot.checked_sub(self.workers - peers.count)?;
        let kind = match peers.kind {
            first if !peers.both || index.is_multiple_of(2) => first,
            PeerKind::TwoX => PeerKind::ThreeX,
            PeerKind::ThreeX => PeerKind::TwoX,
        };
        (slot < self.workers).then_some(kind)
    }

    /// The whole life.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.troubled + self.quiet
    }
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn draw_fault(rng: &mut Rng, workers: usize, failover_time: Duration) -> FaultKind {
    let worker = rng.usize(..workers);
    // Some trouble passes unnoticed, some lasts longer than leases live.
    let lasts = failover_time.mul_f64(rng.f64() * pick(rng, &[0.3, 1.0, 4.0]));
    match rng.u8(..25) {
        0..=2 => FaultKind::Crash {
            worker,
            after: failover_time.mul_f64(rng.f64() * 2.0),
            same_id: rng.bool(),
        },
        3..=4 => FaultKind::Pause { worker, lasts },
        5 => FaultKind::Twin { worker },
        6 => FaultKind::Join,
        7 => FaultKind::RollingDeploy,
        8 => FaultKind::Drift {
            worker,
            speed: 0.8 + rng.f64() * 0.4,
        },
        9..=10 => FaultKind::Partition {
            worker,
            table: rng.bool(),
            service: rng.bool(),
            lasts,
        },
        11 => FaultKind::TableOutage { lasts },
        12 => FaultKind::TableThrottle { lasts },
        13..=14 => FaultKind::LostAnswers { lasts },
        15 => FaultKind::TableSlow { lasts },
        16 => FaultKind::StaleScans { lasts },
        17 => FaultKind::ServiceOutage { lasts },
        18 => FaultKind::ServiceThrottle { lasts },
        19 => FaultKind::ExpireIterators,
        20 => FaultKind::NullIterators { lasts },
        21 => FaultKind::StaleShards { lasts },
        22 => FaultKind::Scale {
            by: 0.5 + rng.f64() * 1.5,
        },
        _ => FaultKind::Reshard {
            times: rng.usize(1..=6),
            every: Duration::from_millis(rng.u64(200..=20_000)),
        },
    }
}
