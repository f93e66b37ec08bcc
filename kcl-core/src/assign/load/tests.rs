use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{FLOOR, LeaseAssignment, plan_load_move, weight};
use crate::{
    assign::{
        AssignLimits, FleetView, Move, PeerView,
        tests::fleet::{Fleet, worker},
    },
    ids::{ShardId, WorkerId},
    lease::Lease,
    sequence::Position,
};

const KIB: u64 = 1024;

/// A fleet whose workers hold leases of these weights, in KiB a second.
fn fleet(weights: &[(&str, &[u64])]) -> Fleet {
    let mut leases = Vec::new();
    for (owner, weights) in weights {
        for weight in *weights {
            let shard = ShardId::new(format!("shard-{:03}", leases.len())).unwrap();
            let mut lease = Lease::new(shard, Position::TrimHorizon);
            (lease.owner, lease.throughput) = (Some(worker(owner)), Some(weight * KIB));
            leases.push(lease);
        }
    }
    let mut fleet = Fleet::of(leases.into_iter());
    fleet.assignment = LeaseAssignment::Throughput;
    fleet
}

fn plan(fleet: &Fleet, me: &str, peers: Option<&PeerView>) -> Option<Move> {
    let leases: Vec<&Lease> = fleet.leases.values().collect();
    plan_load_move(&FleetView {
        leases: &leases,
        expired: &BTreeSet::new(),
        me: &worker(me),
        limits: AssignLimits {
            max_leases: fleet.max_leases.get(&worker(me)).copied(),
            max_moves: 100,
        },
        peers,
        assignment: fleet.assignment,
        seed: 1,
    })
}

fn loads(fleet: &Fleet) -> BTreeMap<WorkerId, u64> {
    let mut loads = BTreeMap::new();
    for lease in fleet.leases.values() {
        *loads.entry(lease.owner.clone().unwrap()).or_default() += weight(lease);
    }
    loads
}

/// Rounds of the whole fleet, until one moves nothing; gives how many leases moved.
fn settle(fleet: &mut Fleet, names: &[&str]) -> usize {
    let mut moved = 0;
    for _ in 0..200 {
        let before = moved;
        for name in names {
            let me = worker(name);
            let mut moves = fleet.plan(&me, 1);
            if moves.is_empty() {
                moves.extend(plan(fleet, name, None));
            }
            let view = fleet.leases.clone();
            moved += fleet.apply(&me, &moves, &view);
        }
        fleet.finish_hand_offs();
        if moved == before {
            return moved;
        }
    }
    panic!("the fleet does not come to rest: {:?}", loads(fleet))
}

#[test]
fn given_two_hot_leases_on_one_worker_when_the_fleet_plans_then_they_are_exchanged_for_cold_ones() {
    let mut fleet = fleet(&[("a", &[900, 900, 1]), ("b", &[1, 1, 1]), ("c", &[1, 1, 1])]);

    let moved = settle(&mut fleet, &["a", "b", "c"]);

    assert_eq!(fleet.loads_of(&["a", "b", "c"]), [3, 3, 3]);
    assert!(
        loads(&fleet).values().all(|load| *load <= 902 * KIB),
        "{:?}",
        loads(&fleet)
    );
    assert_eq!(moved, 2, "one lease there and one back");
}

#[test]
fn wound_10_loads_that_differ_little_or_not_at_all_move_no_lease() {
    // A tenth of the mean, and less than the floor.
    for weights in [[500, 520, 540], [1, 10, 12], [0, 0, 0]] {
        let [a, b, c] = weights;
        let fleet = fleet(&[("a", &[a, a]), ("b", &[b, b]), ("c", &[c, c])]);
        assert_eq!(plan(&fleet, "a", None), None, "{weights:?}");
    }
}

#[test]
fn given_uneven_loads_when_somebody_else_than_the_idlest_plans_then_nothing_moves() {
    let fleet = fleet(&[("a", &[900, 900]), ("b", &[1, 1]), ("c", &[2, 2])]);
    assert!(plan(&fleet, "b", None).is_some());
    assert_eq!(plan(&fleet, "a", None), None);
    assert_eq!(plan(&fleet, "c", None), None);
}

#[test]
fn given_a_row_that_does_not_say_what_it_weighs_when_the_idlest_plans_then_nothing_moves() {
    let mut fleet = fleet(&[("a", &[900, 900]), ("b", &[1, 1])]);
    fleet.leases.values_mut().next_back().unwrap().throughput = None;
    assert_eq!(plan(&fleet, "b", None), None);
}

#[test]
fn given_balance_by_number_when_loads_are_uneven_then_nothing_moves() {
    let mut fleet = fleet(&[("a", &[900, 900]), ("b", &[1, 1])]);
    fleet.assignment = LeaseAssignment::LeaseCount;
    assert_eq!(plan(&fleet, "b", None), None);
}

#[test]
fn given_a_worker_of_java_or_a_full_one_or_a_move_under_way_when_loads_are_uneven_then_nothing_moves() {
    let peers = PeerView {
        idle: BTreeSet::from([worker("java")]),
        ..PeerView::default()
    };
    let mut fleet = fleet(&[("a", &[900, 900]), ("b", &[1, 1])]);
    assert_eq!(plan(&fleet, "b", Some(&peers)), None);

    fleet.max_leases.insert(worker("b"), 2);
    assert_eq!(plan(&fleet, "b", None), None);

    fleet.max_leases.clear();
    let lease = fleet.leases.values_mut().next().unwrap();
    (lease.owner, lease.checkpoint_owner) = (Some(worker("b")), Some(worker("a")));
    assert_eq!(plan(&fleet, "b", None), None);
}

proptest! {
    /// Whatever leases weigh: the fleet comes to rest, with even numbers, with no load above what it was, and with none that one
    /// more exchange would make clearly smaller.
    #[test]
    fn exchanges_end_and_help(weights in prop::collection::vec(prop::collection::vec(0u64..5_000, 1..8), 2..6)) {
        let names: Vec<String> = (0..weights.len()).map(|index| format!("w{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows: Vec<(&str, &[u64])> = names.iter().copied().zip(weights.iter().map(Vec::as_slice)).collect();
        let mut fleet = fleet(&rows);
        let mut by_number = fleet.clone();
        by_number.assignment = LeaseAssignment::LeaseCount;
        settle(&mut by_number, &names);

        settle(&mut fleet, &names);

        let counts = fleet.loads_of(&names);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{counts:?}");
        let highest = |fleet: &Fleet| loads(fleet).into_values().max().unwrap_or_default();
        let heaviest = fleet.leases.values().map(weight).max().unwrap_or_default();
        let mean = loads(&fleet).values().sum::<u64>() / names.len() as u64;
        prop_assert!(highest(&fleet) <= mean + heaviest + FLOOR, "{:?}", loads(&fleet));
    }
}
