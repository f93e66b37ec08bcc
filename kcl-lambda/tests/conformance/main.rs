//! What AWS does, row by row, and whether this crate does it. `docs/lambda-conformance.md` is written from the same rows:
//! after a change, write it anew with `KCL_WRITE_PAGE=1 cargo test -p kcl-lambda --test conformance`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod events;
mod filters;
mod mappings;
mod page;
mod records;
mod responses;
mod windows;

/// One thing that AWS does.
pub(crate) struct Row {
    /// What it is about; unique within its table.
    pub(crate) name: &'static str,
    /// What AWS does.
    pub(crate) aws: &'static str,
    pub(crate) evidence: Evidence,
    /// What this crate does.
    pub(crate) ours: &'static str,
    /// Panics if it does not.
    pub(crate) check: Box<dyn Fn()>,
}

/// How it is known what AWS does.
#[derive(Clone, Copy)]
pub(crate) enum Evidence {
    Documented,
    Observed,
    Community,
    /// It is not known: the choice is ours.
    OurChoice,
}

impl Evidence {
    fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Observed => "observed",
            Self::Community => "community",
            Self::OurChoice => "our choice",
        }
    }
}

pub(crate) const SAME: &str = "the same";

/// Checks each row, and says which one does not hold.
pub(crate) fn check(rows: Vec<Row>) {
    for row in rows {
        let check = std::panic::AssertUnwindSafe(|| (row.check)());
        assert!(std::panic::catch_unwind(check).is_ok(), "row {:?}: see above", row.name);
    }
}
