//! Hash keys, shards, and leases that are over.

use super::{Case, Severity, closed, finished, free, held, high, key, low, open, shard};
use crate::{HashKeyRange, Position, doctor::Problem};

#[test]
fn given_hash_keys_that_no_lease_covers_when_examined_then_the_hole_is_named() {
    let case = Case::of([held(1, low(), "w1")]);
    assert_eq!(case.findings()[0].problem, Problem::Hole { range: high() });
    assert_eq!(case.codes(), [("hash_range_hole", Severity::Error)]);
}

#[test]
fn given_a_hole_in_one_look_only_when_examined_then_it_is_no_error() {
    let mut case = Case::healthy();
    // The scan missed a row that was added while it ran.
    case.last.leases.pop();
    let once = case.once();
    assert_eq!(super::codes(&once), [("hash_range_hole", Severity::Warning)]);
    assert!(!once[0].confirmed);
    assert_eq!(case.findings(), []);
}

#[test]
fn given_a_split_under_way_when_examined_then_nothing_is_found() {
    // The children have their leases, and wait for their parent.
    let child = |number, range| free(number, range).with_parents([shard(1)]);
    let case = Case::of([held(1, HashKeyRange::FULL, "w1"), child(2, low()), child(3, high())]);
    assert_eq!(case.findings(), []);
    let over = finished(free(1, HashKeyRange::FULL));
    let held_child = |number, range| held(number, range, "w1").with_parents([shard(1)]);
    assert_eq!(
        Case::of([over, held_child(2, low()), held_child(3, high())]).findings(),
        []
    );
}

#[test]
fn given_two_leases_for_the_same_hash_keys_when_examined_then_both_are_named() {
    let case = Case::of([held(1, HashKeyRange::FULL, "w1"), held(2, high(), "w2")]);
    let overlap = Problem::Overlap {
        one: key(1),
        other: key(2),
    };
    assert_eq!(case.findings()[0].problem, overlap);
    assert_eq!(case.codes(), [("hash_range_overlap", Severity::Error)]);
}

#[test]
fn given_a_generation_that_nobody_knows_when_leases_overlap_then_it_is_no_error() {
    let grandchild = || held(3, high(), "w2").with_parents([shard(2)]);
    let leases = || [held(1, HashKeyRange::FULL, "w1"), grandchild()];
    assert_eq!(Case::of(leases()).codes(), [("hash_range_overlap", Severity::Warning)]);
    let known = [
        closed(1, HashKeyRange::FULL, None),
        closed(2, high(), Some(1)),
        open(3, high(), Some(2)),
        open(4, low(), Some(1)),
    ];
    assert_eq!(Case::of(leases()).with_shards(known).findings(), []);
}

#[test]
fn given_leases_without_hash_keys_when_examined_then_it_says_what_was_not_looked_for() {
    let mut unknown = held(1, low(), "w1");
    unknown.hash_key_range = None;
    let both = Case::of([unknown, held(2, high(), "w2")]);
    assert_eq!(both.codes(), [("unknown_hash_ranges", Severity::Note)]);
    // The stream knows what the row does not say.
    let both = both.with_shards([open(1, low(), None), open(2, high(), None)]);
    assert_eq!(both.findings(), []);
}

#[test]
fn given_a_lease_whose_shard_the_stream_cannot_have_had_when_examined_then_it_is_named() {
    let case = Case::of([held(1, low(), "w1"), held(5, high(), "w1")]);
    let listed = || [open(1, low(), None), open(2, high(), None)];
    let found = case.clone().with_shards(listed());
    assert_eq!(
        found.codes(),
        [
            ("lease_without_shard", Severity::Error),
            ("shard_without_lease", Severity::Warning)
        ]
    );
    assert_eq!(found.findings()[0].problem, Problem::ShardUnknown { key: key(5) });
    assert_eq!(found.findings()[1].problem, Problem::MissingLease { shard: shard(2) });
    // Without the stream's word nothing is claimed.
    assert_eq!(case.findings(), []);
}

#[test]
fn given_a_stream_that_was_created_again_when_examined_then_a_lease_of_another_shard_is_named() {
    let case = Case::of([held(1, low(), "w1"), held(2, high(), "w1")]);
    let same = case.clone().with_shards([open(1, low(), None), open(2, high(), None)]);
    assert_eq!(same.findings(), []);
    let other = case.with_shards([open(1, high(), None), open(2, low(), None)]);
    assert_eq!(other.codes(), [("lease_of_another_shard", Severity::Error)]);
    assert_eq!(other.findings()[0].problem, Problem::ShardReplaced { key: key(1) });
}

#[test]
fn given_a_stream_that_was_created_again_in_the_same_shape_when_examined_then_old_checkpoints_tell() {
    let mut lease = held(1, HashKeyRange::FULL, "w1");
    lease.checkpoint = Position::after("70".parse().unwrap());
    let begun_at = |number: &str| {
        let mut shard = open(1, HashKeyRange::FULL, None);
        shard.starting_sequence_number = Some(number.parse().unwrap());
        shard
    };
    let case = Case::of([lease]);
    assert_eq!(case.clone().with_shards([begun_at("9")]).findings(), []);
    let other = case.clone().with_shards([begun_at("100")]);
    assert_eq!(other.codes(), [("checkpoint_outside_shard", Severity::Error)]);
    // It may be a wrong seek as well, so the lease is not to be deleted but set right.
    let remedy = other.findings()[0].problem.remedy();
    assert_eq!(
        remedy.command.unwrap(),
        ["seek", key(1).as_str(), "--to", "trim-horizon"]
    );
    let mut ended = begun_at("9");
    ended.ending_sequence_number = Some("69".parse().unwrap());
    let beyond = case.with_shards([ended]);
    assert!(beyond.codes().contains(&("checkpoint_outside_shard", Severity::Error)));
}

#[test]
fn given_a_lease_whose_shard_went_past_retention_when_examined_then_it_says_so() {
    let case = Case::of([held(1, low(), "w1"), held(2, high(), "w1")]);
    let gone = case
        .clone()
        .with_shards([open(2, high(), None), open(3, low(), Some(1))]);
    assert_eq!(gone.codes(), [("shard_expired", Severity::Warning)]);
    let there = case.with_shards([closed(1, low(), None), open(2, high(), None), open(3, low(), Some(1))]);
    assert_eq!(there.findings(), []);
}

#[test]
fn given_a_shard_that_nobody_has_a_lease_for_when_a_worker_added_it_between_the_looks_then_nothing_is_found() {
    let listed = [open(1, low(), None), open(2, high(), None)];
    let mut case = Case::healthy().with_shards(listed);
    case.earlier.leases.pop();
    assert_eq!(case.findings(), []);
}

#[test]
fn given_a_listing_that_contradicts_itself_when_examined_then_nothing_is_made_of_it() {
    let listed = [open(1, HashKeyRange::FULL, None), open(2, low(), Some(1))];
    let case = Case::of([held(1, HashKeyRange::FULL, "w1")]).with_shards(listed);
    assert_eq!(case.codes(), [("odd_shard_listing", Severity::Warning)]);
}

#[test]
fn given_a_finished_lease_that_nothing_needs_when_examined_then_it_may_go() {
    let child = |number, range| held(number, range, "w1").with_parents([shard(1)]);
    let leases = || {
        let over = finished(free(1, HashKeyRange::FULL));
        [over, child(2, low()), child(3, high())]
    };
    let listed = || {
        [
            closed(1, HashKeyRange::FULL, None),
            open(2, low(), Some(1)),
            open(3, high(), Some(1)),
        ]
    };
    let case = Case::of(leases()).with_shards(listed());
    assert_eq!(case.codes(), [("finished_leases_left", Severity::Note)]);
    assert_eq!(case.findings()[0].problem.leases(), [&key(1)]);
    // As long as a child has handled nothing, the parent's lease says where it begins.
    let waiting = Case::of(leases())
        .with_shards(listed())
        .then(2, |lease| lease.checkpoint = Position::TrimHorizon);
    assert_eq!(waiting.findings(), []);
}

#[test]
fn given_a_finished_lease_of_an_open_shard_when_examined_then_it_is_named() {
    let leases = || [held(1, low(), "w1"), finished(free(2, high()))];
    let listed = [open(1, low(), None), open(2, high(), None)];
    let found = Case::of(leases()).with_shards(listed.clone()).findings();
    assert!(
        found
            .iter()
            .any(|found| found.problem == Problem::FinishedOpen { key: key(2) }),
        "{found:?}"
    );
    assert!(found.iter().all(|found| found.severity == Severity::Error), "{found:?}");
    // It was finished between the looks, and the listing was of just before.
    let case = Case::healthy()
        .with_shards(listed)
        .then(2, |lease| *lease = finished(free(2, high())));
    let codes = case.codes();
    assert!(
        codes.iter().all(|(code, _)| *code != "finished_open_shard"),
        "{codes:?}"
    );
}

#[test]
fn given_leases_that_are_their_own_ancestors_when_examined_then_all_of_them_are_named() {
    let child = |number, range, parent| free(number, range).with_parents([shard(parent)]);
    let case = Case::of([child(1, low(), 1), held(2, high(), "w1")]);
    let circle = |leases| Problem::ParentCircle { leases };
    assert_eq!(case.findings()[0].problem, circle(vec![key(1)]));
    assert_eq!(case.codes(), [("parents_in_a_circle", Severity::Error)]);
    let rows = [child(1, low(), 2), child(2, high(), 3), child(3, HashKeyRange::FULL, 1)];
    let case = Case::of(rows.into_iter().chain([child(4, HashKeyRange::FULL, 1)]));
    let found = case.findings();
    // The fourth waits for the circle and is not in it.
    let wanted = circle(vec![key(1), key(2), key(3)]);
    assert!(found.iter().any(|found| found.problem == wanted), "{found:?}");
}
