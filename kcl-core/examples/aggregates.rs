//! Aggregates on the command line, for `integration/interop/aggregates`: each line of the input becomes one of the output.
//!
//! `write`: a line of records, each `key:hash_key:data` in hexadecimal with `-` for no hash key, becomes an aggregate in
//! hexadecimal. `read`: the other way.

use std::io::{BufRead as _, Error, Write as _, stdin, stdout};

use kcl_core::aggregate::{Aggregate, Aggregator, UserRecord};

/// Larger than any aggregate of the test.
const SIZE_MAX: usize = 10 << 20;

fn main() -> Result<(), Error> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    for line in stdin().lock().lines() {
        let line = line?;
        let answer = match mode.as_str() {
            "write" => write(&line),
            "read" => read(&line),
            _ => return Err(Error::other("say `read` or `write`")),
        };
        writeln!(
            stdout(),
            "{}",
            answer.ok_or_else(|| Error::other("a line is not what it should be"))?
        )?;
    }
    Ok(())
}

fn write(line: &str) -> Option<String> {
    let mut aggregator = Aggregator::new(SIZE_MAX);
    for record in line.split(' ') {
        let [key, hash_key, data] = record.split(':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let record = UserRecord::new(String::from_utf8(bytes(key)?).ok()?, bytes(data)?);
        let record = match hash_key {
            "-" => record,
            text => record.with_explicit_hash_key(text.parse().ok()?),
        };
        aggregator.append(&record).then_some(())?;
    }
    Some(hex(&aggregator.take()?.data))
}

fn read(line: &str) -> Option<String> {
    let records = Aggregate::read(&bytes(line)?.into())?.map(|record| {
        let hash_key = record
            .explicit_hash_key
            .map_or_else(|| "-".to_owned(), |key| key.to_string());
        format!(
            "{}:{hash_key}:{}",
            hex(record.partition_key.as_bytes()),
            hex(&record.data)
        )
    });
    Some(records.collect::<Vec<_>>().join(" "))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
