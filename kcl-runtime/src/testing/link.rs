//! [`Link`]: the way from an SDK client to the broker, which can be cut.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use kcl_broker::Broker;

/// What becomes of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// They are answered.
    #[default]
    Up,
    /// The connection is refused.
    Refused,
    /// The service answers with status 500.
    ServerError,
    /// The service answers that the throughput of the shard is exceeded.
    Throttled,
    /// They are never answered, not even after the link is up again.
    Hanging,
    /// The service carries them out, and the connection breaks before the answer arrives.
    AnswersLost,
}

/// An SDK's HTTP client to a broker in the same process, in the state that a test wants it in. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    next: SharedHttpConnector,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<LinkState>,
    requests: AtomicU64,
    /// The iterators handed out since iterators last expired; without a value none ever did.
    fresh: Mutex<Option<BTreeSet<String>>>,
}

impl Link {
    /// A link to `broker` that is up.
    #[must_use]
    pub fn new(broker: &Broker) -> Self {
        Self {
            next: SharedHttpConnector::new(broker.http_client()),
            shared: Arc::default(),
        }
    }

    /// A link that leads into this one: its requests meet the trouble of both.
    #[must_use]
    pub fn branch(&self) -> Self {
        Self {
            next: SharedHttpConnector::new(self.clone()),
            shared: Arc::default(),
        }
    }

    /// Changes what becomes of requests from now on.
    pub fn set(&self, state: LinkState) {
        *lock(&self.shared.state) = state;
    }

    /// What becomes of requests now.
    #[must_use]
    pub fn state(&self) -> LinkState {
        *lock(&self.shared.state)
    }

    /// Expires all shard iterators that were handed out so far, as the service does five minutes after it made them.
    pub fn expire_iterators(&self) {
        *lock(&self.shared.fresh) = Some(BTreeSet::new());
    }

    /// How many requests came so far, answered or not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Whether the request reads through an iterator that has expired.
    fn is_expired(&self, request: &HttpRequest) -> bool {
        let is_read = request
            .headers()
            .get("x-amz-target")
            .is_some_and(|target| target.ends_with(".GetRecords"));
        let iterator = request.body().bytes().and_then(iterator_in);
        match (is_read, iterator, lock(&self.shared.fresh).as_ref()) {
            (true, Some(iterator), Some(fresh)) => !fresh.contains(iterator),
            _ => false,
        }
    }

    /// Passes a request on, and notes the iterator in the answer if iterators ever expired.
    fn pass(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, shared) = (self.next.call(request), Arc::clone(&self.shared));
        if lock(&shared.fresh).is_none() {
            return answer;
        }
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            let iterator = answer.body().bytes().and_then(iterator_in);
            if let (Some(iterator), Some(fresh)) = (iterator, lock(&shared.fresh).as_mut()) {
                fresh.insert(iterator.to_owned());
            }
            Ok(answer)
        })
    }
}

impl HttpClient for Link {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Link {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        match self.state() {
            LinkState::Up if self.is_expired(&request) => {
                refuse(400, "ExpiredIteratorException", "the test expires the iterator")
            }
            LinkState::Up => self.pass(request),
            LinkState::Refused => {
                HttpConnectorFuture::ready(Err(ConnectorError::io("the test refuses the connection".into())))
            }
            LinkState::ServerError => refuse(500, "InternalFailure", "the test fails the request"),
            LinkState::Throttled => refuse(
                400,
                "ProvisionedThroughputExceededException",
                "the test throttles the request",
            ),
            LinkState::Hanging => HttpConnectorFuture::new(std::future::pending()),
            LinkState::AnswersLost => {
                let answer = self.pass(request);
                HttpConnectorFuture::new(async move {
                    drop(answer.await);
                    Err(ConnectorError::io("the test breaks the connection".into()))
                })
            }
        }
    }
}

fn refuse(status: u16, code: &str, message: &str) -> HttpConnectorFuture {
    let body = SdkBody::from(format!(r#"{{"__type":"{code}","message":"{message}"}}"#));
    let status = status.try_into().expect("the statuses here are valid");
    HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body)))
}

/// The value of the member `ShardIterator` or `NextShardIterator` of a JSON body. Iterators need no escapes, and within
/// a string the quotes around the member's name would be escaped.
fn iterator_in(body: &[u8]) -> Option<&str> {
    const END_OF_NAME: &[u8] = br#"ShardIterator":""#;
    let at = body
        .windows(END_OF_NAME.len())
        .position(|window| window == END_OF_NAME)?;
    let value = body.get(at + END_OF_NAME.len()..)?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(value.get(..end)?).ok()
}

/// Nothing here panics while it holds a lock: poison is no news.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::iterator_in;

    #[test]
    fn an_iterator_is_found_in_requests_and_answers() {
        assert_eq!(iterator_in(br#"{"ShardIterator":"AAA=","Limit":10}"#), Some("AAA="));
        assert_eq!(
            iterator_in(br#"{"Records":[],"NextShardIterator":"BBB="}"#),
            Some("BBB=")
        );
        assert_eq!(iterator_in(br#"{"ShardIteratorType":"LATEST"}"#), None);
        assert_eq!(iterator_in(br#"{"NextShardIterator":null}"#), None);
    }
}
