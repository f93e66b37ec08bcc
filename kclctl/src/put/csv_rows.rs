//! CSV: a header, then a record per row.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, Read},
    rc::Rc,
};

use csv::{ErrorKind, StringRecord};
use serde::Serializer as _;

use super::{
    error::{BadRecord, Problem},
    records::{InputRecord, Keys},
    source::Source,
};

/// The most bytes of one row: more than any whose record would fit, and little enough for memory.
const ROW_BYTES_MAX: u64 = 4 << 20;

/// The rows of an input.
pub(super) struct CsvRows {
    reader: csv::Reader<Guarded>,
    /// The bytes that were read since the last row.
    since_row: Rc<Cell<u64>>,
    keys: Keys,
    header: Option<Header>,
    row: StringRecord,
}

struct Header {
    names: StringRecord,
    /// The column of the key, if the key is in one.
    key: Option<usize>,
}

impl CsvRows {
    pub(super) fn new(source: Source, keys: Keys) -> Self {
        let since_row = Rc::new(Cell::new(0));
        let reader = csv::ReaderBuilder::new()
            .buffer_capacity(64 * 1024)
            .from_reader(Guarded {
                source,
                since_row: Rc::clone(&since_row),
                quotes: Quotes::default(),
            });
        Self {
            reader,
            since_row,
            keys,
            header: None,
            row: StringRecord::new(),
        }
    }

    pub(super) fn next_record(&mut self) -> Result<Option<InputRecord>, BadRecord> {
        if self.header.is_none() {
            self.header = Some(self.read_header()?);
        }
        // Where this row begins, as far as can be told before it is read.
        let expected = self.reader.position().line();
        self.since_row.set(0);
        match self.reader.read_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(bad_row(error, expected)),
        }
        let line = self.row.position().map_or(expected, csv::Position::line);
        let header = self.header.as_ref().expect("the header was read above");
        let key = match (self.keys.outside(line), header.key) {
            (Ok(key), _) => key,
            (Err(_), column) => column
                .and_then(|column| self.row.get(column))
                .unwrap_or_default()
                .to_owned(),
        };
        let data = object(&header.names, &self.row);
        InputRecord::new(line, key, data).map(Some)
    }

    fn read_header(&mut self) -> Result<Header, BadRecord> {
        let names = self.reader.headers().map_err(|error| bad_row(error, 1))?.clone();
        let line = names.position().map_or(1, csv::Position::line);
        let bad = |problem| BadRecord { line, problem };
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(bad(Problem::SameColumn(twice.to_owned())));
        }
        let key = match &self.keys {
            Keys::Field(field) => names.iter().position(|name| name == field),
            _ => None,
        };
        match &self.keys {
            // An empty input has no header, and no record that needs one.
            Keys::Field(field) if key.is_none() && !names.is_empty() => {
                let columns = names.iter().map(str::to_owned).collect();
                Err(bad(Problem::NoColumn {
                    field: field.clone(),
                    columns,
                }))
            }
            _ => Ok(Header { names, key }),
        }
    }
}

/// A row as a JSON object, its fields in the header's order.
fn object(names: &StringRecord, row: &StringRecord) -> Vec<u8> {
    let mut data = Vec::with_capacity(names.as_slice().len() + row.as_slice().len() + 8 * row.len());
    let written = serde_json::Serializer::new(&mut data).collect_map(names.iter().zip(row));
    written.expect("text goes into memory without fail");
    data
}

fn bad_row(error: csv::Error, expected: u64) -> BadRecord {
    let line = error.position().map_or(expected, csv::Position::line);
    let problem = match error.into_kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => Problem::FieldCount {
            expected: expected_len,
            found: len,
        },
        ErrorKind::Utf8 { err, .. } => Problem::FieldNotUtf8(err.field() + 1),
        ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<RowTooLong>()) => {
            Problem::LongRow(ROW_BYTES_MAX)
        }
        ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<OpenQuote>()) => Problem::OpenQuote,
        ErrorKind::Io(error) => Problem::Read(error),
        other => Problem::Read(io::Error::other(format!("not CSV: {other:?}"))),
    };
    BadRecord { line, problem }
}

/// A row went beyond [`ROW_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("the row is too long")]
struct RowTooLong;

/// Fails before the rest of the input ends up in one row.
struct Guarded {
    source: Source,
    since_row: Rc<Cell<u64>>,
    quotes: Quotes,
}

/// The input ended inside a quoted field.
#[derive(Debug, thiserror::Error)]
#[error("a quote is not closed")]
struct OpenQuote;

/// Where in a field the input stands: enough to know whether it ends inside quotes, which the reader would forgive, with
/// everything behind the quote in one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Quotes {
    #[default]
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote inside quotes: the end of the field, or the first half of a quote.
    QuotedQuote,
}

impl Quotes {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuotedQuote,
            (Self::Quoted, _) | (Self::FieldStart | Self::QuotedQuote, b'"') => Self::Quoted,
            (_, b',' | b'\n' | b'\r') => Self::FieldStart,
            _ => Self::Plain,
        }
    }
}

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > ROW_BYTES_MAX {
            return Err(io::Error::other(RowTooLong));
        }
        let count = self.source.read(buffer)?;
        self.quotes = buffer[..count]
            .iter()
            .fold(self.quotes, |quotes, byte| quotes.after(*byte));
        if count == 0 && !buffer.is_empty() && self.quotes == Quotes::Quoted {
            return Err(io::Error::other(OpenQuote));
        }
        self.since_row.set(self.since_row.get() + count as u64);
        Ok(count)
    }
}
