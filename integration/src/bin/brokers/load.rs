//! Writing and reading as fast as a broker can, over a client that does next to nothing itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_kinesis::{Client, types::ShardIteratorType};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use integration::bench::now;
use memchr::memmem;

use crate::Failure;

const RECORDS_PER_PUT: usize = 500;
const WRITERS: usize = 8;

/// What was done, and how long it took.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) records: usize,
    pub(crate) took: Duration,
}

/// A bare client of one broker.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    http: Http<HttpConnector, Full<Bytes>>,
    endpoint: String,
    record_bytes: usize,
}

impl Load {
    pub(crate) fn connect(endpoint: &str, record_bytes: usize) -> Result<Self, Failure> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            http: Http::builder(TokioExecutor::new()).build(connector),
            endpoint: endpoint.to_owned(),
            record_bytes,
        })
    }

    async fn call(&self, operation: &str, body: Bytes) -> Result<Bytes, Failure> {
        let request = Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, \
                 Signature=0000",
            )
            .body(Full::new(body))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{operation}: {status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }

    /// Puts `records`, or as many as fit into `most`.
    pub(crate) async fn put(&self, stream: &str, records: usize, most: Duration) -> Result<Done, Failure> {
        let bodies: Arc<Vec<Bytes>> = Arc::new((0..16).map(|round| self.put_body(stream, round)).collect());
        let (next, written) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let started = now();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (load, bodies) = (self.clone(), Arc::clone(&bodies));
                let (next, written) = (Arc::clone(&next), Arc::clone(&written));
                tokio::spawn(async move {
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        if turn * RECORDS_PER_PUT >= records || started.elapsed() > most {
                            return Ok::<(), Failure>(());
                        }
                        let answer = load.call("PutRecords", bodies[turn % bodies.len()].clone()).await?;
                        if memmem::find(&answer, b"\"ErrorCode\":\"").is_some() {
                            return Err("the broker refused records".into());
                        }
                        written.fetch_add(RECORDS_PER_PUT, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await??;
        }
        Ok(Done {
            records: written.load(Ordering::Relaxed),
            took: started.elapsed(),
        })
    }

    fn put_body(&self, stream: &str, round: usize) -> Bytes {
        // Nothing that compresses or repeats well.
        let mut random = fastrand::Rng::with_seed(round as u64);
        let records: Vec<_> = (0..RECORDS_PER_PUT)
            .map(|_| {
                let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                    .take(self.record_bytes)
                    .collect();
                serde_json::json!({"Data": STANDARD.encode(data), "PartitionKey": random.u64(..).to_string()})
            })
            .collect();
        serde_json::json!({"StreamName": stream, "Records": records})
            .to_string()
            .into()
    }

    /// Reads every shard from its oldest record to its tip, all shards at once.
    pub(crate) async fn get(&self, sdk: &Client, stream: &str, most: Duration) -> Result<Done, Failure> {
        let shards = sdk.list_shards().stream_name(stream).send().await?;
        let mut iterators = Vec::new();
        for shard in shards.shards() {
            let opened = sdk
                .get_shard_iterator()
                .stream_name(stream)
                .shard_id(shard.shard_id())
                .shard_iterator_type(ShardIteratorType::TrimHorizon)
                .send()
                .await?;
            iterators.push(opened.shard_iterator.ok_or("no iterator")?);
        }
        let started = now();
        let readers: Vec<_> = iterators
            .into_iter()
            .map(|iterator| {
                let load = self.clone();
                tokio::spawn(async move { load.read(iterator, started, most).await })
            })
            .collect();
        let mut records = 0;
        for reader in readers {
            records += reader.await??;
        }
        Ok(Done {
            records,
            took: started.elapsed(),
        })
    }

    async fn read(&self, mut iterator: String, started: Instant, most: Duration) -> Result<usize, Failure> {
        let records_in = memmem::Finder::new(b"\"SequenceNumber\"");
        let mut records = 0;
        while started.elapsed() < most {
            let body = serde_json::json!({"ShardIterator": iterator, "Limit": 10_000}).to_string();
            let answer = self.call("GetRecords", body.into()).await?;
            let count = records_in.find_iter(&answer).count();
            if count == 0 {
                break;
            }
            records += count;
            iterator = next_iterator(&answer).ok_or("an answer without an iterator")?;
        }
        Ok(records)
    }
}

/// Finds the iterator without parsing megabytes of records.
fn next_iterator(answer: &[u8]) -> Option<String> {
    let name = b"\"NextShardIterator\":";
    let rest = &answer[memmem::rfind(answer, name)? + name.len()..];
    let start = memchr::memchr(b'"', rest)? + 1;
    let end = start + memchr::memchr(b'"', &rest[start..])?;
    String::from_utf8(rest[start..end].to_vec()).ok()
}
