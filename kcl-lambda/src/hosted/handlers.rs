//! The hosting of handlers, once for each major version of the crates that they are written for: `super` says which.

use std::{
    any::type_name,
    collections::HashMap,
    fmt::{self, Debug},
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _};
use kcl_core::{Record, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use tower::Service;

use super::{
    aws_lambda_events::{
        event::kinesis::{KinesisEvent, KinesisEventRecord, KinesisRecord, KinesisTimeWindowEvent},
        time_window::{TimeWindowProperties, Window},
    },
    lambda_runtime::{Config, Context, Diagnostic, Error, FunctionResponse, IntoFunctionResponse, LambdaEvent},
};
use crate::{
    event::WindowInvoke,
    hosted::{
        contained::contained,
        json::{read, unreadable, write},
    },
    invoke::{FunctionError, FunctionErrorKind, InvokeError, InvokeRecords, RecordsInvocation},
    wall::wall,
};

/// A handler, which is anything that `lambda_runtime::run` takes and that can be cloned and sent: every call has a clone,
/// since calls run at the same time.
///
/// The tracing header is in the context, and never in the environment variable `_X_AMZN_TRACE_ID`, which all calls share.
pub struct Handler<S, A, B, T> {
    /// Behind a lock for the time of a clone, so that the service need not be `Sync`.
    service: Mutex<S>,
    read: fn(&RecordsInvocation) -> Result<A, FunctionError>,
    answer: PhantomData<fn() -> (B, T)>,
}

impl<S, B, T> Handler<S, KinesisEvent, B, T>
where
    S: Service<LambdaEvent<KinesisEvent>, Response: IntoFunctionResponse<B, T>>,
{
    /// A handler of `KinesisEvent`s, made of the records themselves.
    pub const fn kinesis(service: S) -> Self {
        Self::reading(service, |invocation| Ok(kinesis(invocation)))
    }
}

impl<S, B, T> Handler<S, KinesisTimeWindowEvent, B, T>
where
    S: Service<LambdaEvent<KinesisTimeWindowEvent>, Response: IntoFunctionResponse<B, T>>,
{
    /// A handler of `KinesisTimeWindowEvent`s, likewise. It fails with events without a window, and where a value of the
    /// state is no string, as on Lambda.
    pub const fn kinesis_window(service: S) -> Self {
        Self::reading(service, kinesis_window)
    }
}

impl<S, A, B, T> Handler<S, A, B, T>
where
    S: Service<LambdaEvent<A>, Response: IntoFunctionResponse<B, T>>,
{
    /// A handler of any other type, which is read from JSON.
    pub const fn json(service: S) -> Self
    where
        A: DeserializeOwned,
    {
        Self::reading(service, |invocation| read(&invocation.to_json()))
    }

    const fn reading(service: S, read: fn(&RecordsInvocation) -> Result<A, FunctionError>) -> Self {
        Self {
            service: Mutex::new(service),
            read,
            answer: PhantomData,
        }
    }
}

impl<S, A, B, T> Debug for Handler<S, A, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handler({})", type_name::<S>())
    }
}

#[async_trait]
impl<S, A, B, T, D, E> InvokeRecords for Handler<S, A, B, T>
where
    S: Service<LambdaEvent<A>> + Clone + Send,
    S::Future: Send,
    S::Response: IntoFunctionResponse<B, T> + Send,
    S::Error: Into<Diagnostic> + Debug,
    A: Send,
    B: Serialize,
    T: Stream<Item = Result<D, E>> + Unpin + Send + 'static,
    D: Into<Bytes> + Send,
    E: Into<Error> + Send + Debug,
{
    async fn invoke_records(&self, invocation: RecordsInvocation) -> Result<Bytes, InvokeError> {
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let call = async {
            let event = LambdaEvent::new((self.read)(&invocation)?, context(&invocation));
            let ready = poll_fn(|context| service.poll_ready(context)).await;
            ready.map_err(|error| failed(error.into()))?;
            let answer = service.call(event).await.map_err(|error| failed(error.into()))?;
            let stream = match answer.into_response() {
                FunctionResponse::BufferedResponse(answer) => return write(&answer),
                FunctionResponse::StreamingResponse(response) => response.stream,
            };
            collect(Box::pin(stream.map(|piece| piece.map(Into::into).map_err(Into::into)))).await
        };
        Ok(contained(invocation.request_id, invocation.timeout, call).await?)
    }
}

/// An answer that comes in pieces.
type Pieces<'a> = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send + 'a>>;

async fn collect(mut pieces: Pieces<'_>) -> Result<Bytes, FunctionError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece.map_err(|error| failed(error.into()))?);
    }
    Ok(whole.freeze())
}

fn failed(diagnostic: Diagnostic) -> FunctionError {
    FunctionError::new(
        FunctionErrorKind::Unhandled,
        diagnostic.error_type,
        diagnostic.error_message,
    )
}

fn context(invocation: &RecordsInvocation) -> Context {
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME, and perhaps :VERSION
    let mut names = invocation.function_arn.split(':').skip(6);
    let config = Config {
        function_name: names.next().unwrap_or("function").to_owned(),
        version: names.next().unwrap_or("$LATEST").to_owned(),
        ..Config::default()
    };
    let deadline = wall().saturating_add(invocation.timeout).epoch_millis();
    let mut context = Context::default();
    context.request_id = invocation.request_id.to_string();
    context.deadline = u64::try_from(deadline).unwrap_or_default();
    context.invoked_function_arn = invocation.function_arn.to_string();
    context.xray_trace_id = invocation.trace_id.as_ref().map(ToString::to_string);
    context.env_config = Arc::new(config);
    context
}

fn kinesis(invocation: &RecordsInvocation) -> KinesisEvent {
    let records = invocation.batch.iter().map(|record| event_record(invocation, record));
    let mut event = KinesisEvent::default();
    event.records = records.collect();
    event
}

fn event_record(invocation: &RecordsInvocation, record: &Record) -> KinesisEventRecord {
    let mut kinesis = KinesisRecord::default();
    *kinesis.approximate_arrival_timestamp = instant(record.approximate_arrival_timestamp);
    *kinesis.data = record.data.to_vec();
    kinesis.partition_key = record.partition_key.to_string();
    kinesis.sequence_number = record.sequence_number.to_string();
    kinesis.kinesis_schema_version = Some("1.0".to_owned());
    let source = &invocation.source;
    let mut event = KinesisEventRecord::default();
    event.aws_region = Some(source.region.clone());
    event.event_id = Some(event_id(invocation, record));
    event.event_name = Some("aws:kinesis:record".to_owned());
    event.event_source = Some("aws:kinesis".to_owned());
    event.event_source_arn = Some(source.event_source_arn.clone());
    event.event_version = Some("1.0".to_owned());
    event.invoke_identity_arn = Some(source.invoke_identity_arn.clone());
    event.kinesis = kinesis;
    event
}

fn kinesis_window(invocation: &RecordsInvocation) -> Result<KinesisTimeWindowEvent, FunctionError> {
    let Some(window) = &invocation.window else {
        let message = "the function handles tumbling windows, and the event source mapping has none";
        return Err(FunctionError::new(
            FunctionErrorKind::Unhandled,
            "Runtime.UnmarshalError",
            message,
        ));
    };
    let mut event = KinesisTimeWindowEvent::default();
    event.kinesis_event = kinesis(invocation);
    event.time_window_properties = properties(invocation, window)?;
    Ok(event)
}

fn properties(invocation: &RecordsInvocation, invoke: &WindowInvoke) -> Result<TimeWindowProperties, FunctionError> {
    let state: HashMap<String, String> =
        serde_json::from_str(invoke.state.as_json()).map_err(|error| unreadable(&error))?;
    let mut window = Window::default();
    window.start = instant(invoke.window.start());
    window.end = instant(invoke.window.end());
    let mut properties = TimeWindowProperties::default();
    properties.window = window;
    properties.state = state;
    properties.shard_id = Some(invocation.batch.shard().to_string());
    properties.event_source_arn = Some(invocation.source.event_source_arn.clone());
    properties.is_final_invoke_for_window = invoke.is_final;
    properties.is_window_terminated_early = invoke.is_terminated_early;
    Ok(properties)
}

/// To the millisecond, which is what a timestamp has.
fn instant(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.epoch_millis()).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn event_id(invocation: &RecordsInvocation, record: &Record) -> String {
    let (shard, number) = (invocation.batch.shard(), &record.sequence_number);
    match record.sub_sequence_number {
        0 => format!("{shard}:{number}"),
        // Records of one aggregate share a number, and no two events may share an id.
        sub => format!("{shard}:{number}/{sub}"),
    }
}
