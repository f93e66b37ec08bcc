//! Rows as workers of Java write them: what each write expects, and what it changes.
//!
//! None of them knows of sessions. Whoever moves the counter without one voids the session that stands in the row, which
//! is how the table in DynamoDB reads such rows: here the writes clear it.

use kcl_core::{Expect, Lease, LeaseKey, LeaseWrite, Patch, Position, ShardId, WorkerId, lease::SwitchCount};

fn write(lease: &Lease, expect: Expect, patch: Patch) -> LeaseWrite {
    LeaseWrite {
        key: lease.key.clone(),
        expect,
        patch,
    }
}

fn counted() -> Patch {
    Patch {
        session: Some(None),
        ..Patch::renewal()
    }
}

fn switched(yes: bool) -> SwitchCount {
    if yes { SwitchCount::Increment } else { SwitchCount::Keep }
}

/// Keeps a lease. With `unasked`, only while nobody asked for it: 3.x learns of a hand-off by that.
pub(crate) fn renew(lease: &Lease, unasked: bool) -> LeaseWrite {
    let expect = Expect {
        counter: Some(lease.counter),
        checkpoint_owner: unasked.then_some(None),
        owner: None,
    };
    write(lease, expect, counted())
}

/// The taker of 2.x takes a lease, or steals it. It does not know of givers, so one that stands in the row stays there.
pub(crate) fn take(lease: &Lease, me: &WorkerId) -> LeaseWrite {
    let expect = Expect {
        counter: Some(lease.counter),
        ..Expect::exists()
    };
    let patch = Patch {
        owner: Some(Some(me.clone())),
        owner_switches: switched(lease.owner.as_ref() != Some(me)),
        ..counted()
    };
    write(lease, expect, patch)
}

/// The leader of 3.x gives a lease to a worker, and a giver ends a hand-off. The counter does not matter to it.
pub(crate) fn assign(lease: &Lease, to: &WorkerId) -> LeaseWrite {
    let expect = Expect {
        counter: None,
        owner: Some(lease.owner.clone()),
        checkpoint_owner: Some(lease.checkpoint_owner.clone()),
    };
    let other = lease.owner.as_ref() != Some(to) || lease.is_in_hand_off();
    let patch = Patch {
        owner: Some(Some(to.clone())),
        checkpoint_owner: Some(None),
        owner_switches: switched(other),
        ..counted()
    };
    write(lease, expect, patch)
}

/// The leader of 3.x asks the owner to pass a lease on. The counter stays, and so does the owner's session.
pub(crate) fn hand_off(lease: &Lease, to: &WorkerId) -> LeaseWrite {
    let expect = Expect {
        counter: None,
        owner: Some(lease.owner.clone()),
        checkpoint_owner: Some(None),
    };
    let patch = Patch {
        owner: Some(Some(to.clone())),
        checkpoint_owner: Some(lease.owner.clone()),
        ..Patch::default()
    };
    write(lease, expect, patch)
}

/// Commits a position. Whoever has the right counter may: a giver still does.
pub(crate) fn checkpoint(lease: &Lease, position: Position, children: &[ShardId]) -> LeaseWrite {
    let expect = Expect {
        counter: Some(lease.counter),
        ..Expect::exists()
    };
    let patch = counted().with_checkpoint(position);
    let children = (!children.is_empty()).then(|| sorted(children));
    write(lease, expect, Patch { children, ..patch })
}

/// Notes which shards follow. Only that the row exists is expected.
pub(crate) fn follow(key: &LeaseKey, children: &[ShardId]) -> LeaseWrite {
    LeaseWrite {
        key: key.clone(),
        expect: Expect::exists(),
        patch: Patch {
            children: Some(sorted(children)),
            ..Patch::default()
        },
    }
}

/// Tables keep them as a set.
fn sorted(children: &[ShardId]) -> Vec<ShardId> {
    let mut children = children.to_vec();
    children.sort_unstable();
    children
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcl_core::Session;

    fn id(name: &str) -> WorkerId {
        WorkerId::new(name).unwrap()
    }

    fn held_by(owner: &str) -> Lease {
        let mut lease = Lease::new(ShardId::new("shardId-000000000000").unwrap(), Position::TrimHorizon);
        (lease.owner, lease.session, lease.counter) = (Some(id(owner)), Some(Session(7)), 5);
        lease
    }

    fn applied(write: &LeaseWrite, row: &Lease) -> Option<Lease> {
        write.expect.holds(Some(row)).then(|| write.patch.apply(row))
    }

    #[test]
    fn a_write_that_moves_the_counter_voids_the_session_and_a_request_does_not() {
        let row = held_by("a");
        let stolen = applied(&take(&row, &id("b")), &row).unwrap();
        assert_eq!((stolen.session, stolen.counter), (None, 6));
        assert_eq!(stolen.owner_switches_since_checkpoint, 1);
        let asked = applied(&hand_off(&row, &id("b")), &row).unwrap();
        assert_eq!((asked.session, asked.counter), (Some(Session(7)), 5));
        assert_eq!((asked.holder(), asked.owner.clone()), (Some(&id("a")), Some(id("b"))));
    }

    #[test]
    fn only_3x_notices_a_request_when_it_renews() {
        let row = held_by("a");
        let asked = applied(&hand_off(&row, &id("b")), &row).unwrap();
        assert!(applied(&renew(&row, true), &asked).is_none());
        assert!(applied(&renew(&row, false), &asked).is_some());
    }

    #[test]
    fn a_giver_passes_on_what_moved_meanwhile_and_not_what_another_has() {
        let row = held_by("a");
        let asked = applied(&hand_off(&row, &id("b")), &row).unwrap();
        let renewed = applied(&renew(&asked, false), &asked).unwrap();
        let passed = applied(&assign(&asked, &id("b")), &renewed).unwrap();
        assert_eq!((passed.owner.clone(), passed.holder()), (Some(id("b")), Some(&id("b"))));
        assert!(applied(&assign(&asked, &id("b")), &passed).is_none());
    }

    #[test]
    fn a_thief_of_2x_leaves_the_giver_in_the_row() {
        let row = held_by("a");
        let asked = applied(&hand_off(&row, &id("b")), &row).unwrap();
        let stolen = applied(&take(&asked, &id("c")), &asked).unwrap();
        assert_eq!((stolen.owner.clone(), stolen.holder()), (Some(id("c")), Some(&id("a"))));
    }

    #[test]
    fn a_checkpoint_of_a_zombie_is_refused_once_the_counter_moved() {
        let row = held_by("a");
        let stolen = applied(&take(&row, &id("b")), &row).unwrap();
        let late = checkpoint(&row, Position::ShardEnd, &[]);
        assert!(applied(&late, &stolen).is_none());
        let last = applied(&late, &row).unwrap();
        assert!(last.is_finished() && last.owner == Some(id("a")));
    }
}
