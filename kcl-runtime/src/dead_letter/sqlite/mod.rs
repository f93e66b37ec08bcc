//! [`SqliteDeadLetters`]: dead letters in one file, shared by the processes of one machine.

mod codec;
mod error;
mod file;
mod give_back;
mod schema;
mod select;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytestring::ByteString;
use kcl_core::BoxError;
use tokio::{runtime::Handle, sync::Mutex};

pub use self::error::DeadLetterError;
pub(super) use self::give_back::{Planned, ReleaseProgress};
use self::{error::Failure, file::File};
use super::{
    DeadLetter, DeadLetters, KeptLetter, LetterId, LetterStream, LetterSummary, LetterTotals, QuarantinedKey, Selection,
};
use crate::processor::ShardContext;

/// Settings of [`SqliteDeadLetters`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteDeadLettersConfig {
    /// Whether a file that does not exist is created. Default: yes; tools that look into a file turn it off, so that a
    /// mistyped path is an error.
    pub create: bool,
    /// How long one call waits for other processes before it answers [`DeadLetterError::Unavailable`]. Default: 5 seconds,
    /// well above what a write takes.
    pub busy_timeout: Duration,
}

impl Default for SqliteDeadLettersConfig {
    fn default() -> Self {
        Self {
            create: true,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// Dead letters in an SQLite file. Clones share the connection; processes share the file.
///
/// One file holds the letters of several applications and streams. A record is kept whole, and once: if it is given up again,
/// its letter's history says so. What [`keep`](DeadLetters::keep) acknowledged survives a loss of power, as far as the disk
/// keeps what it says it wrote. The file may be read with `sqlite3` at any time; it must be on a local disk.
///
/// ```
/// use kcl_core::delivery::{DeliveryPolicy, DeliverySettings};
/// use kcl_runtime::{dead_letter::{Selection, SqliteDeadLetters}, testing::TestWorld};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("dead-letters.db");
/// let letters = SqliteDeadLetters::open(&path).await?;
/// let policy = DeliveryPolicy { max_retries: Some(2), ..DeliveryPolicy::default() };
/// let world = TestWorld::new("orders", 1).await;
/// let worker = world
///     .worker("w1")
///     .function(async |_| Err::<(), _>("cannot read it"))
///     .delivery(DeliverySettings { policy, ..DeliverySettings::default() })
///     .dead_letters(std::sync::Arc::new(letters.clone()));
/// world.start(worker);
/// world.put("customer-7", "two apples");
/// world.until_idle().await;
///
/// let kept = letters.list(&Selection::default()).await?;
/// assert_eq!((kept[0].records, kept[0].last_try.attempts), (1, 3));
/// let letter = letters.get(kept[0].id).await?.expect("nobody removed it");
/// assert_eq!(letter.records[0].data, "two apples");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteDeadLetters {
    /// The path as it was given: what messages call the file.
    path: Arc<PathBuf>,
    /// An asynchronous lock, so that a hundred waiting calls hold no thread.
    file: Arc<Mutex<File>>,
}

impl SqliteDeadLetters {
    /// Opens the file at `path`, and creates it if there is none yet.
    ///
    /// # Errors
    /// [`DeadLetterError::Unusable`] if the file is no file of dead letters, is damaged or cannot be written: the message says
    /// which and what to do. [`DeadLetterError::NewerSchema`] if it is of a later release. [`DeadLetterError::Unavailable`]
    /// if other processes kept it busy.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, DeadLetterError> {
        Self::open_with(path, SqliteDeadLettersConfig::default()).await
    }

    /// Like [`open`](Self::open), with other settings.
    ///
    /// # Errors
    /// Like [`open`](Self::open); also if there is no file and [`SqliteDeadLettersConfig::create`] is off.
    pub async fn open_with(path: impl Into<PathBuf>, config: SqliteDeadLettersConfig) -> Result<Self, DeadLetterError> {
        let path = Arc::new(path.into());
        let opened = run({
            let path = Arc::clone(&path);
            move || schema::open(&path, &config)
        })
        .await;
        let connection = opened.map_err(|failure| failure.in_file(path.to_path_buf()))?;
        Ok(Self {
            path,
            file: Arc::new(Mutex::new(File { connection })),
        })
    }

    /// The letters with a record that is meant, in the order in which they came.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn list(&self, selection: &Selection) -> Result<Vec<LetterSummary>, DeadLetterError> {
        let selection = selection.clone();
        self.call(move |file| file.list(&selection)).await
    }

    /// One letter, whole; `None` if there is none of this number, or none any more.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn get(&self, letter: LetterId) -> Result<Option<KeptLetter>, DeadLetterError> {
        self.call(move |file| file.get(letter)).await
    }

    /// How much is meant, by application and stream.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn totals(&self, selection: &Selection) -> Result<Vec<LetterTotals>, DeadLetterError> {
        let selection = selection.clone();
        self.call(move |file| file.totals(&selection)).await
    }

    /// Removes the records that are meant for good, and says how many there were. A key in quarantine stays there.
    ///
    /// # Errors
    /// If the file cannot be written. Then nothing is removed.
    pub async fn purge(&self, selection: &Selection) -> Result<u64, DeadLetterError> {
        let selection = selection.clone();
        self.call(move |file| file.purge(&selection)).await
    }

    /// The partition keys in quarantine, of all applications and streams.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn quarantined_keys(&self) -> Result<Vec<QuarantinedKey>, DeadLetterError> {
        self.call(|file| file.quarantined_keys()).await
    }

    /// Releases keys of a stream: workers deliver their records again, within the five seconds after which they look. What is
    /// kept of the keys stays here. Says how many were in quarantine.
    ///
    /// # Errors
    /// If the file cannot be written. Then no key is released.
    pub async fn release(&self, of: &LetterStream, keys: &[ByteString]) -> Result<u64, DeadLetterError> {
        let (of, keys) = (of.clone(), keys.to_vec());
        self.call(move |file| file.release(&of, &keys)).await
    }

    /// Runs `step` on the connection, away from the runtime's own threads.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut File) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, DeadLetterError> {
        let mut file = Arc::clone(&self.file).lock_owned().await;
        run(move || step(&mut file))
            .await
            .map_err(|failure| failure.in_file(self.path.to_path_buf()))
    }
}

/// Runs blocking work on tokio's threads for it; here, if there is no runtime.
async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => Err(Failure::Lost(error.into())),
        },
        Err(_) => work(),
    }
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let letter = letter.clone();
        Ok(self.call(move |file| file.keep(&letter)).await?)
    }

    async fn quarantined(&self, shard: &ShardContext) -> Result<Vec<ByteString>, BoxError> {
        let of = LetterStream {
            application: shard.application.clone(),
            stream: shard.stream.clone(),
            stream_id: shard.stream_id.clone(),
        };
        let shard = shard.shard.clone();
        Ok(self.call(move |file| file.look(&of, shard.as_str())).await?)
    }
}
