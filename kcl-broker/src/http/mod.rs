//! [`Server`]: the broker on the network.

mod impatient;
mod serve;
#[cfg(feature = "tls")]
mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::serve::{Front, Security};
#[cfg(feature = "tls")]
pub use self::tls::{CertificateError, SelfSigned};
use crate::broker::Broker;

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("the broker cannot listen at {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A broker that listens: HTTP/1.1 and HTTP/2 on one port, any path, any signature.
///
/// A connection without TLS speaks HTTP/2 if it begins as clients with prior knowledge do (Java's and JavaScript's are such),
/// and HTTP/1.1 otherwise.
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
    scheme: &'static str,
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
        Self::listen(broker, address.into(), Security::Plain).await
    }

    /// Listens at `address` as [`Server::bind`] does, and speaks TLS only.
    ///
    /// # Errors
    /// If the address is in use or cannot be listened at.
    #[cfg(feature = "tls")]
    pub async fn bind_tls(
        broker: Broker,
        address: impl Into<SocketAddr>,
        certificate: &SelfSigned,
    ) -> Result<Self, BindError> {
        Self::listen(broker, address.into(), Security::Tls(certificate.acceptor())).await
    }

    async fn listen(broker: Broker, address: SocketAddr, security: Security) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let scheme = security.scheme();
        let stop = CancellationToken::new();
        let front = Arc::new(Front::new(broker, security, stop.clone()));
        let serving = tokio::spawn(front.serve(listener));
        tracing::info!(%local_addr, scheme, "broker listens");
        Ok(Self {
            local_addr,
            scheme,
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
        format!("{}://{reachable}", self.scheme)
    }

    /// Stops listening, lets requests that have begun end, and closes the connections.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.serving.await {
            tracing::warn!(%error, "broker's task failed");
        }
    }
}
