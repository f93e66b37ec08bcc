//! KCL's names: metrics with their units and levels, and operations.

use super::datum::{MetricsLevel, Unit};

/// A metric of KCL's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) level: MetricsLevel,
}

const fn metric(name: &'static str, unit: Unit, level: MetricsLevel) -> Metric {
    Metric { name, unit, level }
}

use MetricsLevel::{Detailed, Summary};
use Unit::{Bytes, Count, Milliseconds};

pub(super) const PROCESS_TASK: &str = "ProcessTask";
pub(super) const INITIALIZE_TASK: &str = "InitializeTask";
pub(super) const SHUTDOWN_TASK: &str = "ShutdownTask";
pub(super) const APPLICATION_TRACKER: &str = "ApplicationTracker";
pub(super) const TAKE_LEASES: &str = "TakeLeases";
pub(super) const RENEW_ALL_LEASES: &str = "RenewAllLeases";
pub(super) const SHARD_SYNC_TASK: &str = "ShardSyncTask";
pub(super) const METRIC_STATS_REPORTER: &str = "WorkerMetricStatsReporter";
pub(super) const MULTI_STREAM_TRACKER: &str = "MultiStreamTracker";

pub(super) const SUCCESS: Metric = metric("Success", Count, Summary);
pub(super) const TIME: Metric = metric("Time", Milliseconds, Summary);

pub(super) const RECORDS_PROCESSED: Metric = metric("RecordsProcessed", Count, Summary);
pub(super) const DATA_BYTES_PROCESSED: Metric = metric("DataBytesProcessed", Bytes, Summary);
pub(super) const MILLIS_BEHIND_LATEST: Metric = metric("MillisBehindLatest", Milliseconds, Summary);
pub(super) const PROCESS_RECORDS_TIME: Metric = metric("RecordProcessor.processRecords.Time", Milliseconds, Summary);
pub(super) const GET_RECORDS_SUCCESS: Metric = metric("KinesisDataFetcher.getRecords.Success", Count, Detailed);
pub(super) const EXPIRED_ITERATOR: Metric = metric("ExpiredIterator", Count, Summary);

pub(super) const INITIALIZE_TIME: Metric = metric("RecordProcessor.initialize.Time", Milliseconds, Summary);
pub(super) const SHUTDOWN_TIME: Metric = metric("RecordProcessor.shutdown.Time", Milliseconds, Summary);

pub(super) const LIST_LEASES_SUCCESS: Metric = metric("ListLeases.Success", Count, Detailed);
pub(super) const LIST_LEASES_TIME: Metric = metric("ListLeases.Time", Milliseconds, Detailed);
pub(super) const TAKE_LEASE_SUCCESS: Metric = metric("TakeLease.Success", Count, Detailed);
pub(super) const TAKE_LEASE_TIME: Metric = metric("TakeLease.Time", Milliseconds, Detailed);
pub(super) const TAKEN_LEASES: Metric = metric("TakenLeases", Count, Summary);
pub(super) const TOTAL_LEASES: Metric = metric("TotalLeases", Count, Detailed);
pub(super) const NUM_WORKERS: Metric = metric("NumWorkers", Count, Summary);

pub(super) const RENEW_LEASE_SUCCESS: Metric = metric("RenewLease.Success", Count, Detailed);
pub(super) const RENEW_LEASE_TIME: Metric = metric("RenewLease.Time", Milliseconds, Detailed);
pub(super) const LOST_LEASES: Metric = metric("LostLeases", Count, Summary);
pub(super) const CURRENT_LEASES: Metric = metric("CurrentLeases", Count, Summary);

pub(super) const SYNC_SHARDS_SUCCESS: Metric = metric("SyncShards.Success", Count, Detailed);
pub(super) const CREATE_LEASE_SUCCESS: Metric = metric("CreateLease.Success", Count, Detailed);
pub(super) const CREATE_LEASE_TIME: Metric = metric("CreateLease.Time", Milliseconds, Detailed);

pub(super) const ACTIVE_STREAMS: Metric = metric("ActiveStreams.Count", Count, Summary);

/// All that can be emitted, each with its operation.
#[cfg(test)]
pub(super) const ALL: &[(&str, Metric)] = &[
    (PROCESS_TASK, RECORDS_PROCESSED),
    (PROCESS_TASK, DATA_BYTES_PROCESSED),
    (PROCESS_TASK, MILLIS_BEHIND_LATEST),
    (PROCESS_TASK, PROCESS_RECORDS_TIME),
    (PROCESS_TASK, SUCCESS),
    (PROCESS_TASK, TIME),
    (PROCESS_TASK, GET_RECORDS_SUCCESS),
    (PROCESS_TASK, EXPIRED_ITERATOR),
    (INITIALIZE_TASK, INITIALIZE_TIME),
    (SHUTDOWN_TASK, SHUTDOWN_TIME),
    (APPLICATION_TRACKER, MILLIS_BEHIND_LATEST),
    (TAKE_LEASES, LIST_LEASES_SUCCESS),
    (TAKE_LEASES, LIST_LEASES_TIME),
    (TAKE_LEASES, TAKE_LEASE_SUCCESS),
    (TAKE_LEASES, TAKE_LEASE_TIME),
    (TAKE_LEASES, TAKEN_LEASES),
    (TAKE_LEASES, TOTAL_LEASES),
    (TAKE_LEASES, NUM_WORKERS),
    (RENEW_ALL_LEASES, RENEW_LEASE_SUCCESS),
    (RENEW_ALL_LEASES, RENEW_LEASE_TIME),
    (RENEW_ALL_LEASES, LOST_LEASES),
    (RENEW_ALL_LEASES, CURRENT_LEASES),
    (SHARD_SYNC_TASK, SYNC_SHARDS_SUCCESS),
    (SHARD_SYNC_TASK, CREATE_LEASE_SUCCESS),
    (SHARD_SYNC_TASK, CREATE_LEASE_TIME),
    (SHARD_SYNC_TASK, SUCCESS),
    (SHARD_SYNC_TASK, TIME),
    (METRIC_STATS_REPORTER, SUCCESS),
    (METRIC_STATS_REPORTER, TIME),
    (MULTI_STREAM_TRACKER, ACTIVE_STREAMS),
];
