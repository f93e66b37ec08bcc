//! How fast all records of a stream are read.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::Client;
use tokio::sync::watch;

use crate::consume::{Kind, consume};

/// Between polls at the tip, where the run ends.
const IDLE: Duration = Duration::from_millis(20);

/// Reads so many records, and says how many were read.
pub(crate) async fn read(kind: Kind, client: Client, stream: &str, records: usize) -> Result<usize, Box<dyn Error>> {
    let (seen, sum) = (Arc::new(AtomicUsize::new(0)), AtomicU64::new(0));
    let (stop, stopped) = watch::channel(false);
    let counted = Arc::clone(&seen);
    let sink = move |data: &[u8]| {
        sum.fetch_add(data.first().map_or(0, |byte| u64::from(*byte)), Ordering::Relaxed);
        if counted.fetch_add(1, Ordering::Relaxed) + 1 >= records {
            stop.send_replace(true);
        }
    };
    consume(kind, client, stream, IDLE, Arc::new(sink), stopped).await?;
    Ok(seen.load(Ordering::Relaxed))
}
