//! [`Subscription`]: follows a shard, in process and without any encoding.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use crate::{
    api::{ApiError, SubscribeToShardEvent},
    broker::Broker,
    engine::{Step, SubscriptionId},
    trouble::Effect,
};

/// However near the next event is, the timer is not asked for less.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A subscription that [`Broker::subscribe`] has begun. Dropping it ends it.
///
/// Records come without delay. The waits in between are waits on tokio's timer, as long as the broker's clock says: under
/// tokio's paused time a quiet subscription is over in no time.
pub struct Subscription {
    broker: Broker,
    id: SubscriptionId,
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    /// Whether its events go nowhere.
    is_silent: bool,
    /// How many events there are to be until the connection is cut, if it is.
    events_left: Option<u32>,
}

impl Subscription {
    pub(crate) fn new(broker: Broker, id: SubscriptionId, trouble: Option<&Effect>) -> Self {
        Self {
            broker,
            id,
            timer: None,
            is_over: false,
            is_silent: trouble == Some(&Effect::Silence),
            events_left: match trouble {
                Some(Effect::Disconnect(events)) => Some(*events),
                _ => None,
            },
        }
    }

    /// Whether the connection is to be cut here, since there have been as many events as there were to be.
    pub(crate) fn is_cut(&self) -> bool {
        self.events_left == Some(0) && !self.is_over
    }

    /// The next event, as soon as there is one; `None` after the last one.
    ///
    /// An error is the last thing that a subscription gives. Dropping the future loses nothing.
    ///
    /// Must be awaited within a tokio runtime whose timer is enabled.
    ///
    /// # Errors
    /// If the subscription was taken over by another one, or if the consumer or the stream was deleted.
    pub async fn next(&mut self) -> Option<Result<SubscribeToShardEvent, ApiError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<SubscribeToShardEvent, ApiError>>> {
        while !self.is_over && !self.is_cut() {
            let (now, step) = self.broker.poll_subscription(self.id, cx.waker());
            match step {
                Step::Event(_) if self.is_silent => {}
                Step::Event(event) => {
                    self.events_left = self.events_left.map(|events| events.saturating_sub(1));
                    // An event without a place to go on from is the last one.
                    self.is_over = event.continuation_sequence_number.is_none();
                    return Poll::Ready(Some(Ok(event)));
                }
                Step::Idle { until } => {
                    let wait = Duration::from_millis(until.millis_since(now)).max(WAIT_MIN);
                    ready!(self.wait(wait, cx));
                }
                Step::Ended => self.is_over = true,
                Step::Failed(error) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the broker's clock says how long; this timer lets the time pass"
    )]
    fn wait(&mut self, wait: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        timer.as_mut().reset(Instant::now() + wait);
        timer.as_mut().poll(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.broker.end_subscription(self.id);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
