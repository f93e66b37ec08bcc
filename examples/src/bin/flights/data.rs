//! The flights: reading them, putting them into the stream, and what they say.

use std::{collections::BTreeMap, error::Error};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use kcl_core::HashKey;
use serde::{Deserialize, Serialize};

/// Every flight that left New York's airports from 1 to 7 January 2013 (US Bureau of Transportation Statistics).
const CSV: &str = include_str!("../../../data/flights-2013-01-week1.csv");

/// A flight, as the stream carries it. `NA` marks a missing value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Flight {
    /// The row in the file, from 0: a flight's identity here.
    #[serde(default)]
    pub(crate) row: usize,
    pub(crate) carrier: String,
    pub(crate) flight: String,
    /// The aircraft: the partition key, so that one aircraft's flights stay in order.
    pub(crate) tailnum: String,
    pub(crate) origin: String,
    pub(crate) dest: String,
    pub(crate) dep_time: String,
    pub(crate) dep_delay: String,
    pub(crate) time_hour: String,
}

pub(crate) fn flights() -> Result<Vec<Flight>, csv::Error> {
    let rows = csv::Reader::from_reader(CSV.as_bytes()).into_deserialize();
    rows.enumerate()
        .map(|(row, flight)| flight.map(|flight: Flight| Flight { row, ..flight }))
        .collect()
}

/// Puts flights, and puts again those that the service did not take.
pub(crate) async fn put(client: &Client, stream: &str, flights: &[Flight]) -> Result<(), Box<dyn Error>> {
    let mut entries = Vec::new();
    for flight in flights {
        let data = Blob::new(serde_json::to_vec(flight)?);
        entries.push(
            PutRecordsRequestEntry::builder()
                .partition_key(&flight.tailnum)
                .data(data)
                .build()?,
        );
    }
    while !entries.is_empty() {
        let answer = client
            .put_records()
            .stream_name(stream)
            .set_records(Some(entries.clone()))
            .send()
            .await?;
        let refused = answer.records.iter().map(|record| record.error_code.is_some());
        entries = entries
            .into_iter()
            .zip(refused)
            .filter(|(_, refused)| *refused)
            .map(|(entry, _)| entry)
            .collect();
    }
    Ok(())
}

/// Splits a shard in the middle of its hash keys.
pub(crate) async fn split(client: &Client, stream: &str, shard: &str) -> Result<(), Box<dyn Error>> {
    let shards = client
        .list_shards()
        .stream_name(stream)
        .send()
        .await?
        .shards
        .unwrap_or_default();
    let found = shards
        .iter()
        .find(|listed| listed.shard_id == shard)
        .ok_or("the shard to split does not exist")?;
    let range = found
        .hash_key_range
        .as_ref()
        .ok_or("the shard to split has no hash keys")?;
    let (start, end): (HashKey, HashKey) = (range.starting_hash_key.parse()?, range.ending_hash_key.parse()?);
    let middle = start.0 + (end.0 - start.0) / 2 + 1;
    let split = client.split_shard().stream_name(stream).shard_to_split(shard);
    split.new_starting_hash_key(middle.to_string()).send().await?;
    Ok(())
}

/// Per carrier: its flights, how many departed, and their mean delay.
pub(crate) fn table(flights: &[Flight], handled: &[usize]) -> Table {
    #[derive(Default)]
    struct Carrier {
        flights: u32,
        departed: u32,
        delay: i64,
    }
    let mut carriers: BTreeMap<&str, Carrier> = BTreeMap::new();
    for flight in handled.iter().filter_map(|row| flights.get(*row)) {
        let carrier = carriers.entry(&flight.carrier).or_default();
        carrier.flights += 1;
        if let (true, Ok(delay)) = (flight.dep_time != "NA", flight.dep_delay.parse::<i64>()) {
            carrier.departed += 1;
            carrier.delay += delay;
        }
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["carrier", "flights", "departed", "mean delay (min)"]);
    for (name, carrier) in carriers {
        #[expect(clippy::cast_precision_loss, reason = "a week's minutes fit")]
        let mean = carrier.delay as f64 / f64::from(carrier.departed.max(1));
        let numbers = [
            carrier.flights.to_string(),
            carrier.departed.to_string(),
            format!("{mean:.1}"),
        ];
        table.add_row([name.to_owned()].into_iter().chain(numbers));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
