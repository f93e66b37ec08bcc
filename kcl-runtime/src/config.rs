//! The settings of a worker: plain data with defaults.

use std::time::Duration;

use kcl_core::{
    InitialPosition, Lease, Session, StreamName, WorkerId,
    ack::DEFAULT_WINDOW,
    aggregate::OutOfRange,
    assign::LeaseAssignment,
    fetch::{MAX_RECORDS_PER_READ, PollPacing, RetrievalMode, consumer::ConsumerSelector},
    retry::Backoff,
    shard::{CheckpointPolicy, Lanes, ShardConfig, WatchdogConfig},
    worker::{FormerStreams, WorkerConfig},
};

use crate::error::ConfigError;

/// The most calls of a shard at once: each has a task of its own.
const MOST_CALLS: usize = 1_000;

/// The largest window: a shard remembers every run of records in it.
const LARGEST_WINDOW: usize = 1_000_000;

/// The settings of a worker. Names follow KCL's and AWS's where they have one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where to start with shards that nobody has read before. The default, TRIM_HORIZON, loses nothing.
    pub initial_position: InitialPosition,
    /// How long a lease may go without renewal before another worker takes it. 10 s by default, as in KCL: shorter
    /// takes over sooner, longer forgives longer pauses of a worker or its network.
    pub failover_time: Duration,
    /// How often the lease table is scanned for leases that are free, expired or unevenly spread. By default a tenth
    /// of the failover time, so that a takeover costs at most a tenth more.
    pub scan_interval: Option<Duration>,
    /// How often the stream's shards are compared with the leases. 60 s by default, as in KCL. Resharding does not
    /// wait for it: the consumer that reaches the end of a shard adds its children.
    pub shard_sync_interval: Duration,
    /// What becomes of the rows of a stream that was one of several and is read no more. By default they stay.
    pub former_streams: FormerStreams,
    /// The most leases that this worker holds; no limit by default.
    pub max_leases: Option<usize>,
    /// What is balanced among the workers: the number of leases, or what they weigh as well. By default the number. All
    /// workers of a fleet are to agree: as long as one of them balances the number alone, all do.
    pub lease_assignment: LeaseAssignment,
    /// How long a batch may take to finish at shutdown, before the lease is given back without it. 30 s by default.
    pub shutdown_grace: Duration,
    /// How long a batch may take to finish when another worker asks for the lease. 30 s by default, as in KCL.
    pub hand_off_timeout: Duration,
    /// The most records that one call of the handler gets. By default as many as one read gives.
    pub batch_size: usize,
    /// How many calls of the function may work on one shard at once, and which records may overtake which: what Lambda
    /// calls `ParallelizationFactor`. One call at a time by default. Only for functions: a processor is called one batch
    /// at a time, as in KCL, and a stream of deliveries has settings of its own.
    pub lanes: Lanes,
    /// With lanes, the most records of a shard from the first that is not handled to the newest that was delivered: so
    /// many may be handled again after a crash. When they are so many, delivery waits. 10,000 by default.
    pub lane_window: usize,
    /// How shards are read: by polling, the default, by enhanced fan-out, or by whichever is to be had. Enhanced fan-out sends
    /// records as they come, at a rate of this application's own, and AWS charges for it.
    pub retrieval_mode: RetrievalMode,
    /// The consumer that subscribes in enhanced fan-out, by name or ARN. By default the one that is named as the
    /// application is, which is registered if there is none.
    pub consumer: Option<ConsumerSelector>,
    /// The most records that one poll asks for. 10,000 by default, the service's limit.
    pub max_records: u32,
    /// From the start of one poll to the start of the next while there is more to read. 200 ms by default, the pace that
    /// the service allows for all polling applications of a shard together. Zero asks as fast as the service answers. What it
    /// refuses slows polling down by itself.
    pub idle_time_between_reads: Duration,
    /// From the start of one poll to the start of the next at the tip of a shard. 1 s by default, which leaves room for
    /// other applications. Zero as above.
    pub idle_time_at_tip: Duration,
    /// The memory for records that were read and are not yet handled, across all shards. 64 MiB by default. A shard
    /// may always have one batch in work and one waiting, so a very small budget slows it down and does not stop it.
    pub memory_budget: u64,
    /// How long to wait before the handler gets the same records again after a failure.
    pub handler_backoff: Backoff,
    /// Whether records that the Kinesis Producer Library aggregated are delivered one by one. They are by default, as in KCL;
    /// else they come as they were written.
    pub deaggregate: bool,
    /// What becomes of records in an aggregate whose hash keys belong to other shards. By default they are delivered: no
    /// other shard has them. [`OutOfRange::Skip`] is KCL's rule, for streams that only the KPL writes to.
    pub out_of_range: OutOfRange,
    /// How long nothing may happen in a shard before it is opened again, or told. `unanswered` should be longer than a request
    /// of the source may take.
    pub watchdog: WatchdogConfig,
}

impl Default for Config {
    fn default() -> Self {
        let pacing = PollPacing::default();
        Self {
            initial_position: InitialPosition::default(),
            failover_time: Duration::from_secs(10),
            scan_interval: None,
            shard_sync_interval: Duration::from_secs(60),
            former_streams: FormerStreams::default(),
            max_leases: None,
            lease_assignment: LeaseAssignment::default(),
            shutdown_grace: Duration::from_secs(30),
            hand_off_timeout: Duration::from_secs(30),
            batch_size: MAX_RECORDS_PER_READ as usize,
            retrieval_mode: RetrievalMode::default(),
            consumer: None,
            lanes: Lanes::One,
            lane_window: DEFAULT_WINDOW,
            max_records: MAX_RECORDS_PER_READ,
            idle_time_between_reads: pacing.while_behind,
            idle_time_at_tip: pacing.at_tip,
            memory_budget: 64 * 1024 * 1024,
            handler_backoff: Backoff::HANDLER,
            deaggregate: true,
            out_of_range: OutOfRange::default(),
            watchdog: WatchdogConfig::default(),
        }
    }
}

impl Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first setting that is out of range, and what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let scan = self.scan_interval.unwrap_or(self.failover_time / 10);
        let checks: [(&'static str, String, bool, &'static str); 11] = [
            (
                "failover_time",
                format!("{:?}", self.failover_time),
                (Duration::from_millis(500)..=Lease::LONGEST_FAILOVER_TIME).contains(&self.failover_time),
                "use 500 ms to 1 h",
            ),
            (
                "scan_interval",
                format!("{scan:?}"),
                scan >= Duration::from_millis(10) && scan <= self.failover_time,
                "use 10 ms to the failover time",
            ),
            (
                "shard_sync_interval",
                format!("{:?}", self.shard_sync_interval),
                self.shard_sync_interval >= Duration::from_secs(1),
                "use 1 s or more: ListShards is limited per stream",
            ),
            (
                "max_leases",
                format!("{:?}", self.max_leases),
                self.max_leases != Some(0),
                "use 1 or more, or no limit",
            ),
            (
                "batch_size",
                self.batch_size.to_string(),
                self.batch_size > 0,
                "use 1 or more",
            ),
            (
                "lanes",
                format!("{:?}", self.lanes),
                calls_asked(self.lanes).is_none_or(|calls| (1..=MOST_CALLS).contains(&calls)),
                "use 1 to 1000 calls at once",
            ),
            (
                "lane_window",
                self.lane_window.to_string(),
                (1..=LARGEST_WINDOW).contains(&self.lane_window),
                "use 1 to 1000000 records",
            ),
            (
                "max_records",
                self.max_records.to_string(),
                (1..=MAX_RECORDS_PER_READ).contains(&self.max_records),
                "use 1 to 10000, the service's limit",
            ),
            (
                "memory_budget",
                self.memory_budget.to_string(),
                self.memory_budget >= 1024 * 1024,
                "use 1 MiB (1048576) or more",
            ),
            (
                "handler_backoff",
                format!("{:?}", self.handler_backoff),
                self.handler_backoff.initial <= self.handler_backoff.longest,
                "the first wait must not be longer than the longest",
            ),
            (
                "watchdog",
                format!("{:?}", self.watchdog),
                self.watchdog.unanswered.min(self.watchdog.silent) >= Duration::from_secs(1)
                    && self.watchdog.slow_call > Duration::ZERO,
                "wait for 1 s or more",
            ),
        ];
        match checks.into_iter().find(|(_, _, valid, _)| !valid) {
            Some((setting, value, _, rule)) => Err(ConfigError::OutOfRange { setting, value, rule }),
            None => Ok(()),
        }
    }

    pub(crate) fn worker(&self, worker: WorkerId, session: Session, stream: Option<StreamName>) -> WorkerConfig {
        let scan_interval = self
            .scan_interval
            .unwrap_or_else(|| WorkerConfig::scan_interval_for(self.failover_time));
        WorkerConfig {
            streams: stream.is_none().then(Vec::new),
            stream,
            former_streams: self.former_streams,
            failover_time: self.failover_time,
            scan_interval,
            shard_sync_interval: self.shard_sync_interval,
            initial_position: self.initial_position,
            shutdown_grace: self.shutdown_grace,
            hand_off_timeout: self.hand_off_timeout,
            max_leases: self.max_leases,
            assignment: self.lease_assignment,
            ..WorkerConfig::new(worker, session)
        }
    }

    pub(crate) fn shard(&self, checkpoint: CheckpointPolicy) -> ShardConfig {
        ShardConfig {
            batch_size: self.batch_size,
            max_records: self.max_records,
            pacing: PollPacing {
                while_behind: self.idle_time_between_reads,
                at_tip: self.idle_time_at_tip,
            },
            lanes: self.lanes,
            window: self.lane_window,
            handler_backoff: self.handler_backoff,
            checkpoint,
            deaggregate: self.deaggregate,
            out_of_range: self.out_of_range,
            watchdog: self.watchdog,
            ..ShardConfig::default()
        }
    }
}

fn calls_asked(lanes: Lanes) -> Option<usize> {
    match lanes {
        Lanes::One => None,
        Lanes::Hashed(calls) | Lanes::PerKey { calls } | Lanes::PerRecord { calls } => Some(calls),
    }
}
