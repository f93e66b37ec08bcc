//! SIGTERM and SIGINT: the first asks for a clean stop, the second does not wait for it.

use std::io;

use crate::error::{CUT_SHORT, Error};

/// Listens from the moment it is made, so that no signal between two waits is lost.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Error> {
        Self::register().map_err(Error::Signals)
    }

    #[cfg(unix)]
    fn register() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(not(unix))]
    fn register() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for `stopping`, unless another signal comes first: that ends the process.
    pub(crate) async fn or_exit<T>(mut self, stopping: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = stopping => done,
            () = self.next() => {
                tracing::warn!("second signal: not waiting any longer");
                std::process::exit(i32::from(CUT_SHORT))
            }
        }
    }
}
