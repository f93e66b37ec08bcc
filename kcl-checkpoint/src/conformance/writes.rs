//! Conditional writes: applied when their condition holds, without any effect when it does not.

use std::time::Duration;

use kcl_core::{Expect, Lease, LeaseWrite, Patch, PendingCheckpoint, Position, Session, Timestamp};

use super::{
    Table,
    check::{Check, Violation},
    samples::{self, held, in_hand_off, record, shard, unowned, worker},
};

/// An operation as a worker performs it on a row that it read.
type Operation = Box<dyn Fn(&Lease) -> LeaseWrite + Send + Sync>;

/// Every operation of a worker, each with a row of its own on which it makes sense.
fn operations() -> Vec<(&'static str, Lease, Operation)> {
    let mut prepared = held(2, "worker-1");
    prepared.pending_checkpoint = Some(PendingCheckpoint {
        position: record("100", 0),
        state: None,
    });
    let take: fn(&Lease) -> LeaseWrite = |lease| LeaseWrite::take(lease, &worker("worker-2"), Session(u64::MAX));
    let prepare: fn(&Lease) -> LeaseWrite = |lease| {
        let pending = PendingCheckpoint {
            position: record("200", 7),
            state: Some("half way".into()),
        };
        let patch = Patch {
            pending_checkpoint: Some(Some(pending)),
            hash_key_range: Some(kcl_core::HashKeyRange::FULL),
            ..Patch::renewal()
        };
        LeaseWrite {
            patch,
            ..LeaseWrite::renew(lease, None)
        }
    };
    vec![
        (
            "renew",
            held(0, "worker-1"),
            Box::new(|lease| LeaseWrite::renew(lease, None)),
        ),
        (
            "renew with a checkpoint",
            held(1, "worker-1"),
            Box::new(|lease| LeaseWrite::renew(lease, Some(record("123456789012345678901234567890", 5)))),
        ),
        (
            "renew with a checkpoint over a prepared one",
            prepared,
            Box::new(|lease| LeaseWrite::renew(lease, Some(record("100", 0)))),
        ),
        ("prepare a checkpoint", unowned(3), Box::new(prepare)),
        ("take from nobody", unowned(4), Box::new(take)),
        ("take from a worker that is gone", held(5, "worker-1"), Box::new(take)),
        (
            "take after a hand-off",
            in_hand_off(6, "worker-1", "worker-2"),
            Box::new(take),
        ),
        (
            "request_hand_off",
            held(7, "worker-1"),
            Box::new(|lease| LeaseWrite::request_hand_off(lease, &worker("worker-2"))),
        ),
        (
            "finish_hand_off",
            in_hand_off(8, "worker-1", "worker-2"),
            Box::new(|lease| LeaseWrite::finish_hand_off(lease, None)),
        ),
        (
            "finish_hand_off with a checkpoint",
            in_hand_off(9, "worker-1", "worker-2"),
            Box::new(|lease| LeaseWrite::finish_hand_off(lease, Some(record("300", 0)))),
        ),
        (
            "release",
            held(10, "worker-1"),
            Box::new(|lease| LeaseWrite::release(lease, None)),
        ),
        (
            "release with a checkpoint",
            held(11, "worker-1"),
            Box::new(|lease| LeaseWrite::release(lease, Some(Position::Latest))),
        ),
        (
            "finish_shard",
            held(12, "worker-1"),
            Box::new(|lease| LeaseWrite::finish_shard(lease, vec![shard(101), shard(102)])),
        ),
        (
            "take for so long",
            unowned(14),
            Box::new(|lease| {
                LeaseWrite::take(lease, &worker("worker-2"), Session(1)).with_failover_time(Duration::from_secs(7))
            }),
        ),
        (
            "seek",
            held(15, "worker-1"),
            Box::new(|lease| LeaseWrite::seek(lease, Position::AtTimestamp(Timestamp::from_epoch_millis(7)))),
        ),
        (
            "seek of a finished shard",
            Lease::new(shard(16), Position::ShardEnd),
            Box::new(|lease| LeaseWrite::seek(lease, Position::TrimHorizon)),
        ),
        (
            "pause",
            unowned(17),
            Box::new(|lease| LeaseWrite::pause(lease, Some(Timestamp::from_epoch_millis(7)))),
        ),
        (
            "resume",
            held(18, "worker-1"),
            Box::new(|lease| LeaseWrite::pause(lease, None)),
        ),
        (
            "prepare a checkpoint in place of another",
            held(19, "worker-1"),
            Box::new(|lease| {
                let pending = PendingCheckpoint {
                    position: Position::ShardEnd,
                    state: Some("all of it".into()),
                };
                LeaseWrite::renew(lease, None).preparing(pending)
            }),
        ),
    ]
}

/// Every operation, on the row that it was built from, leaves exactly the row that [`Patch::apply`] says.
///
/// # Errors
/// The violation that was found.
pub async fn every_operation_is_applied(table: &Table) -> Result<(), Violation> {
    let check = Check::of("every_operation_is_applied");
    let mut rows = Vec::new();
    for (name, before, operation) in operations() {
        check.applied("create", table.first.create(&before).await, &before)?;
        let write = operation(&before);
        let after = write.patch.apply(&before);
        check.applied(name, table.second.update(&write).await, &after)?;
        rows.push(after);
        // All rows, not only this one: a write must not reach its neighbours.
        check.rows(format_args!("after {name}"), &*table.first, &rows).await?;
    }
    Ok(())
}

/// Every operation that was built from another state of the row is refused with the stored row, and changes nothing.
///
/// # Errors
/// The violation that was found.
pub async fn stale_operations_change_nothing(table: &Table) -> Result<(), Violation> {
    let check = Check::of("stale_operations_change_nothing");
    let stranger = Some(worker("worker-9"));
    let mut rows = Vec::new();
    for (name, stored, operation) in operations() {
        check.applied("create", table.first.create(&stored).await, &stored)?;
        rows.push(stored.clone());
        let other = |change: fn(&mut Lease, Option<kcl_core::WorkerId>), to| {
            let mut seen = stored.clone();
            change(&mut seen, to);
            seen
        };
        let stale = [
            ("a later counter", other(|lease, _| lease.counter += 1, None)),
            (
                "an earlier counter",
                other(|lease, _| lease.counter = lease.counter.wrapping_sub(1), None),
            ),
            ("another owner", other(|lease, to| lease.owner = to, stranger.clone())),
            (
                "another checkpoint owner",
                other(|lease, to| lease.checkpoint_owner = to, stranger.clone()),
            ),
            ("no owner", other(|lease, _| lease.owner = None, None)),
            (
                "no checkpoint owner",
                other(|lease, _| lease.checkpoint_owner = None, None),
            ),
        ];
        for (what, seen) in stale.iter().filter(|(_, seen)| *seen != stored) {
            let step = format!("{name} that expects {what}");
            for store in table.handles() {
                check.refused(&step, store.update(&operation(seen)).await, Some(&stored))?;
            }
            check.rows(format_args!("after {step}"), &*table.first, &rows).await?;
        }
    }
    Ok(())
}

/// Each condition counts for itself, and what is not asked does not matter.
///
/// # Errors
/// The violation that was found.
pub async fn conditions_hold_one_by_one(table: &Table) -> Result<(), Violation> {
    let check = Check::of("conditions_hold_one_by_one");
    let mut row = in_hand_off(0, "worker-1", "worker-2");
    check.applied("create", table.first.create(&row).await, &row)?;
    for round in 0..4 {
        let conditions = [
            Expect::exists(),
            Expect {
                counter: Some(row.counter),
                ..Expect::default()
            },
            Expect {
                owner: Some(row.owner.clone()),
                ..Expect::default()
            },
            Expect {
                checkpoint_owner: Some(row.checkpoint_owner.clone()),
                ..Expect::default()
            },
        ];
        let write = LeaseWrite {
            key: row.key.clone(),
            expect: conditions[round].clone(),
            patch: Patch::renewal(),
        };
        row = write.patch.apply(&row);
        let step = format!("an update that expects {:?}", write.expect);
        check.applied(step, table.second.update(&write).await, &row)?;
    }
    for expect in [
        Expect {
            owner: Some(None),
            ..Expect::default()
        },
        Expect {
            checkpoint_owner: Some(None),
            ..Expect::default()
        },
        Expect {
            counter: Some(row.counter),
            owner: Some(Some(worker("worker-1"))),
            ..Expect::default()
        },
    ] {
        let step = format!("an update that expects {expect:?}");
        let write = LeaseWrite {
            key: row.key.clone(),
            expect,
            patch: Patch::renewal(),
        };
        check.refused(step, table.first.update(&write).await, Some(&row))?;
    }
    check.rows("after refused updates", &*table.second, &[row]).await
}

/// A row that does not exist refuses every update and delete, and does not come into being by them.
///
/// # Errors
/// The violation that was found.
pub async fn absent_rows_refuse_writes(table: &Table) -> Result<(), Violation> {
    let check = Check::of("absent_rows_refuse_writes");
    let neighbour = samples::held(500, "worker-1");
    check.applied("create", table.first.create(&neighbour).await, &neighbour)?;
    for (name, lease, operation) in operations() {
        let mut write = operation(&lease);
        check.refused(
            format_args!("{name} of an absent row"),
            table.first.update(&write).await,
            None,
        )?;
        write.expect = Expect::exists();
        check.refused(
            format_args!("{name} of an absent row, in any state"),
            table.first.update(&write).await,
            None,
        )?;
        let gone = table.second.delete(&lease.key, &write.expect).await;
        check.refused("delete of an absent row", gone, None)?;
    }
    check
        .rows("after writes on absent rows", &*table.second, &[neighbour])
        .await
}

/// A delete removes the row if its condition holds, and says what it removed; otherwise the row stays.
///
/// # Errors
/// The violation that was found.
pub async fn deletes_are_conditional(table: &Table) -> Result<(), Violation> {
    let check = Check::of("deletes_are_conditional");
    let leases = [
        held(0, "worker-1"),
        held(1, "worker-1"),
        in_hand_off(2, "worker-1", "worker-2"),
    ];
    for lease in &leases {
        check.applied("create", table.first.create(lease).await, lease)?;
    }
    let [first, second, third] = &leases;
    let mut seen = second.clone();
    seen.counter -= 1;
    let refused = table.first.delete(&second.key, &Expect::unchanged(&seen)).await;
    check.refused("delete that expects another counter", refused, Some(second))?;
    seen = second.clone();
    seen.owner = None;
    let refused = table.first.delete(&second.key, &Expect::unchanged(&seen)).await;
    check.refused("delete that expects no owner", refused, Some(second))?;
    check.rows("after refused deletes", &*table.second, &leases).await?;

    let gone = table.first.delete(&second.key, &Expect::unchanged(second)).await;
    check.applied("delete", gone, second)?;
    check
        .rows("after a delete", &*table.second, &[first.clone(), third.clone()])
        .await?;
    let gone = table.second.delete(&second.key, &Expect::exists()).await;
    check.refused("a second delete", gone, None)?;
    let gone = table.second.delete(&third.key, &Expect::exists()).await;
    check.applied("delete in any state", gone, third)?;
    check.applied("create of a deleted row", table.second.create(second).await, second)?;
    check
        .rows(
            "after deletes and a create",
            &*table.first,
            &[first.clone(), second.clone()],
        )
        .await
}
