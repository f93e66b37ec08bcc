//! Consumers with dedicated throughput: found by name, registered where there is none, deregistered on request.

use std::collections::BTreeMap;

use aws_sdk_kinesis::types::{ConsumerDescription, ConsumerStatus};
use fastrand::Rng;
use kcl_core::{
    ConsumerName,
    fetch::{
        FetchFailure, FetchFailureKind,
        consumer::{ConsumerAnswer, ConsumerArn, ConsumerSearch, ConsumerSelector, ConsumerStep},
    },
};
use tokio::sync::{Mutex, OnceCell};

use super::{KinesisSource, failure::malformed};
use crate::clock::Clock;

/// The most questions to the service in one search: find, register, find.
const QUESTIONS: usize = 3;

/// The consumers of one stream that were asked for. All shards share them, and the service is asked once for all.
#[derive(Debug)]
pub(super) struct Consumers {
    clock: Clock,
    /// Asked under the lock: who comes second finds the answer.
    searches: Mutex<Searches>,
    stream_arn: OnceCell<String>,
}

#[derive(Debug)]
struct Searches {
    by_selector: BTreeMap<ConsumerSelector, ConsumerSearch>,
    /// Shards ask at times of their own: this only spreads the waits.
    rng: Rng,
}

impl Default for Consumers {
    fn default() -> Self {
        Self {
            clock: Clock::start(None),
            searches: Mutex::new(Searches {
                by_selector: BTreeMap::new(),
                rng: Rng::with_seed(0),
            }),
            stream_arn: OnceCell::new(),
        }
    }
}

impl Consumers {
    /// The service does not know the consumer any more.
    pub(super) async fn forget(&self, selector: &ConsumerSelector, arn: &ConsumerArn) {
        if let Some(search) = self.searches.lock().await.by_selector.get_mut(selector) {
            search.forget(arn);
        }
    }
}

impl KinesisSource {
    /// The consumer, if it is ready. Registers one that is named and does not exist.
    pub(super) async fn consumer(&self, selector: &ConsumerSelector) -> Result<ConsumerArn, FetchFailure> {
        let Consumers { clock, searches, .. } = &*self.consumers;
        let Searches { by_selector, rng } = &mut *searches.lock().await;
        let search = by_selector
            .entry(selector.clone())
            .or_insert_with(|| ConsumerSearch::new(selector.clone()));
        for _ in 0..=QUESTIONS {
            let answer = match search.next(clock.now()) {
                ConsumerStep::Use(arn) => return Ok(arn),
                ConsumerStep::Wait(failure) => return Err(failure),
                ConsumerStep::Describe(name) => self.describe_consumer(&name).await,
                ConsumerStep::Register(name) => self.register_consumer(&name).await,
            };
            search.answered(clock.now(), answer, rng);
        }
        Err(FetchFailure {
            kind: FetchFailureKind::InUse,
            message: format!("the consumer {selector} comes and goes"),
        })
    }

    async fn describe_consumer(&self, name: &ConsumerName) -> ConsumerAnswer {
        match self.described(name).await {
            Ok(Some(found)) => read_consumer(&found),
            Ok(None) => ConsumerAnswer::Absent,
            Err(failure) => ConsumerAnswer::Failed(failure),
        }
    }

    async fn described(&self, name: &ConsumerName) -> Result<Option<ConsumerDescription>, FetchFailure> {
        let request = self
            .client()
            .describe_stream_consumer()
            .stream_arn(self.stream_arn().await?)
            .consumer_name(name.as_str());
        match self.timed("DescribeStreamConsumer", request.send()).await {
            Ok(answer) => Ok(answer.consumer_description),
            Err(failure) if failure.kind == FetchFailureKind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn register_consumer(&self, name: &ConsumerName) -> ConsumerAnswer {
        let arn = match self.stream_arn().await {
            Ok(arn) => arn,
            Err(failure) => return ConsumerAnswer::Failed(failure),
        };
        let request = self
            .client()
            .register_stream_consumer()
            .stream_arn(arn)
            .consumer_name(name.as_str());
        match self.timed("RegisterStreamConsumer", request.send()).await {
            Ok(_) => {
                tracing::info!(stream = %self.stream, consumer = %name, "the consumer is registered");
                ConsumerAnswer::Registered
            }
            Err(failure) if failure.kind == FetchFailureKind::InUse => ConsumerAnswer::Exists,
            Err(failure) => ConsumerAnswer::Failed(failure),
        }
    }

    /// Ends the consumer and its subscriptions. One that does not exist is none to end.
    pub(super) async fn deregister_consumer(&self, selector: &ConsumerSelector) -> Result<(), FetchFailure> {
        let request = self.client().deregister_stream_consumer();
        let request = match selector {
            ConsumerSelector::Arn(arn) => request.consumer_arn(arn.as_str()),
            ConsumerSelector::Name(name) => request
                .stream_arn(self.stream_arn().await?)
                .consumer_name(name.as_str()),
        };
        let result = self.timed("DeregisterStreamConsumer", request.send()).await;
        self.consumers.searches.lock().await.by_selector.remove(selector);
        match result {
            Ok(_) => Ok(()),
            Err(failure) if failure.kind == FetchFailureKind::NotFound => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The stream's ARN, which consumers are registered with. It is asked for once: a stream that is created again has it too.
    async fn stream_arn(&self) -> Result<&str, FetchFailure> {
        let ask = || async {
            match &self.arn {
                Some(arn) => Ok(arn.to_string()),
                None => Ok(self.summary().await?.stream_arn),
            }
        };
        self.consumers.stream_arn.get_or_try_init(ask).await.map(String::as_str)
    }
}

fn read_consumer(found: &ConsumerDescription) -> ConsumerAnswer {
    if found.consumer_status != ConsumerStatus::Active {
        return ConsumerAnswer::NotReady(found.consumer_status.to_string());
    }
    match found.consumer_arn.parse() {
        Ok(arn) => ConsumerAnswer::Active(arn),
        Err(error) => ConsumerAnswer::Failed(malformed(format!("DescribeStreamConsumer: {error}"))),
    }
}
