//! A lease table's life in DynamoDB, and metrics for CloudWatch.

use std::error::Error;

use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue, ScalarAttributeType,
};

use crate::{Interop, LOOKS, Outcome, PAUSE, cause, check, named, refused};

pub(crate) async fn tables(interop: &Interop) -> Outcome {
    let dynamodb = &interop.dynamodb;
    let table = named("leases");
    let key = KeySchemaElement::builder()
        .attribute_name("leaseKey")
        .key_type(KeyType::Hash)
        .build()?;
    let kind = AttributeDefinition::builder().attribute_name("leaseKey");
    let create = dynamodb
        .create_table()
        .table_name(&table)
        .key_schema(key)
        .billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(kind.attribute_type(ScalarAttributeType::S).build()?);
    create.send().await.map_err(cause)?;
    interop.table_is_active(&table).await?;

    let put = || {
        let put = dynamodb
            .put_item()
            .table_name(&table)
            .item("leaseKey", string("shardId-0"));
        put.item("leaseCounter", number(0))
            .condition_expression("attribute_not_exists(leaseKey)")
            .send()
    };
    put().await.map_err(cause)?;
    refused(put().await, "ConditionalCheckFailedException")?;
    let take = dynamodb
        .update_item()
        .table_name(&table)
        .key("leaseKey", string("shardId-0"));
    let take = take.update_expression("SET leaseOwner = :me ADD leaseCounter :one REMOVE checkpointOwner");
    let take = take.condition_expression("attribute_not_exists(leaseOwner) OR leaseOwner = :me");
    let take = take
        .expression_attribute_values(":me", string("me"))
        .expression_attribute_values(":one", number(1));
    let after = take
        .return_values(ReturnValue::AllNew)
        .send()
        .await
        .map_err(cause)?
        .attributes
        .unwrap_or_default();
    check(
        after.get("leaseCounter") == Some(&number(1)),
        format!("after the update: {after:?}"),
    )?;
    let found = dynamodb.scan().table_name(&table).send().await.map_err(cause)?;
    check(found.items() == [after], format!("items {:?}", found.items()))?;
    dynamodb
        .delete_item()
        .table_name(&table)
        .key("leaseKey", string("shardId-0"))
        .send()
        .await
        .map_err(cause)?;
    dynamodb.delete_table().table_name(&table).send().await.map_err(cause)?;
    refused(
        dynamodb.describe_table().table_name(&table).send().await,
        "ResourceNotFoundException",
    )?;
    Ok(String::new())
}

pub(crate) async fn metrics(interop: &Interop) -> Outcome {
    let datum = MetricDatum::builder()
        .metric_name("Lag")
        .value(5.0)
        .unit(StandardUnit::Milliseconds)
        .build();
    let put = interop
        .cloudwatch
        .put_metric_data()
        .namespace("interop")
        .metric_data(datum);
    put.send().await.map_err(cause)?;
    Ok(String::new())
}

impl Interop {
    async fn table_is_active(&self, table: &str) -> Result<(), Box<dyn Error>> {
        for _ in 0..LOOKS {
            let found = self
                .dynamodb
                .describe_table()
                .table_name(table)
                .send()
                .await
                .map_err(cause)?;
            let status = found.table.and_then(|table| table.table_status);
            if status.is_some_and(|status| status.as_str() == "ACTIVE") {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{table} does not become ACTIVE").into())
    }
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
