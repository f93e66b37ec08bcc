//! The names of attributes and rows beside the leases, as Java KCL has them.

pub(super) const ENTITY_LEADER: &str = "LEADER";
pub(super) const ENTITY_CLIENT_VERSION: &str = "CLIENT_VERSION_MIGRATION";
pub(super) const ENTITY_TABLE_MIGRATION: &str = "TABLE_MIGRATION";
pub(super) const ENTITY_METRICS: &str = "WORKER_METRIC_STATS";

/// The keys of rows of which an application has one each.
pub(super) const LEADER: &str = "Leader";
pub(super) const CLIENT_VERSION_ROW: &str = "Migration3.0";
pub(super) const TABLE_MIGRATION_ROW: &str = "TableMigration3.5";

/// A worker's metrics: when they were written, in seconds since 1970.
pub(super) const UPDATED: &str = "lut";
/// The last values of each metric.
pub(super) const VALUES: &str = "sts";
/// Up to which value of each metric the worker is well.
pub(super) const RANGES: &str = "opr";
/// What the worker can deal with.
pub(super) const SUPPORT: &str = "sup";
/// When the worker said so, in seconds since 1970.
pub(super) const SUPPORT_UPDATED: &str = "slu";

/// The leader's lock, in the words of Amazon's lock client.
pub(super) const LOCK_OWNER: &str = "ownerName";
/// In milliseconds, as text.
pub(super) const LOCK_DURATION: &str = "leaseDuration";
pub(super) const LOCK_VERSION: &str = "recordVersionNumber";
/// There only if the owner gave the lock back without removing its row.
pub(super) const LOCK_RELEASED: &str = "isReleased";

/// A migration: the state it is in.
pub(super) const CLIENT_VERSION: &str = "cv";
pub(super) const TABLE_MIGRATION: &str = "tm";
/// Who wrote the state, and when, in milliseconds since 1970.
pub(super) const MODIFIED_BY: &str = "mb";
pub(super) const MODIFIED: &str = "mts";
/// The states before, newest first, as maps of the three above.
pub(super) const HISTORY: &str = "h";
