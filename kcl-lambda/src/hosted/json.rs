//! Functions and services that take an event as a type of their own, read from JSON.

use std::{
    any::type_name,
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tower::Service;

use super::contained::contained;
use crate::{
    invoke::{FunctionError, FunctionErrorKind, Invocation, Invoke, InvokeError, RequestId},
    wall::wall,
};

/// What a function is told about its invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvocationContext {
    /// What the invocation is called.
    pub request_id: RequestId,
    /// When the function's time is over, by this machine's clock.
    pub deadline: Timestamp,
    /// The ARN that the function was invoked by.
    pub function_arn: ByteString,
    /// The tracing header, if there is one.
    pub trace_id: Option<ByteString>,
}

impl InvocationContext {
    fn of(invocation: &Invocation) -> Self {
        Self {
            request_id: invocation.request_id,
            deadline: wall().saturating_add(invocation.timeout),
            function_arn: invocation.function_arn.clone(),
            trace_id: invocation.trace_id.clone(),
        }
    }
}

/// An async function as an [`Invoke`]: its event is read from JSON, its answer written as JSON.
///
/// ```
/// use std::time::Duration;
/// use kcl_lambda::{Invocation, Invoke, RequestId, hosted::JsonFunction};
/// use serde_json::{Value, json};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kcl_lambda::InvokeError> {
/// let count = JsonFunction::new(|event: Value, _| async move {
///     let records = event["Records"].as_array().ok_or("no records")?;
///     Ok::<_, &str>(json!({"count": records.len()}))
/// });
/// let id = RequestId::random(&mut fastrand::Rng::with_seed(7));
/// let invocation = Invocation::new(id, r#"{"Records":[1,2]}"#.into(), Duration::from_secs(3), "arn");
/// assert_eq!(count.invoke(invocation).await?, r#"{"count":2}"#);
/// # Ok(()) }
/// ```
pub struct JsonFunction<F, E> {
    function: F,
    event: PhantomData<fn(E)>,
}

impl<F, E> JsonFunction<F, E> {
    /// The function, which is given an event and what it is told about its invocation.
    pub const fn new<Fut, R, X>(function: F) -> Self
    where
        F: Fn(E, InvocationContext) -> Fut,
        Fut: Future<Output = Result<R, X>>,
    {
        Self {
            function,
            event: PhantomData,
        }
    }
}

impl<F, E> fmt::Debug for JsonFunction<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonFunction({})", type_name::<F>())
    }
}

#[async_trait]
impl<F, E, Fut, R, X> Invoke for JsonFunction<F, E>
where
    F: Fn(E, InvocationContext) -> Fut + Send + Sync,
    E: DeserializeOwned + Send,
    Fut: Future<Output = Result<R, X>> + Send,
    R: Serialize,
    X: fmt::Display,
{
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let call = async {
            let answer = (self.function)(read(&invocation)?, InvocationContext::of(&invocation)).await;
            answer.map_err(|error| failed(&error)).and_then(|answer| write(&answer))
        };
        Ok(contained(invocation.request_id, invocation.timeout, call).await?)
    }
}

/// A tower service as an [`Invoke`]: its requests are an event, read from JSON, and what it is told about its invocation.
///
/// Every call has a clone of the service.
pub struct JsonService<S, E> {
    /// Behind a lock for the time of a clone, so that the service need not be `Sync`.
    service: Mutex<S>,
    event: PhantomData<fn(E)>,
}

impl<S, E> JsonService<S, E> {
    /// The service.
    pub const fn new(service: S) -> Self
    where
        S: Service<(E, InvocationContext)> + Clone,
    {
        Self {
            service: Mutex::new(service),
            event: PhantomData,
        }
    }
}

impl<S, E> fmt::Debug for JsonService<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonService({})", type_name::<S>())
    }
}

#[async_trait]
impl<S, E> Invoke for JsonService<S, E>
where
    S: Service<(E, InvocationContext)> + Clone + Send,
    S::Future: Send,
    S::Response: Serialize,
    S::Error: fmt::Display,
    E: DeserializeOwned + Send,
{
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let call = async {
            let event = read(&invocation)?;
            let ready = poll_fn(|context| service.poll_ready(context)).await;
            ready.map_err(|error| failed(&error))?;
            let answer = service.call((event, InvocationContext::of(&invocation))).await;
            answer.map_err(|error| failed(&error)).and_then(|answer| write(&answer))
        };
        Ok(contained(invocation.request_id, invocation.timeout, call).await?)
    }
}

/// The event, as the function wants it. One that it cannot be is an error of the function, as it is for Lambda's clients.
pub(super) fn read<E: DeserializeOwned>(invocation: &Invocation) -> Result<E, FunctionError> {
    serde_json::from_slice(&invocation.event).map_err(|error| unreadable(&error))
}

pub(super) fn unreadable(error: &serde_json::Error) -> FunctionError {
    let message = format!("the event does not have the shape that the function expects: {error}");
    FunctionError::new(FunctionErrorKind::Unhandled, "Runtime.UnmarshalError", message)
}

pub(super) fn write(answer: &impl Serialize) -> Result<Bytes, FunctionError> {
    match serde_json::to_vec(answer) {
        Ok(json) => Ok(json.into()),
        Err(error) => {
            let message = format!("the answer of the function cannot be written as JSON: {error}");
            Err(FunctionError::new(
                FunctionErrorKind::Unhandled,
                "Runtime.MarshalError",
                message,
            ))
        }
    }
}

/// The error of a function, under the name of its type, as the client for Rust has it.
fn failed<X: fmt::Display>(error: &X) -> FunctionError {
    FunctionError::new(FunctionErrorKind::Unhandled, type_name::<X>(), error.to_string())
}
