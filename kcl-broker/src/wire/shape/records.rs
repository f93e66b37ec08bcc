//! What reading and writing answer.

use serde::Serialize;

use super::{Output, settings::shown};
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
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            #[serde(flatten)]
            written: WrittenShape<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            encryption_type: Option<&'static str>,
        }
        format.encode(&Shape {
            written: WrittenShape::of(self),
            encryption_type: shown(self.encryption_type),
        })
    }
}

impl Output for PutRecordsOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            failed_record_count: usize,
            records: Vec<ResultShape<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            encryption_type: Option<&'static str>,
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
            encryption_type: shown(self.encryption_type),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::EncryptionType;

    #[test]
    fn records_that_failed_stand_among_those_that_were_written() {
        let written = PutRecordOutput {
            shard_id: kcl_core::ShardId::new("shardId-000000000000").unwrap(),
            sequence_number: kcl_core::SequenceNumber::new("7").unwrap(),
            encryption_type: EncryptionType::None,
        };
        let failed = PutRecordsResult::Failed {
            error_code: "ProvisionedThroughputExceededException".to_owned(),
            error_message: "Rate exceeded".to_owned(),
        };
        let output = PutRecordsOutput {
            failed_record_count: 1,
            records: vec![failed, PutRecordsResult::Written(written)],
            encryption_type: EncryptionType::None,
        };
        let body: Value = serde_json::from_slice(&output.encode(Format::Json)).unwrap();
        let failed = json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"});
        let written = json!({"ShardId": "shardId-000000000000", "SequenceNumber": "7"});
        assert_eq!(body, json!({"FailedRecordCount": 1, "Records": [failed, written]}));
    }
}
