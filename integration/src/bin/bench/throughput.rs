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
use bytes::Bytes;
use integration::bench::now;
use tokio::sync::watch;

use crate::{
    Args, STREAM,
    consume::{Kind, Manner, consume},
};

/// Between polls at the tip, where the run ends; and under the broker's limits, which are five a second and shard.
const AT_TIP: Duration = Duration::from_millis(20);
const LIMITED: Duration = Duration::from_millis(200);

/// Reads so many records, and says how many were read, and when the first one came: how long a start takes is another
/// question.
pub(crate) async fn read(kind: Kind, client: Client, args: &Args) -> Result<(usize, Instant), Box<dyn Error>> {
    let records = args.records;
    let (seen, first, sum) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(OnceLock::new()),
        AtomicU64::new(0),
    );
    let (stop, stopped) = watch::channel(false);
    let (counted, begun) = (Arc::clone(&seen), Arc::clone(&first));
    let sink = move |data: Bytes| {
        begun.get_or_init(now);
        sum.fetch_add(data.first().map_or(0, |byte| u64::from(*byte)), Ordering::Relaxed);
        if counted.fetch_add(1, Ordering::Relaxed) + 1 >= records {
            stop.send_replace(true);
        }
    };
    let (between, at_tip) = if args.limits {
        (LIMITED, LIMITED)
    } else {
        (Duration::ZERO, AT_TIP)
    };
    let manner = Manner {
        kind,
        between,
        at_tip,
        aggregated: args.aggregated,
        budget_mib: args.budget_mib,
    };
    consume(manner, client, STREAM, Arc::new(sink), stopped).await?;
    let first = first.get().copied().ok_or("no record came")?;
    Ok((seen.load(Ordering::Relaxed), first))
}
