//! What filters cost per record, beside reading the whole record as `serde_json::Value` and beside checking only that it
//! is JSON. And what an event costs per record.
//!
//! `cargo bench -p kcl-lambda --bench filters -- 200000`: how many records.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use kcl_core::{Record, ShardId, Timestamp};
use kcl_lambda::{
    event::{EventSource, EventWriter},
    filter::{FilterCriteria, FilterOptions, FilterVerdict, RecordFilter},
};

/// Each configuration is measured so often, and the median told.
const ROUNDS: usize = 5;
/// Records that are judged over and over.
const RECORDS: u64 = 1_000;

type Failure = Box<dyn std::error::Error>;

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock; nothing is decided by it"
)]
fn median(records: &[Record], count: usize, mut work: impl FnMut(&Record) -> bool) -> (Duration, usize) {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            let records = records.iter().cycle().take(count);
            let kept = records.filter(|record| work(black_box(record))).count();
            (started.elapsed(), kept)
        })
        .collect();
    rounds.sort_by_key(|(took, _)| *took);
    rounds[ROUNDS / 2]
}

/// Records as they come: a device's reading, with `padding` bytes of text that no filter asks for.
fn records(padding: usize) -> Result<Vec<Record>, Failure> {
    let mut rng = fastrand::Rng::with_seed(7);
    let record = |number| {
        let data = serde_json::json!({
            "id": format!("{:016x}", rng.u64(..)),
            "kind": if rng.u32(..10) == 0 { "alarm" } else { "reading" },
            "at": 1_763_700_000.125,
            "place": {"site": "north", "rack": rng.u32(..40)},
            "temperature": f64::from(rng.u32(100..400)) / 10.0,
            "tags": ["a", "b", {"name": "c", "on": true}],
            "note": "x".repeat(padding),
        });
        let number = format!("49650000000000000000000000000000000000{number:018}");
        let arrival = Timestamp::from_epoch_millis(1_763_700_000_125);
        Ok(Record::new(number.parse()?, "sensor-7", arrival, data.to_string()))
    };
    (0..RECORDS).map(record).collect()
}

fn main() -> Result<(), Failure> {
    let count = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(200_000);
    let one = r#"{"data":{"kind":["alarm"]}}"#;
    let nested = r#"{"data":{"place":{"rack":[{"numeric":[">=",10,"<",20]}]},"temperature":[{"numeric":[">",30]}]}}"#;
    let or = r#"{"data":{"$or":[{"kind":[{"prefix":"al"}]},{"tags":{"name":["d"]}}]}}"#;
    let missing = r#"{"data":{"owner":[{"exists":true}],"kind":[{"anything-but":["reading"]}]}}"#;
    let key = r#"{"partitionKey":[{"prefix":"sensor-"}]}"#;
    let cases = [
        ("one field", vec![one]),
        ("nested, numeric", vec![nested]),
        ("$or, list", vec![or]),
        ("five filters", vec![missing, one, nested, or, missing]),
        ("partition key only", vec![key]),
    ];
    let options = FilterOptions {
        metadata: true,
        ..FilterOptions::default()
    };
    let source = EventSource {
        event_source_arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111122223333:role/esm".to_owned(),
    };
    let writer = EventWriter::new(&source, &ShardId::new("shardId-000000000003")?);
    println!(
        "{:<26} {:>10} {:>12} {:>12} {:>8}",
        "", "bytes", "ns/record", "records/s", "true"
    );
    for padding in [0, 800, 10_000] {
        let records = records(padding)?;
        let bytes = records[0].data.len();
        let measure = |name: &str, work: &dyn Fn(&Record) -> bool| {
            tell(name, bytes, count, median(&records, count, work));
        };
        for (name, patterns) in &cases {
            let filter = RecordFilter::new(&FilterCriteria::of_patterns(patterns.iter().copied()), options)?;
            measure(name, &|record| filter.judge(record) == FilterVerdict::Kept);
        }
        measure("read as Value", &|record| {
            serde_json::from_slice::<serde_json::Value>(&record.data).is_ok()
        });
        measure("check that it is JSON", &|record| {
            serde_json::from_slice::<serde::de::IgnoredAny>(&record.data).is_ok()
        });
        measure("size in an event", &|record| black_box(writer.record_bytes(record)) > 0);
        measure("event of one record", &|record| {
            !writer.event(std::slice::from_ref(record)).is_empty()
        });
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn tell(name: &str, bytes: usize, count: usize, (took, kept): (Duration, usize)) {
    let nanos = took.as_nanos() as f64 / count as f64;
    let kept = 100.0 * kept as f64 / count as f64;
    println!(
        "{name:<26} {bytes:>10} {nanos:>12.0} {:>12.0} {kept:>7.1}%",
        1e9 / nanos
    );
}
