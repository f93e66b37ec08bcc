//! The events that a function is invoked with: batches of records in Lambda's JSON.
//!
//! Events are written straight into one buffer of the right size, and what a record takes in an event is known without
//! writing it.

mod parse;
mod window;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
pub use kcl_core::delivery::Window;
use kcl_core::{Record, ShardId, Timestamp};

pub use self::{
    parse::{EventRecord, InvalidEvent, parse_event},
    window::WindowInvoke,
};

/// The most bytes of an event that Lambda takes: 6 MB, after the encoding of the data.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

const HEAD: &str = r#"{"Records":["#;
const TAIL: &str = "]";

/// Writes the events of one shard: all that is the same for each of its records is put together once.
///
/// ```
/// use kcl_core::{Record, ShardId, Timestamp};
/// use kcl_lambda::event::{EventSource, EventWriter};
///
/// let source = EventSource {
///     event_source_arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".to_owned(),
///     region: "eu-west-1".to_owned(),
///     invoke_identity_arn: "arn:aws:iam::111122223333:role/esm".to_owned(),
/// };
/// let writer = EventWriter::new(&source, &ShardId::new("shardId-000000000003")?);
/// let record = Record::new("4965".parse()?, "sensor-7", Timestamp::from_epoch_millis(1_763_700_000_125), "ok");
/// let event = writer.event(&[record]);
/// assert_eq!(
///     event,
///     concat!(
/// r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"sensor-7","sequenceNumber":"4965","#,
/// r#""data":"b2s=","approximateArrivalTimestamp":1763700000.125},"eventSource":"aws:kinesis","#,
/// r#""eventVersion":"1.0","eventID":"shardId-000000000003:4965","eventName":"aws:kinesis:record","#,
/// r#""invokeIdentityArn":"arn:aws:iam::111122223333:role/esm","awsRegion":"eu-west-1","#,
/// r#""eventSourceARN":"arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"}]}"#,     ) );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventWriter {
    /// From the end of a record's time to its number in `eventID`.
    middle: Vec<u8>,
    /// From the end of `eventID` to the end of the record.
    end: Vec<u8>,
    /// `shardId` and `eventSourceARN` of an event with a window, as JSON members.
    place: String,
}

/// Where the records of an event come from, as the event says it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, made with a literal")]
pub struct EventSource {
    /// `eventSourceARN`: the stream, or the consumer with dedicated throughput.
    pub event_source_arn: String,
    /// `awsRegion`.
    pub region: String,
    /// `invokeIdentityArn`: on Lambda the role of the function.
    pub invoke_identity_arn: String,
}

/// What stands before each value of a record, in the order in which AWS has them.
mod part {
    pub(super) const KEY: &str = r#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":""#;
    pub(super) const NUMBER: &str = r#"","sequenceNumber":""#;
    pub(super) const DATA: &str = r#"","data":""#;
    pub(super) const TIME: &str = r#"","approximateArrivalTimestamp":"#;
}

impl EventWriter {
    /// A writer for the records of `shard`.
    #[must_use]
    pub fn new(source: &EventSource, shard: &ShardId) -> Self {
        let shard = escaped(shard.as_str());
        let [arn, region, role] =
            [&source.event_source_arn, &source.region, &source.invoke_identity_arn].map(|text| escaped(text));
        let middle = format!(r#"}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"{shard}:"#);
        let end = format!(
            r#"","eventName":"aws:kinesis:record","invokeIdentityArn":"{role}","awsRegion":"{region}","eventSourceARN":"{arn}"}}"#
        );
        let place = format!(r#","shardId":"{shard}","eventSourceARN":"{arn}""#);
        Self {
            middle: middle.into_bytes(),
            end: end.into_bytes(),
            place,
        }
    }

    /// The event with `records`, as JSON.
    #[must_use]
    pub fn event(&self, records: &[Record]) -> Bytes {
        let mut json = self.open(records, 1);
        json.push(b'}');
        Bytes::from(json)
    }

    /// The event with `records` of a tumbling window; the last one of a window may have none.
    #[must_use]
    pub fn window_event(&self, records: &[Record], invoke: &WindowInvoke) -> Bytes {
        let window = invoke.members(&self.place);
        let mut json = self.open(records, window.len() + 1);
        json.extend_from_slice(window.as_bytes());
        json.push(b'}');
        Bytes::from(json)
    }

    /// The bytes that `record` takes in an event.
    ///
    /// An event of records is [`envelope_bytes`](Self::envelope_bytes) and one comma between two records larger than
    /// they are together.
    #[must_use]
    pub fn record_bytes(&self, record: &Record) -> usize {
        let number = record.sequence_number.as_str().len();
        let data = base64_len(&record.data);
        let fixed = part::KEY.len() + part::NUMBER.len() + part::DATA.len() + part::TIME.len();
        let varying = escaped_len(&record.partition_key) + 2 * number + sub_len(record) + data;
        fixed + varying + time_len(record.approximate_arrival_timestamp) + self.middle.len() + self.end.len()
    }

    /// The bytes of an event without records.
    #[must_use]
    pub fn envelope_bytes() -> usize {
        HEAD.len() + TAIL.len() + 1
    }

    /// The bytes of an event without records and with what `invoke` says of a window.
    #[must_use]
    pub fn window_envelope_bytes(&self, invoke: &WindowInvoke) -> usize {
        Self::envelope_bytes() + invoke.members(&self.place).len()
    }

    /// The bytes of the event with `records`, without writing it.
    #[must_use]
    pub fn event_bytes(&self, records: &[Record]) -> usize {
        Self::envelope_bytes() + self.records_bytes(records)
    }

    fn records_bytes(&self, records: &[Record]) -> usize {
        let records_bytes: usize = records.iter().map(|record| self.record_bytes(record)).sum();
        records_bytes + records.len().saturating_sub(1)
    }

    /// The event up to the end of the list, in a buffer with room for `more`.
    fn open(&self, records: &[Record], more: usize) -> Vec<u8> {
        let mut json = Vec::with_capacity(HEAD.len() + self.records_bytes(records) + TAIL.len() + more);
        json.extend_from_slice(HEAD.as_bytes());
        for (place, record) in records.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            self.push_record(&mut json, record);
        }
        json.extend_from_slice(TAIL.as_bytes());
        json
    }

    fn push_record(&self, json: &mut Vec<u8>, record: &Record) {
        let number = record.sequence_number.as_str().as_bytes();
        json.extend_from_slice(part::KEY.as_bytes());
        push_escaped(json, &record.partition_key);
        json.extend_from_slice(part::NUMBER.as_bytes());
        json.extend_from_slice(number);
        json.extend_from_slice(part::DATA.as_bytes());
        push_base64(json, &record.data);
        json.extend_from_slice(part::TIME.as_bytes());
        json.extend_from_slice(time(record.approximate_arrival_timestamp).as_bytes());
        json.extend_from_slice(&self.middle);
        json.extend_from_slice(number);
        // Records of one aggregate share a number, and no two events may share an id.
        if record.sub_sequence_number > 0 {
            json.push(b'/');
            json.extend_from_slice(record.sub_sequence_number.to_string().as_bytes());
        }
        json.extend_from_slice(&self.end);
    }
}

/// Encodes in place: nothing is copied.
fn push_base64(json: &mut Vec<u8>, data: &[u8]) {
    let start = json.len();
    json.resize(start + base64_len(data), 0);
    STANDARD
        .encode_slice(data, &mut json[start..])
        .expect("the room is that of padded base64");
}

fn base64_len(data: &[u8]) -> usize {
    data.len().div_ceil(3) * 4
}

fn sub_len(record: &Record) -> usize {
    match record.sub_sequence_number {
        0 => 0,
        sub => 1 + digits(sub),
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The length of what [`time`] writes.
fn time_len(at: Timestamp) -> usize {
    let millis = at.epoch_millis();
    usize::from(millis < 0) + digits(millis.unsigned_abs() / 1_000) + ".000".len()
}

/// Seconds with three decimals, always: more would make `aws_lambda_events` refuse the batch.
pub(crate) fn time(at: Timestamp) -> String {
    let millis = at.epoch_millis();
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03}", millis / 1_000, millis % 1_000)
}

/// `text` as it stands between the quotes of JSON.
fn escaped(text: &str) -> String {
    let mut json = Vec::with_capacity(text.len());
    push_escaped(&mut json, text);
    String::from_utf8(json).expect("text stays text: only ASCII is replaced, and by ASCII")
}

/// Writes `text` as it stands between the quotes of JSON.
fn push_escaped(json: &mut Vec<u8>, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match escape(byte) {
            Escape::None => continue,
            Escape::Short(letter) => Some(letter),
            Escape::Code => None,
        };
        json.extend_from_slice(&text.as_bytes()[from..at]);
        match short {
            Some(letter) => json.extend([b'\\', letter]),
            None => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        from = at + 1;
    }
    json.extend_from_slice(&text.as_bytes()[from..]);
}

/// The bytes that `text` takes between the quotes of JSON.
fn escaped_len(text: &str) -> usize {
    let len = |byte| match escape(byte) {
        Escape::None => 1,
        Escape::Short(_) => 2,
        Escape::Code => 6,
    };
    text.bytes().map(len).sum()
}

enum Escape {
    None,
    Short(u8),
    Code,
}

fn escape(byte: u8) -> Escape {
    match byte {
        b'"' => Escape::Short(b'"'),
        b'\\' => Escape::Short(b'\\'),
        b'\n' => Escape::Short(b'n'),
        b'\r' => Escape::Short(b'r'),
        b'\t' => Escape::Short(b't'),
        0x08 => Escape::Short(b'b'),
        0x0c => Escape::Short(b'f'),
        0..0x20 => Escape::Code,
        _ => Escape::None,
    }
}

#[cfg(test)]
mod tests;
