//! [`Link`]: the way from one SDK client to the broker, which can be cut.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use kcl_broker::{Broker, LocalHttpClient};

/// What becomes of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// They are answered.
    #[default]
    Up,
    /// The connection is refused.
    Refused,
    /// The service answers with status 500.
    ServerError,
    /// They are never answered, not even after the link is up again.
    Hanging,
    /// The service carries them out, and the connection breaks before the answer arrives.
    AnswersLost,
}

/// An SDK's HTTP client to a broker in the same process. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    broker: LocalHttpClient,
    state: Arc<Mutex<LinkState>>,
    requests: Arc<AtomicU64>,
}

impl Link {
    /// A link that is up.
    #[must_use]
    pub fn new(broker: &Broker) -> Self {
        Self {
            broker: broker.http_client(),
            state: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// Changes what becomes of requests from now on.
    pub fn set(&self, state: LinkState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// How many requests came so far, answered or not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn state(&self) -> LinkState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Link {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Link {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match self.state() {
            LinkState::Up => self.broker.call(request),
            LinkState::Refused => {
                HttpConnectorFuture::ready(Err(ConnectorError::io("the test refuses the connection".into())))
            }
            LinkState::ServerError => {
                let body = SdkBody::from(r#"{"__type":"InternalFailure","message":"the test fails the request"}"#);
                let status = 500_u16.try_into().unwrap();
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body)))
            }
            LinkState::Hanging => HttpConnectorFuture::new(std::future::pending()),
            LinkState::AnswersLost => {
                let answer = self.broker.call(request);
                HttpConnectorFuture::new(async move {
                    drop(answer.await);
                    Err(ConnectorError::io("the test breaks the connection".into()))
                })
            }
        }
    }
}
