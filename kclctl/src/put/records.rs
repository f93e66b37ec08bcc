//! Records out of an input, whatever its format.

use super::{
    csv_rows::CsvRows,
    error::{BadRecord, Problem},
    lines::{JsonLines, Lines},
    source::Source,
};
use crate::cmd::put::Format;

/// The most bytes of data and key together.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

/// The most characters of a partition key.
const KEY_CHARACTERS_MAX: usize = 256;

/// A record as it goes to the service, and where it came from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InputRecord {
    /// The line of the input on which it begins, from 1.
    pub(super) line: u64,
    pub(super) key: String,
    pub(super) data: Vec<u8>,
}

impl InputRecord {
    /// Checks what the service would refuse.
    pub(super) fn new(line: u64, key: String, data: Vec<u8>) -> Result<Self, BadRecord> {
        let bad = |problem| Err(BadRecord { line, problem });
        let characters = key.chars().count();
        if !(1..=KEY_CHARACTERS_MAX).contains(&characters) {
            return bad(Problem::KeyLength(characters));
        }
        let bytes = data.len() + key.len();
        if bytes > RECORD_BYTES_MAX {
            return bad(Problem::TooLarge { bytes });
        }
        Ok(Self { line, key, data })
    }
}

/// Where partition keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// All records have this one.
    Same(String),
    /// It is in this field.
    Field(String),
    /// The number of the line: the service hashes keys, so that these spread evenly.
    Spread,
}

impl Keys {
    /// The key of a record, where it is not in a field of it.
    pub(super) fn outside(&self, line: u64) -> Result<String, &str> {
        match self {
            Self::Same(key) => Ok(key.clone()),
            Self::Spread => Ok(line.to_string()),
            Self::Field(field) => Err(field),
        }
    }
}

/// The records of an input, in order. After the first bad one there is nothing more.
pub(super) struct Records {
    input: Input,
    ended: bool,
}

enum Input {
    Lines(Lines, Keys),
    Json(JsonLines),
    Csv(Box<CsvRows>),
}

impl Records {
    pub(super) fn new(source: Source, format: Format, keys: Keys) -> Self {
        let input = match format {
            Format::Lines => Input::Lines(Lines::new(source), keys),
            Format::Jsonl => Input::Json(JsonLines::new(source, keys)),
            Format::Csv => Input::Csv(Box::new(CsvRows::new(source, keys))),
        };
        Self { input, ended: false }
    }

    fn read(&mut self) -> Result<Option<InputRecord>, BadRecord> {
        match &mut self.input {
            Input::Lines(lines, keys) => match lines.next_line()? {
                Some((line, data)) => {
                    let key = keys.outside(line).unwrap_or_default();
                    InputRecord::new(line, key, data).map(Some)
                }
                None => Ok(None),
            },
            Input::Json(lines) => lines.next_record(),
            Input::Csv(rows) => rows.next_record(),
        }
    }
}

impl Iterator for Records {
    type Item = Result<InputRecord, BadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests;
