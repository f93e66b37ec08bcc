//! `kclctl put`.

use std::path::PathBuf;

use clap::ValueEnum;
use kcl_core::StreamName;
use serde::Serialize;

use crate::{
    aws::{ConnectionArgs, Kinesis},
    clock::Stopwatch,
    error::Error,
    output,
    put::{Keys, Progress, PutOptions, Source, Totals, put},
};

/// Put the lines or rows of a file into a stream.
///
/// lines: the data is the line, without its end.
///
/// csv: the first row names the fields; the data is a JSON object per row, with the fields in order, as strings.
///
/// jsonl: the data is the line as it is, which must be JSON; blank lines are skipped.
///
/// The partition key, whose hash decides to which shard a record goes, is a field (--key-field, for csv and jsonl), the
/// same for all records (--key), or else the number of the line or row, which spreads records evenly.
///
/// A record that cannot be put (malformed, no key, more than 1 MiB) ends the command with exit code 3: the error names the
/// line, everything before it was put, nothing after it was. Records that the service refuses for the moment are put again
/// until it takes them. A record may be put twice when an answer of the service is lost on the way.
#[derive(Debug, clap::Args)]
pub(crate) struct PutArgs {
    /// The stream.
    #[arg(long, value_name = "NAME")]
    stream: StreamName,

    /// The field that holds the partition key: a column of csv, a top-level field of jsonl (text, number or boolean).
    #[arg(long, value_name = "FIELD")]
    key_field: Option<String>,

    /// The partition key of all records.
    #[arg(long, value_name = "KEY", conflicts_with = "key_field")]
    key: Option<String>,

    /// What the input is [default: as the file's name ends in .csv, .jsonl or .ndjson, or else lines].
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// How many calls may be under way at a time. Above 1 only the records of one key stay in order; with 1 all records
    /// of a shard do.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,

    /// Never put two records of one key in one call. Without it, records of one call may change places when the service
    /// refuses some of them for the moment.
    #[arg(long)]
    strict_order: bool,

    /// Put records together into aggregates, as the Kinesis Producer Library does: fewer, larger records, which consumers cut
    /// up again. The records of a key stay in order.
    #[arg(long)]
    aggregate: bool,

    /// Print the totals as JSON to stdout: records, bytes, seconds, retried.
    #[arg(long)]
    json: bool,

    /// The input; `-` is stdin.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A record per line.
    Lines,
    /// A record per row, with a header.
    Csv,
    /// A JSON value per line.
    Jsonl,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    stream: &'a StreamName,
    records: u64,
    bytes: u64,
    seconds: f64,
    retried: u64,
}

impl PutArgs {
    fn format(&self) -> Format {
        let ending = self.file.extension().and_then(|ending| ending.to_str());
        self.format.unwrap_or(match ending {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson") => Format::Jsonl,
            _ => Format::Lines,
        })
    }

    fn keys(&self) -> Result<Keys, Error> {
        match (&self.key, &self.key_field) {
            (_, Some(_)) if self.format() == Format::Lines => Err(Error::Usage(
                "lines have no fields: use --key, or --key-field with --format csv or jsonl".to_owned(),
            )),
            (Some(key), _) if key.is_empty() || key.chars().count() > 256 => Err(Error::Usage(
                "--key: a partition key has 1 to 256 characters".to_owned(),
            )),
            (Some(key), _) => Ok(Keys::Same(key.clone())),
            (None, Some(field)) => Ok(Keys::Field(field.clone())),
            (None, None) => Ok(Keys::Spread),
        }
    }
}

pub(crate) async fn run(args: PutArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let keys = args.keys()?;
    let source = Source::open(&args.file)?;
    let kinesis = Kinesis::connect(connection).await?;
    let options = PutOptions {
        stream: args.stream.clone(),
        format: args.format(),
        keys,
        concurrency: usize::from(args.concurrency),
        strict_order: args.strict_order,
        aggregate: args.aggregate,
    };
    let (totals, progress) = (Totals::default(), Progress::start(source.size()));
    let stopwatch = Stopwatch::start();
    let result = Box::pin(put(&kinesis, source, options, &totals, &progress)).await;
    progress.finish();
    let summary = Summary {
        stream: &args.stream,
        records: totals.records(),
        bytes: totals.bytes(),
        seconds: stopwatch.elapsed().as_secs_f64(),
        retried: totals.retried(),
    };
    if args.json {
        output::json(&summary)?;
    } else if result.is_ok() {
        let Summary {
            records,
            bytes,
            seconds,
            retried,
            ..
        } = summary;
        eprintln!("put {records} records, {bytes} bytes in {seconds:.2} s, {retried} retried");
    }
    result
}
