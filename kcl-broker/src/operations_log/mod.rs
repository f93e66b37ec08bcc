//! The operations log: who called what, when, about what, with what outcome, and which fault struck.
//!
//! The last calls are kept, 10,000 unless [`BrokerBuilder::operations_max`](crate::BrokerBuilder::operations_max) says
//! otherwise, and counts of all calls. Neither data nor partition keys are ever in it, nor the messages of errors, which
//! repeat what clients sent.
//!
//! ```
//! use kcl_broker::{Broker, api::{CreateStream, PutRecord}, operations_log::{OperationFilter, Outcome}};
//!
//! let broker = Broker::new();
//! broker.call(CreateStream::new("rides", 1))?;
//! broker.call(PutRecord::new("rides", "taxi-7", "from A to B"))?;
//! broker.call(PutRecord::new("tides", "taxi-7", "from A to B")).unwrap_err();
//!
//! let puts = broker.operations().entries(&OperationFilter::default().operation("PutRecord"));
//! assert_eq!(puts[0].outcome, Outcome::Ok);
//! assert_eq!((puts[0].request.records, puts[0].request.bytes), (1, 17));
//! assert_eq!(puts[1].outcome, Outcome::error("ResourceNotFoundException"));
//! assert_eq!(broker.operations().counts()["PutRecord"].errors, 1);
//! # Ok::<(), kcl_broker::ApiError>(())
//! ```

mod entry;
mod filter;
mod log;

pub use self::{
    entry::{Caller, FaultHit, OperationEntry, Outcome},
    filter::OperationFilter,
    log::{OperationCounts, Operations, OperationsSnapshot},
};
