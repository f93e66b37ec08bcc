use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{ShardGraph, hash_range_holes, is_ready, start_position};
use crate::{
    catalog::Shard,
    ids::{HashKey, HashKeyRange, LeaseKey, ShardId},
    lease::Lease,
    sequence::Position,
};

fn id(name: &str) -> ShardId {
    ShardId::new(name).unwrap()
}

fn lease(name: &str, checkpoint: Position, parents: &[&str]) -> Lease {
    Lease::new(id(name), checkpoint).with_parents(parents.iter().map(|parent| id(parent)))
}

fn table(leases: &[Lease]) -> BTreeMap<LeaseKey, Lease> {
    leases.iter().map(|lease| (lease.key.clone(), lease.clone())).collect()
}

fn record() -> Position {
    Position::after("7".parse().unwrap())
}

fn shard(name: &str, parents: &[&str]) -> Shard {
    let mut shard = Shard::new(id(name), HashKeyRange::FULL);
    shard.parent = parents.first().map(|parent| id(parent));
    shard.adjacent_parent = parents.get(1).map(|parent| id(parent));
    shard
}

fn names<'a>(shards: impl IntoIterator<Item = &'a Shard>) -> Vec<&'a str> {
    shards.into_iter().map(|shard| shard.id.as_str()).collect()
}

#[test]
fn given_parents_when_any_leased_one_is_unfinished_then_the_child_is_not_ready() {
    let child = lease("c", Position::TrimHorizon, &["a", "b"]);
    let (done, going) = (
        |name| lease(name, Position::ShardEnd, &[]),
        |name| lease(name, record(), &[]),
    );
    assert!(is_ready(&child, &table(&[])));
    assert!(is_ready(&child, &table(&[done("a"), done("b")])));
    assert!(!is_ready(&child, &table(&[done("a"), going("b")])));
    assert!(!is_ready(&child, &table(&[going("b")])));
}

#[test]
fn given_a_merged_shard_when_only_one_parent_has_a_lease_then_it_waits_for_the_other_until_it_has_started() {
    let parent = lease("a", Position::ShardEnd, &[]);
    let fresh = lease("c", Position::TrimHorizon, &["a", "b"]);
    assert!(!is_ready(&fresh, &table(std::slice::from_ref(&parent))));
    // Once it has started the other parent was done, and its row cleaned up.
    let started = lease("c", record(), &["a", "b"]);
    assert!(is_ready(&started, &table(&[parent])));
}

#[test]
fn given_a_lease_at_latest_when_a_parent_has_a_lease_then_it_starts_at_the_trim_horizon() {
    let parent = lease("a", Position::ShardEnd, &[]);
    let child = lease("c", Position::Latest, &["a"]);
    assert_eq!(start_position(&child, &table(&[])), Position::Latest);
    assert_eq!(
        start_position(&child, &table(std::slice::from_ref(&parent))),
        Position::TrimHorizon
    );
    for kept in [
        record(),
        Position::TrimHorizon,
        Position::AtTimestamp(crate::Timestamp::default()),
    ] {
        let child = lease("c", kept.clone(), &["a"]);
        assert_eq!(start_position(&child, &table(std::slice::from_ref(&parent))), kept);
    }
}

#[test]
fn given_split_and_merge_when_asked_for_relatives_then_the_graph_knows_them() {
    // 0 splits into 1 and 2; 2 and 3 merge into 4.
    let listing = [
        shard("0", &["gone"]),
        shard("1", &["0"]),
        shard("2", &["0"]),
        shard("3", &[]),
        shard("4", &["2", "3"]),
    ];
    let graph = ShardGraph::new(&listing);
    assert_eq!(names(graph.children(&id("0"))), ["1", "2"]);
    assert_eq!(names(graph.children(&id("gone"))), ["0"]);
    assert_eq!(names(graph.parents(&id("4"))), ["2", "3"]);
    assert_eq!(names(graph.parents(&id("0"))), [""; 0]);
    assert_eq!(names(graph.ancestors(&id("4"))), ["2", "3", "0"]);
    assert_eq!(names(graph.oldest_ancestors(&id("4"))), ["3", "0"]);
    assert_eq!(names(graph.oldest_ancestors(&id("0"))), ["0"]);
    assert_eq!(names(graph.roots()), ["0", "3"]);
    assert_eq!(
        graph.descendants([&id("gone")]),
        BTreeSet::from([&id("0"), &id("1"), &id("2"), &id("4")])
    );
}

#[test]
fn given_a_cycle_when_walked_then_the_walk_ends() {
    let listing = [shard("a", &["b"]), shard("b", &["a"]), shard("self", &["self"])];
    let graph = ShardGraph::new(&listing);
    assert_eq!(names(graph.ancestors(&id("a"))), ["b"]);
    assert_eq!(names(graph.oldest_ancestors(&id("a"))), ["a"]);
    assert_eq!(names(graph.oldest_ancestors(&id("self"))), ["self"]);
    assert_eq!(graph.descendants([&id("a")]).len(), 2);
}

#[test]
fn given_no_ranges_when_asked_for_holes_then_everything_is_one() {
    assert_eq!(hash_range_holes([]), [HashKeyRange::FULL]);
    let one = HashKeyRange {
        start: HashKey(1),
        end: HashKey(u128::MAX - 1),
    };
    let edges = [HashKey::MIN, HashKey::MAX].map(|key| HashKeyRange { start: key, end: key });
    assert_eq!(hash_range_holes([one]), edges);
}

proptest! {
    #[test]
    fn given_any_ranges_when_the_holes_are_filled_then_each_key_is_served_and_no_hole_overlaps(
        ends in prop::collection::vec((0..50u128, 0..50u128), 0..12),
    ) {
        // A small space stands for the large one: 50 keys, and the last one stretches to the end.
        let key = |key: u128| HashKey(if key == 49 { u128::MAX } else { key });
        let ranges: Vec<HashKeyRange> = ends
            .iter()
            .map(|(a, b)| HashKeyRange { start: HashKey((*a).min(*b)), end: key((*a).max(*b)) })
            .collect();
        let holes = hash_range_holes(ranges.iter().copied());
        for probe in (0..50).map(HashKey).chain([HashKey::MAX]) {
            let served = ranges.iter().any(|range| range.contains(probe));
            let missing = holes.iter().filter(|hole| hole.contains(probe)).count();
            prop_assert_eq!(missing, usize::from(!served), "{}", probe);
        }
        prop_assert!(hash_range_holes(ranges.into_iter().chain(holes)).is_empty());
    }

    #[test]
    fn given_any_listing_when_walked_then_everything_ends_and_agrees(
        parents in prop::collection::vec((0..12usize, prop::option::of(0..12usize)), 1..12),
    ) {
        let listing: Vec<Shard> = parents
            .iter()
            .enumerate()
            .map(|(index, (first, second))| {
                let mut shard = shard(&format!("{index:02}"), &[]);
                shard.parent = Some(id(&format!("{first:02}")));
                shard.adjacent_parent = second.map(|second| id(&format!("{second:02}")));
                shard
            })
            .collect();
        let graph = ShardGraph::new(&listing);
        for shard in &listing {
            let above = graph.ancestors(&shard.id);
            prop_assert!(above.iter().all(|ancestor| graph.descendants([&ancestor.id]).contains(&shard.id)));
            prop_assert!(!graph.oldest_ancestors(&shard.id).is_empty());
        }
    }
}
