//! What `kclctl consume` is made of besides the worker.

mod cloudwatch;
mod idle;
mod line;
mod metrics;
mod sink;

use kcl_core::{StreamName, worker::WorkerFailure};
use kcl_runtime::WorkerError;

pub(crate) use self::{cloudwatch::CloudWatchArgs, idle::until_idle, metrics::serve_metrics, sink::Sink};
use crate::{aws::Kinesis, error::Error};

/// The worker's failure, with what the user of the command line can do about it.
pub(crate) fn failure(error: WorkerError, kinesis: &Kinesis, stream: Option<&StreamName>) -> Error {
    match (error, stream) {
        (WorkerError::Failed(WorkerFailure::StreamNotFound { .. }), Some(stream)) => kinesis.unknown_stream(stream),
        (other, _) => other.into(),
    }
}
