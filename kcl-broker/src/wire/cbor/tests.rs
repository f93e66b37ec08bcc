use std::sync::Arc;

use kcl_core::{ChildShard, HashKeyRange, Record, ShardId, Timestamp};
use minicbor::{Decoder, data::Tag};
use serde::ser::SerializeMap as _;

use super::*;
use crate::api::{GetRecords, GetShardIterator, PutRecord, PutRecords};

/// A body, written step by step.
fn body(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), NoError>) -> Vec<u8> {
    let mut buffer = Vec::new();
    write(&mut Encoder::new(&mut buffer)).unwrap();
    buffer
}

#[track_caller]
fn assert_refused<T: DeserializeOwned + std::fmt::Debug>(body: &[u8], message: Option<&str>) {
    let error = decode::<T>(body).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Serialization, message),
        "{body:x?}"
    );
}

#[test]
fn requests_are_read_as_java_writes_them() {
    let put = body(|to| {
        to.begin_map()?.str("StreamName")?.str("rides")?;
        to.str("Data")?.bytes(&[0, 0xff, 2])?;
        to.str("PartitionKey")?.str("taxi-é")?;
        to.str("Unknown")?
            .begin_array()?
            .u8(1)?
            .begin_map()?
            .end()?
            .end()?
            .end()?;
        Ok(())
    });
    let put: PutRecord = decode(&put).unwrap();
    assert_eq!(put.stream_name.as_deref(), Some("rides"));
    assert_eq!(put.data.unwrap().as_ref(), [0, 0xff, 2]);
    assert_eq!(put.partition_key.unwrap(), "taxi-é");

    let open = body(|to| {
        to.begin_map()?
            .str("Timestamp")?
            .tag(Tag::new(1))?
            .u64(1_441_215_410_867)?;
        to.str("ShardId")?.null()?.end()?;
        Ok(())
    });
    let open: GetShardIterator = decode(&open).unwrap();
    assert_eq!(open.timestamp, Some(Timestamp::from_epoch_millis(1_441_215_410_867)));
    assert_eq!(open.shard_id, None);
}

#[test]
fn lengths_may_be_told_or_not_and_numbers_have_any_width() {
    let put = body(|to| {
        to.map(2)?
            .str("Data")?
            .begin_bytes()?
            .bytes(&[1])?
            .bytes(&[])?
            .bytes(&[2, 3])?
            .end()?;
        to.str("PartitionKey")?.begin_str()?.str("ta")?.str("xi")?.end()?;
        Ok(())
    });
    let put: PutRecord = decode(&put).unwrap();
    assert_eq!(put.data.unwrap().as_ref(), [1, 2, 3]);
    assert_eq!(put.partition_key.unwrap(), "taxi");

    // 3.5 as a half, a single and a double; 3 and -3 as eight bytes; -2^64, which no machine integer holds.
    for (number, limit) in [
        (&[0xf9, 0x43, 0x00][..], 3),
        (&[0xfa, 0x40, 0x60, 0, 0], 3),
        (&[0xfb, 0x40, 0x0c, 0, 0, 0, 0, 0, 0], 3),
        (&[0x1b, 0, 0, 0, 0, 0, 0, 0, 3], 3),
        (&[0x3b, 0, 0, 0, 0, 0, 0, 0, 2], -3),
        (&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i32::MIN),
        (&[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i32::MAX),
    ] {
        let request = [b"\xa1\x65Limit", number].concat();
        assert_eq!(
            decode::<GetRecords>(&request).unwrap().limit,
            Some(limit),
            "{number:x?}"
        );
    }
}

#[test]
fn timestamps_are_milliseconds_whatever_their_width() {
    for (number, millis) in [(1.5e12, 1_500_000_000_000), (-2.0, -2), (0.6, 1)] {
        let request = body(|to| {
            to.map(1)?.str("Timestamp")?.f64(number)?;
            Ok(())
        });
        let request: GetShardIterator = decode(&request).unwrap();
        assert_eq!(
            request.timestamp,
            Some(Timestamp::from_epoch_millis(millis)),
            "{number}"
        );
    }
}

#[test]
fn values_of_the_wrong_type_are_refused_as_in_json() {
    let buffer = "class java.nio.HeapByteBuffer can not be converted to an String";
    assert_refused::<GetRecords>(b"\xa1\x6dShardIterator\x41a", Some(buffer));
    let boolean = "class java.lang.Boolean can not be converted to an String";
    assert_refused::<GetRecords>(b"\xa1\x6dShardIterator\xf5", Some(boolean));
    let list = "Start of list found where not expected";
    assert_refused::<GetRecords>(b"\xa1\x6dShardIterator\x9f\xff", Some(list));
    assert_refused::<PutRecords>(b"\xa1\x67Records\x81\x41a", Some("Expected null"));
    assert_refused::<PutRecords>(b"\xa1\x67Records\x61a", Some("Expected list or null"));
    assert_refused::<GetRecords>(b"\x80", Some(list));
}

#[test]
fn what_is_not_cbor_is_refused_without_a_word() {
    let nested = |depth: usize| [b"\xa1\x61a".repeat(depth), b"\xa0".to_vec()].concat();
    assert!(decode::<GetRecords>(&nested(127)).is_ok());
    for body in [
        &b""[..],
        b"\x07",
        b"\xf6",
        b"\x65Limit",
        b"\xa1",
        b"\xa1\x65Limit",
        b"\xa0\x00",
        b"\xbf\x65Limit\x01",
        b"\xbf\x65Limit\xff",
        b"\xa1\x65Limit\xff",
        b"\xff",
        b"\x1c",
        b"\xa1\x61a\xe0",
        b"\xa1\x61a\xdf",
        // A text that is not UTF-8, and chunks of the wrong kind.
        b"\xa1\x61a\x61\xff",
        b"\xa1\x61a\x7f\x41a\xff",
        // Lengths of 2^64 - 1: of a text, of bytes, of a list, of a map.
        b"\xa1\x61a\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x64Data\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x67Records\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        &nested(128),
        &b"\xa1\x61a".repeat(1 << 20),
        &[b"\xa1\x61a", &b"\xc1".repeat(1 << 20)[..]].concat(),
    ] {
        assert_refused::<GetRecords>(body, None);
        assert!(!is_well_formed(body), "{body:x?}");
    }
    // A value of the wrong type in what cannot be read as a whole.
    assert_refused::<GetRecords>(b"\xa1\x6dShardIterator\xf5\x00", None);
}

#[test]
fn long_lists_are_counted_but_not_kept() {
    let many = [&b"\xa1\x67Records\x9f"[..], &vec![0xa0; 1 << 20], b"\xff"].concat();
    let kept = decode::<PutRecords>(&many).unwrap().records.unwrap().len();
    assert!((501..=1000).contains(&kept), "{kept}");
}

#[test]
fn records_are_written_with_lengths_and_whole_milliseconds() {
    let number = "49590338271490256608559692538361571095921575989136588898";
    let record = Arc::new(Record::new(
        number.parse().unwrap(),
        "ké",
        Timestamp::from_epoch_millis(1_441_215_410_867),
        vec![0, 0xff],
    ));
    let child = ChildShard {
        id: ShardId::new("shardId-000000000001").unwrap(),
        parents: vec![ShardId::new("shardId-000000000000").unwrap()],
        hash_key_range: Some(HashKeyRange::FULL),
    };
    let written = encode_records(&GetRecordsOutput {
        records: vec![record],
        encrypted: std::iter::once(0..1).collect(),
        next_shard_iterator: None,
        millis_behind_latest: 300,
        child_shards: vec![child],
    });
    let mut read = Decoder::new(&written);
    assert_eq!(read.map().unwrap(), Some(3));
    assert_eq!((read.str().unwrap(), read.array().unwrap()), ("Records", Some(1)));
    assert_eq!(read.map().unwrap(), Some(5));
    assert_eq!((read.str().unwrap(), read.str().unwrap()), ("SequenceNumber", number));
    assert_eq!(read.str().unwrap(), "ApproximateArrivalTimestamp");
    assert_eq!(read.u64().unwrap(), 1_441_215_410_867);
    assert_eq!((read.str().unwrap(), read.bytes().unwrap()), ("Data", &[0, 0xff][..]));
    assert_eq!((read.str().unwrap(), read.str().unwrap()), ("PartitionKey", "ké"));
    assert_eq!((read.str().unwrap(), read.str().unwrap()), ("EncryptionType", "KMS"));
    assert_eq!((read.str().unwrap(), read.u64().unwrap()), ("MillisBehindLatest", 300));
    assert_eq!((read.str().unwrap(), read.array().unwrap()), ("ChildShards", Some(1)));
    assert_eq!(read.map().unwrap(), Some(3));
    assert!(is_well_formed(&written));
}

/// A map whose serialization does not tell how many entries follow, as that of flattened structures.
struct Untold(u8);

impl Serialize for Untold {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for entry in 0..self.0 {
            map.serialize_entry(&entry, &[Some(true), None])?;
        }
        map.end()
    }
}

#[test]
fn lengths_are_told_even_where_serde_does_not() {
    for entries in [0, 1, 23, 24, 255] {
        let written = encode(&(Untold(entries), "after"));
        let mut read = Decoder::new(&written);
        assert_eq!(read.array().unwrap(), Some(2));
        assert_eq!(read.map().unwrap(), Some(u64::from(entries)));
        for entry in 0..entries {
            assert_eq!(read.u8().unwrap(), entry);
            assert_eq!(read.array().unwrap(), Some(2));
            assert!(read.bool().unwrap());
            read.null().unwrap();
        }
        assert_eq!(read.str().unwrap(), "after");
    }
}
