//! Making the table ready: looking at it, creating it, waiting for it.

mod owner_index;

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{
        BillingMode, KeyType, PointInTimeRecoverySpecification, ProvisionedThroughput, TableDescription, TableStatus,
        Tag,
    },
};
use kcl_core::{StoreError, StoreOperation};

pub use self::owner_index::OwnerIndex;
use super::{
    config::{Billing, DynamoDbConfig, Layout},
    error::Request,
    schema::{COORDINATOR_KEY, LEASE_KEY, WORKER_KEY, foreign_key, key_part, text_attribute},
};

/// From the first look at a table that is being made to the second; each pause after it is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is known of a table that can be used.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) bytes: u64,
    pub(super) owner_index: OwnerIndex,
}

/// Makes the table ready for leases, creating it if need be.
pub(super) async fn prepare(client: &Client, name: &str, config: &DynamoDbConfig) -> Result<Ready, StoreError> {
    let others = [
        // That one with leaders is there is what workers of Java go by, so it comes after the other.
        (config.worker_metrics_table_of(name), WORKER_KEY),
        (config.coordinator_table_of(name), COORDINATOR_KEY),
    ];
    let beside = others.each_ref().map(|(name, key)| Preparation {
        client,
        name,
        key,
        beside: &[],
        config,
    });
    let preparation = Preparation {
        client,
        name,
        key: LEASE_KEY,
        beside: match config.layout {
            Layout::SeparateTables => &beside,
            Layout::SingleTable => &[],
        },
        config,
    };
    let table = preparation.usable().await?;
    if config.point_in_time_recovery {
        preparation.turn_backups_on().await?;
    }
    let owner_index = preparation.add_owner_index(&table).await;
    if let OwnerIndex::Refused { problem } = &owner_index {
        tracing::warn!(table = name, problem, "the index by owner cannot be added");
    }
    Ok(Ready {
        bytes: table
            .table_size_bytes()
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default(),
        owner_index,
    })
}

struct Preparation<'a> {
    client: &'a Client,
    name: &'a str,
    key: &'static str,
    /// Tables that are created with this one.
    beside: &'a [Self],
    config: &'a DynamoDbConfig,
}

/// The waits that [`DynamoDbConfig::ready_timeout`] allows.
struct Patience {
    left: Duration,
    pause: Duration,
}

impl Patience {
    /// Waits a moment; false if the time is up.
    async fn wait(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let pause = self.left.min(self.pause);
        self.left -= pause;
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        tokio::time::sleep(pause).await;
        true
    }
}

impl Preparation<'_> {
    fn request(&self, action: &'static str) -> Request<'_> {
        Request {
            table: self.name,
            operation: StoreOperation::Open,
            action,
        }
    }

    fn unusable(problem: String) -> StoreError {
        StoreError::Unusable { problem, source: None }
    }

    fn patience(&self) -> Patience {
        Patience {
            left: self.config.ready_timeout,
            pause: SHORTEST_PAUSE,
        }
    }

    /// The table, once rows can be read and written, with those that were created with it.
    async fn usable(&self) -> Result<TableDescription, StoreError> {
        let (table, is_new) = self.usable_alone().await?;
        if is_new {
            for beside in self.beside {
                beside.usable_alone().await.map_err(Self::or_without)?;
            }
        }
        Ok(table)
    }

    /// The table, once rows can be read and written, and whether it was asked for here. Other workers may be creating it at
    /// the same time.
    async fn usable_alone(&self) -> Result<(TableDescription, bool), StoreError> {
        let mut patience = self.patience();
        let mut is_asked_for = false;
        loop {
            let found = self.describe().await?;
            let doing = match found {
                Some(table) => {
                    self.check_key(&table)?;
                    match table.table_status() {
                        Some(TableStatus::Active | TableStatus::Updating) => return Ok((table, is_asked_for)),
                        Some(TableStatus::Creating) | None => "created",
                        Some(TableStatus::Deleting) => "deleted",
                        Some(status) => {
                            return Err(Self::unusable(format!(
                                "the table {} is {status}; make it ACTIVE, or give another one",
                                self.name
                            )));
                        }
                    }
                }
                None if self.config.create => {
                    // Before it: who finds the lease table need not ask for them, and who stops in between does so again.
                    for beside in self.beside {
                        beside.create().await.map_err(Self::or_without)?;
                    }
                    self.create().await?;
                    // It may be there at once.
                    if !std::mem::replace(&mut is_asked_for, true) {
                        continue;
                    }
                    "created"
                }
                None => {
                    return Err(Self::unusable(format!(
                        "the table {} does not exist; check its name, region and account, or start a worker to create it",
                        self.name
                    )));
                }
            };
            if !patience.wait().await {
                return Err(Self::unusable(format!(
                    "the table {} is still being {doing} after {:?}; try again later",
                    self.name, self.config.ready_timeout
                )));
            }
        }
    }

    async fn describe(&self) -> Result<Option<TableDescription>, StoreError> {
        match self.client.describe_table().table_name(self.name).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(self.request("DescribeTable").failed(error)),
        }
    }

    /// The failure of a table that leases can be kept without.
    fn or_without(failure: StoreError) -> StoreError {
        match failure {
            StoreError::Unusable { problem, source } => StoreError::Unusable {
                problem: format!(
                    "{problem}. This table is for workers of Java KCL: with `Layout::SingleTable` (`kclctl consume --single-table`) only the lease table is created"
                ),
                source,
            },
            other => other,
        }
    }

    fn is_lease_table(&self) -> bool {
        self.key == LEASE_KEY
    }

    fn check_key(&self, table: &TableDescription) -> Result<(), StoreError> {
        match foreign_key(table, self.key) {
            None => Ok(()),
            Some(key) if !self.is_lease_table() => Err(Self::unusable(format!(
                "the table {} has the key {key}, and should have {} (S, HASH); give the name of another one",
                self.name, self.key
            ))),
            Some(key) => Err(Self::unusable(format!(
                "the table {} is no lease table: its key is {key}, and a lease table's is {LEASE_KEY} (S, HASH); \
                 give the name of a lease table, or of a table that does not exist yet",
                self.name
            ))),
        }
    }

    /// Asks for the table. That somebody else did so first is just as good.
    async fn create(&self) -> Result<(), StoreError> {
        let config = self.config;
        let (billing, throughput) = match config.billing {
            // What is set aside is meant for the leases.
            Billing::Provisioned {
                read_units,
                write_units,
            } if self.is_lease_table() => (
                BillingMode::Provisioned,
                Some(throughput(read_units.into(), write_units.into())),
            ),
            _ => (BillingMode::PayPerRequest, None),
        };
        let tags = config.tags.iter().map(|(key, value)| {
            let tag = Tag::builder().key(key).value(value).build();
            tag.expect("key and value are set")
        });
        let tags: Vec<Tag> = tags.collect();
        let create = self
            .client
            .create_table()
            .table_name(self.name)
            .key_schema(key_part(self.key, KeyType::Hash))
            .attribute_definitions(text_attribute(self.key))
            .billing_mode(billing)
            .set_provisioned_throughput(throughput)
            .deletion_protection_enabled(config.deletion_protection)
            .set_tags(Some(tags).filter(|tags| !tags.is_empty()));
        match create.send().await {
            Ok(_) => {
                tracing::info!(table = self.name, "created the table");
                Ok(())
            }
            // The latter: many tables are being made at once, and this one can wait.
            Err(error) if matches!(error.code(), Some("ResourceInUseException" | "LimitExceededException")) => Ok(()),
            Err(error) => Err(self.request("CreateTable").failed(error)),
        }
    }

    async fn turn_backups_on(&self) -> Result<(), StoreError> {
        let wanted = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .expect("the switch is set");
        let mut patience = self.patience();
        loop {
            let update = self.client.update_continuous_backups().table_name(self.name);
            let answer = update.point_in_time_recovery_specification(wanted.clone()).send().await;
            let Err(error) = answer else { return Ok(()) };
            // A table that was just made has to wait for its first backup.
            let is_early = error.code() == Some("ContinuousBackupsUnavailableException");
            if !is_early || !patience.wait().await {
                return Err(self.request("UpdateContinuousBackups").failed(error));
            }
        }
    }
}

fn throughput(read_units: i64, write_units: i64) -> ProvisionedThroughput {
    ProvisionedThroughput::builder()
        .read_capacity_units(read_units)
        .write_capacity_units(write_units)
        .build()
        .expect("both are set")
}
