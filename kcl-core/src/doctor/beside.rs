//! What is kept beside the leases, by the workers of Java KCL or for them.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Examination, Look,
    finding::{Finding, Problem, Severity},
};
use crate::{
    coordination::{ClientVersion, Coordination, SUPPORT_CODE, WorkerMetrics},
    ids::WorkerId,
    time::Timestamp,
};

/// Java's leader does not count on a worker whose metrics are older: two of the periods in which they are published.
const METRICS_FRESH: Duration = Duration::from_secs(60);
/// Nor on what a worker can deal with when it said so longer ago: three of these periods.
const SUPPORT_FRESH: Duration = Duration::from_secs(90);

pub(super) fn findings(examination: &Examination<'_>) -> Vec<Finding> {
    let Some((last, _)) = examination.last.coordination else {
        return Vec::new();
    };
    let is_confirmed = examination.earlier.is_some_and(|(look, _)| look.coordination.is_some());
    let finding = |severity, problem, confirmed| Finding {
        severity,
        problem,
        stream: None,
        confirmed,
    };
    let mut found = Vec::new();
    found.extend(stale_leader(examination).map(|problem| finding(Severity::Warning, problem, true)));
    found.extend(no_metrics(examination).map(|problem| finding(Severity::Warning, problem, is_confirmed)));
    if !last.foreign_rows.is_empty() {
        let unaware = in_all(examination, |look| holders_without(look, is_aware));
        let is_harmless = unaware.is_empty();
        let severity = if is_harmless { Severity::Note } else { Severity::Warning };
        let problem = Problem::ForeignRows {
            rows: last.foreign_rows.clone(),
            unaware,
        };
        // Once there, they stay.
        found.push(finding(severity, problem, is_confirmed || is_harmless));
    }
    found.extend(last.unreadable.iter().map(|row| {
        let problem = Problem::UnreadableBeside {
            key: row.key.clone(),
            reason: row.reason.clone(),
        };
        finding(Severity::Warning, problem, true)
    }));
    found
}

/// A lock that stood still for as long as its holder promised to renew it at the latest.
fn stale_leader(examination: &Examination<'_>) -> Option<Problem> {
    let (earlier, between) = examination.earlier?;
    let leader = |look: Look<'_>| look.coordination.and_then(|(found, _)| found.leader.clone());
    let lock = leader(examination.last)?;
    (leader(earlier).as_ref() == Some(&lock) && between > lock.lease_duration).then(|| Problem::StaleLeader {
        leader: lock.owner,
        lease_duration: lock.lease_duration,
        seconds: between.as_secs(),
    })
}

/// While an application gets ready for the algorithms of 3.x, Java's leader waits for the metrics of every worker that holds
/// a lease, whether it lives or not.
fn no_metrics(examination: &Examination<'_>) -> Option<Problem> {
    let (last, _) = examination.last.coordination?;
    let version = last
        .client_version
        .filter(|version| *version == ClientVersion::UpgradeFrom2x)?;
    let mut workers = in_all(examination, |look| holders_without(look, is_fresh));
    // A worker whose clock is wrong shows by another row that it publishes.
    let earlier = examination.earlier.and_then(|(look, _)| look.coordination);
    if let Some((earlier, _)) = earlier {
        workers.retain(|worker| updated(earlier, worker) == updated(last, worker));
    }
    (!workers.is_empty()).then_some(Problem::NoMetrics { version, workers })
}

/// Those workers that are found in all looks.
fn in_all(examination: &Examination<'_>, find: impl Fn(&Look<'_>) -> Option<BTreeSet<WorkerId>>) -> Vec<WorkerId> {
    let last = find(&examination.last).unwrap_or_default();
    let earlier = examination.earlier.and_then(|(look, _)| find(&look));
    let both = last
        .into_iter()
        .filter(|worker| earlier.as_ref().is_none_or(|earlier| earlier.contains(worker)));
    both.collect()
}

/// The workers that hold leases and of which no row is as it should be; none if the rows were not asked for.
fn holders_without(look: &Look<'_>, is_good: fn(&WorkerMetrics, Timestamp) -> bool) -> Option<BTreeSet<WorkerId>> {
    let (found, now) = look.coordination?;
    let good: BTreeSet<&WorkerId> = found
        .workers
        .iter()
        .filter(|metrics| is_good(metrics, now))
        .map(|metrics| &metrics.worker)
        .collect();
    let holders = look.listing.leases.iter().filter(|lease| !lease.is_finished());
    let holders = holders.filter_map(|lease| lease.holder());
    Some(holders.filter(|holder| !good.contains(holder)).cloned().collect())
}

fn is_fresh(metrics: &WorkerMetrics, now: Timestamp) -> bool {
    metrics.updated_at.is_some_and(|at| is_within(METRICS_FRESH, at, now))
}

fn is_aware(metrics: &WorkerMetrics, now: Timestamp) -> bool {
    let support = metrics.support.filter(|(code, _)| *code >= SUPPORT_CODE);
    support.is_some_and(|(_, at)| is_within(SUPPORT_FRESH, at, now))
}

fn is_within(limit: Duration, at: Timestamp, now: Timestamp) -> bool {
    Duration::from_millis(now.millis_since(at)) <= limit
}

fn updated(found: &Coordination, worker: &WorkerId) -> Option<Timestamp> {
    let row = found.workers.iter().find(|metrics| metrics.worker == *worker);
    row.and_then(|metrics| metrics.updated_at)
}
