//! Showing a stream and its shards.

use aws_sdk_kinesis::types::{Shard, StreamDescriptionSummary, StreamStatus};
use kcl_core::{StreamName, Timestamp};
use serde::Serialize;

use super::{listing, ready};
use crate::{aws::Kinesis, error::Error, output};

/// A stream, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Description {
    stream: String,
    arn: String,
    status: String,
    mode: Option<String>,
    created: Option<String>,
    retention_hours: i32,
    open_shards: usize,
    shards: Vec<ShardRow>,
}

#[derive(Debug, Serialize)]
struct ShardRow {
    shard_id: String,
    open: bool,
    parents: Vec<String>,
    hash_key_range: Range,
    sequence_number_range: Range,
}

/// Numbers as text: JSON's own would lose their last digits.
#[derive(Debug, Default, Serialize)]
struct Range {
    start: String,
    end: Option<String>,
}

impl Range {
    fn show(&self) -> String {
        format!("{}..{}", self.start, self.end.as_deref().unwrap_or_default())
    }
}

/// Prints a stream and its shards.
pub(crate) async fn stream(kinesis: &Kinesis, name: &StreamName, json: bool) -> Result<(), Error> {
    let summary = ready::summary(kinesis, name)
        .await?
        .ok_or_else(|| kinesis.unknown_stream(name))?;
    // The service does not list the shards of a stream that comes or goes.
    let has_shards = matches!(summary.stream_status, StreamStatus::Active | StreamStatus::Updating);
    let shards = match has_shards {
        true => listing::shards(kinesis, name).await?,
        false => Vec::new(),
    };
    let description = describe(summary, &shards);
    if json {
        return output::json(&description);
    }
    output::line(&format!(
        "stream     {}\narn        {}\nstatus     {}\nmode       {}\ncreated    {}\nretention  {} h\nshards     {} open, {} closed\n",
        description.stream,
        description.arn,
        description.status,
        description.mode.as_deref().unwrap_or("-"),
        description.created.as_deref().unwrap_or("-"),
        description.retention_hours,
        description.open_shards,
        description.shards.len() - description.open_shards,
    ))?;
    let header = ["SHARD", "STATE", "PARENTS", "HASH KEYS", "SEQUENCE NUMBERS"];
    let rows = description.shards.into_iter().map(|shard| {
        let state = if shard.open { "open" } else { "closed" };
        let (keys, numbers) = (shard.hash_key_range.show(), shard.sequence_number_range.show());
        [shard.shard_id, state.to_owned(), shard.parents.join(","), keys, numbers]
    });
    output::table(header, rows)
}

fn describe(summary: StreamDescriptionSummary, shards: &[Shard]) -> Description {
    let mode = summary
        .stream_mode_details
        .map(|details| details.stream_mode.as_str().to_owned());
    let created = summary.stream_creation_timestamp.to_millis().ok();
    Description {
        stream: summary.stream_name,
        arn: summary.stream_arn,
        status: summary.stream_status.as_str().to_owned(),
        mode,
        created: created.map(|millis| Timestamp::from_epoch_millis(millis).to_string()),
        retention_hours: summary.retention_period_hours,
        open_shards: shards.iter().filter(|shard| listing::is_open(shard)).count(),
        shards: shards.iter().map(row).collect(),
    }
}

fn row(shard: &Shard) -> ShardRow {
    let keys = shard.hash_key_range.as_ref().map(|range| Range {
        start: range.starting_hash_key.clone(),
        end: Some(range.ending_hash_key.clone()),
    });
    let numbers = shard.sequence_number_range.as_ref().map(|range| Range {
        start: range.starting_sequence_number.clone(),
        end: range.ending_sequence_number.clone(),
    });
    ShardRow {
        shard_id: shard.shard_id.clone(),
        open: listing::is_open(shard),
        parents: listing::parents(shard).into_iter().map(str::to_owned).collect(),
        hash_key_range: keys.unwrap_or_default(),
        sequence_number_range: numbers.unwrap_or_default(),
    }
}
