//! [`Body`]: what a response carries, all at once or bit by bit.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Cut, eventstream};
use crate::subscription::Subscription;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    /// Bytes that are known, which may be none.
    Full(Bytes),
    /// The events of a subscription as they come.
    Events(Box<Events>),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl Body {
    /// The events of `subscription`.
    pub(super) fn events(subscription: Subscription) -> Self {
        Self::Events(Box::new(Events {
            subscription: Some(subscription),
            is_begun: false,
            is_flushed: false,
            stopped: None,
        }))
    }

    /// Ends a body that would go on when `stop` is cancelled.
    pub(crate) fn until(mut self, stop: CancellationToken) -> Self {
        if let Self::Events(events) = &mut self {
            events.stopped = Some(Box::pin(stop.cancelled_owned()));
        }
        self
    }
}

/// The frames of a subscription. The engine is asked for an event only when the client can take one.
pub(crate) struct Events {
    /// Until the last frame.
    subscription: Option<Subscription>,
    is_begun: bool,
    /// Whether the connection had time to send what was given, before it is cut.
    is_flushed: bool,
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Events {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(stopped) = &mut self.stopped
            && stopped.as_mut().poll(cx).is_ready()
        {
            // The service ends subscriptions at any time, and clients subscribe again.
            self.subscription = None;
            self.stopped = None;
        }
        let Some(subscription) = &mut self.subscription else {
            return Poll::Ready(None);
        };
        if !self.is_begun {
            self.is_begun = true;
            return Poll::Ready(Some(Ok(eventstream::initial_response())));
        }
        let frame = match ready!(subscription.poll_next(cx)) {
            Some(Ok(event)) => Some(Ok(eventstream::event(&event))),
            Some(Err(error)) => Some(Ok(eventstream::exception(&error))),
            None if subscription.is_cut() && !self.is_flushed => {
                // What was given so far is to arrive: a connection that is cut drops what it has not sent.
                self.is_flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {
                let cut = subscription.is_cut().then_some(Err(Cut));
                self.subscription = None;
                cut
            }
        };
        Poll::Ready(frame)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let bytes = match &mut *self {
            Self::Full(bytes) if bytes.is_empty() => None,
            Self::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Self::Events(events) => ready!(events.poll_next(cx)),
        };
        Poll::Ready(bytes.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Events(events) => events.subscription.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
