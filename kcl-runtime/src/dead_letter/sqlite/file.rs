//! The open file: one connection, one transaction per change.

use std::collections::BTreeSet;

use bytestring::ByteString;
use kcl_core::{Record, delivery::DiscardReason};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params, params_from_iter};

use super::{
    codec,
    error::Failure,
    schema,
    select::{Condition, FROM, ORDER},
};
use crate::dead_letter::{
    DeadLetter, KeptLetter, LetterId, LetterStream, LetterSummary, QuarantinedKey, Selection, Try,
};

/// What SQLite's clock says, in milliseconds since the epoch.
pub(super) const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// The condition that a row of `quarantine` is of a stream.
pub(super) const OF_STREAM: &str = "application = ?1 AND stream = ?2 AND stream_id = ?3";

/// A connection to a file of dead letters.
#[derive(Debug)]
pub(in crate::dead_letter) struct File {
    pub(super) connection: Connection,
}

impl File {
    /// Takes the write lock first: a transaction that read before it wrote could find what it read changed in between.
    /// Dropped without a commit, the transaction changes nothing.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, Failure> {
        schema::check_in_place(&self.connection)?;
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    pub(super) fn read(&self) -> Result<&Connection, Failure> {
        schema::check_in_place(&self.connection)?;
        Ok(&self.connection)
    }

    /// Keeps what is not kept yet. A record is kept once: if it comes again, its letter's history grows.
    pub(super) fn keep(&mut self, letter: &DeadLetter) -> Result<(), Failure> {
        let of = LetterStream {
            application: letter.application.clone(),
            stream: letter.stream.clone(),
            stream_id: letter.stream_id.clone(),
        };
        let transaction = self.begin()?;
        let shard = shard_row(&transaction, &of, letter.shard.as_str())?;
        let mut known = BTreeSet::new();
        let mut new = Vec::new();
        for record in letter.batch.iter() {
            match letter_of(&transaction, shard, record)? {
                Some(letter) => _ = known.insert(letter),
                None => new.push(record),
            }
        }
        if !new.is_empty() {
            known.insert(insert(&transaction, shard, letter, &new)?);
        }
        for id in known {
            note_try(&transaction, id, letter)?;
        }
        if letter.quarantines {
            // Whoever keeps it looks for quarantined keys soon.
            let update = format!("UPDATE shards SET looked_ms = {NOW_MS} WHERE id = ?1");
            transaction.prepare_cached(&update)?.execute([shard])?;
        }
        // What followed a key into quarantine does not put it there again after its release.
        if letter.quarantines && letter.reason != DiscardReason::Quarantined {
            quarantine(&transaction, &of, letter)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The keys of a stream in quarantine. Its shards are not told apart: a key goes on in the children of its shard.
    pub(super) fn look(&mut self, of: &LetterStream, shard: &str) -> Result<Vec<ByteString>, Failure> {
        // Most streams have none, and a look then writes nothing.
        let select = format!("SELECT 1 FROM quarantine WHERE {OF_STREAM} LIMIT 1");
        if !self.read()?.prepare_cached(&select)?.exists(codec::stream_values(of))? {
            return Ok(Vec::new());
        }
        // What is counted and what is answered are of one moment: whoever released a key waits for looks after it.
        let transaction = self.begin()?;
        let shard = shard_row(&transaction, of, shard)?;
        let update = format!("UPDATE shards SET looks = looks + 1, looked_ms = {NOW_MS} WHERE id = ?1");
        transaction.prepare_cached(&update)?.execute([shard])?;
        let keys = keys(&transaction, of, false)?;
        transaction.commit()?;
        Ok(keys)
    }

    pub(super) fn list(&self, selection: &Selection) -> Result<Vec<LetterSummary>, Failure> {
        let condition = Condition::new(selection);
        // Of a letter that has a record among those meant, all records count.
        let mut select = self.read()?.prepare(&format!(
            "SELECT {} FROM {FROM} WHERE l.id IN (SELECT r.letter FROM {FROM} WHERE {}) GROUP BY l.id ORDER BY l.id",
            codec::SUMMARY,
            condition.sql
        ))?;
        let mut rows = select.query(params_from_iter(condition.values))?;
        let mut letters = Vec::new();
        while let Some(row) = rows.next()? {
            letters.push(codec::summary(row)?);
        }
        for letter in &mut letters {
            self.ends(letter)?;
        }
        Ok(letters)
    }

    /// Where the first and the last record stand: text sorts numbers of different lengths wrongly.
    fn ends(&self, letter: &mut LetterSummary) -> Result<(), Failure> {
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT sequence_number, sub_sequence_number, arrival_ms, partition_key FROM records r \
             WHERE letter = ?1 ORDER BY {ORDER}"
        ))?;
        let mut rows = select.query([letter.id.0])?;
        let mut first = true;
        while let Some(row) = rows.next()? {
            let position = codec::position(row).map_err(Failure::of_row(letter.id.0))?;
            if std::mem::take(&mut first) {
                letter.first = position.clone();
                letter.first_arrival = codec::time(row, "arrival_ms")?;
                letter.partition_key = row.get::<_, String>("partition_key")?.into();
            }
            letter.last = position;
        }
        Ok(())
    }

    pub(super) fn get(&self, id: LetterId) -> Result<Option<KeptLetter>, Failure> {
        let one = Selection {
            letters: vec![id],
            ..Selection::default()
        };
        let Some(summary) = self.list(&one)?.pop() else {
            return Ok(None);
        };
        let connection = self.read()?;
        let mut select = connection
            .prepare_cached("SELECT at_ms, reason, attempts, error FROM tries WHERE letter = ?1 ORDER BY id")?;
        let tries = select
            .query_map([id.0], codec::a_try)?
            .collect::<Result<Vec<Try>, _>>()?;
        let mut select = connection.prepare_cached(&format!(
            "SELECT {} FROM records r WHERE letter = ?1 ORDER BY {ORDER}",
            codec::RECORD
        ))?;
        let mut rows = select.query([id.0])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(codec::record(row).map_err(Failure::of_row(id.0))?);
        }
        Ok(Some(KeptLetter {
            summary,
            tries,
            records,
        }))
    }

    /// Removes the records that are meant, and letters that have none left. Says how many records.
    pub(super) fn purge(&mut self, selection: &Selection) -> Result<u64, Failure> {
        let condition = Condition::new(selection);
        let transaction = self.begin()?;
        let removed = transaction.execute(
            &format!(
                "DELETE FROM records WHERE id IN (SELECT r.id FROM {FROM} WHERE {})",
                condition.sql
            ),
            params_from_iter(condition.values),
        )?;
        transaction
            .prepare_cached("DELETE FROM letters WHERE NOT EXISTS (SELECT 1 FROM records WHERE letter = letters.id)")?
            .execute([])?;
        transaction.commit()?;
        Ok(removed as u64)
    }

    pub(super) fn quarantined_keys(&self) -> Result<Vec<QuarantinedKey>, Failure> {
        let mut select = self.read()?.prepare_cached(
            "SELECT application, stream, stream_id, partition_key, since_ms, releasing FROM quarantine",
        )?;
        let mut rows = select.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(QuarantinedKey {
                of: codec::stream(row).map_err(Failure::of_row(0))?,
                partition_key: row.get::<_, String>("partition_key")?.into(),
                since: codec::time(row, "since_ms")?,
                releasing: row.get("releasing")?,
            });
        }
        Ok(keys)
    }

    pub(super) fn release(&mut self, of: &LetterStream, keys: &[ByteString]) -> Result<u64, Failure> {
        let transaction = self.begin()?;
        let mut released = 0;
        for key in keys {
            let delete = format!("DELETE FROM quarantine WHERE {OF_STREAM} AND partition_key = ?4");
            let [application, stream, stream_id] = codec::stream_values(of);
            let values = params![application, stream, stream_id, &**key];
            released += transaction.prepare_cached(&delete)?.execute(values)?;
        }
        transaction.commit()?;
        Ok(released as u64)
    }
}

fn shard_row(connection: &Connection, of: &LetterStream, shard: &str) -> Result<i64, Failure> {
    let [application, stream, stream_id] = codec::stream_values(of);
    let values = params![application, stream, stream_id, shard];
    connection
        .prepare_cached("INSERT OR IGNORE INTO shards (application, stream, stream_id, shard) VALUES (?1, ?2, ?3, ?4)")?
        .execute(values)?;
    let select = format!("SELECT id FROM shards WHERE {OF_STREAM} AND shard = ?4");
    Ok(connection
        .prepare_cached(&select)?
        .query_row(values, |row| row.get(0))?)
}

/// The letter that a record is in already.
fn letter_of(connection: &Connection, shard: i64, record: &Record) -> Result<Option<i64>, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT letter FROM records WHERE shard_row = ?1 AND sequence_number = ?2 AND sub_sequence_number = ?3",
    )?;
    let sub = record.sub_sequence_number.cast_signed();
    let values = params![shard, record.sequence_number.as_str(), sub];
    Ok(select.query_row(values, |row| row.get(0)).optional()?)
}

fn insert(connection: &Connection, shard: i64, letter: &DeadLetter, records: &[&Record]) -> Result<i64, Failure> {
    connection
        .prepare_cached("INSERT INTO letters (shard_row, quarantines, first_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![shard, letter.quarantines, letter.at.epoch_millis()])?;
    let id = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached(
        "INSERT INTO records (letter, shard_row, sequence_number, sub_sequence_number, partition_key, arrival_ms, \
         aggregated, explicit_hash_key, bytes, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for record in records {
        insert.execute(params![
            id,
            shard,
            record.sequence_number.as_str(),
            record.sub_sequence_number.cast_signed(),
            &*record.partition_key,
            record.approximate_arrival_timestamp.epoch_millis(),
            record.aggregated,
            record.explicit_hash_key.map(|key| key.to_string()),
            i64::try_from(record.data.len()).unwrap_or(i64::MAX),
            &record.data[..],
        ])?;
    }
    Ok(id)
}

/// Adds to the history, unless the letter only comes once more because nobody heard that it was kept.
fn note_try(connection: &Connection, letter: i64, of: &DeadLetter) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO tries (letter, at_ms, reason, attempts, error) SELECT ?1, ?2, ?3, ?4, ?5 \
             WHERE NOT EXISTS (SELECT 1 FROM tries WHERE id = (SELECT max(id) FROM tries WHERE letter = ?1) \
             AND reason = ?3 AND attempts = ?4 AND error IS ?5)",
        )?
        .execute(params![
            letter,
            of.at.epoch_millis(),
            of.reason.as_str(),
            of.attempts,
            of.error,
        ])?;
    Ok(())
}

fn quarantine(connection: &Connection, of: &LetterStream, letter: &DeadLetter) -> Result<(), Failure> {
    let [application, stream, stream_id] = codec::stream_values(of);
    let mut insert = connection.prepare_cached(
        "INSERT INTO quarantine (application, stream, stream_id, partition_key, since_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET releasing = 0, since_ms = excluded.since_ms WHERE releasing",
    )?;
    let keys: BTreeSet<&str> = letter.batch.iter().map(|record| &*record.partition_key).collect();
    for key in keys {
        let at = letter.at.epoch_millis();
        insert.execute(params![application, stream, stream_id, key, at])?;
    }
    Ok(())
}

/// The keys of a stream that are in quarantine, or being released.
pub(super) fn keys(connection: &Connection, of: &LetterStream, releasing: bool) -> Result<Vec<ByteString>, Failure> {
    let [application, stream, stream_id] = codec::stream_values(of);
    let mut select = connection.prepare_cached(&format!(
        "SELECT partition_key FROM quarantine WHERE {OF_STREAM} AND releasing = ?4 ORDER BY partition_key"
    ))?;
    let found = select.query_map(params![application, stream, stream_id, releasing], |row| {
        row.get::<_, String>(0).map(Into::into)
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
