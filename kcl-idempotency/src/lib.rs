//! Work that is done once, though records come at least once.
//!
//! A worker gives a record again after an error, after a crash, and when its lease moves before the checkpoint is written. There
//! are two ways to live with that:
//!
//! - [`Idempotency`] remembers by key what was done: it wraps an async function on records, runs it only if that was not done
//!   before, and gives the stored result otherwise. The memory is an [`IdempotencyStore`]: [`MemoryIdempotencyStore`],
//!   [`SqliteIdempotencyStore`], or, with the feature `dynamodb`, `DynamoDbIdempotencyStore` in the table of Powertools for AWS
//!   Lambda. For effects anywhere, such as calls of other services; a crash between effect and memory still repeats it.
//! - [`sink`] keeps the position in the user's own database, in the transaction of the effect: effectively once, with nothing
//!   between effect and memory to crash in. For effects that are writes to one database.

mod batches;
mod clock;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod key;
mod layer;
mod memory;
mod row;
pub mod sink;
mod sqlite;
mod store;

#[cfg(feature = "dynamodb")]
pub use self::dynamodb::{DynamoDbIdempotencyStore, KeyAttributes};
pub use self::{
    batches::{AfterFailure, IdempotentRecords},
    clock::Clock,
    key::{IdempotencyKey, InvalidKey, event_id},
    layer::{Done, Idempotency, IdempotencyError},
    memory::MemoryIdempotencyStore,
    sqlite::SqliteIdempotencyStore,
    store::{Begun, Claim, Completion, IdempotencyStore, IdempotencyStoreError, Lock, Recorded, StoreStep},
};
/// The library of SQLite that [`sink::SqliteSink`] gives transactions of.
pub use rusqlite;
