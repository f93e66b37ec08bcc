//! Listing streams, and the shards of one.

use aws_sdk_kinesis::types::Shard;
use kcl_core::StreamName;
use serde_json::json;

use crate::{aws::Kinesis, error::Error, output};

/// Prints the names of all streams.
pub(crate) async fn streams(kinesis: &Kinesis, json: bool) -> Result<(), Error> {
    let mut names: Vec<String> = Vec::new();
    let mut token = None;
    loop {
        let request = kinesis.client.list_streams().set_next_token(token);
        let page = request
            .send()
            .await
            .map_err(|error| kinesis.error("ListStreams", &error))?;
        names.extend(page.stream_names);
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    match (json, names.is_empty()) {
        (true, _) => output::json(&json!({ "streams": names })),
        (false, true) => Ok(()),
        (false, false) => output::line(&names.join("\n")),
    }
}

/// All shards of a stream that are still retained, closed ones included.
pub(crate) async fn shards(kinesis: &Kinesis, stream: &StreamName) -> Result<Vec<Shard>, Error> {
    let mut shards = Vec::new();
    let mut token: Option<String> = None;
    loop {
        // A token brings the stream with it; naming it again is an error.
        let request = kinesis.client.list_shards();
        let request = match token.take() {
            Some(token) => request.next_token(token),
            None => request.stream_name(stream.as_str()),
        };
        let page = request
            .send()
            .await
            .map_err(|error| kinesis.stream_error("ListShards", stream, &error))?;
        shards.extend(page.shards.unwrap_or_default());
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(shards);
        }
    }
}

/// Whether a shard still takes records.
pub(crate) fn is_open(shard: &Shard) -> bool {
    shard
        .sequence_number_range
        .as_ref()
        .is_none_or(|range| range.ending_sequence_number.is_none())
}

/// The shards that a shard was made of.
pub(crate) fn parents(shard: &Shard) -> Vec<&str> {
    shard
        .parent_shard_id
        .iter()
        .chain(&shard.adjacent_parent_shard_id)
        .map(String::as_str)
        .collect()
}
