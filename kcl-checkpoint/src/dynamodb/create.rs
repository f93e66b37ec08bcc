//! Making the table ready: looking at it, creating it, waiting for it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{
        BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, KeyType,
        PointInTimeRecoverySpecification, Projection, ProjectionType, ProvisionedThroughput, TableDescription,
        TableStatus, Tag,
    },
};
use kcl_core::{StoreError, StoreOperation};

use super::{
    config::{Billing, DynamoDbConfig},
    error::Request,
    schema::{LEASE_KEY, LEASE_OWNER, OWNER_INDEX, foreign_key, has_owner_index, key_part, text_attribute},
};

/// From the first look at a table that is being made to the second; each pause after it is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of the index by owner, which workers of Java KCL 3.x find their leases with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerIndex {
    /// There is none, and [`DynamoDbConfig::owner_index`] does not ask for one.
    Absent,
    /// It was there before.
    Present,
    /// This store asked for it; the service fills it in the background.
    Requested,
    /// It is absent and could not be added; leases are kept all the same.
    Refused {
        /// Why, and what to do about it.
        problem: String,
    },
}

/// What is known of a table that can be used.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) bytes: u64,
    pub(super) owner_index: OwnerIndex,
}

/// Makes the table ready for leases, creating it if need be.
pub(super) async fn prepare(client: &Client, name: &str, config: &DynamoDbConfig) -> Result<Ready, StoreError> {
    let preparation = Preparation { client, name, config };
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

    /// The table, once rows can be read and written. Other workers may be creating it at the same time.
    async fn usable(&self) -> Result<TableDescription, StoreError> {
        let mut patience = self.patience();
        let mut is_asked_for = false;
        loop {
            let found = self.describe().await?;
            let doing = match found {
                Some(table) => {
                    self.check_key(&table)?;
                    match table.table_status() {
                        Some(TableStatus::Active | TableStatus::Updating) => return Ok(table),
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

    fn check_key(&self, table: &TableDescription) -> Result<(), StoreError> {
        match foreign_key(table) {
            None => Ok(()),
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
            Billing::PayPerRequest => (BillingMode::PayPerRequest, None),
            Billing::Provisioned {
                read_units,
                write_units,
            } => (
                BillingMode::Provisioned,
                Some(throughput(read_units.into(), write_units.into())),
            ),
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
            .key_schema(key_part(LEASE_KEY, KeyType::Hash))
            .attribute_definitions(text_attribute(LEASE_KEY))
            .billing_mode(billing)
            .set_provisioned_throughput(throughput)
            .deletion_protection_enabled(config.deletion_protection)
            .set_tags(Some(tags).filter(|tags| !tags.is_empty()));
        match create.send().await {
            Ok(_) => {
                tracing::info!(table = self.name, "created the lease table");
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

    /// Adds the index if it is wanted and absent. No failure of that keeps a worker from its leases.
    async fn add_owner_index(&self, table: &TableDescription) -> OwnerIndex {
        if has_owner_index(table) {
            return OwnerIndex::Present;
        }
        if !self.config.owner_index {
            return OwnerIndex::Absent;
        }
        let index = CreateGlobalSecondaryIndexAction::builder()
            .index_name(OWNER_INDEX)
            .key_schema(key_part(LEASE_OWNER, KeyType::Hash))
            .key_schema(key_part(LEASE_KEY, KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
            .set_provisioned_throughput(provisioned(table))
            .build()
            .expect("name and key are set");
        let update = self.client.update_table().table_name(self.name);
        let added = update
            .attribute_definitions(text_attribute(LEASE_OWNER))
            .attribute_definitions(text_attribute(LEASE_KEY))
            .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(index).build())
            .send()
            .await;
        match added {
            Ok(_) => OwnerIndex::Requested,
            Err(error) => {
                self.index_is_there_after_all(self.request("UpdateTable").failed(error))
                    .await
            }
        }
    }

    /// Of several workers that add the index at once, all but one are refused.
    async fn index_is_there_after_all(&self, refused: StoreError) -> OwnerIndex {
        match self.describe().await {
            Ok(Some(table)) if has_owner_index(&table) => OwnerIndex::Present,
            _ => OwnerIndex::Refused {
                problem: with_causes(&refused),
            },
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

/// The capacity that is set aside for a table, which its index then gets too; none where requests are paid.
fn provisioned(table: &TableDescription) -> Option<ProvisionedThroughput> {
    let by_request = table
        .billing_mode_summary()
        .is_some_and(|billing| billing.billing_mode() == Some(&BillingMode::PayPerRequest));
    let set_aside = table.provisioned_throughput().filter(|_| !by_request)?;
    match (set_aside.read_capacity_units(), set_aside.write_capacity_units()) {
        (Some(read), Some(write)) if read > 0 && write > 0 => Some(throughput(read, write)),
        _ => None,
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
