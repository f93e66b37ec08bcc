//! [`SqliteLeaseStore`]: a lease table in one file, shared by the processes of one machine.

mod codec;
mod error;
mod file;
mod schema;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use kcl_core::{
    ApplicationName, Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, StoreOperation,
    WriteOutcome,
};
use tokio::{runtime::Handle, sync::Mutex};

use self::{error::Failure, file::LeaseFile};

/// What an acknowledged write survives. Killing a process loses nothing in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Loss of power, as far as the disk keeps what it says it wrote. Costs one sync of the disk per write.
    ///
    /// The default: a checkpoint is a promise not to see a record again, and a fleet writes few of them.
    #[default]
    PowerLoss,
    /// The end of the process, however sudden. If the machine loses power, the last writes may be undone: the file stays
    /// sound, and the records since then are delivered again.
    ProcessKill,
}

impl Durability {
    /// The value of SQLite's `synchronous`.
    const fn as_pragma(self) -> &'static str {
        match self {
            Self::PowerLoss => "FULL",
            Self::ProcessKill => "NORMAL",
        }
    }
}

/// Settings of a [`SqliteLeaseStore`].
///
/// ```
/// use kcl_checkpoint::{Durability, SqliteConfig};
///
/// let mut config = SqliteConfig::default();
/// config.create = false;
/// config.durability = Durability::ProcessKill;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// Whether a file that does not exist is created. Default: yes; tools that inspect a table turn it off, so that a
    /// mistyped path is an error.
    pub create: bool,
    /// How long one call waits for other processes before it answers [`StoreError::Unavailable`]. Default: 5 seconds,
    /// well above what a write takes and well below what a fleet allows before it takes a lease away.
    pub busy_timeout: Duration,
    /// What an acknowledged write survives. Default: loss of power.
    pub durability: Durability,
    /// Whether calls run where they are awaited instead of on tokio's blocking threads. Default: no. For command-line
    /// tools and simulations; calls run there anyway where no tokio runtime is found.
    pub inline: bool,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            create: true,
            busy_timeout: Duration::from_secs(5),
            durability: Durability::default(),
            inline: false,
        }
    }
}

/// A lease table in an SQLite file. Clones share the connection; processes share the file.
///
/// One file holds the tables of several applications, each of which sees its own rows only. Every write is one
/// transaction that takes the file's write lock, compares and swaps. The file may be read with `sqlite3` at any time.
///
/// - **Files.** Beside `leases.db`, SQLite keeps `leases.db-wal` and `leases.db-shm` while workers run. The three belong
///   together: copy them with `sqlite3 leases.db ".backup copy.db"`, never one alone.
/// - **One machine.** The file must be on a local disk: locks do not work on network file systems.
/// - **Deleted file.** If the file is deleted, moved or replaced while it is open, every later call answers
///   [`StoreError::Unusable`] and no new table appears (on Windows, the system refuses to delete it). A worker that is
///   started after that cannot know, and creates a new table unless [`SqliteConfig::create`] is off.
/// - **Cancellation.** A call that is dropped before its answer may still be carried out, as with any remote table.
///
/// ```
/// use kcl_checkpoint::SqliteLeaseStore;
/// use kcl_core::{ApplicationName, Lease, LeaseStore, LeaseWrite, Position, Session, ShardId, WorkerId, WriteOutcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("leases.db");
/// let store = SqliteLeaseStore::open(&path, ApplicationName::new("billing")?).await?;
/// let lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// let _ = store.create(&lease).await?;
///
/// let me = WorkerId::new("worker-1")?;
/// let taken = store.update(&LeaseWrite::take(&lease, &me, Session(7))).await?;
/// assert!(matches!(taken, WriteOutcome::Applied(lease) if lease.holder() == Some(&me)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteLeaseStore {
    /// The path as it was given: what messages call the file.
    path: Arc<PathBuf>,
    application: ApplicationName,
    inline: bool,
    /// An asynchronous lock, so that a hundred waiting calls hold no thread.
    file: Arc<Mutex<LeaseFile>>,
}

impl SqliteLeaseStore {
    /// Opens the lease table of `application` in the file at `path`, and creates it if there is no file yet.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] if the file is not a lease table, comes from a newer release, is damaged or cannot be
    /// written: the message says which and what to do. [`StoreError::Unavailable`] if other processes kept it busy.
    pub async fn open(path: impl Into<PathBuf>, application: ApplicationName) -> Result<Self, StoreError> {
        Self::open_with(path, application, SqliteConfig::default()).await
    }

    /// Like [`open`](Self::open), with other settings.
    ///
    /// # Errors
    /// Like [`open`](Self::open); also if there is no file and [`SqliteConfig::create`] is off.
    pub async fn open_with(
        path: impl Into<PathBuf>,
        application: ApplicationName,
        config: SqliteConfig,
    ) -> Result<Self, StoreError> {
        let path = Arc::new(path.into());
        let inline = config.inline;
        let opened = run(inline, {
            let path = Arc::clone(&path);
            move || LeaseFile::open(&path, &config)
        })
        .await;
        let file = opened.map_err(|failure| failure.into_store_error(&path, StoreOperation::Open))?;
        Ok(Self {
            path,
            application,
            inline,
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// Runs `step` on the connection, away from the runtime's own threads.
    async fn call<T: Send + 'static>(
        &self,
        operation: StoreOperation,
        step: impl FnOnce(&mut LeaseFile, &str) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut file = Arc::clone(&self.file).lock_owned().await;
        let application = self.application.clone();
        run(self.inline, move || step(&mut file, application.as_str()))
            .await
            .map_err(|failure| failure.into_store_error(&self.path, operation))
    }
}

/// Runs blocking work on tokio's threads for it; here, if that is wished or there is no runtime.
async fn run<T: Send + 'static>(
    inline: bool,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match Handle::try_current() {
        Ok(runtime) if !inline => match runtime.spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => Err(Failure::Lost(error.into())),
        },
        _ => work(),
    }
}

#[async_trait]
impl LeaseStore for SqliteLeaseStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        self.call(StoreOperation::List, |file, application| file.list(application))
            .await
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let key = key.clone();
        self.call(StoreOperation::Get, move |file, application| {
            file.get(application, &key)
        })
        .await
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let lease = lease.clone();
        self.call(StoreOperation::Create, move |file, application| {
            file.create(application, &lease)
        })
        .await
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let write = write.clone();
        self.call(StoreOperation::Update, move |file, application| {
            file.update(application, &write)
        })
        .await
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let (key, expect) = (key.clone(), expect.clone());
        self.call(StoreOperation::Delete, move |file, application| {
            file.delete(application, &key, &expect)
        })
        .await
    }
}
