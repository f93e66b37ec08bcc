//! [`DynamoDbConfig`]: what can be chosen about a [`DynamoDbLeaseStore`](super::DynamoDbLeaseStore).

use std::{collections::BTreeMap, time::Duration};

use kcl_core::Timestamp;

/// How a table that is created is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Billing {
    /// By request. The default: a lease table's load follows its number of leases, and nobody has to plan it.
    #[default]
    PayPerRequest,
    /// By capacity that is set aside.
    Provisioned {
        /// Consistent reads of 4 KiB per second.
        read_units: u32,
        /// Writes of 1 KiB per second.
        write_units: u32,
    },
}

/// Which tables are created where there is no lease table yet.
///
/// Workers of Java KCL keep more than leases: what they publish about themselves, and who leads them. The versions disagree
/// where. Those before 3.5 keep it in two tables of its own, and fail on a lease table that holds anything else. Those from
/// 3.5 on use these tables if they find them, and otherwise put everything into the lease table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// The two tables are created too, empty and paid by request. The default: workers of every version of Java KCL can
    /// join, and those of 3.5 do nothing that would keep older ones from it.
    #[default]
    SeparateTables,
    /// Only the lease table is created. For applications that no worker of Java KCL before 3.5 ever joins, and where the
    /// permission to create the others is missing.
    SingleTable,
}

/// Settings of a [`DynamoDbLeaseStore`](super::DynamoDbLeaseStore).
///
/// Those about the table hold for a table that is created; one that exists is used as it is.
///
/// ```
/// use kcl_checkpoint::{Billing, DynamoDbConfig, Layout};
///
/// let mut config = DynamoDbConfig::default();
/// // No worker of Java KCL before 3.5 will ever join.
/// config.layout = Layout::SingleTable;
/// config.billing = Billing::Provisioned { read_units: 10, write_units: 10 };
/// config.tags.insert("team".to_owned(), "billing".to_owned());
/// config.point_in_time_recovery = true;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DynamoDbConfig {
    /// Which tables are created together with the lease table. Default: all that any version of Java KCL may use.
    pub layout: Layout,
    /// The table in which workers of Java KCL keep who leads them and how far they have come from one version to the next.
    /// Default: the lease table's name with `-CoordinatorState`. Java puts that behind the application's name: say it here if
    /// the lease table has another one.
    pub coordinator_table: Option<String>,
    /// The table in which workers of Java KCL publish how busy they are. Default: the lease table's name with
    /// `-WorkerMetricStats`, and the same holds for it.
    pub worker_metrics_table: Option<String>,
    /// Whether a table that does not exist is created. Default: yes; tools that inspect a table turn it off, so that a
    /// mistyped name is an error.
    pub create: bool,
    /// How a table that is created is paid for. Default: by request.
    pub billing: Billing,
    /// The tags of a table that is created. Default: none.
    pub tags: BTreeMap<String, String>,
    /// Whether a table that is created can be deleted only after this was turned off. Default: no.
    pub deletion_protection: bool,
    /// Whether continuous backups are turned on, at every start as Java KCL does, also for a table that exists.
    /// Default: no, and those that are on stay on.
    pub point_in_time_recovery: bool,
    /// Whether the index `LeaseOwnerToLeaseKeyIndex` is added if it is absent. Default: no. Nothing here reads it; workers
    /// of Java KCL 3.x add it themselves, and wait for it when they start. See
    /// [`DynamoDbLeaseStore::owner_index`](super::DynamoDbLeaseStore::owner_index) for what became of it.
    pub owner_index: bool,
    /// How long to wait for a table that is being created. Default: 2 minutes; the service takes seconds as a rule.
    pub ready_timeout: Duration,
    /// How long one request may take, after which a write counts as one whose answer was lost. Default: 3 seconds, so
    /// that a renewal is tried again well within the failover time.
    pub request_timeout: Duration,
    /// Into how many parts a scan is divided, from 1 to 1,000,000. Default: as many as the table has MiB, at most 32, which
    /// is found out from the table's description and from each scan.
    pub scan_segments: Option<u32>,
    /// The time that `AT_TIMESTAMP` means in rows that do not say it. Java KCL writes such rows: it keeps the time in its
    /// workers' configuration, and workers that join them need the same here. Default: none, and such rows are unreadable.
    pub at_timestamp: Option<Timestamp>,
}

impl DynamoDbConfig {
    pub(super) fn coordinator_table_of(&self, lease_table: &str) -> String {
        let given = self.coordinator_table.clone();
        given.unwrap_or_else(|| format!("{lease_table}-CoordinatorState"))
    }

    pub(super) fn worker_metrics_table_of(&self, lease_table: &str) -> String {
        let given = self.worker_metrics_table.clone();
        given.unwrap_or_else(|| format!("{lease_table}-WorkerMetricStats"))
    }
}

impl Default for DynamoDbConfig {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            coordinator_table: None,
            worker_metrics_table: None,
            create: true,
            billing: Billing::default(),
            tags: BTreeMap::new(),
            deletion_protection: false,
            point_in_time_recovery: false,
            owner_index: false,
            ready_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(3),
            scan_segments: None,
            at_timestamp: None,
        }
    }
}
