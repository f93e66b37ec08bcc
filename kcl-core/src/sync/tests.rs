mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::world::{Application, Step, Stream, any_steps};
use super::{
    SyncError, SyncInput, child_leases, filter_for_empty_table, plan_awaited_parents, plan_cleanup, plan_shard_sync,
};
use crate::{
    catalog::{ChildShard, Shard, ShardFilter},
    ids::{HashKey, HashKeyRange, ShardId},
    lease::Lease,
    sequence::{InitialPosition, Position},
    time::Timestamp,
};

const INITIALS: [InitialPosition; 3] = [
    InitialPosition::TrimHorizon,
    InitialPosition::Latest,
    InitialPosition::AtTimestamp(Timestamp::from_epoch_millis(5)),
];

fn id(name: &str) -> ShardId {
    ShardId::new(name).unwrap()
}

fn open(name: &str, parents: &[&str]) -> Shard {
    let mut shard = Shard::new(id(name), HashKeyRange::FULL);
    shard.parent = parents.first().map(|parent| id(parent));
    shard.adjacent_parent = parents.get(1).map(|parent| id(parent));
    shard
}

fn closed(name: &str, parents: &[&str]) -> Shard {
    Shard {
        ending_sequence_number: Some("9".parse().unwrap()),
        ..open(name, parents)
    }
}

fn lease(name: &str, checkpoint: Position, parents: &[&str]) -> Lease {
    Lease::new(id(name), checkpoint).with_parents(parents.iter().map(|parent| id(parent)))
}

fn record() -> Position {
    Position::after("7".parse().unwrap())
}

/// What is created, as `shard@position`.
fn created(shards: &[Shard], leases: &[Lease], initial: InitialPosition) -> Vec<String> {
    let plan = plan_shard_sync(&SyncInput {
        shards,
        leases,
        initial,
    })
    .unwrap();
    plan.create
        .iter()
        .map(|lease| format!("{}@{}", lease.shard, lease.checkpoint))
        .collect()
}

#[test]
fn given_an_empty_table_when_synced_then_each_listed_shard_gets_a_lease_with_all_that_is_known() {
    let half = HashKeyRange {
        start: HashKey::MIN,
        end: HashKey(u128::MAX / 2),
    };
    let rest = HashKeyRange {
        start: HashKey(u128::MAX / 2 + 1),
        end: HashKey::MAX,
    };
    let shards = [
        Shard {
            hash_key_range: half,
            ..open("a", &["x", "y"])
        },
        Shard {
            hash_key_range: rest,
            ..open("b", &[])
        },
    ];
    for initial in INITIALS {
        let plan = plan_shard_sync(&SyncInput {
            shards: &shards,
            leases: &[],
            initial,
        })
        .unwrap();
        let expected = [
            lease("a", initial.into(), &["x", "y"]).with_hash_key_range(half),
            lease("b", initial.into(), &[]).with_hash_key_range(rest),
        ];
        assert_eq!(plan.create, expected);
    }
    assert_eq!(filter_for_empty_table(INITIALS[0]), ShardFilter::AtTrimHorizon);
    assert_eq!(filter_for_empty_table(INITIALS[1]), ShardFilter::AtLatest);
    assert_eq!(
        filter_for_empty_table(INITIALS[2]),
        ShardFilter::AtTimestamp(Timestamp::from_epoch_millis(5))
    );
}

#[test]
fn given_an_empty_table_when_the_listing_has_a_hole_then_nothing_is_planned() {
    let half = HashKeyRange {
        start: HashKey::MIN,
        end: HashKey(u128::MAX / 2),
    };
    let shards = [Shard {
        hash_key_range: half,
        ..open("a", &[])
    }];
    let error = plan_shard_sync(&SyncInput {
        shards: &shards,
        leases: &[],
        initial: INITIALS[0],
    })
    .unwrap_err();
    let hole = HashKeyRange {
        start: HashKey(u128::MAX / 2 + 1),
        end: HashKey::MAX,
    };
    assert_eq!(error, SyncError::Incomplete { holes: vec![hole] });
    let none = plan_shard_sync(&SyncInput {
        shards: &[],
        leases: &[],
        initial: INITIALS[0],
    });
    assert_eq!(
        none,
        Err(SyncError::Incomplete {
            holes: vec![HashKeyRange::FULL]
        })
    );
}

#[test]
fn given_an_open_parent_when_synced_then_nothing_is_planned() {
    let shards = [open("a", &[]), closed("b", &[]), open("c", &["b", "a"])];
    for leases in [vec![], vec![lease("b", record(), &[])]] {
        let plan = plan_shard_sync(&SyncInput {
            shards: &shards,
            leases: &leases,
            initial: INITIALS[0],
        });
        assert_eq!(
            plan,
            Err(SyncError::OpenParent {
                child: id("c"),
                parent: id("a")
            })
        );
    }
}

#[test]
fn given_a_leased_ancestor_that_is_going_on_when_synced_then_its_descendants_wait() {
    let shards = [closed("a", &[]), closed("b", &["a"]), open("c", &["b"])];
    for initial in INITIALS {
        assert_eq!(created(&shards, &[lease("a", record(), &[])], initial), [""; 0]);
    }
}

#[test]
fn given_a_finished_ancestor_when_synced_then_only_the_next_generation_is_created_at_the_trim_horizon() {
    let shards = [
        closed("a", &[]),
        closed("b", &["a"]),
        open("c", &["b"]),
        open("d", &["a"]),
    ];
    for initial in INITIALS {
        assert_eq!(
            created(&shards, &[lease("a", Position::ShardEnd, &[])], initial),
            ["b@TRIM_HORIZON", "d@TRIM_HORIZON"]
        );
    }
}

#[test]
fn given_no_leased_ancestor_when_synced_then_the_initial_position_decides_who_comes_first() {
    let shards = [
        closed("a", &["gone"]),
        closed("b", &["a"]),
        open("c", &["b"]),
        open("other", &[]),
    ];
    let leases = [lease("other", record(), &[])];
    assert_eq!(created(&shards, &leases, INITIALS[0]), ["a@TRIM_HORIZON"]);
    assert_eq!(created(&shards, &leases, INITIALS[1]), ["c@LATEST"]);
    assert_eq!(
        created(&shards, &leases, INITIALS[2]),
        ["a@AT_TIMESTAMP(1970-01-01T00:00:00.005Z)"]
    );
}

#[test]
fn given_a_merge_when_one_side_has_leases_then_the_other_side_gets_its_own() {
    // a is leased; b, and its parent x, are not; c was merged from a and b.
    let shards = [
        closed("a", &[]),
        closed("x", &[]),
        closed("b", &["x"]),
        open("c", &["a", "b"]),
    ];
    for (position, expected) in [
        (record(), vec!["x@TRIM_HORIZON"]),
        (Position::ShardEnd, vec!["x@TRIM_HORIZON"]),
    ] {
        assert_eq!(created(&shards, &[lease("a", position, &[])], INITIALS[0]), expected);
    }
    assert_eq!(
        created(&shards, &[lease("a", record(), &[])], INITIALS[1]),
        ["b@LATEST"]
    );
    // The merged shard was created when a ended, and has not started.
    let leases = [
        lease("a", Position::ShardEnd, &[]),
        lease("c", Position::TrimHorizon, &["a", "b"]),
    ];
    assert_eq!(created(&shards, &leases, INITIALS[0]), ["x@TRIM_HORIZON"]);
    // It has started, so b was handled and cleaned up.
    let leases = [lease("a", Position::ShardEnd, &[]), lease("c", record(), &["a", "b"])];
    assert_eq!(created(&shards, &leases, INITIALS[0]), [""; 0]);
}

#[test]
fn given_a_merge_when_the_other_parent_is_listed_no_more_then_it_is_marked_as_finished() {
    let shards = [closed("a", &[]), open("c", &["a", "b"])];
    let leases = [lease("a", Position::ShardEnd, &[])];
    assert_eq!(
        created(&shards, &leases, INITIALS[0]),
        ["b@SHARD_END", "c@TRIM_HORIZON"]
    );
    let leases = [
        lease("a", Position::ShardEnd, &[]),
        lease("c", Position::TrimHorizon, &["a", "b"]),
    ];
    assert_eq!(created(&shards, &leases, INITIALS[0]), ["b@SHARD_END"]);
}

#[test]
fn given_a_listing_from_before_a_merge_when_a_parent_is_not_listed_yet_then_it_is_not_taken_for_gone() {
    let leases = [
        lease("a", Position::ShardEnd, &[]),
        lease("c", Position::TrimHorizon, &["a", "b"]),
    ];
    for shards in [vec![open("a", &[])], vec![closed("a", &[]), open("x", &[])]] {
        let created = created(&shards, &leases, INITIALS[0]);
        assert!(!created.contains(&"b@SHARD_END".to_owned()), "{created:?}");
    }
    // Here c is gone as well, and its child tells that the listing is not too old to show it.
    assert_eq!(created(&[open("d", &["c"])], &leases, INITIALS[0]), ["b@SHARD_END"]);
    // Nor are children that are not listed yet: without a lease of their own they keep that of their parent.
    let mut parent = lease("a", Position::ShardEnd, &[]);
    parent.children = vec![id("b")];
    let leases = [parent, lease("x", record(), &[])];
    assert_eq!(plan_cleanup(&leases, &[open("a", &[]), open("x", &[])]), []);
}

#[test]
fn given_a_listing_from_before_a_split_when_the_parent_was_cleaned_up_then_it_is_not_read_again() {
    let leases = [lease("b", record(), &["a"]), lease("c", record(), &["a"])];
    for initial in INITIALS {
        assert_eq!(created(&[open("a", &[])], &leases, initial), [""; 0]);
    }
}

#[test]
fn given_cycles_and_odd_parents_when_synced_then_nothing_loops() {
    let shards = [
        closed("a", &["b"]),
        closed("b", &["a"]),
        open("c", &["a", "a"]),
        open("d", &["d"]),
    ];
    for initial in INITIALS {
        for leases in [
            vec![lease("other", record(), &[])],
            vec![lease("a", Position::ShardEnd, &["b"])],
        ] {
            assert!(!created(&shards, &leases, initial).is_empty());
            let _ = plan_cleanup(&leases, &shards);
        }
    }
}

#[test]
fn given_children_when_their_parent_ends_then_they_start_at_the_trim_horizon_and_name_it() {
    let told = |parents: &[&str], range| ChildShard {
        id: id("c"),
        parents: parents.iter().map(|parent| id(parent)).collect(),
        hash_key_range: range,
    };
    let merged = lease("c", Position::TrimHorizon, &["a", "b"]).with_hash_key_range(HashKeyRange::FULL);
    assert_eq!(
        child_leases(&id("b"), &[told(&["a", "b"], Some(HashKeyRange::FULL))]),
        [merged]
    );
    assert_eq!(
        child_leases(&id("b"), &[told(&["a"], None)]),
        [lease("c", Position::TrimHorizon, &["a", "b"])]
    );
}

#[test]
fn given_finished_leases_when_cleaned_up_then_those_go_whose_children_stand_on_their_own() {
    let shards = [
        closed("a", &[]),
        closed("b", &["a"]),
        open("c", &["b"]),
        open("d", &["a"]),
    ];
    let table = |c, d| {
        [
            lease("a", Position::ShardEnd, &[]),
            lease("b", Position::ShardEnd, &["a"]),
            lease("c", c, &["b"]),
            lease("d", d, &["a"]),
        ]
    };
    let cleaned = |leases: &[Lease], shards: &[Shard]| -> Vec<String> {
        plan_cleanup(leases, shards).iter().map(ToString::to_string).collect()
    };
    assert_eq!(cleaned(&table(record(), record()), &shards), ["a"]);
    for start in [
        Position::TrimHorizon,
        Position::Latest,
        Position::AtTimestamp(Timestamp::default()),
    ] {
        assert_eq!(cleaned(&table(record(), start), &shards), [""; 0]);
    }
    // Once a is gone b can go too, if c has started.
    assert_eq!(cleaned(&table(record(), record())[1..], &shards), ["b"]);
    assert_eq!(cleaned(&table(Position::TrimHorizon, record())[1..], &shards), [""; 0]);
    // A child without a lease, an empty listing and the last rows keep everything.
    assert_eq!(cleaned(&table(record(), record())[..3], &shards), [""; 0]);
    assert_eq!(cleaned(&table(record(), record()), &[]), [""; 0]);
    assert_eq!(cleaned(&[lease("gone", Position::ShardEnd, &[])], &shards), [""; 0]);
}

#[test]
fn given_two_workers_with_listings_from_before_and_after_a_split_when_both_fill_the_table_then_nothing_is_lost() {
    let mut stream = Stream::new(1);
    let before = stream.clone();
    stream.split(0);
    let mut application = Application::new(InitialPosition::Latest);
    let late = Application::new(InitialPosition::Latest).plan(&before);
    let early = application.plan(&stream);
    application.create(&late);
    application.create(&early);
    assert_eq!(application.leases.len(), 3);
    // The parent, opened at LATEST, is read to its end while the children already take records.
    stream.put(1);
    stream.put(2);
    for _ in 0..3 {
        application.read_all(&stream);
    }
    assert_eq!(application.delivered, [(1, 0), (2, 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn given_any_history_of_resharding_and_crashes_when_played_then_every_record_comes_once_and_parents_first(
        shards in 1..4usize, steps in any_steps(), at_timestamp: bool,
    ) {
        let everything = InitialPosition::AtTimestamp(Timestamp::from_epoch_millis(0));
        let initial = if at_timestamp { everything } else { InitialPosition::TrimHorizon };
        let (stream, application) = world::play(Stream::new(shards), Application::new(initial), &steps);
        let mut delivered = application.delivered.clone();
        application.check_parents_first(&stream);
        delivered.sort_unstable();
        prop_assert_eq!(delivered, stream.all_records());
    }

    #[test]
    fn given_latest_when_the_table_is_filled_then_every_later_record_comes_once(
        shards in 1..4usize, before in any_steps(), steps in any_steps(),
    ) {
        let mut stream = Stream::new(shards);
        for step in before.iter().filter(|step| step.is_of_the_stream()) {
            stream.step(step);
        }
        let old = stream.all_records();
        let mut application = Application::new(InitialPosition::Latest);
        let plan = application.plan(&stream);
        application.create(&plan);
        application.read_all(&stream);
        let (stream, application) = world::play(stream, application, &steps);
        application.check_parents_first(&stream);
        let mut all: Vec<_> = old.into_iter().chain(application.delivered.iter().copied()).collect();
        all.sort_unstable();
        prop_assert_eq!(all, stream.all_records());
    }

    #[test]
    fn given_any_reachable_table_when_synced_or_cleaned_up_then_a_second_sync_has_nothing_to_do(
        shards in 1..4usize, steps in any_steps(), initial in 0..3usize,
    ) {
        let (mut stream, mut application) = (Stream::new(shards), Application::new(INITIALS[initial]));
        let mut history = vec![stream.clone()];
        for step in &steps {
            world::step(&mut stream, &mut history, &mut application, step);
        }
        while { let plan = application.plan(&stream); application.create(&plan); !plan.is_empty() } {}
        loop {
            let over = plan_cleanup(&application.table(), &stream.listing(ShardFilter::All));
            if over.is_empty() {
                break;
            }
            application.delete(&over);
            prop_assert_eq!(application.plan(&stream), [], "after the cleanup of {:?}", over);
        }
        prop_assert!(!application.leases.is_empty());
    }
}

#[test]
fn given_a_step_when_asked_then_it_knows_whether_it_is_of_the_stream() {
    assert!(Step::Split(0).is_of_the_stream() && !Step::Cleanup(0).is_of_the_stream());
}

#[test]
fn given_an_awaited_shard_of_the_third_generation_when_planned_then_its_parent_gets_its_lease_first() {
    let id = |number: usize| ShardId::new(format!("shardId-{number:012}")).unwrap();
    let shards: Vec<Shard> = (0..3)
        .map(|number| {
            let mut shard = Shard::new(id(number), HashKeyRange::FULL);
            shard.parent = number.checked_sub(1).map(id);
            shard.ending_sequence_number = (number < 2).then(|| "9".parse().unwrap());
            shard
        })
        .collect();
    let mut leases = vec![Lease::new(id(0), Position::TrimHorizon)];
    for next in [1, 2] {
        let input = SyncInput {
            shards: &shards,
            leases: &leases,
            initial: InitialPosition::TrimHorizon,
        };
        let create = plan_awaited_parents(&input, &BTreeSet::from([id(2)]));
        let planned: Vec<&ShardId> = create.iter().map(|lease| &lease.shard).collect();
        assert_eq!(planned, [&id(next)]);
        leases.extend(create);
    }
}
