//! Polling: `GetShardIterator` and `GetRecords`.

use async_trait::async_trait;
use aws_sdk_kinesis::{
    operation::get_records::GetRecordsOutput,
    primitives::DateTime,
    types::{self, ShardIteratorType},
};
use kcl_core::{
    Batch, Position, Record, SequenceNumber, ShardId, Timestamp,
    fetch::{Fetch, FetchFailure, FetchFailureKind},
};

use super::{KinesisSource, catalog::read_child, failure::malformed};
use crate::source::ShardReader;

impl KinesisSource {
    pub(super) async fn poll_from(
        &self,
        shard: &ShardId,
        position: &Position,
    ) -> Result<Box<dyn ShardReader>, FetchFailure> {
        let request = self
            .client()
            .get_shard_iterator()
            .set_stream_name(self.name_to_send())
            .set_stream_arn(self.arn_to_send())
            .shard_id(shard.as_str());
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::AtTimestamp(at) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(at.epoch_millis())),
            // At, not after: records that were aggregated into this one may not have been handled yet.
            Position::Record(record) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(record.sequence_number.as_str()),
            other => {
                let message = format!("a shard cannot be read from {other}");
                return Err(FetchFailure {
                    kind: FetchFailureKind::InvalidPosition,
                    message,
                });
            }
        };
        let answer = self.timed("GetShardIterator", request.send()).await?;
        let Some(iterator) = answer.shard_iterator else {
            return Err(malformed("GetShardIterator gave no iterator".to_owned()));
        };
        let (source, shard) = (self.clone(), shard.clone());
        Ok(Box::new(KinesisReader {
            source,
            shard,
            iterator,
        }))
    }
}

#[derive(Debug)]
struct KinesisReader {
    source: KinesisSource,
    shard: ShardId,
    iterator: String,
}

#[async_trait]
impl ShardReader for KinesisReader {
    async fn read(&mut self, max_records: u32) -> Result<Fetch, FetchFailure> {
        let limit = i32::try_from(max_records).unwrap_or(i32::MAX);
        let request = self
            .source
            .client()
            .get_records()
            .set_stream_arn(self.source.arn_to_send())
            .shard_iterator(&self.iterator)
            .limit(limit);
        let answer = self
            .source
            .timed("GetRecords", request.send())
            .await
            .map_err(|failure| {
                // An iterator that the service does not accept any more is no fault of the position.
                match failure.kind {
                    FetchFailureKind::InvalidPosition => FetchFailure {
                        kind: FetchFailureKind::Expired,
                        ..failure
                    },
                    _ => failure,
                }
            })?;
        self.accept(answer)
    }
}

impl KinesisReader {
    fn accept(&mut self, answer: GetRecordsOutput) -> Result<Fetch, FetchFailure> {
        let children = answer.child_shards.unwrap_or_default();
        if answer.next_shard_iterator.is_some() && !children.is_empty() {
            return Err(malformed("GetRecords gave child shards and a next iterator".to_owned()));
        }
        let records = answer.records.into_iter().map(read_record).collect::<Result<_, _>>()?;
        let behind = answer
            .millis_behind_latest
            .and_then(|millis| u64::try_from(millis).ok());
        let batch =
            Batch::new(self.source.stream.clone(), self.shard.clone(), records).with_millis_behind_latest(behind);
        let end = match answer.next_shard_iterator {
            Some(next) => {
                self.iterator = next;
                None
            }
            None => Some(children.iter().map(read_child).collect::<Result<_, _>>()?),
        };
        Ok(Fetch {
            batch,
            end,
            continuation: None,
        })
    }
}

pub(super) fn read_record(record: types::Record) -> Result<Record, FetchFailure> {
    let sequence_number =
        SequenceNumber::new(record.sequence_number).map_err(|error| malformed(format!("GetRecords: {error}")))?;
    let arrival = record
        .approximate_arrival_timestamp
        .and_then(|at| at.to_millis().ok())
        .unwrap_or_default();
    let arrival = Timestamp::from_epoch_millis(arrival);
    // On streams that distribute records by themselves producers may leave the key out.
    let partition_key = record.partition_key.unwrap_or_default();
    // `Vec` to `Bytes` takes the allocation over.
    Ok(Record::new(
        sequence_number,
        partition_key,
        arrival,
        record.data.into_inner(),
    ))
}
