//! What AWS Lambda does between a Kinesis stream and a function: event source mappings, filters, events and answers, by
//! Lambda's names and in Lambda's JSON.

pub mod destination;
pub mod event;
pub mod filter;
pub mod hosted;
pub mod invocation_record;
pub mod invoke;
pub mod mapping;
pub mod metrics;
pub mod process;
mod response;
mod runtime;
pub mod runtime_api;
mod wall;

pub use self::invoke::{
    FunctionError, FunctionErrorKind, Invocation, Invoke, InvokeError, InvokeRecords, RecordsInvocation, RequestId,
};
pub use self::response::{
    FailedItems, InvalidResponse, ResponseRules, ResponseVerdict, WINDOW_STATE_BYTES_MAX, WindowState,
};
pub use self::runtime::{FilterCounts, MappedFunction, Shadow};
