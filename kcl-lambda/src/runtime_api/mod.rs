//! [`RuntimeApi`]: Lambda's Runtime API 2018-06-01 for one process of a function, on a port of loopback.
//!
//! What a process may say when is in `state`, without a socket; `routes` turns requests into that, `body` reads what they
//! bring, `refusal` says no in AWS's words, `server` holds the connections.

mod body;
mod extensions;
mod function_error;
mod refusal;
mod routes;
mod server;
mod state;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use bytestring::ByteString;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;

use self::state::State;
use crate::invoke::{FunctionError, Invocation};

/// The most bytes of an answer that AWS takes: 6 MiB and a hundred bytes.
pub const RESPONSE_BYTES_MAX: usize = (6 << 20) + 100;

/// What a [`RuntimeApi`] is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeApiConfig {
    /// The most bytes of an answer; by default [`RESPONSE_BYTES_MAX`]. More is refused, and the invocation has failed.
    pub response_bytes_max: usize,
    /// The function's name, as extensions are told it.
    pub function_name: ByteString,
    /// The function's version, likewise.
    pub function_version: ByteString,
    /// The function's handler, likewise.
    pub handler: ByteString,
}

impl Default for RuntimeApiConfig {
    fn default() -> Self {
        Self {
            response_bytes_max: RESPONSE_BYTES_MAX,
            function_name: ByteString::from_static("function"),
            function_version: ByteString::from_static("$LATEST"),
            handler: ByteString::from_static("bootstrap"),
        }
    }
}

/// The Runtime API of one process: a server on a port of loopback that nobody else has.
///
/// The process is whoever speaks to the port; that is why each has a server of its own. It has one invocation at a time.
/// `next` is held open for as long as there is none, and is never answered otherwise: clients die of that. A process is
/// stopped by a signal. To drop the value is to close the port and all connections.
///
/// Requests of browsers are refused. Other programs on the same machine are not told from the function: whoever may open
/// its port can take its invocations, as with AWS's own emulator.
///
/// ```
/// use kcl_lambda::runtime_api::{RuntimeApi, RuntimeApiConfig};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let api = RuntimeApi::bind(RuntimeApiConfig::default()).await?;
/// // What a function finds in its environment:
/// let variable = ("AWS_LAMBDA_RUNTIME_API", api.address().to_string());
/// # assert!(variable.1.starts_with("127.0.0.1:")); Ok(()) }
/// ```
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

/// What the server's connections share with its owner.
#[derive(Debug)]
struct Shared {
    config: RuntimeApiConfig,
    address: SocketAddr,
    state: watch::Sender<State>,
    /// How many connections are open.
    connections: watch::Sender<usize>,
}

impl RuntimeApi {
    /// Opens a port and serves it.
    ///
    /// # Errors
    ///
    /// The system gives no port.
    pub async fn bind(config: RuntimeApiConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            config,
            address,
            state: watch::Sender::new(State::new()),
            connections: watch::Sender::new(0),
        });
        let server = tokio::spawn(server::serve(Arc::clone(&shared), listener));
        Ok(Self {
            address,
            shared,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// Where the server listens: the value of `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the process has started: until it asks for its first invocation.
    ///
    /// # Errors
    ///
    /// It says that it cannot start.
    pub async fn started(&self) -> Result<(), FunctionError> {
        self.when(State::started).await
    }

    /// Gives an invocation to the process as soon as it asks for one. Then wait until it is [`taken`](Self::taken), and
    /// until it is [`answered`](Self::answered).
    ///
    /// # Errors
    ///
    /// [`Busy`], and the invocation back: the process has one already, or has not started.
    pub fn offer(&self, invocation: Invocation) -> Result<(), Busy> {
        let mut invocation = Some(invocation);
        self.shared.state.send_if_modified(|state| {
            let offered = state.is_idle();
            if let Some(invocation) = invocation.take_if(|_| offered) {
                state.offer(invocation);
            }
            offered
        });
        invocation.map_or(Ok(()), |invocation| Err(Busy(Box::new(invocation))))
    }

    /// Waits until the process has taken the invocation that was offered. The time that it may take runs from then.
    pub async fn taken(&self) {
        self.when(|state| (!state.is_offered()).then_some(())).await;
    }

    /// Waits for the answer to the invocation that was offered. The process is ready for another then.
    ///
    /// # Errors
    ///
    /// The process reported that its function failed, or answered with too much.
    pub async fn answered(&self) -> Result<Bytes, FunctionError> {
        loop {
            self.when(|state| state.is_answered().then_some(())).await;
            let mut answer = None;
            self.shared.state.send_if_modified(|state| {
                answer = state.take_answer();
                answer.is_some()
            });
            // None if somebody else waits for the same answer.
            if let Some(answer) = answer {
                return answer;
            }
        }
    }

    /// Waits until the process has no connection any more: until all that it said has been read.
    pub async fn drained(&self) {
        let mut connections = self.shared.connections.subscribe();
        // The sender is ours, so that this ends with the number alone.
        let _ = connections.wait_for(|open| *open == 0).await;
    }

    /// Expects nothing of the process any more: whatever it says is refused, and if it asks, it waits for ever.
    pub fn close(&self) {
        self.shared.state.send_modify(State::close);
    }

    async fn when<T>(&self, tell: impl Fn(&State) -> Option<T>) -> T {
        let mut changes = self.shared.state.subscribe();
        loop {
            let told = tell(&changes.borrow_and_update());
            if let Some(told) = told {
                return told;
            }
            if changes.changed().await.is_err() {
                // The sender is ours: it outlives this future.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The process has an invocation already, or has not started. The invocation is given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process cannot be given an invocation now")]
pub struct Busy(pub Box<Invocation>);
