//! The connections of one process.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{Shared, routes, state::ConnectionId};

/// Room for the head of a request: clients send up to 1 MiB of what they know about an exception in one header.
const HEAD_BYTES_MAX: usize = 2 << 20;
const HEADERS_MAX: usize = 256;
/// More than any client opens to its one server.
const CONNECTIONS_MAX: usize = 256;
/// How long the server waits when the system has no resources for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until the future is dropped, and they with it.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((socket, _)) => {
                    number += 1;
                    connections.spawn(attend(Open::new(Arc::clone(&shared), ConnectionId(number)), socket));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the runtime api cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// A connection for as long as it is open.
struct Open {
    shared: Arc<Shared>,
    id: ConnectionId,
}

impl Open {
    fn new(shared: Arc<Shared>, id: ConnectionId) -> Self {
        shared.connections.send_modify(|open| *open += 1);
        Self { shared, id }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.state.send_if_modified(|state| state.disconnected(self.id));
        self.shared.connections.send_modify(|open| *open -= 1);
    }
}

async fn attend(open: Open, socket: TcpStream) {
    // Answers are written in one go; waiting to fill a packet would only delay them.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the runtime api cannot be hurried");
    }
    let respond =
        service_fn(|request| async { Ok::<_, Infallible>(routes::respond(&open.shared, open.id, request).await) });
    let served = http1::Builder::new()
        // Nobody is in a hurry: a process may think for as long as it likes between two requests.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(socket), respond)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the runtime api ended early");
    }
}
