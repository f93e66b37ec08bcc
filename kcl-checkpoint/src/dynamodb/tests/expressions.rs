//! The conditions and changes of our writes, as expressions.

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::{Expect, Lease, LeaseWrite, Patch, Position, Session, ShardId};

use super::{record, shard, worker};
use crate::dynamodb::expression::Expressions;

/// The expression with its values in place.
fn shown(expression: &str, expressions: &Expressions) -> String {
    let mut places: Vec<_> = expressions.values.iter().flatten().collect();
    // From behind, so that `:v1` is not found in `:v10`.
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
    let shown = places.into_iter().fold(expression.to_owned(), |text, (place, value)| {
        let value = match value {
            AttributeValue::S(text) => format!("'{text}'"),
            AttributeValue::N(digits) => digits.clone(),
            other => format!("{other:?}"),
        };
        text.replace(place, &value)
    });
    for name in shown.split(['(', ')', ' ', ',']).filter(|word| word.starts_with('#')) {
        assert_eq!(expressions.names.get(name).map(String::as_str), Some(&name[1..]));
    }
    shown.replace('#', "")
}

fn check(write: &LeaseWrite, condition: &str, update: &str) {
    let expressions = Expressions::update(write).unwrap();
    assert_eq!(shown(&expressions.condition, &expressions), condition);
    assert_eq!(
        shown(expressions.update.as_deref().unwrap_or_default(), &expressions),
        update
    );
}

fn held() -> Lease {
    let mut lease = Lease::new(shard(0), Position::TrimHorizon);
    lease.owner = Some(worker("a"));
    lease.counter = 5;
    lease
}

const UNCHANGED: &str =
    "attribute_exists(leaseKey) AND leaseCounter = 5 AND leaseOwner = 'a' AND attribute_not_exists(checkpointOwner)";

#[test]
fn given_the_writes_of_a_worker_when_expressed_then_they_expect_and_change_what_java_does() {
    let lease = held();
    check(
        &LeaseWrite::renew(&lease, None),
        UNCHANGED,
        "ADD leaseCounter 1, ownerSessionCounter 1",
    );
    check(
        &LeaseWrite::renew(&lease, Some(record("100", 2))),
        UNCHANGED,
        "SET checkpoint = '100', checkpointSubSequenceNumber = 2, ownerSwitchesSinceCheckpoint = 0 \
         REMOVE checkpointTimestamp, pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointTimestamp, \
         pendingCheckpointState ADD leaseCounter 1, ownerSessionCounter 1",
    );
    check(
        &LeaseWrite::take(&lease, &worker("b"), Session(255)),
        UNCHANGED,
        "SET ownerSession = '00000000000000ff', ownerSessionCounter = 6, leaseOwner = 'b' REMOVE checkpointOwner \
         ADD leaseCounter 1, ownerSwitchesSinceCheckpoint 1",
    );
    check(
        &LeaseWrite::take(&lease, &worker("b"), Session(255)).with_failover_time(std::time::Duration::from_secs(10)),
        UNCHANGED,
        "SET ownerSession = '00000000000000ff', ownerSessionCounter = 6, ownerFailoverMillis = 10000, leaseOwner = 'b' \
         REMOVE checkpointOwner ADD leaseCounter 1, ownerSwitchesSinceCheckpoint 1",
    );
    check(
        &LeaseWrite::request_hand_off(&lease, &worker("b")),
        UNCHANGED,
        "SET leaseOwner = 'b', checkpointOwner = 'a'",
    );
    check(
        &LeaseWrite::release(&lease, None),
        UNCHANGED,
        "REMOVE ownerSession, ownerSessionCounter, ownerFailoverMillis, leaseOwner, checkpointOwner ADD leaseCounter 1",
    );
    let mut free = lease;
    free.owner = None;
    let write = LeaseWrite::take(&free, &worker("b"), Session(1));
    let condition = Expressions::update(&write).unwrap();
    assert_eq!(
        shown(&condition.condition, &condition),
        "attribute_exists(leaseKey) AND leaseCounter = 5 AND attribute_not_exists(leaseOwner) \
         AND attribute_not_exists(checkpointOwner)"
    );
}

#[test]
fn given_a_write_that_expects_no_counter_when_it_sets_a_session_then_the_row_itself_says_as_of_when() {
    let patch = Patch {
        session: Some(Some(Session(1))),
        ..Patch::renewal()
    };
    let mut write = LeaseWrite {
        key: held().key,
        expect: Expect::exists(),
        patch,
    };
    check(
        &write,
        "attribute_exists(leaseKey)",
        "SET ownerSession = '0000000000000001', ownerSessionCounter = leaseCounter + 1 ADD leaseCounter 1",
    );
    write.patch.increment_counter = false;
    check(
        &write,
        "attribute_exists(leaseKey)",
        "SET ownerSession = '0000000000000001', ownerSessionCounter = leaseCounter",
    );
    write.patch = Patch::default();
    check(&write, "attribute_exists(leaseKey)", "");
    assert_eq!(Expressions::update(&write).unwrap().values, None);
}

#[test]
fn given_sets_of_children_when_written_then_an_empty_one_is_removed() {
    let patch = |children: Vec<ShardId>| LeaseWrite {
        key: held().key,
        expect: Expect::exists(),
        patch: Patch {
            children: Some(children),
            ..Patch::default()
        },
    };
    check(&patch(Vec::new()), "attribute_exists(leaseKey)", "REMOVE childShardIds");
    let two = Expressions::update(&patch(vec![shard(2), shard(1)])).unwrap();
    let wanted = AttributeValue::Ss(vec![shard(1).to_string(), shard(2).to_string()]);
    assert_eq!(two.values.unwrap()[":v0"], wanted);
}
