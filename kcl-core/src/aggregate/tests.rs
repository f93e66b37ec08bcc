use bytes::Bytes;
use md5::{Digest, Md5};
use proptest::prelude::*;

use super::*;

/// Magic bytes, a message, and its MD5.
fn sealed(message: &[u8]) -> Bytes {
    [&MAGIC[..], message, &Md5::digest(message)[..]].concat().into()
}

/// A field of bytes, as protobuf writes it.
fn field_of(number: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap();
    assert!(len < 128);
    [&[number << 3 | 2, len], content].concat()
}

fn record(key: u8, data: &[u8]) -> Vec<u8> {
    field_of(3, &[&[8, key][..], &field_of(3, data)].concat())
}

fn read(message: &[u8]) -> Option<Vec<SubRecord>> {
    let aggregate = Aggregate::read(&sealed(message))?;
    assert_eq!(aggregate.size_hint().0 as u64, aggregate.records());
    Some(aggregate.collect())
}

/// From AWS's own aggregator, by `integration/interop/aggregates`.
const GOLDEN: [&str; 3] = [
    include_str!("golden/keys.txt"),
    include_str!("golden/hash_keys.txt"),
    include_str!("golden/empty_and_large.txt"),
];

struct Golden {
    outer: Bytes,
    records: Vec<UserRecord>,
}

/// The first line is the aggregate, the others a record each: partition key, explicit hash key or `-`, data; in hexadecimal.
fn golden(text: &str) -> Golden {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let mut lines = text.lines();
    let outer = bytes(lines.next().unwrap()).into();
    let records = lines.map(|line| {
        let [key, hash_key, data] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not three parts");
        };
        let record = UserRecord::new(String::from_utf8(bytes(key)).unwrap(), bytes(data));
        match hash_key {
            "-" => record,
            text => record.with_explicit_hash_key(text.parse().unwrap()),
        }
    });
    Golden {
        outer,
        records: records.collect(),
    }
}

fn as_user_record(record: SubRecord) -> UserRecord {
    UserRecord {
        partition_key: record.partition_key,
        explicit_hash_key: record.explicit_hash_key,
        data: record.data,
    }
}

#[test]
fn given_aggregates_of_awss_own_aggregator_when_read_then_every_record_is_there() {
    for text in GOLDEN {
        let golden = golden(text);
        let aggregate = Aggregate::read(&golden.outer).expect("an aggregate");
        assert_eq!(aggregate.map(as_user_record).collect::<Vec<_>>(), golden.records);
    }
}

#[test]
fn given_the_same_records_when_written_then_the_bytes_are_those_of_awss_own_aggregator() {
    for text in GOLDEN {
        let golden = golden(text);
        let mut aggregator = Aggregator::new(1 << 20);
        assert!(golden.records.iter().all(|record| aggregator.append(record)));
        assert_eq!(aggregator.take().unwrap().data, golden.outer);
        assert!(aggregator.is_empty());
    }
}

#[test]
fn given_an_aggregate_when_read_then_data_and_keys_are_slices_of_it() {
    let golden = golden(GOLDEN[0]);
    let within = |part: &[u8]| golden.outer.as_ptr_range().contains(&part.as_ptr());
    for record in Aggregate::read(&golden.outer).unwrap() {
        assert!(within(&record.data) && within(record.partition_key.as_bytes()));
    }
}

#[test]
fn given_bytes_that_are_no_aggregate_when_read_then_they_are_a_plain_record() {
    let whole = golden(GOLDEN[0]).outer;
    for end in 0..whole.len() {
        assert!(Aggregate::read(&whole.slice(..end)).is_none(), "cut off at {end}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.to_vec();
        changed[at] ^= 1;
        assert!(Aggregate::read(&changed.into()).is_none(), "changed at {at}");
    }
    assert!(
        Aggregate::read(&sealed(b"")).is_none(),
        "Java's KCL wants more than magic and MD5"
    );
}

#[test]
fn given_a_sound_md5_and_a_broken_message_when_read_then_it_is_a_plain_record() {
    let key = field_of(1, b"k");
    let broken: [(&str, Vec<u8>); 13] = [
        ("an index out of the table", [&key[..], &record(1, b"d")].concat()),
        ("no table at all", record(0, b"d")),
        (
            "a hash key out of the table",
            [&key[..], &field_of(3, &[8, 0, 16, 0, 26, 1, b'd'])].concat(),
        ),
        (
            "a hash key that is no number",
            [&key[..], &field_of(2, b"x"), &record(0, b"d")].concat(),
        ),
        (
            "a hash key of more than 128 bits",
            [&key[..], &field_of(2, &[b'9'; 39]), &record(0, b"d")].concat(),
        ),
        (
            "a key that is no text",
            [&field_of(1, &[0xFF]), &record(0, b"d")[..]].concat(),
        ),
        ("a record without data", [&key[..], &field_of(3, &[8, 0])].concat()),
        (
            "a record without a key",
            [&key[..], &field_of(3, &field_of(3, b"d"))].concat(),
        ),
        ("a table of numbers", vec![8, 1]),
        ("a length beyond the end", vec![26, 100, 0]),
        ("a number without an end", vec![0x80; 12]),
        ("field 0", vec![0, 0]),
        ("a group that is not closed", vec![9 << 3 | 3]),
    ];
    for (what, message) in broken {
        assert!(read(&message).is_none(), "{what}");
    }
}

#[test]
fn given_fields_that_nobody_knows_when_read_then_they_are_read_over() {
    let number = [9 << 3, 0x96, 1];
    let group = [9 << 3 | 3, 10 << 3 | 3, 8, 1, 10 << 3 | 4, 9 << 3 | 4];
    let fixed = [11 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 12 << 3 | 5, 1, 2, 3, 4];
    let tagged = field_of(
        3,
        &[
            &[8, 0][..],
            &field_of(3, b"d"),
            &field_of(4, &field_of(1, b"tag")),
            &number,
        ]
        .concat(),
    );
    let message = [&tagged[..], &number, &group, &field_of(1, b"k"), &fixed].concat();
    let records = read(&message).unwrap();
    assert_eq!(
        (records.len(), &records[0].data[..]),
        (1, &b"d"[..]),
        "the table may come last"
    );
}

#[test]
fn given_fields_that_come_twice_when_read_then_the_last_counts() {
    let inner = [&[8, 7, 8, 1][..], &field_of(3, b"first"), &field_of(3, b"last")].concat();
    let message = [field_of(1, b"a"), field_of(1, b"b"), field_of(3, &inner)].concat();
    let records = read(&message).unwrap();
    assert_eq!((&*records[0].partition_key, &records[0].data[..]), ("b", &b"last"[..]));
}

#[test]
fn given_an_aggregate_without_records_when_read_then_it_is_empty() {
    assert_eq!(read(&field_of(1, b"k")), Some(Vec::new()));
}

#[test]
fn given_an_aggregate_inside_of_another_when_read_then_it_stays_data() {
    let inner = golden(GOLDEN[0]).outer;
    let mut aggregator = Aggregator::new(1 << 20);
    assert!(aggregator.append(&UserRecord::new("k", inner.clone())));
    let outer = aggregator.take().unwrap();
    let records: Vec<_> = Aggregate::read(&outer.data).unwrap().collect();
    assert_eq!((records.len(), &records[0].data), (1, &inner));
}

#[test]
fn given_a_place_in_an_aggregate_when_skipped_to_then_the_rest_follows() {
    let golden = golden(GOLDEN[0]);
    let mut aggregate = Aggregate::read(&golden.outer).unwrap();
    aggregate.skip_to(2);
    let next = aggregate.next().unwrap();
    assert_eq!((next.sub_sequence_number, &next.data), (2, &golden.records[2].data));
    aggregate.skip_to(u64::MAX);
    assert_eq!(aggregate.next(), None);
}

#[test]
fn given_a_record_alone_when_written_then_it_is_not_wrapped() {
    let mut aggregator = Aggregator::new(100);
    let large = UserRecord::new("key", vec![7; 200]);
    assert!(aggregator.append(&large), "the first record is always taken");
    assert_eq!(aggregator.size(), large.size());
    assert!(!aggregator.append(&UserRecord::new("key", "")));
    assert_eq!(aggregator.take(), Some(large));
    assert_eq!(aggregator.take(), None);
}

fn user_record() -> impl Strategy<Value = UserRecord> {
    let key = prop_oneof!["[a-c]", ".{1,20}", "[x-z]{100,200}"];
    let hash_key = prop_oneof![Just(None), Just(Some(7)), any::<u128>().prop_map(Some)];
    let data = proptest::collection::vec(any::<u8>(), 0..300);
    (key, hash_key, data).prop_map(|(key, hash_key, data)| UserRecord {
        partition_key: key.into(),
        explicit_hash_key: hash_key.map(HashKey),
        data: data.into(),
    })
}

proptest! {
    #[test]
    fn given_any_records_when_written_and_read_then_they_are_the_same(
        records in proptest::collection::vec(user_record(), 2..40), size_max in 600_usize..4000,
    ) {
        let mut aggregator = Aggregator::new(size_max);
        let mut outers = Vec::new();
        for record in &records {
            if !aggregator.append(record) {
                outers.extend(aggregator.take());
                prop_assert!(aggregator.append(record));
            }
            let size = aggregator.size();
            prop_assert!(size <= size_max);
        }
        prop_assert_eq!(aggregator.size(), aggregator.take().map(|outer| { let size = outer.size(); outers.push(outer); size }).unwrap_or(0));
        let mut read = Vec::new();
        for outer in outers {
            match Aggregate::read(&outer.data) {
                Some(aggregate) => read.extend(aggregate.map(as_user_record)),
                None => read.push(outer),
            }
        }
        prop_assert_eq!(read, records);
    }

    #[test]
    fn given_any_message_when_read_then_it_is_whole_or_plain(
        pieces in proptest::collection::vec(prop_oneof![
            Just(field_of(1, b"k")),
            Just(field_of(2, b"1")),
            (0_u8..3).prop_map(|key| record(key, b"d")),
            proptest::collection::vec(any::<u8>(), 0..6),
        ], 0..12)
    ) {
        let outer = sealed(&pieces.concat());
        if let Some(aggregate) = Aggregate::read(&outer) {
            prop_assert_eq!(aggregate.records() as usize, aggregate.count());
        }
    }
}
