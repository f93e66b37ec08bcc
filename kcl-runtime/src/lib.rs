//! The Kinesis consumer under tokio.
//!
//! [`Worker`] is the way in. It has three doors: an async function, whose work is checkpointed for it, a stream of
//! [`Deliveries`], each of which is answered, and a [`RecordProcessor`] per shard, which checkpoints itself. Whatever fails is tried again; no record is skipped because
//! a handler failed.

mod batch_handler;
mod builder;
mod checkpointer;
mod clock;
mod config;
mod cpu;
pub mod dead_letter;
mod deliveries;
mod error;
mod fallbacks;
mod function;
mod handle;
pub mod kcl_metrics;
pub mod metrics;
mod places;
mod processor;
pub mod producer;
mod quarantine;
pub mod replay;
mod shard_calls;
mod shard_log;
mod shard_task;
mod signal;
mod source;
mod stream_builder;
mod streams;
#[cfg(feature = "testing")]
pub mod testing;
mod worker_log;
mod worker_task;

/// The built-in broker, for tests of consumers on one machine.
#[cfg(feature = "testing")]
pub use kcl_broker as broker;

pub use kcl_core::fetch::{
    RetrievalMode,
    consumer::{ConsumerArn, ConsumerSelector},
};

pub use self::{
    batch_handler::{BatchCall, BatchHandler, CallOutcome},
    builder::{FunctionWorkerBuilder, ProcessorWorkerBuilder, Worker, WorkerBuilder},
    checkpointer::{CheckpointError, Checkpointer, PreparedCheckpoint},
    config::Config,
    deliveries::{Deliveries, Delivery, DeliveryLost},
    error::{ConfigError, WorkerError},
    function::{BatchOutcome, IntoBatchOutcome},
    handle::{Report, ShardReportStatus, WorkerHandle},
    places::{SeekError, ShardSelector, Sought},
    processor::{RecordProcessor, RecordProcessorFactory, ShardContext},
    signal::shutdown_signal,
    source::{KinesisSource, RecordSource, ShardReader},
    stream_builder::StreamWorkerBuilder,
    streams::{StreamConfig, StreamSelector, StreamStatus},
};
