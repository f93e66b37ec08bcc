//! Rows as they come and stay: creation, reading, attributes, keys.

use kcl_core::{Expect, Lease, LeaseWrite, Session};

use super::{
    Table,
    check::{Check, Violation},
    samples,
};

/// How many rows [`thousand_rows_are_listed`] writes: more than a store is likely to hold in one page.
const MANY_ROWS: u32 = 1_000;

/// A row is created if there is none with its key; otherwise the answer is the stored row, which stays as it is.
///
/// # Errors
/// The violation that was found.
pub async fn a_row_is_created_once(table: &Table) -> Result<(), Violation> {
    let check = Check::of("a_row_is_created_once");
    let lease = samples::unowned(0);
    let found = check.answered("get", table.first.get(&lease.key).await)?;
    check.same("the row before it is created", &found, &None)?;
    check.rows("in a fresh table", &*table.first, &[]).await?;

    check.applied("the first create", table.first.create(&lease).await, &lease)?;
    let rival = samples::held(0, "worker-2");
    for store in table.handles() {
        check.refused("a create with the same key", store.create(&rival).await, Some(&lease))?;
        check.refused("a create of the same row", store.create(&lease).await, Some(&lease))?;
        check
            .rows("after refused creates", &**store, std::slice::from_ref(&lease))
            .await?;
    }
    Ok(())
}

/// A list has every row once, ordered by key, whatever the order in which they were written.
///
/// # Errors
/// The violation that was found.
pub async fn rows_are_listed_by_key(table: &Table) -> Result<(), Violation> {
    let check = Check::of("rows_are_listed_by_key");
    let mut leases: Vec<Lease> = [5, 1, 9, 3, 7, 2, 8].map(samples::unowned).into();
    for lease in &leases {
        check.applied("create", table.first.create(lease).await, lease)?;
    }
    leases.sort_by(|a, b| a.key.cmp(&b.key));
    for store in table.handles() {
        check.rows("after creates in another order", &**store, &leases).await?;
    }
    Ok(())
}

/// Every attribute comes back exactly as it was written, from the answer, from `get` and from `list`.
///
/// # Errors
/// The violation that was found.
pub async fn every_attribute_round_trips(table: &Table) -> Result<(), Violation> {
    let check = Check::of("every_attribute_round_trips");
    let mut leases = samples::of_every_kind();
    for lease in &leases {
        check.applied("create", table.first.create(lease).await, lease)?;
    }
    leases.sort_by(|a, b| a.key.cmp(&b.key));
    for store in table.handles() {
        check.rows("that was created", &**store, &leases).await?;
    }
    Ok(())
}

/// Keys are told apart byte by byte and may be long, contain spaces, quotes and any script.
///
/// # Errors
/// The violation that was found.
pub async fn keys_are_exact(table: &Table) -> Result<(), Violation> {
    let check = Check::of("keys_are_exact");
    let long = "k".repeat(1024);
    let texts = [
        "a",
        "A",
        " a",
        "a ",
        "a a",
        "ä",
        "a\u{308}",
        "0",
        "00",
        "0.0",
        "1e3",
        "null",
        "%",
        "_",
        "'; DROP TABLE leases; --",
        "\"",
        "\\",
        "/",
        "ключ/鍵",
        "🔑",
        "\u{ffff}",
        "\u{10000}",
        "account:stream:1:shardId-000000000000",
        long.as_str(),
        &long[1..],
    ];
    let mut leases = Vec::new();
    for (number, text) in (0..).zip(texts) {
        let mut lease = samples::unowned(number);
        lease.key = samples::key(text);
        check.applied(
            format_args!("create {text:?}"),
            table.first.create(&lease).await,
            &lease,
        )?;
        leases.push(lease);
    }
    leases.sort_by(|a, b| a.key.cmp(&b.key));
    check.rows("with a special key", &*table.second, &leases).await?;
    for lease in &mut leases {
        let write = LeaseWrite::take(lease, &samples::worker("worker-1"), Session(1));
        let after = write.patch.apply(lease);
        check.applied(
            format_args!("take {:?}", lease.key),
            table.second.update(&write).await,
            &after,
        )?;
        *lease = after;
    }
    check.rows("with a special key, taken", &*table.first, &leases).await
}

/// A table of a thousand rows is listed completely and in order.
///
/// # Errors
/// The violation that was found.
pub async fn thousand_rows_are_listed(table: &Table) -> Result<(), Violation> {
    let check = Check::of("thousand_rows_are_listed");
    let leases: Vec<Lease> = (0..MANY_ROWS).map(samples::unowned).collect();
    for lease in leases.iter().rev() {
        check.applied("create", table.first.create(lease).await, lease)?;
    }
    let listing = check.answered("list", table.second.list().await)?;
    check.same("the number of listed rows", &listing.leases.len(), &leases.len())?;
    check.holds(
        listing.leases.iter().map(AsRef::as_ref).eq(&leases),
        "the listed rows are not the ones that were created, by key",
    )
}

/// What one handle was told is written, the other one reads: from `get`, from `list`, and as the base of its own writes.
///
/// # Errors
/// The violation that was found.
pub async fn writes_are_read_on_every_handle(table: &Table) -> Result<(), Violation> {
    let check = Check::of("writes_are_read_on_every_handle");
    let mut lease = samples::held(0, "worker-1");
    check.applied("create", table.first.create(&lease).await, &lease)?;
    let handles = table.handles();
    for (turn, digits) in ["100", "101", "102", "103", "104"].into_iter().enumerate() {
        let (writer, reader) = (handles[turn % 2], handles[(turn + 1) % 2]);
        let write = LeaseWrite::renew(&lease, Some(samples::record(digits, 0)));
        lease = write.patch.apply(&lease);
        check.applied("renew with a checkpoint", writer.update(&write).await, &lease)?;
        check
            .rows("written by the other handle", &**reader, std::slice::from_ref(&lease))
            .await?;
    }
    let gone = table.second.delete(&lease.key, &Expect::unchanged(&lease)).await;
    check.applied("delete", gone, &lease)?;
    check
        .rows("after the other handle deleted it", &*table.first, &[])
        .await
}
