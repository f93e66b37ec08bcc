//! The index by owner, which workers of Java KCL 3.x find their leases with.

use aws_sdk_dynamodb::types::{
    BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, KeyType, Projection, ProjectionType,
    ProvisionedThroughput, TableDescription,
};
use kcl_core::StoreError;

use super::{
    super::schema::{LEASE_KEY, LEASE_OWNER, OWNER_INDEX, has_owner_index, key_part, text_attribute},
    Preparation, throughput,
};

/// What became of the index by owner, which workers of Java KCL 3.x find their leases with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerIndex {
    /// There is none, and [`DynamoDbConfig::owner_index`](crate::DynamoDbConfig::owner_index) does not ask for one.
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

impl Preparation<'_> {
    /// Adds the index if it is wanted and absent. No failure of that keeps a worker from its leases.
    pub(super) async fn add_owner_index(&self, table: &TableDescription) -> OwnerIndex {
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
