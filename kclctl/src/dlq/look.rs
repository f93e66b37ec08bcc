//! `kclctl dlq list`, `show` and `keys`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kcl_core::Record;
use kcl_runtime::dead_letter::{KeptLetter, LetterStream, LetterSummary, Try};
use serde::Serialize;
use serde_json::json;

use super::{DlqError, open};
use crate::{
    cmd::dlq::{KeysArgs, ListArgs, ShowArgs},
    error::Error,
    output,
};

#[derive(Serialize)]
struct Of<'a> {
    application: &'a str,
    stream: &'a str,
    /// Where several are read: those of two accounts may have one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
}

#[derive(Serialize)]
struct Letter<'a> {
    letter: i64,
    #[serde(flatten)]
    of: Of<'a>,
    shard_id: &'a str,
    records: u64,
    bytes: u64,
    first: String,
    last: String,
    first_arrival: String,
    partition_key: &'a str,
    has_other_keys: bool,
    quarantines: bool,
    first_kept: String,
    #[serde(flatten)]
    last_try: ATry<'a>,
}

#[derive(Serialize)]
struct ATry<'a> {
    at: String,
    reason: &'a str,
    attempts: u32,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    letter: Letter<'a>,
    history: Vec<ATry<'a>>,
    content: Vec<Content<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    sequence_number: &'a str,
    sub_sequence_number: u64,
    partition_key: &'a str,
    explicit_hash_key: Option<String>,
    aggregated: bool,
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

pub(crate) async fn list(args: &ListArgs) -> Result<(), Error> {
    let letters = open(&args.store).await?;
    let selection = args.selection.selection();
    let letters = letters.list(&selection).await.map_err(DlqError::from)?;
    if args.json {
        let letters: Vec<_> = letters.iter().map(letter).collect();
        return output::json(&json!({ "letters": letters }));
    }
    if letters.is_empty() {
        return output::line(&format!("{} holds no such letters", args.store.store.display()));
    }
    let header = [
        "LETTER",
        "APPLICATION",
        "STREAM",
        "SHARD",
        "KEY",
        "RECORDS",
        "BYTES",
        "REASON",
        "ATTEMPTS",
        "KEPT",
        "ERROR",
    ];
    output::table(header, letters.iter().map(row))
}

fn row(summary: &LetterSummary) -> [String; 11] {
    let letter = letter(summary);
    let more = if letter.has_other_keys { ",…" } else { "" };
    [
        letter.letter.to_string(),
        letter.of.application.to_owned(),
        letter.of.stream_id.unwrap_or_else(|| letter.of.stream.to_owned()),
        letter.shard_id.to_owned(),
        format!("{}{more}", letter.partition_key),
        letter.records.to_string(),
        letter.bytes.to_string(),
        letter.last_try.reason.to_owned(),
        letter.last_try.attempts.to_string(),
        letter.first_kept,
        // One line a letter, whatever the function said.
        letter.last_try.error.unwrap_or_default().replace(['\n', '\r'], " "),
    ]
}

pub(crate) async fn show(args: &ShowArgs) -> Result<(), Error> {
    let letters = open(&args.store).await?;
    let kept = letters.get(args.letter).await.map_err(DlqError::from)?;
    let kept = kept.ok_or(DlqError::Unknown(args.letter))?;
    output::json(&whole(&kept))
}

pub(crate) async fn keys(args: &KeysArgs) -> Result<(), Error> {
    let letters = open(&args.store).await?;
    let keys = letters.quarantined_keys().await.map_err(DlqError::from)?;
    if args.json {
        let keys = keys.iter().map(|key| {
            let of = of(&key.of);
            json!({
                "application": of.application,
                "stream": of.stream,
                "stream_id": of.stream_id,
                "partition_key": &*key.partition_key,
                "since": key.since.to_string(),
                "releasing": key.releasing,
            })
        });
        return output::json(&json!({ "keys": keys.collect::<Vec<_>>() }));
    }
    if keys.is_empty() {
        return output::line("no key is in quarantine");
    }
    let rows = keys.iter().map(|key| {
        let of = of(&key.of);
        [
            of.application.to_owned(),
            of.stream_id.unwrap_or_else(|| of.stream.to_owned()),
            key.partition_key.to_string(),
            key.since.to_string(),
            if key.releasing {
                "being released"
            } else {
                "in quarantine"
            }
            .to_owned(),
        ]
    });
    output::table(["APPLICATION", "STREAM", "KEY", "SINCE", "STATE"], rows)
}

fn of(of: &LetterStream) -> Of<'_> {
    Of {
        application: of.application.as_str(),
        stream: of.stream.as_str(),
        stream_id: of.stream_id.as_ref().map(ToString::to_string),
    }
}

fn letter(summary: &LetterSummary) -> Letter<'_> {
    Letter {
        letter: summary.id.0,
        of: of(&summary.of),
        shard_id: summary.shard.as_str(),
        records: summary.records,
        bytes: summary.bytes,
        first: summary.first.to_string(),
        last: summary.last.to_string(),
        first_arrival: summary.first_arrival.to_string(),
        partition_key: &summary.partition_key,
        has_other_keys: summary.has_other_keys,
        quarantines: summary.quarantines,
        first_kept: summary.first_kept.to_string(),
        last_try: a_try(&summary.last_try),
    }
}

fn whole(kept: &KeptLetter) -> Whole<'_> {
    Whole {
        letter: letter(&kept.summary),
        history: kept.tries.iter().map(a_try).collect(),
        content: kept.records.iter().map(content).collect(),
    }
}

fn a_try(a_try: &Try) -> ATry<'_> {
    ATry {
        at: a_try.at.to_string(),
        reason: &a_try.reason,
        attempts: a_try.attempts,
        error: a_try.error.as_deref(),
    }
}

fn content(record: &Record) -> Content<'_> {
    Content {
        sequence_number: record.sequence_number.as_str(),
        sub_sequence_number: record.sub_sequence_number,
        partition_key: &record.partition_key,
        explicit_hash_key: record.explicit_hash_key.map(|key| key.to_string()),
        aggregated: record.aggregated,
        approximate_arrival_timestamp: record.approximate_arrival_timestamp.to_string(),
        data: match std::str::from_utf8(&record.data) {
            Ok(text) => Data::Text(text),
            Err(_) => Data::Bytes(STANDARD.encode(&record.data)),
        },
    }
}
