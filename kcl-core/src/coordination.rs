//! [`Coordination`]: what the workers of Java KCL 3.x keep beside the leases.
//!
//! They publish how busy they are, one of them holds the leader's lock and balances the fleet, and two rows say how far
//! the application has come on its way from one version of KCL to the next. Every row is only what it says. Whether the
//! worker behind it lives is judged by watching it change, as with leases.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use crate::{ids::WorkerId, store::UnreadableRow, time::Timestamp};

/// The rows that an application keeps beside its leases, as one look found them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coordination {
    /// What the workers publish about themselves, by worker.
    pub workers: Vec<WorkerMetrics>,
    /// Who leads the fleet, or led it last.
    pub leader: Option<LeaderLock>,
    /// Which algorithms the workers of the application use.
    pub client_version: Option<ClientVersion>,
    /// How far the application has come in putting all rows into one table.
    pub table_migration: Option<TableMigration>,
    /// The keys of all rows in the lease table that are no leases, in order. Workers of Java KCL before 3.5 fail on them.
    pub foreign_rows: Vec<String>,
    /// Rows that should be one of these and cannot be read.
    pub unreadable: Vec<UnreadableRow>,
}

impl Coordination {
    /// Whether there is anything at all: a fleet that only Rust workers ever belonged to has none of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The code that tells Java's leader which rows a worker can deal with: it can read an application whose rows are all in
/// one table. (`sup` in the row.)
pub const SUPPORT_CODE: u64 = 1;

/// The name of the metric that is a worker's CPU, in percent.
pub const CPU: &str = "C";

/// How busy a worker is: a row of `<application>-WorkerMetricStats`, or of the lease table.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerMetrics {
    /// The worker.
    pub worker: WorkerId,
    /// When the row was written, by the worker's clock, to the second.
    pub updated_at: Option<Timestamp>,
    /// The last values of each metric, newest last; [`CPU`] is one, and -1 a value that could not be taken. Empty for
    /// a worker that measures nothing: then it is balanced by its leases' throughput.
    pub values: BTreeMap<String, Vec<f64>>,
    /// Up to which value of each metric the worker is well, in percent.
    pub operating_ranges: BTreeMap<String, f64>,
    /// What the worker can deal with, and when it said so. Written by 3.5 and later.
    pub support: Option<(u64, Timestamp)>,
}

impl WorkerMetrics {
    /// The row of a worker that publishes these percentages of its CPU, newest last, at `now`.
    #[must_use]
    pub fn of_cpu(worker: WorkerId, now: Timestamp, percentages: Vec<f64>) -> Self {
        let mut values = BTreeMap::new();
        let mut operating_ranges = BTreeMap::new();
        if !percentages.is_empty() {
            values.insert(CPU.to_owned(), percentages);
            operating_ranges.insert(CPU.to_owned(), 100.0);
        }
        Self {
            worker,
            updated_at: Some(now),
            values,
            operating_ranges,
            support: Some((SUPPORT_CODE, now)),
        }
    }
}

/// The row `Leader`: a lock as Amazon's DynamoDB lock client keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderLock {
    /// The worker that holds it.
    pub owner: WorkerId,
    /// Another one with each heartbeat.
    pub version: String,
    /// Who sees the same version for this long may take the lock.
    pub lease_duration: Duration,
}

/// Which algorithms the Java workers of an application use, as the row `Migration3.0` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClientVersion {
    /// Those of 2.x, while all workers get ready for those of 3.x.
    UpgradeFrom2x,
    /// Those of 2.x again, after an operator went back.
    TwoX,
    /// Those of 3.x, with a way back.
    ThreeXWithRollback,
    /// Those of 3.x.
    ThreeX,
}

/// How far an application has come in putting its coordination rows into the lease table, as `TableMigration3.5` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TableMigration {
    /// All workers can; rows are still in tables of their own.
    Init,
    /// The same, for long enough that rows may move.
    Deployed,
    /// Rows move; new ones go into the lease table.
    Pending,
    /// All rows are in the lease table.
    Complete,
}

/// The text does not name a state of an application's migration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {known}")]
pub struct UnknownState {
    text: String,
    known: String,
}

macro_rules! states {
    ($name:ident { $($state:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            /// The text that stands for it in the row.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$state => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownState;

            fn from_str(text: &str) -> Result<Self, UnknownState> {
                match text {
                    $($text => Ok(Self::$state),)+
                    _ => Err(UnknownState { text: text.to_owned(), known: [$($text),+].join(", ") }),
                }
            }
        }
    };
}

states!(ClientVersion {
    UpgradeFrom2x = "CLIENT_VERSION_UPGRADE_FROM_2X",
    TwoX = "CLIENT_VERSION_2X",
    ThreeXWithRollback = "CLIENT_VERSION_3X_WITH_ROLLBACK",
    ThreeX = "CLIENT_VERSION_3X",
});

states!(TableMigration {
    Init = "TABLE_MIGRATION_STATUS_INIT",
    Deployed = "TABLE_MIGRATION_STATUS_DEPLOYED",
    Pending = "TABLE_MIGRATION_STATUS_PENDING",
    Complete = "TABLE_MIGRATION_STATUS_COMPLETE",
});
