//! Putting, polling, and following shards through splits and merges.

use std::{
    collections::BTreeSet,
    error::Error,
    time::{Duration, SystemTime},
};

use aws_sdk_kinesis::{
    primitives::{Blob, DateTime},
    types::{ChildShard, PutRecordsRequestEntry, Record, ScalingType, Shard, ShardIteratorType},
};

use crate::{Interop, Outcome, cause, check};

const READS: u32 = 200;
const RECENTLY: Duration = Duration::from_secs(60);

pub(crate) async fn put(interop: &Interop) -> Outcome {
    let kinesis = &interop.kinesis;
    let name = interop.new_stream("put", 2).await?;
    let shards = interop.shards(&name).await?;
    let low = kinesis
        .put_record()
        .stream_name(&name)
        .partition_key("ключ")
        .explicit_hash_key("0");
    let low = low.data(Blob::new([0, 255, 254])).send().await.map_err(cause)?;
    check(
        low.shard_id == shards[0].shard_id,
        format!("the lowest hash key went to {}", low.shard_id),
    )?;
    let ids = interop.put_all(&name, &numbered("r", 100)).await?;
    check(ids.len() == 2, format!("100 keys went to {ids:?}"))?;
    let big = kinesis
        .put_record()
        .stream_name(&name)
        .partition_key("x")
        .data(Blob::new(vec![0; 1024 * 1024 - 1]));
    big.send().await.map_err(cause)?;
    Ok(String::new())
}

pub(crate) async fn poll(interop: &Interop) -> Outcome {
    let name = interop.new_stream("poll", 2).await?;
    let texts = numbered("r", 60);
    interop.put_all(&name, &texts).await?;
    let mut seen = Vec::new();
    for shard in interop.shards(&name).await? {
        let (records, _) = interop.drain(&name, &shard.shard_id).await?;
        check(
            records.is_sorted_by_key(|record| record.sequence_number.clone()),
            "records out of order",
        )?;
        for record in &records {
            let arrival = record.approximate_arrival_timestamp.ok_or("no time of arrival")?;
            check(is_recent(&arrival)?, format!("a record that arrived at {arrival}"))?;
            seen.push(text(record)?);
        }
    }
    seen.sort();
    let mut expected = texts;
    expected.sort();
    check(seen == expected, format!("read {} records: {seen:?}", seen.len()))?;
    Ok(String::new())
}

pub(crate) async fn reshard(interop: &Interop) -> Outcome {
    let kinesis = &interop.kinesis;
    let name = interop.new_stream("reshard", 2).await?;
    let mut expected = numbered("a", 40);
    interop.put_all(&name, &expected).await?;
    let shards = interop.shards(&name).await?;
    let (low, high) = (&shards[0].shard_id, &shards[1].shard_id);
    let split = kinesis.split_shard().stream_name(&name).shard_to_split(low);
    split
        .new_starting_hash_key((1_u128 << 126).to_string())
        .send()
        .await
        .map_err(cause)?;
    interop.active(&name).await?;
    let texts = numbered("b", 40);
    interop.put_all(&name, &texts).await?;
    expected.extend(texts);
    let children = interop.shards(&name).await?;
    let upper = children
        .iter()
        .rfind(|shard| shard.parent_shard_id.as_ref() == Some(low));
    let upper = &upper.ok_or("the split made no children")?.shard_id;
    let merge = kinesis
        .merge_shards()
        .stream_name(&name)
        .shard_to_merge(upper)
        .adjacent_shard_to_merge(high);
    merge.send().await.map_err(cause)?;
    interop.active(&name).await?;
    let texts = numbered("c", 40);
    interop.put_all(&name, &texts).await?;
    expected.extend(texts);

    let mut waiting = vec![low.clone(), high.clone()];
    let mut done = BTreeSet::new();
    let mut seen = Vec::new();
    while let Some(shard) = waiting.pop() {
        let (records, children) = interop.drain(&name, &shard).await?;
        for record in &records {
            seen.push(text(record)?);
        }
        done.insert(shard);
        for child in children {
            if child.parent_shards.iter().all(|parent| done.contains(parent)) && !waiting.contains(&child.shard_id) {
                waiting.push(child.shard_id);
            }
        }
    }
    seen.sort();
    expected.sort();
    check(
        seen == expected,
        format!("read {} of {} records through the lineage", seen.len(), expected.len()),
    )?;
    let scale = kinesis.update_shard_count().stream_name(&name).target_shard_count(4);
    scale
        .scaling_type(ScalingType::UniformScaling)
        .send()
        .await
        .map_err(cause)?;
    interop.active(&name).await?;
    let open = interop.summary(&name).await?.open_shard_count;
    check(open == 4, format!("{open} open shards"))?;
    Ok(format!("{} records through {} shards", seen.len(), done.len()))
}

impl Interop {
    /// The shards in the order of their hash keys, the older ones first.
    pub(crate) async fn shards(&self, name: &str) -> Result<Vec<Shard>, Box<dyn Error>> {
        let mut shards = self
            .kinesis
            .list_shards()
            .stream_name(name)
            .send()
            .await
            .map_err(cause)?
            .shards
            .unwrap_or_default();
        shards.sort_by_key(|shard| {
            let start = shard
                .hash_key_range
                .as_ref()
                .and_then(|range| range.starting_hash_key.parse::<u128>().ok());
            (start, shard.shard_id.clone())
        });
        Ok(shards)
    }

    /// Puts texts, each under itself as the key. Returns the shards that they went to.
    pub(crate) async fn put_all(&self, name: &str, texts: &[String]) -> Result<BTreeSet<String>, Box<dyn Error>> {
        let mut request = self.kinesis.put_records().stream_name(name);
        for text in texts {
            let entry = PutRecordsRequestEntry::builder()
                .data(Blob::new(text.as_bytes()))
                .partition_key(text)
                .build()?;
            request = request.records(entry);
        }
        let answer = request.send().await.map_err(cause)?;
        check(
            answer.failed_record_count == Some(0),
            format!("{:?} records failed", answer.failed_record_count),
        )?;
        Ok(answer
            .records
            .into_iter()
            .filter_map(|record| record.shard_id)
            .collect())
    }

    /// Reads a shard to its tip, or to its end: the records, and the children if it ended.
    async fn drain(&self, name: &str, shard: &str) -> Result<(Vec<Record>, Vec<ChildShard>), Box<dyn Error>> {
        let start = self.kinesis.get_shard_iterator().stream_name(name).shard_id(shard);
        let start = start
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .send()
            .await
            .map_err(cause)?;
        let mut iterator = start.shard_iterator;
        let mut records = Vec::new();
        for _ in 0..READS {
            let answer = self
                .kinesis
                .get_records()
                .set_shard_iterator(iterator)
                .limit(9)
                .send()
                .await
                .map_err(cause)?;
            let (is_empty, behind) = (answer.records.is_empty(), answer.millis_behind_latest);
            let children = answer.child_shards.unwrap_or_default();
            records.extend(answer.records);
            iterator = answer.next_shard_iterator;
            let ended = iterator.is_none();
            check(
                ended != children.is_empty(),
                format!("{shard}: ended is {ended}, with children {children:?}"),
            )?;
            if ended || (is_empty && behind == Some(0)) {
                return Ok((records, children));
            }
        }
        Err(format!("{shard} has no end").into())
    }
}

pub(crate) fn numbered(letter: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{letter}{i}")).collect()
}

pub(crate) fn text(record: &Record) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(record.data.as_ref().to_vec())?)
}

/// Whether a time is of now, by the clock of this machine, which is the broker's too.
fn is_recent(time: &DateTime) -> Result<bool, Box<dyn Error>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the machine is what the broker's times are judged by"
    )]
    let now = SystemTime::now();
    let time = SystemTime::try_from(*time)?;
    Ok(now.duration_since(time).is_ok_and(|age| age < RECENTLY))
}
