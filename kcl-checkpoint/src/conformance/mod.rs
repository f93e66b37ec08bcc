//! What every lease store promises, as checks that anybody can run against their own store.
//!
//! One function per promise. Each wants an empty [`Table`], and answers with the [`Violation`] that it found. [`run_all`]
//! runs them all and reports every violation, not only the first. The checks spawn tasks, so they want a tokio runtime;
//! one with several threads makes the races real.
//!
//! A store may keep the shards of [`Lease::parents`](kcl_core::Lease::parents) and `children` as a set: the checks only
//! use lists that are sorted and without repetition. Counts reach to `i64::MAX`, the counter of a lease to one less, sessions to `u64::MAX`.
//!
//! ```
//! use kcl_checkpoint::{
//!     MemoryLeaseStore,
//!     conformance::{self, Table},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), conformance::Violations> {
//! conformance::run_all(|| async {
//!     let store = MemoryLeaseStore::new();
//!     Ok(Table::new(store.clone(), store))
//! })
//! .await
//! # }
//! ```

mod check;
mod coordination;
mod races;
mod rows;
mod samples;
mod writes;

use std::{fmt, sync::Arc};

use kcl_core::{LeaseStore, StoreError};

pub use self::{
    check::Violation,
    coordination::{
        metrics_leave_leases_alone, nothing_is_beside_fresh_leases, published_metrics_are_the_last,
        withdrawn_metrics_are_gone,
    },
    races::{
        one_of_many_creators_wins, one_of_many_deleters_wins, one_of_many_takers_wins,
        one_writer_wins_per_counter_value,
    },
    rows::{
        a_row_is_created_once, every_attribute_round_trips, keys_are_exact, rows_are_listed_by_key,
        thousand_rows_are_listed, writes_are_read_on_every_handle,
    },
    writes::{
        absent_rows_refuse_writes, conditions_hold_one_by_one, deletes_are_conditional, every_operation_is_applied,
        stale_operations_change_nothing,
    },
};

/// Two handles on one empty table: two connections, or as near to that as the store gets.
#[derive(Clone, Debug)]
pub struct Table {
    /// One handle.
    pub first: Arc<dyn LeaseStore>,
    /// The other.
    pub second: Arc<dyn LeaseStore>,
}

impl Table {
    /// A table that is reached through two handles.
    #[must_use]
    pub fn new(first: impl LeaseStore, second: impl LeaseStore) -> Self {
        Self {
            first: Arc::new(first),
            second: Arc::new(second),
        }
    }

    fn handles(&self) -> [&Arc<dyn LeaseStore>; 2] {
        [&self.first, &self.second]
    }
}

/// The promises that a store does not keep.
#[derive(Debug, thiserror::Error)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The violations, at most one per promise.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the lease store breaks {} of {} promises",
            self.0.len(),
            PROMISES.len()
        )?;
        self.0.iter().try_for_each(|violation| write!(f, "\n- {violation}"))
    }
}

macro_rules! promises {
    ($($name:ident),+ $(,)?) => {
        /// The names of all promises, in the order in which [`run_all`] checks them.
        pub const PROMISES: &[&str] = &[$(stringify!($name)),+];

        /// Checks every promise, each on a table of its own that `fresh` makes.
        ///
        /// # Errors
        /// The promises that were broken. A table that cannot be made counts against the promise that wanted it.
        pub async fn run_all<F, Made>(fresh: F) -> Result<(), Violations>
        where
            F: Fn() -> Made,
            Made: Future<Output = Result<Table, StoreError>>,
        {
            let mut violations = Vec::new();
            $(
                let kept = match fresh().await {
                    Ok(table) => $name(&table).await,
                    Err(error) => Err(Violation::failed(stringify!($name), "making a fresh table", error)),
                };
                violations.extend(kept.err());
            )+
            if violations.is_empty() { Ok(()) } else { Err(Violations(violations)) }
        }
    };
}

promises![
    a_row_is_created_once,
    rows_are_listed_by_key,
    every_attribute_round_trips,
    keys_are_exact,
    thousand_rows_are_listed,
    writes_are_read_on_every_handle,
    every_operation_is_applied,
    stale_operations_change_nothing,
    conditions_hold_one_by_one,
    absent_rows_refuse_writes,
    deletes_are_conditional,
    one_of_many_creators_wins,
    one_of_many_takers_wins,
    one_of_many_deleters_wins,
    one_writer_wins_per_counter_value,
    nothing_is_beside_fresh_leases,
    published_metrics_are_the_last,
    withdrawn_metrics_are_gone,
    metrics_leave_leases_alone,
];
