//! A record as a line of JSON.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kcl_core::{Batch, Record};
use serde::Serialize;

/// What a line takes besides the record's data and key, roughly.
const LINE_OVERHEAD: usize = 320;

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    /// Where several are read: those of two accounts may have one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
    shard_id: &'a str,
    sequence_number: &'a str,
    sub_sequence_number: u64,
    partition_key: &'a str,
    approximate_arrival_timestamp: String,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Serialize)]
enum Data<'a> {
    #[serde(rename = "data")]
    Text(&'a str),
    #[serde(rename = "data_base64")]
    Bytes(String),
}

/// The lines of a batch, each with its end.
pub(super) fn render(batch: &Batch) -> io::Result<Vec<u8>> {
    let mut lines = Vec::with_capacity(batch.size() + batch.len() * LINE_OVERHEAD);
    for record in batch {
        serde_json::to_writer(&mut lines, &line(batch, record))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn line<'a>(batch: &'a Batch, record: &'a Record) -> Line<'a> {
    Line {
        stream: batch.stream().as_str(),
        stream_id: batch.stream_id().map(ToString::to_string),
        shard_id: batch.shard().as_str(),
        sequence_number: record.sequence_number.as_str(),
        sub_sequence_number: record.sub_sequence_number,
        partition_key: &record.partition_key,
        approximate_arrival_timestamp: record.approximate_arrival_timestamp.to_string(),
        data: match std::str::from_utf8(&record.data) {
            Ok(text) => Data::Text(text),
            Err(_) => Data::Bytes(STANDARD.encode(&record.data)),
        },
    }
}

#[cfg(test)]
mod tests {
    use kcl_core::{ShardId, StreamName, Timestamp};

    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_the_data() {
        let at = Timestamp::from_epoch_millis(1_357_034_400_000);
        let record = |data: &'static [u8]| Record::new("7".parse().unwrap(), "k\"1", at, data);
        let records = vec![record(b"a\nb"), record(b"\xff\x00")];
        let batch = Batch::new(
            StreamName::new("s").unwrap(),
            ShardId::new("shardId-0").unwrap(),
            records,
        );
        let text = String::from_utf8(render(&batch).unwrap()).unwrap();
        let head = r#"{"stream":"s","shard_id":"shardId-0","sequence_number":"7","sub_sequence_number":0,"#;
        let key = r#""partition_key":"k\"1","approximate_arrival_timestamp":"2013-01-01T10:00:00.000Z","#;
        let expected = format!("{head}{key}\"data\":\"a\\nb\"}}\n{head}{key}\"data_base64\":\"/wA=\"}}\n");
        assert_eq!(text, expected);
    }
}
