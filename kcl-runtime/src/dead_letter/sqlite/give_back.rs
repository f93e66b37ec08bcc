//! What a redrive asks of the file: the keys that it releases, the records in their order, and that they are gone.

use bytestring::ByteString;
use kcl_core::Record;
use rusqlite::{OptionalExtension, params, params_from_iter, types::Value};

use super::{
    codec,
    error::Failure,
    file::{self, File, NOW_MS, OF_STREAM},
    select::{Condition, FROM, ORDER},
};
use crate::dead_letter::{LetterStream, LetterTotals, Selection};

/// A shard whose last look is older is read by nobody who looks: workers look every five seconds.
const LIVE_MS: i64 = 12_000;

/// A record that is to be put: its data is read when its turn comes.
#[derive(Clone, Debug)]
pub(in crate::dead_letter) struct Planned {
    pub(in crate::dead_letter) id: i64,
    pub(in crate::dead_letter) partition_key: ByteString,
    pub(in crate::dead_letter) bytes: u64,
}

/// How far workers have noticed that keys are released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dead_letter) struct ReleaseProgress {
    /// The shards that are read, each with the number of looks that it took.
    pub(in crate::dead_letter) looks: Vec<(i64, i64)>,
    /// The latest letter with a key that is being released.
    pub(in crate::dead_letter) newest: Option<i64>,
}

impl File {
    pub(in crate::dead_letter) fn totals(&self, selection: &Selection) -> Result<Vec<LetterTotals>, Failure> {
        let condition = Condition::new(selection);
        let mut select = self.read()?.prepare(&format!(
            "SELECT s.application, s.stream, s.stream_id, count(*) AS records, sum(r.bytes) AS bytes, \
             count(DISTINCT r.partition_key) AS keys, count(DISTINCT q.partition_key) AS quarantined FROM {FROM} \
             LEFT JOIN quarantine q USING (application, stream, stream_id, partition_key) \
             WHERE {} GROUP BY s.application, s.stream, s.stream_id",
            condition.sql
        ))?;
        let mut rows = select.query(params_from_iter(condition.values))?;
        let mut totals = Vec::new();
        while let Some(row) = rows.next()? {
            let number = |name| row.get::<_, i64>(name).map(i64::cast_unsigned);
            totals.push(LetterTotals {
                of: codec::stream(row).map_err(Failure::of_row(0))?,
                records: number("records")?,
                bytes: number("bytes")?,
                keys: number("keys")?,
                quarantined_keys: number("quarantined")?,
            });
        }
        Ok(totals)
    }

    /// Lets workers deliver the keys that are meant; those that an earlier redrive did not come to the end with, too.
    pub(in crate::dead_letter) fn begin_release(
        &mut self,
        of: &LetterStream,
        selection: &Selection,
    ) -> Result<Vec<ByteString>, Failure> {
        let condition = of_stream(of, selection);
        let transaction = self.begin()?;
        let changed = format!(
            "UPDATE quarantine SET releasing = 1 WHERE {OF_STREAM} AND partition_key IN \
             (SELECT r.partition_key FROM {FROM} WHERE {}) RETURNING partition_key",
            condition.sql
        );
        let stream = codec::stream_values(of).map(Value::Text);
        let values = stream.into_iter().chain(condition.values);
        let keys = {
            let mut update = transaction.prepare(&changed)?;
            let found = update.query_map(params_from_iter(values), |row| row.get::<_, String>(0).map(Into::into))?;
            found.collect::<Result<Vec<ByteString>, _>>()?
        };
        transaction.commit()?;
        Ok(keys)
    }

    pub(in crate::dead_letter) fn release_progress(&self, of: &LetterStream) -> Result<ReleaseProgress, Failure> {
        let connection = self.read()?;
        let mut select = connection.prepare_cached(&format!(
            "SELECT id, looks FROM shards WHERE {OF_STREAM} AND looked_ms > {NOW_MS} - {LIVE_MS} ORDER BY id"
        ))?;
        let looks = select.query_map(codec::stream_values(of), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let looks = looks.collect::<Result<_, _>>()?;
        let mut select = connection.prepare_cached(
            "SELECT max(r.letter) FROM records r JOIN shards s ON s.id = r.shard_row \
             JOIN quarantine q USING (application, stream, stream_id, partition_key) \
             WHERE s.application = ?1 AND s.stream = ?2 AND s.stream_id = ?3 AND q.releasing",
        )?;
        let newest = select.query_row(codec::stream_values(of), |row| row.get(0))?;
        Ok(ReleaseProgress { looks, newest })
    }

    /// The latest letter of all.
    pub(in crate::dead_letter) fn newest_letter(&self) -> Result<i64, Failure> {
        let newest: Option<i64> = self
            .read()?
            .query_row("SELECT max(id) FROM letters", [], |row| row.get(0))
            .optional()?
            .flatten();
        Ok(newest.unwrap_or(0))
    }

    /// The first records that are meant, oldest first, of letters up to `newest`. Without `quarantined`, keys in quarantine
    /// are left out.
    pub(in crate::dead_letter) fn plan(
        &self,
        of: &LetterStream,
        selection: &Selection,
        newest: i64,
        quarantined: bool,
        count: u64,
    ) -> Result<Vec<Planned>, Failure> {
        let mut condition = of_stream(of, selection);
        condition.and("l.id <= ?", newest.into());
        if !quarantined {
            condition.sql.push_str(
                " AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.application = s.application AND q.stream = s.stream \
                 AND q.stream_id = s.stream_id AND q.partition_key = r.partition_key AND NOT q.releasing)",
            );
        }
        let mut select = self.read()?.prepare(&format!(
            "SELECT r.id, r.partition_key, r.bytes FROM {FROM} WHERE {} ORDER BY {ORDER} LIMIT {count}",
            condition.sql
        ))?;
        let found = select.query_map(params_from_iter(condition.values), |row| {
            Ok(Planned {
                id: row.get(0)?,
                partition_key: row.get::<_, String>(1)?.into(),
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// A record of a plan, unless it is gone.
    pub(in crate::dead_letter) fn planned(&self, planned: &[Planned]) -> Result<Vec<Option<Record>>, Failure> {
        let mut select = self.read()?.prepare_cached(&format!(
            "SELECT r.letter, {} FROM records r WHERE id = ?1",
            codec::RECORD
        ))?;
        let mut records = Vec::with_capacity(planned.len());
        for planned in planned {
            let mut rows = select.query([planned.id])?;
            let record = match rows.next()? {
                Some(row) => Some(codec::record(row).map_err(Failure::of_row(row.get(0)?))?),
                None => None,
            };
            records.push(record);
        }
        Ok(records)
    }

    /// Removes records that the stream has taken, and says which keys are in quarantine again.
    pub(in crate::dead_letter) fn given_back(
        &mut self,
        of: &LetterStream,
        records: &[i64],
    ) -> Result<Vec<ByteString>, Failure> {
        let transaction = self.begin()?;
        for record in records {
            let letter: Option<i64> = transaction
                .prepare_cached("DELETE FROM records WHERE id = ?1 RETURNING letter")?
                .query_row([record], |row| row.get(0))
                .optional()?;
            transaction
                .prepare_cached(
                    "DELETE FROM letters WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM records WHERE letter = ?1)",
                )?
                .execute([letter])?;
        }
        let again = file::keys(&transaction, of, false)?;
        transaction.commit()?;
        Ok(again)
    }

    /// Keys that were released are no longer looked for. Those in quarantine again stay there, and are told.
    pub(in crate::dead_letter) fn end_release(
        &mut self,
        of: &LetterStream,
        keys: &[ByteString],
    ) -> Result<Vec<ByteString>, Failure> {
        let transaction = self.begin()?;
        let [application, stream, stream_id] = codec::stream_values(of);
        let mut again = Vec::new();
        for key in keys {
            let released = transaction
                .prepare_cached(&format!(
                    "DELETE FROM quarantine WHERE {OF_STREAM} AND partition_key = ?4 AND releasing"
                ))?
                .execute(params![application, stream, stream_id, &**key])?;
            if released == 0 {
                again.push(key.clone());
            }
        }
        transaction.commit()?;
        Ok(again)
    }
}

fn of_stream(of: &LetterStream, selection: &Selection) -> Condition {
    let mut condition = Condition::new(selection);
    let [application, stream, stream_id] = codec::stream_values(of);
    condition.and("s.application = ?", Value::Text(application));
    condition.and("s.stream = ?", Value::Text(stream));
    condition.and("s.stream_id = ?", Value::Text(stream_id));
    condition
}
