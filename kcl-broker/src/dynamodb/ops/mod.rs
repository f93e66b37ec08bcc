//! The operations, by name.

mod batch;
mod create;
mod describe;
mod items;
mod query;
mod read;
mod scan;
mod settings;
mod tables;
mod transact;
mod update_table;
mod write;

use serde::{Serialize, de::DeserializeOwned};

pub(super) use self::transact::TransactionTokens;
use super::{
    Tables,
    error::{DynamoError, DynamoErrorKind},
};

/// A request that tables can carry out.
trait Operation: DeserializeOwned {
    const NAME: &'static str;
    type Output: Serialize;

    fn execute(self, tables: &mut Tables) -> Result<Self::Output, DynamoError>;
}

/// Runs the operation that `$name` is the name of.
macro_rules! dispatch {
    ($name:expr, $tables:expr, $body:expr, $($operation:ty),+ $(,)?) => {
        match $name {
            $(<$operation>::NAME => run::<$operation>($tables, $body),)+
            _ => Err(DynamoError::new(DynamoErrorKind::UnknownOperation, "")),
        }
    };
}

/// Decodes, carries out and encodes one operation.
pub(super) fn call(tables: &mut Tables, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynamoError> {
    dispatch!(
        operation,
        tables,
        body,
        batch::BatchGetItem,
        batch::BatchWriteItem,
        create::CreateTable,
        items::DeleteItem,
        items::GetItem,
        items::PutItem,
        items::UpdateItem,
        query::Query,
        scan::Scan,
        settings::DescribeContinuousBackups,
        settings::ListTagsOfResource,
        settings::TagResource,
        settings::UntagResource,
        settings::UpdateContinuousBackups,
        tables::DeleteTable,
        tables::DescribeTable,
        tables::ListTables,
        transact::TransactGetItems,
        transact::TransactWriteItems,
        update_table::UpdateTable,
    )
}

fn run<O: Operation>(tables: &mut Tables, body: &[u8]) -> Result<Vec<u8>, DynamoError> {
    let unreadable = |error: serde_json::Error| DynamoError::new(DynamoErrorKind::Serialization, error.to_string());
    let request = serde_json::from_slice::<O>(body).map_err(unreadable)?;
    let output = request.execute(tables)?;
    Ok(serde_json::to_vec(&output).expect("the outputs have text keys and their serialization does not fail"))
}
