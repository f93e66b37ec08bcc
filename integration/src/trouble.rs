//! [`TroubledLink`]: a link to a service that has trouble of its own: it throttles, forgets, and answers nonsense.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use fastrand::Rng;
use serde_json::Value;

use crate::{Link, LinkState};

/// How one read in how many comes back without an iterator, while that is the trouble.
const NULL_ITERATORS: u8 = 4;

/// What the service does to its readers.
#[derive(Debug)]
struct Moods {
    rng: Rng,
    throttles: bool,
    nulls: bool,
    /// The iterators that were given out and are not forgotten.
    iterators: BTreeSet<String>,
}

/// A [`Link`] whose far end is moody. Clones are the same link; its chances follow from a seed.
#[derive(Clone, Debug)]
pub struct TroubledLink {
    link: Link,
    moods: Arc<Mutex<Moods>>,
}

impl TroubledLink {
    /// A link without trouble yet. It wants a `link` of its own, so that it can be cut alone.
    #[must_use]
    pub fn new(link: Link, seed: u64) -> Self {
        let moods = Moods {
            rng: Rng::with_seed(seed),
            throttles: false,
            nulls: false,
            iterators: BTreeSet::new(),
        };
        Self {
            link,
            moods: Arc::new(Mutex::new(moods)),
        }
    }

    /// Changes what becomes of requests on their way.
    pub fn set(&self, state: LinkState) {
        self.link.set(state);
    }

    /// Whether every other read is throttled from now on.
    pub fn throttle(&self, throttles: bool) {
        self.moods().throttles = throttles;
    }

    /// Whether some reads come back without an iterator, and without children, from now on.
    pub fn give_null_iterators(&self, nulls: bool) {
        self.moods().nulls = nulls;
    }

    /// Forgets every iterator that was given out.
    pub fn expire_iterators(&self) {
        self.moods().iterators.clear();
    }

    fn moods(&self) -> MutexGuard<'_, Moods> {
        self.moods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moods {
    /// The error that a read meets, if it meets one.
    fn refusal(&mut self, read: &Value) -> Option<&'static str> {
        if self.throttles && self.rng.bool() {
            return Some("ProvisionedThroughputExceededException");
        }
        let known = |iterator: &str| self.iterators.contains(iterator);
        (!read["ShardIterator"].as_str().is_some_and(known)).then_some("ExpiredIteratorException")
    }

    /// Remembers the iterator in an answer, or takes it out.
    fn answered(&mut self, answer: &mut Value, reads: bool) {
        if reads && self.nulls && self.rng.u8(..NULL_ITERATORS) == 0 {
            answer["NextShardIterator"] = Value::Null;
            answer["ChildShards"] = Value::Null;
        }
        for name in ["ShardIterator", "NextShardIterator"] {
            self.iterators.extend(answer[name].as_str().map(str::to_owned));
        }
    }
}

impl HttpClient for TroubledLink {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for TroubledLink {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let reads = operation.ends_with(".GetRecords");
        if !reads && !operation.ends_with(".GetShardIterator") {
            return self.link.call(request);
        }
        if reads && let Some(kind) = self.moods().refusal(&json(request.body())) {
            let body = serde_json::json!({"__type": kind, "message": "the test wants it so"});
            let response = HttpResponse::new(400_u16.try_into().unwrap(), SdkBody::from(body.to_string()));
            return HttpConnectorFuture::ready(Ok(response));
        }
        let answer = self.link.call(request);
        let moody = self.clone();
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            let mut body = json(response.body());
            moody.moods().answered(&mut body, reads);
            *response.body_mut() = SdkBody::from(body.to_string());
            // The body's length may have changed.
            response.headers_mut().remove("content-length");
            Ok(response)
        })
    }
}

/// A body of the same process is always whole.
fn json(body: &SdkBody) -> Value {
    serde_json::from_slice(body.bytes().unwrap()).unwrap_or_default()
}
