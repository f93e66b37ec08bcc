//! How fast all records of a stream are read.

use std::{
    error::Error,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_kinesis::Client;
use integration::bench::now;
use tokio::sync::watch;

use crate::consume::{Kind, consume};

/// Between polls at the tip, where the run ends.
const IDLE: Duration = Duration::from_millis(20);

/// Reads so many records, and says how many were read, and when the first one came: how long a start takes is another
/// question.
pub(crate) async fn read(
    kind: Kind,
    client: Client,
    stream: &str,
    records: usize,
) -> Result<(usize, Instant), Box<dyn Error>> {
    let (seen, first, sum) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(OnceLock::new()),
        AtomicU64::new(0),
    );
    let (stop, stopped) = watch::channel(false);
    let (counted, begun) = (Arc::clone(&seen), Arc::clone(&first));
    let sink = move |data: &[u8]| {
        begun.get_or_init(now);
        sum.fetch_add(data.first().map_or(0, |byte| u64::from(*byte)), Ordering::Relaxed);
        if counted.fetch_add(1, Ordering::Relaxed) + 1 >= records {
            stop.send_replace(true);
        }
    };
    consume(kind, client, stream, IDLE, Arc::new(sink), stopped).await?;
    let first = first.get().copied().ok_or("no record came")?;
    Ok((seen.load(Ordering::Relaxed), first))
}
