//! The consumer that subscribes: finding it by name, registering it, waiting until it is ready.

use std::{fmt, str::FromStr, time::Duration};

use fastrand::Rng;

use super::{FetchFailure, FetchFailureKind};
use crate::{
    ids::{ApplicationName, ConsumerName, InvalidId},
    retry::Backoff,
    stream::StreamArn,
    time::Tick,
};

/// How often the service is asked whether a consumer is ready.
const READY_INTERVAL: Duration = Duration::from_secs(1);
/// Before a registration is tried again that is not allowed, or that is one too many: somebody has to change something.
const REFUSED: Backoff = Backoff {
    initial: Duration::from_secs(2),
    longest: Duration::from_mins(1),
};

/// The Amazon resource name of a registered consumer.
///
/// ```
/// use kcl_core::fetch::consumer::ConsumerArn;
///
/// let arn: ConsumerArn = "arn:aws:kinesis:eu-central-1:1:stream/orders/consumer/billing:1357034400".parse()?;
/// assert_eq!((arn.stream().name().as_str(), arn.name().as_str()), ("orders", "billing"));
/// assert!("arn:aws:kinesis:eu-central-1:1:stream/orders".parse::<ConsumerArn>().is_err());
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerArn {
    text: String,
    stream: StreamArn,
    name: ConsumerName,
}

impl ConsumerArn {
    /// The whole name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The stream that the consumer is registered with.
    #[must_use]
    pub fn stream(&self) -> &StreamArn {
        &self.stream
    }

    /// The consumer's name.
    #[must_use]
    pub fn name(&self) -> &ConsumerName {
        &self.name
    }
}

impl fmt::Display for ConsumerArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ConsumerArn {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rule = "use arn:aws:kinesis:<region>:<account>:stream/<stream>/consumer/<name>:<epoch>";
        let read = || {
            let (stream, consumer) = text.split_once("/consumer/")?;
            let (name, epoch) = consumer.split_once(':')?;
            let is_epoch = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
            is_epoch.then_some(())?;
            Some(Self {
                text: text.to_owned(),
                stream: stream.parse().ok()?,
                name: ConsumerName::new(name).ok()?,
            })
        };
        read().ok_or_else(|| InvalidId::new("consumer ARN", text, rule))
    }
}

/// Which consumer subscribes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a consumer has a name and an ARN")]
pub enum ConsumerSelector {
    /// The one of this name, which is registered if there is none.
    Name(ConsumerName),
    /// This one.
    Arn(ConsumerArn),
}

impl From<ConsumerName> for ConsumerSelector {
    fn from(name: ConsumerName) -> Self {
        Self::Name(name)
    }
}

impl From<ConsumerArn> for ConsumerSelector {
    fn from(arn: ConsumerArn) -> Self {
        Self::Arn(arn)
    }
}

impl fmt::Display for ConsumerSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Arn(arn) => arn.fmt(f),
        }
    }
}

impl FromStr for ConsumerSelector {
    type Err = InvalidId;

    /// Reads an ARN or a name.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.starts_with("arn:") {
            text.parse().map(Self::Arn)
        } else {
            text.parse().map(Self::Name)
        }
    }
}

impl ConsumerSelector {
    /// The consumer that is named as the application is. A name longer than consumers' may be is cut short.
    ///
    /// # Panics
    /// Never: what an application may be called, a consumer may be called too.
    #[must_use]
    pub fn of_application(application: &ApplicationName) -> Self {
        let name = application.as_str();
        let name = &name[..name.len().min(ConsumerName::LONGEST)];
        Self::Name(ConsumerName::new(name).expect("applications' names are ASCII of the same letters"))
    }
}

/// What to do to get at the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver has to know them all")]
pub enum ConsumerStep {
    /// It is there.
    Use(ConsumerArn),
    /// Ask for it.
    Describe(ConsumerName),
    /// Register it.
    Register(ConsumerName),
    /// It is not to be had for now.
    Wait(FetchFailure),
}

/// What the service said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver has to choose one")]
pub enum ConsumerAnswer {
    /// It is there and ready.
    Active(ConsumerArn),
    /// It is there, in this state.
    NotReady(String),
    /// There is none.
    Absent,
    /// It is registered now.
    Registered,
    /// It is registered already, or the stream is not ready.
    Exists,
    /// Anything else.
    Failed(FetchFailure),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Absent,
    Found(ConsumerArn),
}

/// The search for one consumer, shared by all shards of a stream, so that the service is asked once for all.
#[derive(Debug)]
pub struct ConsumerSearch {
    selector: ConsumerSelector,
    state: State,
    /// What to say to those who ask before it makes sense to ask the service again.
    waiting: Option<(Tick, FetchFailure)>,
    failures: u32,
}

impl ConsumerSearch {
    /// Of this consumer.
    #[must_use]
    pub fn new(selector: ConsumerSelector) -> Self {
        let state = match &selector {
            ConsumerSelector::Arn(arn) => State::Found(arn.clone()),
            ConsumerSelector::Name(_) => State::Unknown,
        };
        Self {
            selector,
            state,
            waiting: None,
            failures: 0,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self, now: Tick) -> ConsumerStep {
        let name = match (&self.state, &self.selector) {
            (State::Found(arn), _) | (_, ConsumerSelector::Arn(arn)) => return ConsumerStep::Use(arn.clone()),
            (_, ConsumerSelector::Name(name)) => name.clone(),
        };
        match &self.waiting {
            Some((until, failure)) if now < *until => ConsumerStep::Wait(failure.clone()),
            _ if self.state == State::Absent => ConsumerStep::Register(name),
            _ => ConsumerStep::Describe(name),
        }
    }

    /// The service answered.
    pub fn answered(&mut self, now: Tick, answer: ConsumerAnswer, rng: &mut Rng) {
        self.waiting = None;
        match answer {
            ConsumerAnswer::Active(arn) => (self.state, self.failures) = (State::Found(arn), 0),
            ConsumerAnswer::NotReady(status) => {
                self.wait(
                    now,
                    READY_INTERVAL,
                    format!("the consumer {} is {status}", self.selector),
                );
            }
            ConsumerAnswer::Absent => self.state = State::Absent,
            ConsumerAnswer::Registered => (self.state, self.failures) = (State::Unknown, 0),
            // Most likely another worker of the fleet was faster.
            ConsumerAnswer::Exists => {
                let message = format!(
                    "the consumer {} is being registered, or its stream is not ready",
                    self.selector
                );
                self.wait(now, READY_INTERVAL, message);
            }
            ConsumerAnswer::Failed(failure) => {
                self.failures = self.failures.saturating_add(1);
                let backoff = match failure.kind {
                    FetchFailureKind::Denied | FetchFailureKind::Throttled => REFUSED,
                    _ => Backoff::SERVICE,
                };
                self.state = State::Unknown;
                self.waiting = Some((now + backoff.wait(self.failures, rng), failure));
            }
        }
    }

    /// The service does not know the consumer any more: it is looked for again.
    pub fn forget(&mut self, arn: &ConsumerArn) {
        if matches!(&self.state, State::Found(found) if found == arn) {
            self.state = State::Unknown;
        }
    }

    fn wait(&mut self, now: Tick, wait: Duration, message: String) {
        self.state = State::Unknown;
        let kind = FetchFailureKind::InUse;
        self.waiting = Some((now + wait, FetchFailure { kind, message }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick::from_origin(Duration::from_secs(100));
    const ARN: &str = "arn:aws:kinesis:us-east-1:1:stream/orders/consumer/billing:7";

    fn search() -> ConsumerSearch {
        ConsumerSearch::new("billing".parse().unwrap())
    }

    fn name() -> ConsumerName {
        ConsumerName::new("billing").unwrap()
    }

    fn answered(search: &mut ConsumerSearch, now: Tick, answer: ConsumerAnswer) -> ConsumerStep {
        search.answered(now, answer, &mut Rng::with_seed(7));
        search.next(now)
    }

    #[test]
    fn given_no_consumer_when_searched_then_it_is_registered_and_waited_for() {
        let mut search = search();
        assert_eq!(search.next(NOW), ConsumerStep::Describe(name()));
        assert_eq!(
            answered(&mut search, NOW, ConsumerAnswer::Absent),
            ConsumerStep::Register(name())
        );
        assert_eq!(
            answered(&mut search, NOW, ConsumerAnswer::Registered),
            ConsumerStep::Describe(name())
        );
        let waits = answered(&mut search, NOW, ConsumerAnswer::NotReady("CREATING".to_owned()));
        assert!(
            matches!(&waits, ConsumerStep::Wait(failure) if failure.kind == FetchFailureKind::InUse),
            "{waits:?}"
        );
        let later = NOW + READY_INTERVAL;
        assert_eq!(search.next(later), ConsumerStep::Describe(name()));
        let arn: ConsumerArn = ARN.parse().unwrap();
        assert_eq!(
            answered(&mut search, later, ConsumerAnswer::Active(arn.clone())),
            ConsumerStep::Use(arn.clone())
        );
        search.forget(&arn);
        assert_eq!(search.next(later), ConsumerStep::Describe(name()));
    }

    #[test]
    fn given_another_worker_that_registers_when_refused_then_the_consumer_is_looked_for_again() {
        let mut search = search();
        answered(&mut search, NOW, ConsumerAnswer::Absent);
        assert!(matches!(
            answered(&mut search, NOW, ConsumerAnswer::Exists),
            ConsumerStep::Wait(_)
        ));
        assert_eq!(search.next(NOW + READY_INTERVAL), ConsumerStep::Describe(name()));
    }

    #[test]
    fn given_too_many_consumers_when_asked_again_then_the_waits_grow_and_the_answer_is_at_hand() {
        let mut search = search();
        let failure = FetchFailure {
            kind: FetchFailureKind::Throttled,
            message: "LimitExceededException".to_owned(),
        };
        let mut now = NOW;
        for _ in 0..10 {
            let step = answered(&mut search, now, ConsumerAnswer::Failed(failure.clone()));
            assert_eq!(step, ConsumerStep::Wait(failure.clone()));
            now = now + REFUSED.longest;
            assert_eq!(search.next(now), ConsumerStep::Describe(name()));
        }
        answered(&mut search, now, ConsumerAnswer::Failed(failure.clone()));
        assert_eq!(search.next(now + REFUSED.longest / 3), ConsumerStep::Wait(failure));
    }

    #[test]
    fn given_an_arn_when_searched_then_nothing_is_asked() {
        let arn: ConsumerArn = ARN.parse().unwrap();
        let mut search = ConsumerSearch::new(arn.clone().into());
        search.forget(&arn);
        assert_eq!(search.next(NOW), ConsumerStep::Use(arn));
    }

    #[test]
    fn given_an_application_when_asked_for_its_consumer_then_it_has_the_name_as_far_as_that_goes() {
        let long = ApplicationName::new("a".repeat(255)).unwrap();
        let expected = ConsumerName::new("a".repeat(128)).unwrap();
        assert_eq!(ConsumerSelector::of_application(&long), expected.into());
    }

    #[test]
    fn given_what_names_no_consumer_when_read_then_it_is_refused() {
        for text in [
            "arn:aws:kinesis:us-east-1:1:stream/orders/consumer/billing",
            "arn:aws:kinesis:us-east-1:1:stream/orders/consumer/:7",
            "arn:aws:kinesis:us-east-1:1:stream/orders/consumer/billing:x",
            "a b",
            "",
        ] {
            assert!(text.parse::<ConsumerSelector>().is_err(), "{text:?}");
        }
    }
}
