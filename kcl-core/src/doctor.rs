//! What is wrong with a lease table, in plain words, with what to do about it.
//!
//! [`examine`] takes two looks at the table, and at the stream's shards if they are known. What a table shows while workers
//! change it, or what a stale read makes of it, is no finding: it has to be there in both looks. With one look only, such a
//! finding is kept, named as unconfirmed, and never an error. Who lives is judged by counters that move from one look to the
//! other, so that nothing is said about it unless the failover time lies between them. A leader's lock has a time of its own
//! to stand still for. Whether a worker's metrics are fresh is judged by the clock, as Java's leader does.

mod beside;
mod finding;
mod holders;
mod ranges;
mod shards;
mod view;
mod words;

use std::{cmp::Reverse, time::Duration};

pub use self::finding::{BlockedBy, Finding, Problem, Remedy, Severity};
use self::view::{Scope, View};
use crate::{
    catalog::Shard, coordination::Coordination, ids::StreamName, store::LeaseListing, stream::StreamId, time::Timestamp,
};

/// What a worker may take for the batch under way when its lease is passed on: KCL's default, and ours.
pub const HAND_OFF_PATIENCE: Duration = Duration::from_secs(30);

/// The shards of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamShards {
    /// The stream's name.
    pub stream: StreamName,
    /// Which stream of this name it is, if that is known. Otherwise it is the youngest that the table has leases of.
    pub id: Option<StreamId>,
    /// All its shards.
    pub shards: Vec<Shard>,
}

/// One look at the table, and at the streams.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// A scan of the whole table.
    pub listing: &'a LeaseListing,
    /// The shards of the streams that were asked, listed after the scan was made. Of an application of one stream it is the
    /// first that counts.
    pub shards: &'a [StreamShards],
    /// What is kept beside the leases, and what time it was then; none if it was not asked for.
    pub coordination: Option<(&'a Coordination, Timestamp)>,
}

/// What [`examine`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// The stream that the application reads, if it is known.
    pub stream: Option<&'a StreamName>,
    /// An earlier look, and how long before the last one it was.
    pub earlier: Option<(Look<'a>, Duration)>,
    /// The last look.
    pub last: Look<'a>,
    /// The failover time of the workers.
    pub failover_time: Duration,
}

/// Finds what is wrong, the worst first.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use kcl_core::{HashKeyRange, Lease, LeaseListing, Position, ShardId, WorkerId};
/// use kcl_core::doctor::{Examination, Look, Problem, Severity, examine};
///
/// let mut lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon)
///     .with_hash_key_range(HashKeyRange::FULL);
/// lease.owner = Some(WorkerId::new("worker-1")?);
/// let table = LeaseListing::from_iter([lease]);
/// let look = Look { listing: &table, shards: &[], coordination: None };
///
/// // Nobody renewed the lease in half a minute.
/// let findings = examine(&Examination {
///     stream: None,
///     earlier: Some((look, Duration::from_secs(30))),
///     last: look,
///     failover_time: Duration::from_secs(10),
/// });
/// assert_eq!(findings[0].severity, Severity::Error);
/// assert!(matches!(findings[0].problem, Problem::AllSilent { .. }));
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn examine(examination: &Examination<'_>) -> Vec<Finding> {
    let mut findings = leases(examination);
    findings.extend(beside::findings(examination));
    findings.sort_by_key(|finding| Reverse(finding.severity));
    findings
}

fn leases(examination: &Examination<'_>) -> Vec<Finding> {
    let listing = examination.last.listing;
    let several = view::several_streams(listing);
    if several.is_empty() {
        let stream = examination.stream.or_else(|| view::commonest_stream(listing));
        let mut findings = view::rows_of_no_use(listing, stream, examination.stream.is_some());
        findings.extend(structure(examination, Scope::One(stream)));
        findings.extend(holders(examination, Scope::One(stream)));
        return findings;
    }
    let mut findings = view::rows_of_no_use(listing, examination.stream, examination.stream.is_some());
    for stream in &several {
        // Of several streams of one name it is the youngest that can be listed.
        let same = several.iter().filter(|other| other.name() == stream.name());
        let is_youngest = same.max_by_key(|other| other.epoch()) == Some(stream);
        findings.extend(structure(examination, Scope::OfSeveral { stream, is_youngest }));
    }
    // Who lives shows in all streams together.
    findings.extend(holders(examination, Scope::AllOfSeveral));
    findings
}

/// What is wrong with the leases of one stream, as they stand beside each other and beside its shards.
fn structure(examination: &Examination<'_>, scope: Scope<'_>) -> Vec<Finding> {
    let problems = |look: Look<'_>| {
        let view = View::new(look, scope);
        let mut problems = ranges::problems(&view);
        problems.extend(shards::problems(&view));
        problems.extend(shards::circles(&view));
        problems
    };
    let last = problems(examination.last);
    match examination.earlier {
        Some((earlier, _)) => {
            let before = problems(earlier);
            let both = last.into_iter().filter(|found| before.contains(found));
            both.map(|(problem, severity)| Finding {
                severity,
                problem,
                stream: scope.stream().cloned(),
                confirmed: true,
            })
            .collect()
        }
        None => last
            .into_iter()
            .map(|(problem, severity)| Finding {
                // It may be half of a change that is under way.
                severity: severity.min(Severity::Warning),
                problem,
                stream: scope.stream().cloned(),
                confirmed: false,
            })
            .collect(),
    }
}

/// What two looks tell about those who hold leases.
fn holders(examination: &Examination<'_>, scope: Scope<'_>) -> Vec<Finding> {
    let Some((earlier, between)) = examination.earlier else {
        return Vec::new();
    };
    let (earlier, last) = (View::new(earlier, scope), View::new(examination.last, scope));
    holders::Watched::new(&earlier, &last, between, examination.failover_time).findings()
}

#[cfg(test)]
mod tests;
