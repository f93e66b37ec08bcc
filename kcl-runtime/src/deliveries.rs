//! The door for consumers that think in streams: [`Deliveries`], with an answer for every record.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures::Stream;
use kcl_core::{Batch, BoxError, Record, ShardId, StreamId, StreamName};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    checkpointer::Checkpointer,
    processor::{Attempt, Delivered, DynFactory, DynProcessor, ShardContext},
};

/// The most deliveries that wait to be taken from the stream.
const DELIVERY_QUEUE: usize = 16;

/// The answer to a delivery does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lease of the record's shard is lost, or the worker ended: whoever reads the shard next gets the record again"
)]
pub struct DeliveryLost;

/// What was said to a delivery.
#[derive(Debug)]
enum Answer {
    Handled,
    Again(Duration),
}

/// One record, to be answered with [`ack`](Self::ack) or [`nack`](Self::nack).
///
/// One that is dropped without an answer counts as failed: the record comes again after a while that grows with every
/// failure, and the worker's report and metrics tell of it.
pub struct Delivery {
    batch: Batch,
    attempt: u32,
    checkpointer: Checkpointer,
    answer: oneshot::Sender<Answer>,
}

impl Delivery {
    /// The record.
    ///
    /// # Panics
    /// Never: a delivery has one record.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.batch.first().expect("a delivery has one record")
    }

    /// The stream that it is of.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        self.batch.stream()
    }

    /// Which stream it is of, where the worker reads several.
    #[must_use]
    pub fn stream_id(&self) -> Option<&StreamId> {
        self.batch.stream_id()
    }

    /// The shard that it is of.
    #[must_use]
    pub fn shard(&self) -> &ShardId {
        self.batch.shard()
    }

    /// How often this worker has delivered it, this time included.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether an answer would not count any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.checkpointer.is_lease_lost() || self.answer.is_closed()
    }

    /// The record is handled. It is checkpointed once all before it are.
    ///
    /// # Errors
    /// If the lease is lost: the record is delivered again, here or by another worker.
    pub fn ack(self) -> Result<(), DeliveryLost> {
        self.answer(Answer::Handled)
    }

    /// The record is not handled, and is wanted again after `delay`. With [`key_order`](crate::StreamWorkerBuilder::key_order)
    /// the records of its key wait for it; else only it comes again.
    ///
    /// A worker that stops does not wait for it: whoever reads the shard next gets it.
    ///
    /// # Errors
    /// If the lease is lost: the record is delivered again all the same, here or by another worker.
    pub fn nack(self, delay: Duration) -> Result<(), DeliveryLost> {
        self.answer(Answer::Again(delay))
    }

    fn answer(self, answer: Answer) -> Result<(), DeliveryLost> {
        if self.is_lost() {
            return Err(DeliveryLost);
        }
        self.answer.send(answer).map_err(|_| DeliveryLost)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("shard", self.shard())
            .field("record", self.record())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The records of all shards that a worker holds, as a [`Stream`]. It ends when the worker ends.
///
/// So many as the [window](crate::StreamWorkerBuilder::window) are given out before they are answered; then the shard
/// waits. Whoever drops the stream stops the worker.
#[derive(Debug)]
pub struct Deliveries {
    receiver: mpsc::Receiver<Delivery>,
    _stops_worker: DropGuard,
}

impl Deliveries {
    /// The next delivery; `None` once the worker has ended.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            match self.receiver.poll_recv(context) {
                // Its lease was lost while it waited to be taken: it is another worker's to handle.
                Poll::Ready(Some(delivery)) if delivery.is_lost() => {}
                polled => return polled,
            }
        }
    }
}

impl Stream for Deliveries {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.poll(context)
    }
}

/// Gives records out, and waits for what is said to them.
struct Giver {
    deliveries: mpsc::Sender<Delivery>,
}

/// The user's code let a delivery go.
#[derive(Debug, thiserror::Error)]
enum NotAnswered {
    #[error("the delivery was dropped without an answer")]
    Delivery,
    #[error("the stream of deliveries was dropped, and the worker stops")]
    Stream,
}

impl Giver {
    async fn give(&self, batch: Batch, attempt: Attempt<'_>) -> Result<Delivered, BoxError> {
        let (answer, answered) = oneshot::channel();
        let delivery = Delivery {
            batch,
            attempt: attempt.attempt,
            checkpointer: attempt.checkpointer.clone(),
            answer,
        };
        if self.deliveries.send(delivery).await.is_err() {
            return Err(NotAnswered::Stream.into());
        }
        match answered.await {
            Ok(Answer::Handled) => Ok(Delivered::All),
            Ok(Answer::Again(wait)) => Ok(Delivered::Later(wait)),
            Err(_) if self.deliveries.is_closed() => Err(NotAnswered::Stream.into()),
            Err(_) => Err(NotAnswered::Delivery.into()),
        }
    }
}

#[async_trait]
impl DynProcessor for Giver {
    async fn initialize(&mut self, _context: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn process_records(&mut self, batch: Batch, attempt: Attempt<'_>) -> Result<Delivered, BoxError> {
        tokio::select! {
            biased;
            // What is said now does not count. Nobody need wait for it.
            () = attempt.checkpointer.lease_lost() => Ok(Delivered::Items(vec![0])),
            given = self.give(batch, attempt) => given,
        }
    }

    async fn lease_lost(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn shard_ended(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }

    async fn shutdown_requested(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A stream, what fills it, and what tells that it was dropped.
pub(crate) fn deliveries() -> (Deliveries, DynFactory, CancellationToken) {
    let (sender, receiver) = mpsc::channel(DELIVERY_QUEUE);
    let dropped = CancellationToken::new();
    let deliveries = Deliveries {
        receiver,
        _stops_worker: dropped.clone().drop_guard(),
    };
    let factory: DynFactory = std::sync::Arc::new(move |_| {
        Box::new(Giver {
            deliveries: sender.clone(),
        })
    });
    (deliveries, factory, dropped)
}
