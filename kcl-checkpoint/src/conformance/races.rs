//! Several writers at once: for each state of a row, one of them wins.

use std::{collections::BTreeSet, sync::Arc};

use kcl_core::{Expect, Lease, LeaseStore, LeaseWrite, Session, StoreError, WorkerId, WriteOutcome};
use tokio::task::JoinSet;

use super::{
    Table,
    check::{Check, Violation},
    samples::{held, record, unowned, worker},
};

/// How many tasks write at once, half of them on each handle.
const WRITERS: usize = 8;
/// How many rows they race for, one after the other.
const ROUNDS: u32 = 8;
/// How often each writer of [`one_writer_wins_per_counter_value`] has to win.
const WINS_PER_WRITER: u64 = 4;

/// Lets [`WRITERS`] tasks each make one write at the same time.
async fn race<W, Written>(check: Check, table: &Table, write: W) -> Result<Vec<(WorkerId, WriteOutcome)>, Violation>
where
    W: Fn(Arc<dyn LeaseStore>, WorkerId) -> Written,
    Written: Future<Output = Result<WriteOutcome, StoreError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS {
        let me = worker(&format!("worker-{number}"));
        let writing = write(Arc::clone(table.handles()[number % 2]), me.clone());
        tasks.spawn(async move { (me, writing.await) });
    }
    let mut outcomes = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        let (me, answer) = joined.map_err(|error| check.violation(format!("a writer panicked: {error}")))?;
        outcomes.push((me, check.answered("a racing write", answer)?));
    }
    Ok(outcomes)
}

/// The one row that was written; every loser must have been told `seen_by_losers` of it.
fn the_winner(
    check: Check,
    outcomes: Vec<(WorkerId, WriteOutcome)>,
    seen_by_losers: impl Fn(&Lease) -> Option<Lease>,
) -> Result<(WorkerId, Lease), Violation> {
    let mut winners = Vec::new();
    let mut told = Vec::new();
    for (me, outcome) in outcomes {
        match outcome {
            WriteOutcome::Applied(lease) => winners.push((me, lease)),
            WriteOutcome::Conflict(lease) => told.push(lease),
        }
    }
    check.same("the number of racing writers that won", &winners.len(), &1)?;
    let Some((me, lease)) = winners.pop() else {
        return Err(check.violation("nobody won"));
    };
    for told in told {
        check.same("what a loser was told", &told, &seen_by_losers(&lease))?;
    }
    Ok((me, lease))
}

/// Of many workers that create one row at once, one does; the others are told its row.
///
/// # Errors
/// The violation that was found.
pub async fn one_of_many_creators_wins(table: &Table) -> Result<(), Violation> {
    let check = Check::of("one_of_many_creators_wins");
    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        let outcomes = race(check, table, |store, me| async move {
            store.create(&held(round, me.as_str())).await
        })
        .await?;
        let (me, lease) = the_winner(check, outcomes, |lease| Some(lease.clone()))?;
        check.same("the winner's row", &lease, &held(round, me.as_str()))?;
        rows.push(lease);
        check.rows("after the race", &*table.second, &rows).await?;
    }
    Ok(())
}

/// Of many workers that take one lease at once, one does; the others are told its row.
///
/// # Errors
/// The violation that was found.
pub async fn one_of_many_takers_wins(table: &Table) -> Result<(), Violation> {
    let check = Check::of("one_of_many_takers_wins");
    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        let before = unowned(round);
        check.applied("create", table.first.create(&before).await, &before)?;
        let outcomes = race(check, table, |store, me| {
            let write = LeaseWrite::take(&before, &me, Session(u64::from(round)));
            async move { store.update(&write).await }
        })
        .await?;
        let (me, lease) = the_winner(check, outcomes, |lease| Some(lease.clone()))?;
        check.same("the owner", &lease.owner, &Some(me))?;
        check.same("the counter", &lease.counter, &(before.counter + 1))?;
        rows.push(lease);
        check.rows("after the race", &*table.second, &rows).await?;
    }
    Ok(())
}

/// Of many workers that delete one row at once, one does; the others find it gone.
///
/// # Errors
/// The violation that was found.
pub async fn one_of_many_deleters_wins(table: &Table) -> Result<(), Violation> {
    let check = Check::of("one_of_many_deleters_wins");
    for round in 0..ROUNDS {
        let before = held(round, "worker-1");
        check.applied("create", table.first.create(&before).await, &before)?;
        let outcomes = race(check, table, |store, _| {
            let (key, expect) = (before.key.clone(), Expect::unchanged(&before));
            async move { store.delete(&key, &expect).await }
        })
        .await?;
        let (_, lease) = the_winner(check, outcomes, |_| None)?;
        check.same("the deleted row", &lease, &before)?;
        check.rows("after the race", &*table.second, &[]).await?;
    }
    Ok(())
}

/// Many writers that read, renew and try again lose no update: every counter value has one winner, whose row was stored.
///
/// # Errors
/// The violation that was found.
pub async fn one_writer_wins_per_counter_value(table: &Table) -> Result<(), Violation> {
    let check = Check::of("one_writer_wins_per_counter_value");
    let start = held(0, "worker-0");
    check.applied("create", table.first.create(&start).await, &start)?;
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS {
        let store = Arc::clone(table.handles()[number % 2]);
        let start = start.clone();
        tasks.spawn(async move { win_repeatedly(check, &*store, start).await });
    }
    let mut counters = BTreeSet::new();
    let mut wins = 0;
    while let Some(joined) = tasks.join_next().await {
        let won = joined.map_err(|error| check.violation(format!("a writer panicked: {error}")))??;
        wins += won.len();
        counters.extend(won);
    }
    check.same("the number of counter values among the wins", &counters.len(), &wins)?;
    let found = check.answered("get", table.second.get(&start.key).await)?;
    let wanted = start.counter + WINS_PER_WRITER * WRITERS as u64;
    check.same("the last counter", &found.map(|lease| lease.counter), &Some(wanted))
}

/// Renews with a checkpoint that names the counter, so that an answer that mixes two writers' rows is seen.
async fn win_repeatedly(check: Check, store: &dyn LeaseStore, start: Lease) -> Result<Vec<u64>, Violation> {
    let mut won = Vec::new();
    let mut seen = start;
    // Each loss is another writer's win, so this many rounds are enough in a store that keeps its promises.
    for _ in 0..=WINS_PER_WRITER * WRITERS as u64 {
        let position = record(&(seen.counter + 1).to_string(), 0);
        let write = LeaseWrite::renew(&seen, Some(position));
        seen = match check.answered("a racing renewal", store.update(&write).await)? {
            WriteOutcome::Applied(lease) => {
                check.same("the row of a win", &lease, &write.patch.apply(&seen))?;
                won.push(lease.counter);
                lease
            }
            WriteOutcome::Conflict(Some(lease)) => {
                check.holds(
                    lease.counter != seen.counter,
                    "a renewal of the current row was refused",
                )?;
                let position = record(&lease.counter.to_string(), 0);
                check.same("the checkpoint that a loser was told", &lease.checkpoint, &position)?;
                lease
            }
            WriteOutcome::Conflict(None) => return Err(check.violation("the row is gone")),
        };
        if won.len() as u64 == WINS_PER_WRITER {
            return Ok(won);
        }
    }
    Err(check.violation("a writer lost more often than others can have won"))
}
