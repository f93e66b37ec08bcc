//! Hash keys that nobody reads, and those that two leases claim.

use std::collections::BTreeSet;

use super::{
    finding::{Problem, Severity},
    view::View,
};
use crate::{
    ids::{HashKeyRange, ShardId},
    lease::Lease,
    lineage::hash_range_holes,
};

pub(super) fn problems(view: &View<'_>) -> Vec<(Problem, Severity)> {
    if view.leases.is_empty() {
        return Vec::new();
    }
    let unknown = view.unfinished().filter(|lease| view.range(lease).is_none()).count();
    if unknown > 0 {
        return vec![(Problem::UnknownRanges { leases: unknown }, Severity::Note)];
    }
    let mut ranges: Vec<(HashKeyRange, &Lease)> = view
        .unfinished()
        .filter_map(|lease| Some((view.range(lease)?, lease)))
        .collect();
    ranges.sort_by(|one, other| (one.0, &one.1.key).cmp(&(other.0, &other.1.key)));
    let holes = hash_range_holes(ranges.iter().map(|(range, _)| *range));
    let mut problems: Vec<(Problem, Severity)> = holes
        .into_iter()
        .map(|range| (Problem::Hole { range }, Severity::Error))
        .collect();
    problems.extend(overlaps(view, &ranges));
    problems
}

/// In order of their starts, so that only neighbours have to be compared.
fn overlaps(view: &View<'_>, ranges: &[(HashKeyRange, &Lease)]) -> Vec<(Problem, Severity)> {
    let mut problems = Vec::new();
    let mut open: Vec<(HashKeyRange, &Lease)> = Vec::new();
    for (range, lease) in ranges {
        open.retain(|(earlier, _)| earlier.end >= range.start);
        for (_, other) in &open {
            if let Some(severity) = unrelated(view, lease, other) {
                let problem = Problem::Overlap {
                    one: other.key.clone(),
                    other: lease.key.clone(),
                };
                problems.push((problem, severity));
            }
        }
        open.push((*range, lease));
    }
    problems
}

/// How bad it is that two leases overlap; not at all if one descends from the other, since then it waits for it.
fn unrelated(view: &View<'_>, one: &Lease, other: &Lease) -> Option<Severity> {
    let above_one = Ancestors::of(view, &one.shard);
    let above_other = Ancestors::of(view, &other.shard);
    if above_one.ids.contains(&other.shard) || above_other.ids.contains(&one.shard) {
        return None;
    }
    // A generation whose parents nobody knows any more may be what connects the two.
    let sure = above_one.is_whole && above_other.is_whole;
    Some(if sure { Severity::Error } else { Severity::Warning })
}

struct Ancestors<'a> {
    ids: BTreeSet<&'a ShardId>,
    /// Whether every branch was followed to a shard that has no parents.
    is_whole: bool,
}

impl<'a> Ancestors<'a> {
    fn of(view: &View<'a>, shard: &ShardId) -> Self {
        let mut found = Self {
            ids: BTreeSet::new(),
            is_whole: true,
        };
        let mut next = view.parents(shard).unwrap_or_default();
        while let Some(parent) = next.pop() {
            if !found.ids.insert(parent) {
                continue;
            }
            match view.parents(parent) {
                Some(parents) => next.extend(parents),
                None => found.is_whole = false,
            }
        }
        found
    }
}
