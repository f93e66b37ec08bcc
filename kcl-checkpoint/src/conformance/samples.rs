//! The leases that the checks write.

use std::time::Duration;

use bytes::Bytes;
use kcl_core::{
    HashKey, HashKeyRange, Lease, LeaseKey, PendingCheckpoint, Position, RecordPosition, SequenceNumber, Session,
    ShardId, StreamName, Timestamp, WorkerId,
};

pub(super) fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).expect("the form of AWS's own shard ids")
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).expect("the checks only use short printable names")
}

pub(super) fn key(text: &str) -> LeaseKey {
    LeaseKey::new(text).expect("the checks only use printable keys of 1 to 1024 bytes")
}

fn sequence_number(digits: &str) -> SequenceNumber {
    SequenceNumber::new(digits).expect("the checks only use 1 to 128 digits")
}

pub(super) fn record(digits: &str, sub_sequence_number: u64) -> Position {
    Position::Record(RecordPosition {
        sequence_number: sequence_number(digits),
        sub_sequence_number,
    })
}

/// A lease that nobody has taken yet.
pub(super) fn unowned(number: u32) -> Lease {
    Lease::new(shard(number), Position::TrimHorizon)
}

/// A lease in the middle of its life.
pub(super) fn held(number: u32, owner: &str) -> Lease {
    let mut lease = Lease::new(
        shard(number),
        record("49590338271490256608559692538361571095921575989136588898", 3),
    )
    .with_parents([shard(900), shard(901)])
    .with_hash_key_range(HashKeyRange::FULL);
    lease.shard_start = Some(sequence_number(
        "49590338271490256608559692538361571095921575989136588802",
    ));
    lease.owner = Some(worker(owner));
    lease.stream = Some(StreamName::new("a.stream-of_records").expect("a valid name").into());
    lease.session = Some(Session(0x0123_4567_89ab_cdef));
    lease.failover_time = Some(Duration::from_millis(10_001));
    lease.throughput = Some(12_642);
    lease.counter = 41;
    lease.seeks = 3;
    lease.paused = Some(Timestamp::from_epoch_millis(1_357_034_400_250));
    lease.owner_switches_since_checkpoint = 2;
    lease
}

/// A lease that its holder was asked to pass on.
pub(super) fn in_hand_off(number: u32, holder: &str, next: &str) -> Lease {
    let mut lease = held(number, next);
    lease.checkpoint_owner = Some(worker(holder));
    lease
}

/// Leases that between them hold every attribute at its extremes.
pub(super) fn of_every_kind() -> Vec<Lease> {
    let mut leases = vec![
        unowned(0),
        held(1, "worker-1"),
        in_hand_off(2, "worker-1", "worker-2"),
        extreme(3),
        of_several_streams(4),
    ];
    for (number, position) in (10..).zip(positions()) {
        leases.push(Lease::new(shard(number), position));
    }
    for (number, position) in (30..).zip(positions()) {
        for (offset, state) in [(0, None), (20, Some(&b""[..])), (40, Some(&b"\0\xff 'state' \xc3"[..]))] {
            let mut lease = held(number + offset, "worker-1");
            lease.pending_checkpoint = Some(PendingCheckpoint {
                position: position.clone(),
                state: state.map(Bytes::from_static),
            });
            leases.push(lease);
        }
    }
    leases
}

fn of_several_streams(number: u32) -> Lease {
    let stream = "123456789012:a.stream-of_records:1357034400".parse();
    held(number, "worker-1").in_stream(stream.expect("an identifier"))
}

fn extreme(number: u32) -> Lease {
    let mut lease = held(number, "arbeiter größe 鍵 🔑 'quoted' \"twice\" %_;--");
    lease.shard = ShardId::new("Another.shard_than-the-key").expect("only letters, dots, lines and underscores");
    lease.session = Some(Session(u64::MAX));
    lease.counter = i64::MAX.cast_unsigned() - 1;
    lease.seeks = i64::MAX.cast_unsigned();
    lease.paused = Some(Timestamp::from_epoch_millis(i64::MIN));
    lease.owner_switches_since_checkpoint = i64::MAX.cast_unsigned();
    lease.checkpoint_owner = Some(worker(&"w".repeat(256)));
    lease.parents = vec![shard(0)];
    lease.children = vec![shard(7), shard(8)];
    lease.hash_key_range = Some(HashKeyRange {
        start: HashKey(u128::MAX / 2 + 1),
        end: HashKey(u128::MAX - 1),
    });
    lease
}

fn positions() -> Vec<Position> {
    let at = |millis| Position::AtTimestamp(Timestamp::from_epoch_millis(millis));
    vec![
        at(0),
        at(1_357_034_400_250),
        at(-1),
        at(i64::MIN),
        at(i64::MAX),
        Position::TrimHorizon,
        Position::Latest,
        Position::ShardEnd,
        record("0", 0),
        record("18446744073709551616", 1),
        record(&"9".repeat(128), i64::MAX.cast_unsigned()),
    ]
}
