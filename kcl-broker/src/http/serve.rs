//! Connections: which protocol each speaks, and how long and how much it may ask for.

use std::{error::Error, future::pending, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use ::http::{Request, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TrackedFuture},
};

use super::impatient::Impatient;
use crate::{
    broker::Broker,
    wire::{self, Body, Cut, Peer},
};

/// How long the server waits when the system has no resources for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take to its first request, and from one request to the next under HTTP/1.1. Clients keep
/// connections for a minute at most, as a rule; then it is they who close them, and no request meets a closing one.
const REQUEST_WAIT: Duration = Duration::from_secs(75);
/// How long a request may take to arrive once it has begun.
const BODY_WAIT: Duration = Duration::from_secs(60);
/// How often a connection under HTTP/2 is asked whether there is still somebody.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long clients may take to accept that the server stops, once their requests are answered.
const FAREWELL_WAIT: Duration = Duration::from_secs(5);
const CONNECTIONS_MAX: usize = 4096;
/// The most requests and subscriptions that one connection under HTTP/2 has at a time.
const STREAMS_MAX: u32 = 1000;
/// What all large bodies that are being read may take together.
const LARGE_BODIES_KIB_MAX: usize = 384 << 10;
/// What all small bodies that are being read may take together.
const SMALL_BODIES_KIB_MAX: usize = 128 << 10;
const BODY_KIB_MAX: usize = (wire::BODY_BYTES_MAX >> 10) + 1;
/// The largest body that counts as small, as nearly all do that put no records.
const SMALL_BODY_BYTES_MAX: usize = 256 << 10;

/// What all answers that clients have not read yet may take together, the large and the small.
const LARGE_ANSWERS_KIB_MAX: usize = 1 << 20;
const SMALL_ANSWERS_KIB_MAX: usize = 256 << 10;
/// The largest answer that counts as small, as all do but those with many records or items.
const SMALL_ANSWER_BYTES_MAX: usize = 256 << 10;
/// How long a client may take to read the next of what it is sent.
const READ_WAIT: Duration = Duration::from_secs(60);

/// What is between the network and HTTP.
pub(super) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

impl Security {
    pub(super) const fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "https",
        }
    }
}

/// What all connections share.
pub(super) struct Front {
    broker: Broker,
    security: Security,
    stop: CancellationToken,
    protocol: auto::Builder<TokioExecutor>,
    connections: Arc<Semaphore>,
    large_bodies: Semaphore,
    small_bodies: Semaphore,
    large_answers: Arc<Semaphore>,
    small_answers: Arc<Semaphore>,
}

impl Front {
    pub(super) fn new(broker: Broker, security: Security, stop: CancellationToken) -> Self {
        let mut protocol = auto::Builder::new(TokioExecutor::new());
        protocol
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_WAIT);
        protocol
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .max_concurrent_streams(STREAMS_MAX);
        Self {
            broker,
            security,
            stop,
            protocol,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            large_bodies: Semaphore::new(LARGE_BODIES_KIB_MAX),
            small_bodies: Semaphore::new(SMALL_BODIES_KIB_MAX),
            large_answers: Arc::new(Semaphore::new(LARGE_ANSWERS_KIB_MAX)),
            small_answers: Arc::new(Semaphore::new(SMALL_ANSWERS_KIB_MAX)),
        }
    }

    /// Serves connections until it is told to stop, then lets requests that have begun end.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let connections = GracefulShutdown::new();
        loop {
            let (socket, peer, place) = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = self.accept(&listener) => accepted,
            };
            let (front, watcher) = (Arc::clone(&self), connections.watcher());
            tokio::spawn(async move {
                if let Err(error) = front.attend(socket, peer, watcher).await {
                    tracing::debug!(error, %peer, "a connection ended early");
                }
                drop(place);
            });
        }
        drop(listener);
        connections.shutdown().await;
    }

    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            let place = Arc::clone(&self.connections).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((socket, peer)) => return (socket, peer, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection to its end.
    async fn attend(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, watcher: Watcher) -> Result<(), Failure> {
        // Answers are written in one go; waiting to fill a packet would only delay them.
        socket.set_nodelay(true)?;
        let requests = Requests::default();
        tokio::select! {
            biased;
            ended = self.open(socket, peer, watcher, &requests) => ended,
            () = requests.overdue() => Err("no request came in time".into()),
            () = self.farewell(&requests) => Err("the client did not let go".into()),
        }
    }

    /// Waits until the server stops, then until all requests are answered, then no longer than it takes to say so.
    async fn farewell(&self, requests: &Requests) {
        self.stop.cancelled().await;
        requests.answered().await;
        sleep(FAREWELL_WAIT).await;
    }

    async fn open(
        self: &Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        requests: &Requests,
    ) -> Result<(), Failure> {
        match &self.security {
            Security::Plain => self.speak(socket, peer, watcher, requests).await,
            #[cfg(feature = "tls")]
            Security::Tls(acceptor) => {
                let stream = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Ok(()),
                    opened = acceptor.accept(socket) => opened?,
                };
                self.speak(stream, peer, watcher, requests).await
            }
        }
    }

    /// Speaks whichever version of HTTP the client does.
    async fn speak<I>(
        self: &Arc<Self>,
        io: I,
        peer: SocketAddr,
        watcher: Watcher,
        requests: &Requests,
    ) -> Result<(), Failure>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| requests.begin(Arc::clone(self).respond(peer, request)));
        let io = TokioIo::new(Impatient::new(io, READ_WAIT));
        let connection = self.protocol.serve_connection(io, service);
        watcher.watch(connection).await
    }

    /// Answers a request; a failure cuts the connection, or under HTTP/2 the stream, without an answer.
    async fn respond(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let size = body.size_hint();
        if size.lower() > wire::BODY_BYTES_MAX as u64 {
            return Ok(wire::body_too_large(&self.broker));
        }
        let response = match self.read(body).await {
            Ok((body, _room)) => wire::respond(&self.broker, Peer::Remote(peer), &head, &body).await?,
            Err(Unread::TooLarge) => wire::body_too_large(&self.broker),
            Err(Unread::Lost) => return Err(Cut),
        };
        let response = self.bound(response);
        // A subscription would keep the server from stopping for up to five minutes.
        Ok(response.map(|body| body.until(self.stop.clone())))
    }

    /// Takes room for an answer until the client has read it. Clients that ask for much and read none of it get no more.
    fn bound(&self, response: Response<Body>) -> Response<Body> {
        let (head, bytes) = match response.into_parts() {
            (head, Body::Full(bytes)) => (head, bytes),
            (head, body) => return Response::from_parts(head, body),
        };
        let answers = if bytes.len() > SMALL_ANSWER_BYTES_MAX {
            &self.large_answers
        } else {
            &self.small_answers
        };
        let room = u32::try_from(bytes.len() >> 10).unwrap_or(u32::MAX);
        let body = match room {
            0 => bytes,
            _ => match Arc::clone(answers).try_acquire_many_owned(room) {
                Ok(room) => Bytes::from_owner(Held { bytes, _room: room }),
                Err(_) => return wire::too_much_unread(&self.broker),
            },
        };
        Response::from_parts(head, Body::Full(body))
    }

    /// Reads a body, and takes room for it.
    ///
    /// A small one takes room as it arrives: who announces much and sends nothing must not be in anybody's way. What turns
    /// out to be large takes the room for all of it before it goes on, since bodies that all had a part of theirs would wait
    /// for each other.
    async fn read(&self, mut body: Incoming) -> Result<(Bytes, SemaphorePermit<'_>), Unread> {
        let announced = body.size_hint().exact();
        let mut read = BytesMut::new();
        let mut room = reserve(&self.small_bodies, 0).await;
        let mut is_large = false;
        let mut overdue = pin!(sleep(BODY_WAIT));
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = &mut overdue => return Err(Unread::Lost),
            };
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|_| Unread::Lost)?.into_data() else {
                continue;
            };
            let bytes = read.len() + data.len();
            if bytes > wire::BODY_BYTES_MAX {
                return Err(Unread::TooLarge);
            }
            if !is_large && bytes > SMALL_BODY_BYTES_MAX {
                is_large = true;
                room = reserve(&self.large_bodies, announced.map_or(BODY_KIB_MAX, kib)).await;
                overdue.set(sleep(BODY_WAIT));
                let capacity = announced.and_then(|bytes| usize::try_from(bytes).ok());
                read.reserve(capacity.unwrap_or(bytes).saturating_sub(read.len()));
            }
            let missing = kib(bytes as u64).saturating_sub(room.num_permits());
            if !is_large && missing > 0 {
                // Small ones may wait for each other, but not for longer than any may take.
                room.merge(tokio::select! {
                    biased;
                    more = reserve(&self.small_bodies, missing) => more,
                    () = &mut overdue => return Err(Unread::Lost),
                });
            }
            read.extend_from_slice(&data);
        }
        // Who did not say how much would come had reserved the most there can be.
        drop(room.split(room.num_permits().saturating_sub(kib(read.len() as u64))));
        Ok((read.freeze(), room))
    }
}

/// An answer with the room that it takes.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The room that so many bytes take.
fn kib(bytes: u64) -> usize {
    usize::try_from(bytes >> 10).map_or(BODY_KIB_MAX, |kib| kib + 1)
}

/// Waits for room for a body, in KiB.
async fn reserve(bodies: &Semaphore, kib: usize) -> SemaphorePermit<'_> {
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    bodies.acquire_many(kib).await.expect("the semaphore is never closed")
}

/// Why a request has no body.
enum Unread {
    TooLarge,
    /// It did not arrive, or not in time.
    Lost,
}

type Failure = Box<dyn Error + Send + Sync>;

/// The requests of one connection.
#[derive(Default)]
struct Requests {
    begun: CancellationToken,
    unanswered: TaskTracker,
}

impl Requests {
    fn begin<F: Future>(&self, request: F) -> TrackedFuture<F> {
        self.begun.cancel();
        self.unanswered.track_future(request)
    }

    /// Waits until the first request is overdue. Once there is one, that is never.
    async fn overdue(&self) {
        if timeout(REQUEST_WAIT, self.begun.cancelled()).await.is_ok() {
            pending().await
        }
    }

    /// Waits until there is no request without an answer.
    async fn answered(&self) {
        self.unanswered.close();
        self.unanswered.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use ::http::StatusCode;

    use super::*;

    #[test]
    fn given_answers_that_nobody_reads_when_there_is_no_room_then_large_ones_are_refused_until_one_is_read() {
        let front = Front::new(Broker::new(), Security::Plain, CancellationToken::new());
        let bytes = Bytes::from(vec![0; 16 << 20]);
        let answer = |len: usize| front.bound(Response::new(Body::Full(bytes.slice(..len))));
        let mut unread: Vec<_> = (0..64).map(|_| answer(16 << 20)).collect();
        assert!(unread.iter().all(|answer| answer.status() == StatusCode::OK));
        assert_eq!(answer(16 << 20).status(), StatusCode::SERVICE_UNAVAILABLE);
        // Those who ask for little are not to wait for them.
        assert_eq!(answer(100 << 10).status(), StatusCode::OK);
        unread.pop();
        assert_eq!(answer(16 << 20).status(), StatusCode::OK);
    }
}
