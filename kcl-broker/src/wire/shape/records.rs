//! What reading and writing answer.

use serde::Serialize;

use super::Output;
use crate::{
    api::{GetRecordsOutput, GetShardIteratorOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult},
    wire::Format,
};

impl Output for GetRecordsOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        format.encode_records(self)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenShape<'a> {
    shard_id: &'a str,
    sequence_number: &'a str,
}

impl<'a> WrittenShape<'a> {
    fn of(written: &'a PutRecordOutput) -> Self {
        Self {
            shard_id: written.shard_id.as_str(),
            sequence_number: written.sequence_number.as_str(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailedShape<'a> {
    error_code: &'a str,
    error_message: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResultShape<'a> {
    Written(WrittenShape<'a>),
    Failed(FailedShape<'a>),
}

impl Output for PutRecordOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        format.encode(&WrittenShape::of(self))
    }
}

impl Output for PutRecordsOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            failed_record_count: usize,
            records: Vec<ResultShape<'a>>,
        }
        let records = self.records.iter().map(|result| match result {
            PutRecordsResult::Written(written) => ResultShape::Written(WrittenShape::of(written)),
            PutRecordsResult::Failed {
                error_code,
                error_message,
            } => ResultShape::Failed(FailedShape {
                error_code,
                error_message,
            }),
        });
        format.encode(&Shape {
            failed_record_count: self.failed_record_count,
            records: records.collect(),
        })
    }
}

impl Output for GetShardIteratorOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            shard_iterator: &'a str,
        }
        format.encode(&Shape {
            shard_iterator: &self.shard_iterator,
        })
    }
}
