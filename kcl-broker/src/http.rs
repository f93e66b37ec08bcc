//! [`Server`]: the broker on the network.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ::http::{Request, Response};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    serve::ListenerExt,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{broker::Broker, wire};

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
    serving: JoinHandle<io::Result<()>>,
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
        let listener = listener.tap_io(|connection| {
            // Answers are written in one go; waiting to fill a packet would only delay them.
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY cannot be set");
            }
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let router = Router::new().fallback(respond).with_state(broker);
        let serving = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
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
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "broker stopped listening with an error"),
            Err(error) => tracing::warn!(%error, "broker's task failed"),
        }
    }
}

async fn respond(State(broker): State<Broker>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let response = match to_bytes(body, wire::BODY_BYTES_MAX).await {
        Ok(body) => wire::respond(&broker, &head.method, &head.headers, &body),
        Err(_) => wire::body_too_large(&broker),
    };
    response.map(Body::from)
}
