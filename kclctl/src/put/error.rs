//! What can go wrong while putting.

use std::{io, path::PathBuf};

use crate::error::Error;

/// Putting did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    #[error("{} cannot be opened", file.display())]
    Open { file: PathBuf, source: io::Error },
    #[error("{bad}; {} put before it", records(*put))]
    Input { put: u64, bad: BadRecord },
    #[error("stopped after {}", records(*put))]
    Stopped { put: u64, source: Box<Error> },
    #[error(
        "line {line}: the service refused the record {attempts} times in a row ({code}: {message}); \
         the stream may need more shards"
    )]
    Refused {
        line: u64,
        attempts: u32,
        code: String,
        message: String,
    },
    #[error("line {line}")]
    Producer {
        line: u64,
        source: kcl_runtime::producer::PutError,
    },
    #[error("PutRecords: the service answered {answers} records of {sent}")]
    Answer { sent: usize, answers: usize },
}

impl PutError {
    /// Whether the input is at fault.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Self::Input { bad, .. } if !matches!(bad.problem, Problem::Read(_)))
    }
}

fn records(count: u64) -> String {
    match count {
        1 => "1 record was".to_owned(),
        count => format!("{count} records were"),
    }
}

/// A record that cannot be put.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct BadRecord {
    /// Where it begins, from 1.
    pub(crate) line: u64,
    pub(crate) problem: Problem,
}

/// Why a record cannot be put. None of the texts repeats data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the input cannot be read ({0})")]
    Read(io::Error),
    #[error("the record has {bytes} bytes with its key, and 1048576 (1 MiB) are allowed")]
    TooLarge { bytes: usize },
    #[error("the line is longer than 1048576 bytes (1 MiB)")]
    LongLine,
    #[error("the row is longer than {0} bytes: is a quote not closed?")]
    LongRow(u64),
    #[error("a quote of this row is not closed")]
    OpenQuote,
    #[error("the row has {found} fields, and the header has {expected}")]
    FieldCount { expected: u64, found: u64 },
    #[error("field {0} is not UTF-8")]
    FieldNotUtf8(usize),
    #[error("the header names {0:?} twice")]
    SameColumn(String),
    #[error("the header has no field {field:?}; it has {}", columns.join(", "))]
    NoColumn { field: String, columns: Vec<String> },
    #[error("not JSON: {message} at column {column}")]
    NotJson { message: String, column: usize },
    #[error("the key is the field {0:?}, and the line is not a JSON object")]
    NotObject(String),
    #[error("the key field {0:?} is missing")]
    NoKey(String),
    #[error("the key field {0:?} is neither text nor number nor boolean")]
    KeyType(String),
    #[error("the partition key has {0} characters, and 1 to 256 are allowed")]
    KeyLength(usize),
}
