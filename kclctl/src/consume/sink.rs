//! Where consumed records go: stdout, whole batches at a time.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kcl_core::{Batch, BoxError};
use tokio::sync::{Mutex, watch};

use super::line::render;
use crate::{error::Error, output};

/// How often it is asked whether somebody still reads stdout, while there is nothing to write.
const LOOK: Duration = Duration::from_millis(250);

/// The handler's error once stdout is gone: its batch stays unhandled.
#[derive(Debug, thiserror::Error)]
#[error("stdout cannot be written ({0}): the worker stops")]
struct Closed(Arc<io::Error>);

/// Stdout. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    /// Held while a batch is rendered and written, so that one batch at a time takes memory and a thread, however many
    /// shards there are and however slow the reader is.
    turn: Arc<Mutex<()>>,
    records: Arc<AtomicU64>,
    failure: Arc<watch::Sender<Option<Arc<io::Error>>>>,
}

impl Sink {
    pub(crate) fn stdout() -> Self {
        Self {
            turn: Arc::default(),
            records: Arc::default(),
            failure: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Writes all records of a batch and flushes; after success they belong to whoever reads stdout.
    pub(crate) async fn write(&self, batch: Batch) -> Result<(), BoxError> {
        self.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(error) = self.failure.borrow().clone() {
            return Err(Closed(error).into());
        }
        // The turn moves along: should this call be cancelled, the next batch still waits for the end of the line.
        let failure = Arc::clone(&self.failure);
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let written = render(&batch).and_then(|lines| write_all(&lines));
            written.map_err(|error| {
                let error = Arc::new(error);
                failure.send_replace(Some(Arc::clone(&error)));
                error
            })
        });
        Ok(written.await?.map_err(Closed)?)
    }

    /// The records that came here.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Ends when nothing can be written any more: a write failed, or nobody reads.
    pub(crate) async fn closed(&self) {
        let mut failure = self.failure.subscribe();
        loop {
            match tokio::time::timeout(LOOK, failure.wait_for(Option::is_some)).await {
                Ok(_) => return,
                Err(_) if !output::is_read() => return,
                Err(_) => {}
            }
        }
    }

    /// Whether the output is whole. That its reader went away early is the reader's choice and no error.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        match self.failure.borrow().as_ref() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::Output(io::Error::new(error.kind(), error.to_string())))
            }
            _ => Ok(()),
        }
    }
}

fn write_all(lines: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(lines)?;
    stdout.flush()
}
