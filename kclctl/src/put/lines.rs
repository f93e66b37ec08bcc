//! Inputs with a record per line.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::Value;

use super::{
    error::{BadRecord, Problem},
    records::{InputRecord, Keys, RECORD_BYTES_MAX},
    source::Source,
};

/// A line may be longer than a record by its end, and by one byte that proves it too long.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 2;

/// The lines of an input, numbered from 1, without their ends.
pub(super) struct Lines {
    reader: BufReader<Source>,
    line: u64,
}

impl Lines {
    pub(super) fn new(source: Source) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, source),
            line: 0,
        }
    }

    pub(super) fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>, BadRecord> {
        let line = self.line + 1;
        let bad = |problem| BadRecord { line, problem };
        let mut data = Vec::new();
        let limit = LINE_BYTES_MAX as u64;
        let count = self
            .reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut data)
            .map_err(|e| bad(Problem::Read(e)))?;
        if count == 0 {
            return Ok(None);
        }
        if data.pop_if(|last| *last == b'\n').is_some() {
            data.pop_if(|last| *last == b'\r');
        } else if count == LINE_BYTES_MAX {
            return Err(bad(Problem::LongLine));
        }
        self.line = line;
        Ok(Some((line, data)))
    }
}

/// Lines of JSON.
pub(super) struct JsonLines {
    lines: Lines,
    keys: Keys,
}

impl JsonLines {
    pub(super) fn new(source: Source, keys: Keys) -> Self {
        Self {
            lines: Lines::new(source),
            keys,
        }
    }

    pub(super) fn next_record(&mut self) -> Result<Option<InputRecord>, BadRecord> {
        while let Some((line, data)) = self.lines.next_line()? {
            if data.trim_ascii().is_empty() {
                continue;
            }
            let bad = |problem| BadRecord { line, problem };
            let value: Value = serde_json::from_slice(&data).map_err(|error| bad(not_json(&error)))?;
            let key = match self.keys.outside(line) {
                Ok(key) => key,
                Err(field) => key_in(value, field).map_err(bad)?,
            };
            return InputRecord::new(line, key, data).map(Some);
        }
        Ok(None)
    }
}

fn key_in(value: Value, field: &str) -> Result<String, Problem> {
    let Value::Object(mut fields) = value else {
        return Err(Problem::NotObject(field.to_owned()));
    };
    match fields.remove(field) {
        None => Err(Problem::NoKey(field.to_owned())),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(yes)) => Ok(yes.to_string()),
        Some(_) => Err(Problem::KeyType(field.to_owned())),
    }
}

/// The parser counts lines from the start of its own text, which would contradict the line that is told.
fn not_json(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default().to_owned();
    Problem::NotJson {
        message,
        column: error.column(),
    }
}
