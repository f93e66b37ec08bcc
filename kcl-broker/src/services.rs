//! What a [`Broker`] is beside streams: DynamoDB's tables and CloudWatch's metrics.

use std::sync::Arc;

use kcl_core::Timestamp;
use serde_json::Value;

use crate::{
    attempt::{Arrival, Attempt, Told},
    broker::Broker,
    cloudwatch::{MetricDatum, MetricsError, MetricsErrorKind, Node},
    dynamodb::{self, DynamoError, DynamoErrorKind, TableCosts},
    engine::Quirk,
    operations_log::Outcome,
    wire,
};

impl Broker {
    /// Carries out one operation of DynamoDB, such as `PutItem`, with bodies in DynamoDB's JSON.
    ///
    /// ```
    /// use kcl_broker::Broker;
    ///
    /// let broker = Broker::new();
    /// assert_eq!(broker.call_dynamodb("ListTables", b"{}")?, br#"{"TableNames":[]}"#);
    /// # Ok::<(), kcl_broker::dynamodb::DynamoError>(())
    /// ```
    ///
    /// # Errors
    /// As the service has it for the operation, and as [`trouble`](Self::trouble) wants it. Then nothing has changed.
    pub fn call_dynamodb(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynamoError> {
        let Some(name) = wire::dynamodb_name(operation) else {
            return self.execute_dynamodb(operation, body, None).1;
        };
        let attempt = Attempt::other(self, Default::default, false, || self.dynamodb_arrival(name, body));
        attempt.carry_out_with(|quirk| self.execute_dynamodb(operation, body, quirk), dynamodb_outcome)
    }

    /// What a table of DynamoDB has cost since it was made, if it exists.
    ///
    /// ```
    /// # let broker = kcl_broker::Broker::new();
    /// # broker.call_dynamodb("CreateTable", br#"{"TableName": "leases", "BillingMode": "PAY_PER_REQUEST",
    /// #     "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    /// #     "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}]}"#)?;
    /// broker.call_dynamodb("Scan", br#"{"TableName": "leases", "ConsistentRead": true}"#)?;
    /// let costs = broker.table_costs("leases").expect("the table exists");
    /// assert_eq!((costs.of("Scan").requests, costs.total().read_units), (1, 1.0));
    /// # Ok::<(), kcl_broker::dynamodb::DynamoError>(())
    /// ```
    #[must_use]
    pub fn table_costs(&self, table: &str) -> Option<TableCosts> {
        self.tables().costs(table).cloned()
    }

    /// The bytes that the items and indexes of all tables take, as they count against the limit.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.tables().stored_bytes()
    }

    /// What is known of a request to DynamoDB before it is carried out.
    pub(crate) fn dynamodb_arrival(&self, name: &'static str, body: &[u8]) -> Arrival {
        Arrival {
            operation: name,
            table: dynamodb::table_of(body),
            ..Arrival::default()
        }
    }

    /// Carries out one operation of DynamoDB, with what is to go wrong; gives the time at which it did.
    pub(crate) fn execute_dynamodb(
        &self,
        operation: &str,
        body: &[u8],
        quirk: Option<Quirk>,
    ) -> (Timestamp, Result<Vec<u8>, DynamoError>) {
        // The clock is read under the lock: then the tables see times in the order in which they are called.
        let mut tables = self.tables();
        let now = self.now();
        let refusal = quirk.and_then(|quirk| dynamodb_refusal(&quirk, operation));
        let answer = match refusal {
            Some(error) => Err(error),
            None => tables.call(now, operation, body),
        };
        (now, answer)
    }

    /// The data points that clients have put to CloudWatch, the oldest first, as far as they are kept.
    ///
    /// ```
    /// # let broker = kcl_broker::Broker::new();
    /// let renewals: f64 = broker
    ///     .metric_data()
    ///     .iter()
    ///     .filter(|datum| datum.metric_name == "RenewLease.Success")
    ///     .map(|datum| datum.statistics.sum)
    ///     .sum();
    /// # assert_eq!(renewals, 0.0);
    /// ```
    #[must_use]
    pub fn metric_data(&self) -> Vec<Arc<MetricDatum>> {
        self.metrics().data().cloned().collect()
    }

    /// Carries out one operation of CloudWatch, with what is to go wrong; gives the time at which it did.
    pub(crate) fn execute_metrics(
        &self,
        operation: &str,
        request: Value,
        quirk: Option<Quirk>,
    ) -> (Timestamp, Result<Option<Node>, MetricsError>) {
        let mut metrics = self.metrics();
        let now = self.now();
        let answer = match quirk.and_then(|quirk| metrics_refusal(&quirk)) {
            Some(error) => Err(error),
            None => metrics.call(now, operation, request),
        };
        (now, answer)
    }
}

/// What the log says of an answer.
pub(crate) fn dynamodb_outcome(answer: &Result<Vec<u8>, DynamoError>) -> Told {
    Told::of(match answer {
        Ok(_) => Outcome::Ok,
        Err(error) => Outcome::error(error.kind().as_str()),
    })
}

/// What DynamoDB answers in place of an operation, if the quirk is one that it can have.
fn dynamodb_refusal(quirk: &Quirk, operation: &str) -> Option<DynamoError> {
    let is_on_items = operation.contains("Item") || matches!(operation, "Query" | "Scan");
    Some(match quirk {
        Quirk::Throttle if is_on_items => DynamoError::new(
            DynamoErrorKind::ProvisionedThroughputExceeded,
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API.",
        ),
        Quirk::Throttle => DynamoError::new(
            DynamoErrorKind::LimitExceeded,
            "Subscriber limit exceeded: too many operations on tables at the same time",
        ),
        Quirk::InternalError => DynamoError::new(
            DynamoErrorKind::InternalServerError,
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
        Quirk::Unavailable => DynamoError::new(
            DynamoErrorKind::ServiceUnavailable,
            "The service is temporarily unavailable. Please retry after some time.",
        ),
        _ => return None,
    })
}

/// What the log says of an answer.
pub(crate) fn metrics_outcome(answer: &Result<Option<Node>, MetricsError>) -> Told {
    Told::of(match answer {
        Ok(_) => Outcome::Ok,
        Err(error) => Outcome::error(error.kind().as_str()),
    })
}

/// What CloudWatch answers in place of an operation, if the quirk is one that it can have.
fn metrics_refusal(quirk: &Quirk) -> Option<MetricsError> {
    let (kind, message) = match quirk {
        Quirk::Throttle => (MetricsErrorKind::Throttling, "Rate exceeded"),
        Quirk::InternalError => (
            MetricsErrorKind::InternalServiceFault,
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
        Quirk::Unavailable => (
            MetricsErrorKind::ServiceUnavailable,
            "The request has failed due to a temporary failure of the server.",
        ),
        _ => return None,
    };
    Some(MetricsError::new(kind, message))
}
