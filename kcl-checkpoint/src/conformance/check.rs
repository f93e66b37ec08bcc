//! Comparing what a store answered with what it promised.

use std::fmt;

use kcl_core::{Lease, LeaseStore, StoreError, WriteOutcome};

/// A promise that a store does not keep.
#[derive(Debug, thiserror::Error)]
#[error("{promise}: {problem}")]
pub struct Violation {
    promise: &'static str,
    problem: String,
    source: Option<StoreError>,
}

impl Violation {
    pub(super) fn failed(promise: &'static str, step: impl fmt::Display, error: StoreError) -> Self {
        Self {
            promise,
            problem: format!("{step} failed: {error}"),
            source: Some(error),
        }
    }

    /// The name of the promise: the function that checks it.
    #[must_use]
    pub const fn promise(&self) -> &'static str {
        self.promise
    }
}

/// The check of one promise.
#[derive(Clone, Copy)]
pub(super) struct Check {
    promise: &'static str,
}

impl Check {
    pub(super) const fn of(promise: &'static str) -> Self {
        Self { promise }
    }

    pub(super) fn violation(self, problem: impl Into<String>) -> Violation {
        Violation {
            promise: self.promise,
            problem: problem.into(),
            source: None,
        }
    }

    /// That the store answered at all.
    pub(super) fn answered<T>(self, step: impl fmt::Display, answer: Result<T, StoreError>) -> Result<T, Violation> {
        answer.map_err(|error| Violation::failed(self.promise, step, error))
    }

    pub(super) fn holds(self, condition: bool, otherwise: &str) -> Result<(), Violation> {
        if condition {
            Ok(())
        } else {
            Err(self.violation(otherwise))
        }
    }

    pub(super) fn same<T: PartialEq + fmt::Debug>(
        self,
        what: impl fmt::Display,
        found: &T,
        wanted: &T,
    ) -> Result<(), Violation> {
        if found == wanted {
            Ok(())
        } else {
            Err(self.violation(format!("{what} is {found:?}, and should be {wanted:?}")))
        }
    }

    /// That a write was applied and left exactly this row.
    pub(super) fn applied(
        self,
        step: impl fmt::Display,
        answer: Result<WriteOutcome, StoreError>,
        row: &Lease,
    ) -> Result<(), Violation> {
        let found = self.answered(&step, answer)?;
        self.same(
            format_args!("the answer to {step}"),
            &found,
            &WriteOutcome::Applied(row.clone()),
        )
    }

    /// That a write was refused, and told which row is stored.
    pub(super) fn refused(
        self,
        step: impl fmt::Display,
        answer: Result<WriteOutcome, StoreError>,
        row: Option<&Lease>,
    ) -> Result<(), Violation> {
        let found = self.answered(&step, answer)?;
        self.same(
            format_args!("the answer to {step}"),
            &found,
            &WriteOutcome::Conflict(row.cloned()),
        )
    }

    /// That exactly these rows are in the table, by key.
    pub(super) async fn rows(
        self,
        when: impl fmt::Display,
        store: &dyn LeaseStore,
        wanted: &[Lease],
    ) -> Result<(), Violation> {
        let listing = self.answered("list", store.list().await)?;
        self.same(
            format_args!("the list of unreadable rows {when}"),
            &listing.unreadable,
            &Vec::new(),
        )?;
        self.same(
            format_args!("the list of keys {when}"),
            &listing.leases.iter().map(|lease| &lease.key).collect::<Vec<_>>(),
            &wanted.iter().map(|lease| &lease.key).collect(),
        )?;
        for (found, wanted) in listing.leases.iter().zip(wanted) {
            self.same(format_args!("the listed row {when}"), found.as_ref(), wanted)?;
        }
        for wanted in wanted {
            let found = self.answered("get", store.get(&wanted.key).await)?;
            self.same(format_args!("the row {when}"), &found.as_ref(), &Some(wanted))?;
        }
        Ok(())
    }
}
