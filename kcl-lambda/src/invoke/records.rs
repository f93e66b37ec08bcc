//! [`InvokeRecords`]: the same for functions that take records, and no JSON.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::Batch;

use super::{Invocation, Invoke, InvokeError, RequestId};
use crate::event::{EventSource, EventWriter, WindowInvoke};

/// Runs a function once with records, as they are.
///
/// Every [`Invoke`] is one: it is given the records as Lambda's event. What applies to its calls applies here.
#[async_trait]
pub trait InvokeRecords: fmt::Debug + Send + Sync {
    /// Gives the records to the function and waits for the answer, as JSON.
    ///
    /// # Errors
    ///
    /// As those of [`Invoke::invoke`].
    async fn invoke_records(&self, invocation: RecordsInvocation) -> Result<Bytes, InvokeError>;
}

#[async_trait]
impl<I: Invoke + ?Sized> InvokeRecords for I {
    async fn invoke_records(&self, invocation: RecordsInvocation) -> Result<Bytes, InvokeError> {
        self.invoke(invocation.to_json()).await
    }
}

/// One run of a function: records, and what the function is told about them and itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordsInvocation {
    /// What the invocation is called.
    pub request_id: RequestId,
    /// The records, of one shard.
    pub batch: Batch,
    /// Where they come from.
    pub source: Arc<EventSource>,
    /// The tumbling window that they are of, if there are any.
    pub window: Option<WindowInvoke>,
    /// How long the function may take.
    pub timeout: Duration,
    /// The ARN that the function is told it was invoked by.
    pub function_arn: ByteString,
    /// The tracing header, if there is one.
    pub trace_id: Option<ByteString>,
}

impl RecordsInvocation {
    /// An invocation without window and tracing.
    #[must_use]
    pub fn new(
        request_id: RequestId,
        batch: Batch,
        source: Arc<EventSource>,
        timeout: Duration,
        function_arn: impl Into<ByteString>,
    ) -> Self {
        Self {
            request_id,
            batch,
            source,
            window: None,
            timeout,
            function_arn: function_arn.into(),
            trace_id: None,
        }
    }

    /// The same invocation with records of a tumbling window.
    #[must_use]
    pub fn with_window(mut self, window: WindowInvoke) -> Self {
        self.window = Some(window);
        self
    }

    /// The same invocation with a tracing header.
    #[must_use]
    pub fn with_trace_id(mut self, trace_id: impl Into<ByteString>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// The invocation with Lambda's event in JSON.
    #[must_use]
    pub fn to_json(&self) -> Invocation {
        let writer = EventWriter::new(&self.source, self.batch.shard());
        let event = match &self.window {
            None => writer.event(&self.batch),
            Some(window) => writer.window_event(&self.batch, window),
        };
        Invocation {
            request_id: self.request_id,
            event,
            timeout: self.timeout,
            function_arn: self.function_arn.clone(),
            trace_id: self.trace_id.clone(),
        }
    }
}
