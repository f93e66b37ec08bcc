//! [`Server`]: the broker on the network.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ::http::{Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    broker::Broker,
    wire::{self, Body, Cut, Peer},
};

/// How long the server waits when the system has no resources for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("the broker cannot listen at {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A broker that listens: HTTP/1.1, any path, any signature.
///
/// [`Server::shutdown`] lets requests end, and tells when they have; dropping it does the same without telling.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kcl_broker::BindError> {
/// use kcl_broker::{Broker, Server};
///
/// let server = Server::bind(Broker::new(), ([127, 0, 0, 1], 0)).await?;
/// assert_eq!(server.endpoint_url(), format!("http://{}", server.local_addr()));
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    stop: DropGuard,
    serving: JoinHandle<()>,
}

impl Server {
    /// Listens at `address`, and there only; port 0 takes one that is free.
    ///
    /// Must be called within a tokio runtime, on which the broker then serves.
    ///
    /// # Errors
    /// If the address is in use or cannot be listened at.
    pub async fn bind(broker: Broker, address: impl Into<SocketAddr>) -> Result<Self, BindError> {
        let address = address.into();
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, broker, stop.clone()));
        tracing::info!(%local_addr, "broker listens");
        Ok(Self {
            local_addr,
            stop: stop.drop_guard(),
            serving,
        })
    }

    /// The address that is listened at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What a client on this machine is given as its endpoint.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        let mut reachable = self.local_addr;
        if reachable.ip().is_unspecified() {
            let loopback: IpAddr = match reachable {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            reachable.set_ip(loopback);
        }
        format!("http://{reachable}")
    }

    /// Stops listening, lets requests that have begun end, and closes the connections.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.serving.await {
            tracing::warn!(%error, "broker's task failed");
        }
    }
}

/// Serves connections until it is told to stop, then lets requests that have begun end.
async fn serve(listener: TcpListener, broker: Broker, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    let protocol = auto::Builder::new(TokioExecutor::new()).http1_only();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written in one go; waiting to fill a packet would only delay them.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let (broker, stop) = (broker.clone(), stop.clone());
        let service = service_fn(move |request| respond(broker.clone(), peer, stop.clone(), request));
        let connection = protocol.serve_connection(TokioIo::new(socket), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// Answers a request; a failure cuts the connection, or under HTTP/2 the stream, without an answer.
async fn respond(
    broker: Broker,
    peer: SocketAddr,
    stop: CancellationToken,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let response = match Limited::new(body, wire::BODY_BYTES_MAX).collect().await {
        Ok(body) => wire::respond(&broker, Peer::Remote(peer), &head, &body.to_bytes()).await?,
        Err(error) if error.is::<LengthLimitError>() => wire::body_too_large(&broker),
        Err(_) => return Err(Cut),
    };
    // A subscription would keep the server from stopping for up to five minutes.
    Ok(response.map(|body| body.until(stop)))
}
