//! Records that may be aggregates: read whole or not at all, and what was read can be written and read again.
//!
//! The first byte says whether the rest gets magic bytes and an MD5, without which little but these would be tried.

#![no_main]

use bytes::Bytes;
use kcl_core::aggregate::{Aggregate, Aggregator, MAGIC, UserRecord};
use md5::{Digest, Md5};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let outer: Bytes = match first % 4 {
        0 => rest.to_vec().into(),
        _ => [&MAGIC[..], rest, &Md5::digest(rest)[..]].concat().into(),
    };
    let Some(aggregate) = Aggregate::read(&outer) else {
        return;
    };
    let count = aggregate.records();
    let records: Vec<_> = aggregate
        .map(|record| {
            let user = UserRecord::new(record.partition_key, record.data);
            match record.explicit_hash_key {
                Some(key) => user.with_explicit_hash_key(key),
                None => user,
            }
        })
        .collect();
    assert_eq!(records.len() as u64, count);
    let mut aggregator = Aggregator::new(usize::MAX);
    for record in &records {
        assert!(aggregator.append(record));
    }
    if let Some(written) = aggregator.take().filter(|_| records.len() > 1) {
        let read = Aggregate::read(&written.data).expect("what was written is an aggregate");
        assert!(
            read.map(|record| record.data)
                .eq(records.iter().map(|record| record.data.clone()))
        );
    }
});
