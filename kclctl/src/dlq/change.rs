//! `kclctl dlq redrive`, `purge` and `release`: told, confirmed, done.

use std::collections::BTreeSet;

use bytestring::ByteString;
use kcl_runtime::dead_letter::{LetterStream, LetterTotals, Redrive, Selection};
use serde_json::{Value, json};

use super::{DlqError, open};
use crate::{
    aws::{ConnectionArgs, Kinesis},
    cmd::dlq::{ChangeArgs, PurgeArgs, RedriveArgs, ReleaseArgs},
    consent::{Consent, ask},
    error::Error,
    output,
};

pub(crate) async fn redrive(args: RedriveArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let letters = open(&args.store).await?;
    let selection = args.selection.selection();
    let totals = letters.totals(&selection).await.map_err(DlqError::from)?;
    let applications: BTreeSet<_> = totals.iter().map(|totals| totals.of.application.as_str()).collect();
    if applications.len() > 1 {
        let applications = applications.into_iter().collect::<Vec<_>>().join(", ");
        return Err(DlqError::SeveralApplications(applications).into());
    }
    let target = args.to.as_ref().map_or("their stream", |stream| stream.as_str());
    let question = format!("put them into {target} again?");
    if !args.change.goes_on(&totals, &question)? {
        return Ok(());
    }
    let kinesis = Kinesis::connect(connection).await?;
    let mut redrive = Redrive::new(letters, kinesis.client).selection(selection);
    redrive = redrive.seed(u64::from(std::process::id()));
    redrive = args.to.into_iter().fold(redrive, Redrive::to);
    redrive = args.limit.into_iter().fold(redrive, Redrive::limit);
    let done = Box::pin(redrive.run()).await.map_err(DlqError::from)?;
    let again: Vec<&str> = done.quarantined_again.iter().map(|key| &**key).collect();
    if args.change.json {
        output::json(&json!({
            "dry_run": false,
            "records": done.records,
            "bytes": done.bytes,
            "retried": done.retried,
            "released": done.released,
            "quarantined_again": again,
        }))?;
    } else {
        let (records, released) = (counted(done.records, "record"), counted(done.released, "key"));
        output::line(&format!("put {records}, {} bytes; released {released}", done.bytes))?;
    }
    if again.is_empty() {
        return Ok(());
    }
    Err(DlqError::QuarantinedAgain(again.join(", ")).into())
}

pub(crate) async fn purge(args: &PurgeArgs) -> Result<(), Error> {
    let selection = args.selection.selection();
    if selection == Selection::default() && !args.all {
        let problem = "say which records to remove, or --all";
        return Err(Error::Usage(problem.to_owned()));
    }
    let letters = open(&args.store).await?;
    let totals = letters.totals(&selection).await.map_err(DlqError::from)?;
    if !args.change.goes_on(&totals, "remove them for good?")? {
        return Ok(());
    }
    let removed = letters.purge(&selection).await.map_err(DlqError::from)?;
    if args.change.json {
        return output::json(&json!({ "dry_run": false, "records": removed }));
    }
    output::line(&format!("removed {}", counted(removed, "record")))
}

pub(crate) async fn release(args: &ReleaseArgs) -> Result<(), Error> {
    let letters = open(&args.store).await?;
    let found = letters.quarantined_keys().await.map_err(DlqError::from)?;
    let is_meant = |of: &LetterStream| {
        args.app.as_ref().is_none_or(|app| *app == of.application)
            && args.stream.as_ref().is_none_or(|stream| *stream == of.stream)
    };
    let meant = found.into_iter().filter(|key| is_meant(&key.of));
    let meant: Vec<_> = meant
        .filter(|key| args.keys.iter().any(|name| **name == *key.partition_key))
        .collect();
    let plan = meant.iter().map(|key| {
        let (of, key) = (&key.of, &*key.partition_key);
        json!({ "application": of.application, "stream": of.stream, "partition_key": key })
    });
    let plan: Vec<Value> = plan.collect();
    if meant.is_empty() {
        return nothing(&args.change, "keys", &plan);
    }
    let consent = args.change.consent.consent(args.change.json)?;
    if !args.change.json && consent != Consent::Given {
        let rows = meant.iter().map(|key| {
            [
                key.of.application.to_string(),
                key.of.stream.to_string(),
                key.partition_key.to_string(),
            ]
        });
        output::table(["APPLICATION", "STREAM", "KEY"], rows)?;
    }
    match consent {
        Consent::DryRun if args.change.json => return output::json(&json!({ "dry_run": true, "keys": plan })),
        Consent::DryRun => return Ok(()),
        Consent::Ask => ask(&format!("release {}?", counted(meant.len() as u64, "key")))?,
        Consent::Given => {}
    }
    let mut released = 0;
    for key in &meant {
        let keys: [ByteString; 1] = [key.partition_key.clone()];
        released += letters.release(&key.of, &keys).await.map_err(DlqError::from)?;
    }
    if args.change.json {
        return output::json(&json!({ "dry_run": false, "keys": plan }));
    }
    output::line(&format!("released {}", counted(released, "key")))
}

impl ChangeArgs {
    /// Shows which records are meant and asks for consent. Says whether to go on.
    fn goes_on(&self, totals: &[LetterTotals], question: &str) -> Result<bool, Error> {
        let plan: Vec<Value> = totals.iter().map(total).collect();
        if totals.is_empty() {
            nothing(self, "streams", &plan)?;
            return Ok(false);
        }
        let consent = self.consent.consent(self.json)?;
        if !self.json && consent != Consent::Given {
            let rows = totals.iter().map(|totals| {
                let of = &totals.of;
                let id = of.stream_id.as_ref().map(ToString::to_string);
                [
                    of.application.to_string(),
                    id.unwrap_or_else(|| of.stream.to_string()),
                    totals.records.to_string(),
                    totals.bytes.to_string(),
                    totals.keys.to_string(),
                    totals.quarantined_keys.to_string(),
                ]
            });
            output::table(
                ["APPLICATION", "STREAM", "RECORDS", "BYTES", "KEYS", "IN QUARANTINE"],
                rows,
            )?;
        }
        match consent {
            Consent::DryRun if self.json => output::json(&json!({ "dry_run": true, "streams": plan }))?,
            Consent::Ask => ask(question)?,
            Consent::DryRun | Consent::Given => {}
        }
        Ok(consent != Consent::DryRun)
    }
}

fn nothing(change: &ChangeArgs, what: &str, plan: &[Value]) -> Result<(), Error> {
    if change.json {
        output::json(&json!({ "dry_run": change.consent.is_dry_run(), what: plan }))
    } else {
        output::line("nothing to do")
    }
}

fn total(totals: &LetterTotals) -> Value {
    json!({
        "application": totals.of.application,
        "stream": totals.of.stream,
        "stream_id": totals.of.stream_id,
        "records": totals.records,
        "bytes": totals.bytes,
        "keys": totals.keys,
        "keys_in_quarantine": totals.quarantined_keys,
    })
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
