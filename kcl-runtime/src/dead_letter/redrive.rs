//! [`Redrive`]: puts dead letters into their stream again.

mod lanes;

use std::time::Duration;

use aws_sdk_kinesis::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata},
    primitives::Blob,
    types::PutRecordsRequestEntry,
};
use bytestring::ByteString;
use fastrand::Rng;
use kcl_core::{Record, RecordPosition, StreamId, StreamName, retry::Backoff};

use self::lanes::Lanes;
use super::{
    DeadLetterError, LetterStream, Selection, SqliteDeadLetters,
    sqlite::{Planned, ReleaseProgress},
};

/// So many records of a stream are looked up at once.
const PAGE: u64 = 10_000;

/// So many calls in a row that put nothing at all end the redrive: a minute and a half, with their pauses.
const REFUSALS_MAX: u32 = 20;

/// What workers have noticed is asked so often, and waited for no longer than so.
const NOTICE_INTERVAL: Duration = Duration::from_millis(250);
const NOTICE_MAX: Duration = Duration::from_secs(40);

/// A worker that has looked twice has taken the first look in.
const LOOKS: i64 = 2;

/// A redrive to be: puts records that were given up into their stream again, and removes each from the file once the stream
/// has it.
///
/// - **Order.** The records of one key are put oldest first, each after the one before it was taken. What producers put
///   meanwhile comes in between.
/// - **At least once.** A redrive that ends early, however suddenly, is begun again: what was taken and not yet removed is put
///   twice.
/// - **Quarantine.** Keys in quarantine are released first, and their records put as soon as the workers that read the stream
///   know. Later records of such a key, which wait in the stream, may be delivered before those that are put. A key whose
///   records fail again goes into quarantine again: what is left of it stays in the file.
/// - **What is put.** The key, the data, and the explicit hash key if the record came inside of an aggregate. Its sequence
///   number and time of arrival are new. Every application that reads the stream sees it again.
///
/// Letters that come while it runs are not put. Only one redrive of the same records should run at a time.
///
/// ```no_run
/// # async fn example(client: aws_sdk_kinesis::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use kcl_runtime::dead_letter::{Redrive, Selection, SqliteDeadLetters};
///
/// let letters = SqliteDeadLetters::open("dead-letters.db").await?;
/// let mut selection = Selection::default();
/// selection.keys = vec!["customer-7".into()];
/// let done = Redrive::new(letters, client).selection(selection).limit(100).run().await?;
/// println!("{} records", done.records);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Redrive {
    letters: SqliteDeadLetters,
    client: Client,
    selection: Selection,
    to: Option<StreamName>,
    limit: Option<u64>,
    rng: Rng,
}

/// What a redrive did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redriven {
    /// How many records were put.
    pub records: u64,
    /// The bytes of their data.
    pub bytes: u64,
    /// How often a record was refused for the moment.
    pub retried: u64,
    /// How many keys were released from quarantine.
    pub released: u64,
    /// The keys that are in quarantine again.
    pub quarantined_again: Vec<ByteString>,
}

/// A redrive ended early. What was put until then is removed from the file; the rest is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// The file.
    #[error(transparent)]
    Store(#[from] DeadLetterError),
    /// The stream of this name that the client sees is another one than the records came from.
    #[error("the client's stream {} is not {stream}, which the records are of: use a client of its account, or name a stream to put them into", .stream.name())]
    OtherStream {
        /// The stream that the records are of.
        stream: StreamId,
    },
    /// The service refused a request for good.
    #[error("{operation} for {stream} was refused ({code}): {message}")]
    Refused {
        /// Which.
        operation: &'static str,
        /// The stream.
        stream: StreamName,
        /// The service's code; `Unreachable` if there was no answer.
        code: String,
        /// What it says.
        message: String,
    },
    /// The stream does not take a record as it is.
    #[error("{stream} does not take the record {position} of the dead letters ({code}): {message}")]
    Rejected {
        /// The stream.
        stream: StreamName,
        /// Where the record stood.
        position: RecordPosition,
        /// The service's code.
        code: String,
        /// What it says.
        message: String,
    },
    /// The stream took nothing for too long.
    #[error("{stream} took nothing {attempts} times in a row ({code}: {message}); it may need more shards")]
    Throttled {
        /// The stream.
        stream: StreamName,
        /// How often.
        attempts: u32,
        /// The service's code.
        code: String,
        /// What it says.
        message: String,
    },
}

/// Why a call put nothing, or not all.
#[derive(Clone, Debug)]
struct Refusal {
    code: String,
    message: String,
}

impl Redrive {
    /// A redrive of all that `letters` have, by a client of the account that the streams are in.
    pub fn new(letters: SqliteDeadLetters, client: Client) -> Self {
        Self {
            letters,
            client,
            selection: Selection::default(),
            to: None,
            limit: None,
            rng: Rng::with_seed(0),
        }
    }

    /// Only these. Of a key in quarantine everything should be meant: it is released, whatever is left of it.
    pub fn selection(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Into this stream, instead of the one that they came from. No key is released then.
    pub fn to(mut self, stream: StreamName) -> Self {
        self.to = Some(stream);
        self
    }

    /// No more than so many records, the oldest of each stream.
    pub const fn limit(mut self, records: u64) -> Self {
        self.limit = Some(records);
        self
    }

    /// What the pauses between refused calls follow from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.rng = Rng::with_seed(seed);
        self
    }

    /// Puts the records. Dropping the future ends it as an error does.
    ///
    /// # Errors
    /// If the file or the service does not do what it must. Begin again: what was put is no longer in the file.
    pub async fn run(mut self) -> Result<Redriven, RedriveError> {
        let mut done = Redriven::default();
        for totals in self.letters.totals(&self.selection).await? {
            let of = totals.of;
            let Some(stream) = self.to.clone() else {
                let (stream, selection) = (self.stream_of(&of).await?, self.selection.clone());
                let (file, letters) = (of.clone(), self.letters.clone());
                let released = letters
                    .call(move |letters| letters.begin_release(&file, &selection))
                    .await?;
                if !released.is_empty() {
                    self.until_noticed(&of).await?;
                }
                self.put_all(&of, &stream, &mut done).await?;
                done.released += released.len() as u64;
                let again = letters.call(move |letters| letters.end_release(&of, &released)).await?;
                done.released -= again.len() as u64;
                done.quarantined_again.extend(again);
                continue;
            };
            self.put_all(&of, &stream, &mut done).await?;
        }
        Ok(done)
    }

    /// The stream that the records came from. Its name is enough, unless the worker read those of several accounts.
    async fn stream_of(&self, of: &LetterStream) -> Result<StreamName, RedriveError> {
        let Some(id) = &of.stream_id else {
            return Ok(of.stream.clone());
        };
        let request = self.client.describe_stream_summary().stream_name(id.name().as_str());
        let answer = Box::pin(request.send()).await.map_err(|error| {
            let Refusal { code, message } = refusal(&error);
            RedriveError::Refused {
                operation: "DescribeStreamSummary",
                stream: id.name().clone(),
                code,
                message,
            }
        })?;
        let found = answer.stream_description_summary();
        let account = found.and_then(|found| found.stream_arn().split(':').nth(4));
        let epoch = found.map(|found| found.stream_creation_timestamp().secs());
        let is_same = account == Some(id.account().as_str()) && epoch == Some(id.epoch().cast_signed());
        if is_same {
            Ok(of.stream.clone())
        } else {
            Err(RedriveError::OtherStream { stream: id.clone() })
        }
    }

    /// Waits until the workers that read the stream deliver the released keys: a record that is put before would come back
    /// here, and the one after it would not.
    async fn until_noticed(&self, of: &LetterStream) -> Result<(), RedriveError> {
        let look = || {
            let of = of.clone();
            self.letters.call(move |letters| letters.release_progress(&of))
        };
        let mut before = look().await?;
        let mut waited = Duration::ZERO;
        while waited < NOTICE_MAX {
            let now = look().await?;
            if now.newest != before.newest {
                // Somebody still keeps records of the keys.
                before = now;
            } else if have_noticed(&before, &now) {
                return Ok(());
            }
            tokio::time::sleep(NOTICE_INTERVAL).await;
            waited += NOTICE_INTERVAL;
        }
        tracing::warn!(stream = %of.stream, "workers do not look up which keys are in quarantine; the redrive goes on");
        Ok(())
    }

    async fn put_all(&mut self, of: &LetterStream, to: &StreamName, done: &mut Redriven) -> Result<(), RedriveError> {
        let letters = self.letters.clone();
        let newest = letters.call(|letters| letters.newest_letter()).await?;
        let elsewhere = self.to.is_some();
        loop {
            let left = self
                .limit
                .map_or(PAGE, |limit| limit.saturating_sub(done.records).min(PAGE));
            let (file, selection) = (of.clone(), self.selection.clone());
            let plan = letters.call(move |letters| letters.plan(&file, &selection, newest, elsewhere, left));
            let plan = plan.await?;
            if plan.is_empty() {
                return Ok(());
            }
            self.put_page(of, to, Lanes::new(plan), done).await?;
        }
    }

    async fn put_page(
        &mut self,
        of: &LetterStream,
        to: &StreamName,
        mut lanes: Lanes,
        done: &mut Redriven,
    ) -> Result<(), RedriveError> {
        let mut refusals = 0;
        loop {
            let round = lanes.round();
            if round.is_empty() {
                return Ok(());
            }
            let call = self.load(round, &mut lanes).await?;
            if call.is_empty() {
                continue;
            }
            let refused = match self.put(to, &call).await {
                Ok(refused) => refused,
                Err(refusal) => {
                    if is_invalid(&refusal.code) {
                        // One of them is not as it must be: which one is found out.
                        lanes.one_by_one();
                    }
                    self.refused(to, &call, refusal)?
                }
            };
            let last = self.note(of, &call, refused, &mut lanes, done).await?;
            let Some((Refusal { code, message }, progress)) = last else {
                refusals = 0;
                continue;
            };
            refusals = if progress { 1 } else { refusals + 1 };
            if refusals == REFUSALS_MAX {
                return Err(RedriveError::Throttled {
                    stream: to.clone(),
                    attempts: refusals,
                    code,
                    message,
                });
            }
            tokio::time::sleep(Backoff::SERVICE.wait(refusals, &mut self.rng)).await;
        }
    }

    /// Removes what was taken. Gives the last refusal, if there was one, and whether anything was taken beside it.
    async fn note(
        &self,
        of: &LetterStream,
        call: &[(Planned, Record)],
        refused: Vec<Option<Refusal>>,
        lanes: &mut Lanes,
        done: &mut Redriven,
    ) -> Result<Option<(Refusal, bool)>, DeadLetterError> {
        let (mut taken, mut last) = (Vec::new(), None);
        for ((planned, _), refused) in call.iter().zip(refused) {
            if refused.is_some() {
                done.retried += 1;
                last = refused;
                continue;
            }
            done.records += 1;
            done.bytes += planned.bytes;
            taken.push(planned.id);
            lanes.done(planned);
        }
        let (of, progress) = (of.clone(), !taken.is_empty());
        let again = self
            .letters
            .call(move |letters| letters.given_back(&of, &taken))
            .await?;
        if self.to.is_none() {
            lanes.drop_keys(&again);
        }
        Ok(last.map(|refusal| (refusal, progress)))
    }

    /// What a refusal of a whole call means for its records.
    fn refused(
        &self,
        to: &StreamName,
        call: &[(Planned, Record)],
        refusal: Refusal,
    ) -> Result<Vec<Option<Refusal>>, RedriveError> {
        let (stream, Refusal { code, message }) = (to.clone(), refusal.clone());
        match call {
            _ if is_passing(&code) => Ok(vec![Some(refusal); call.len()]),
            [(_, record)] if is_invalid(&code) => Err(RedriveError::Rejected {
                stream,
                position: record.position(),
                code,
                message,
            }),
            _ if is_invalid(&code) => Ok(vec![Some(refusal); call.len()]),
            _ => Err(RedriveError::Refused {
                operation: "PutRecords",
                stream,
                code,
                message,
            }),
        }
    }

    /// The records of a round. Those that somebody removed meanwhile make room for the next of their keys.
    async fn load(&self, round: Vec<Planned>, lanes: &mut Lanes) -> Result<Vec<(Planned, Record)>, DeadLetterError> {
        let asked = round.clone();
        let found = self.letters.call(move |letters| letters.planned(&asked)).await?;
        let mut call = Vec::with_capacity(round.len());
        for (planned, record) in round.into_iter().zip(found) {
            match record {
                Some(record) => call.push((planned, record)),
                None => lanes.done(&planned),
            }
        }
        Ok(call)
    }

    /// Makes one call; says of each record why it was not put, if it was not.
    async fn put(&self, to: &StreamName, call: &[(Planned, Record)]) -> Result<Vec<Option<Refusal>>, Refusal> {
        let entries = call.iter().map(|(_, record)| entry(record)).collect::<Result<_, _>>()?;
        let request = self.client.put_records().stream_name(to.as_str());
        let sent = Box::pin(request.set_records(Some(entries)).send()).await;
        let answer = sent.map_err(|error| refusal(&error))?;
        let answers = answer.records.into_iter().map(|result| {
            result.error_code.map(|code| Refusal {
                code,
                message: result.error_message.unwrap_or_default(),
            })
        });
        let answers: Vec<_> = answers.collect();
        if answers.len() == call.len() {
            return Ok(answers);
        }
        Err(Refusal {
            code: "Answer".to_owned(),
            message: format!("the service answered {} records of {}", answers.len(), call.len()),
        })
    }
}

fn entry(record: &Record) -> Result<PutRecordsRequestEntry, Refusal> {
    // A record without a key came from a stream that spreads its records by itself.
    let key = Some(record.partition_key.to_string()).filter(|key| !key.is_empty());
    PutRecordsRequestEntry::builder()
        .data(Blob::new(record.data.clone()))
        .set_partition_key(key)
        .set_explicit_hash_key(record.explicit_hash_key.map(|key| key.to_string()))
        .build()
        .map_err(|error| Refusal {
            code: "Incomplete".to_owned(),
            message: error.to_string(),
        })
}

fn refusal(error: &(impl ProvideErrorMetadata + std::error::Error)) -> Refusal {
    Refusal {
        code: error.code().unwrap_or("Unreachable").to_owned(),
        message: match error.message() {
            Some(message) => message.to_owned(),
            None => DisplayErrorContext(error).to_string(),
        },
    }
}

/// Whether the stream has no room just now.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException" | "KMSThrottlingException" | "LimitExceededException"
    )
}

/// Whether a record, or the request, is not as the service wants it.
fn is_invalid(code: &str) -> bool {
    matches!(
        code,
        "InvalidArgumentException" | "ValidationException" | "SerializationException"
    )
}

fn have_noticed(before: &ReleaseProgress, now: &ReleaseProgress) -> bool {
    before.looks.iter().all(|(shard, looks)| {
        let now = now.looks.iter().find(|(other, _)| other == shard);
        // Nobody reads a shard any more that nobody looks for.
        now.is_none_or(|(_, now)| *now >= looks + LOOKS)
    })
}
