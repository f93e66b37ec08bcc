//! Consumers with dedicated throughput: registering, describing, listing and deregistering them.

mod registered;

use std::{collections::BTreeMap, ops::Bound};

use kcl_core::{StreamName, Timestamp};

pub(super) use self::registered::Consumer;
use super::{
    Engine, Operation, Subject,
    attached::Resource,
    stream::Stream,
    token::{ConsumerPage, TOKEN_LIFETIME_MS},
    validate::{Constraints, consumer_of_arn, present},
};
use crate::api::{
    ApiError, ConsumerStatus, ConsumerSummary, DeregisterStreamConsumer, DescribeStreamConsumer,
    DescribeStreamConsumerOutput, ErrorKind, ListStreamConsumers, ListStreamConsumersOutput, RegisterStreamConsumer,
    RegisterStreamConsumerOutput, StreamMode,
};

const CONSUMERS_MAX: usize = 20;
/// The most consumers of an on-demand stream whose account pays for a minimum of throughput.
const COMMITTED_CONSUMERS_MAX: usize = 50;
/// How many consumers of a stream can be on their way at once.
const CREATING_MAX: usize = 5;
const PAGE_LEN: i32 = 100;

impl Operation for RegisterStreamConsumer {
    const NAME: &'static str = "RegisterStreamConsumer";
    type Output = RegisterStreamConsumerOutput;

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<RegisterStreamConsumerOutput, ApiError> {
        Constraints::default()
            .required("streamARN", self.stream_arn.as_ref())
            .stream(None, self.stream_arn.as_ref())
            .required("consumerName", self.consumer_name.as_ref())
            .name("consumerName", self.consumer_name.as_ref())
            .tags(self.tags.as_ref())
            .check()?;
        let stream = engine.active_stream(None, self.stream_arn.as_ref())?.name.clone();
        let name = present(self.consumer_name)?;
        let tags = self.tags.unwrap_or_default();
        engine.check_room_for_consumer(&stream, &name)?;
        let resource = Resource::Consumer {
            stream: stream.clone(),
            name: name.clone(),
        };
        engine.check_new_tags(&resource, &tags, &BTreeMap::new())?;
        let mut consumer = Consumer::new(name, now);
        consumer.attached.tags = tags;
        let summary = engine.consumer_summary(&stream, &consumer, ConsumerStatus::Creating);
        let transition = engine.config.transition;
        if let Some(stream) = engine.streams.get_mut(&stream) {
            stream
                .consumers
                .retain(|_, other| other.status(transition, now).is_some());
            stream.consumers.insert(consumer.name.clone(), consumer);
        }
        Ok(RegisterStreamConsumerOutput { consumer: summary })
    }
}

impl Operation for DescribeStreamConsumer {
    const NAME: &'static str = "DescribeStreamConsumer";
    type Output = DescribeStreamConsumerOutput;

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref().or(self.consumer_arn.as_ref()))
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<DescribeStreamConsumerOutput, ApiError> {
        let (stream, consumer, status) = engine.addressed_consumer(
            self.stream_arn.as_ref(),
            self.consumer_name.as_ref(),
            self.consumer_arn.as_ref(),
        )?;
        Ok(DescribeStreamConsumerOutput {
            consumer: engine.consumer_summary(&stream.name, consumer, status),
            stream_arn: engine.arn(&stream.name),
        })
    }
}

impl Operation for DeregisterStreamConsumer {
    const NAME: &'static str = "DeregisterStreamConsumer";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref().or(self.consumer_arn.as_ref()))
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        let (stream, consumer, _) = engine.addressed_consumer(
            self.stream_arn.as_ref(),
            self.consumer_name.as_ref(),
            self.consumer_arn.as_ref(),
        )?;
        let (name, consumer) = (stream.name.clone(), consumer.name.clone());
        let stream = engine.streams.get_mut(&name);
        if let Some(consumer) = stream.and_then(|stream| stream.consumers.get_mut(&consumer)) {
            consumer.deregister(now);
        }
        engine.subscriptions.wake_stream(&name);
        Ok(())
    }
}

impl Operation for ListStreamConsumers {
    const NAME: &'static str = "ListStreamConsumers";
    type Output = ListStreamConsumersOutput;

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<ListStreamConsumersOutput, ApiError> {
        Constraints::default()
            .required("streamARN", self.stream_arn.as_ref())
            .stream(None, self.stream_arn.as_ref())
            .length("nextToken", self.next_token.as_deref(), 1..=1 << 20)
            .range("maxResults", self.max_results, 1..=10_000)
            .check()?;
        if self.next_token.is_some() && self.stream_creation_timestamp.is_some() {
            return Err(ApiError::invalid(
                "NextToken and StreamCreationTimestamp cannot be provided together.",
            ));
        }
        let stream = engine.stream(None, self.stream_arn.as_ref())?;
        if self
            .stream_creation_timestamp
            .is_some_and(|at| !stream.was_created_at(at))
        {
            return Err(engine.no_such_stream(stream.name.as_str()));
        }
        let after = match &self.next_token {
            Some(token) => Some(continued(stream, token, now)?),
            None => None,
        };
        let bounds = (
            after.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        let mut rest = stream
            .consumers
            .range::<str, _>(bounds)
            .filter_map(|(_, consumer)| Some((consumer, engine.consumer_status(consumer)?)));
        let consumers: Vec<_> = rest
            .by_ref()
            .take(self.max_results.unwrap_or(PAGE_LEN).unsigned_abs() as usize)
            .map(|(consumer, status)| engine.consumer_summary(&stream.name, consumer, status))
            .collect();
        let next_token = match consumers.last() {
            Some(last) if rest.next().is_some() => Some(
                ConsumerPage {
                    life: stream.life,
                    after: last.consumer_name.clone(),
                    made_at: now,
                }
                .seal(),
            ),
            _ => None,
        };
        Ok(ListStreamConsumersOutput { consumers, next_token })
    }
}

/// The consumer after which a listing goes on.
fn continued(stream: &Stream, token: &str, now: Timestamp) -> Result<String, ApiError> {
    let refusal = || ApiError::invalid("Invalid NextToken.");
    let page = ConsumerPage::open(token).ok_or_else(refusal)?;
    if now.millis_since(page.made_at) > TOKEN_LIFETIME_MS {
        let message = format!(
            "NextToken expired. It was made at {} while right now it is {now}.",
            page.made_at
        );
        return Err(ApiError::new(ErrorKind::ExpiredNextToken, message));
    }
    if page.life == stream.life {
        Ok(page.after)
    } else {
        Err(refusal())
    }
}

impl Engine {
    /// The consumer of this ARN and its stream.
    pub(super) fn consumer_by_arn(&self, arn: &str) -> Result<(&Stream, &Consumer, ConsumerStatus), ApiError> {
        let Some((stream, name, created_second)) = consumer_of_arn(arn) else {
            return Err(ApiError::invalid(format!("{arn} is not the ARN of a consumer.")));
        };
        self.check_place(arn, stream)?;
        let Some(stream) = self.streams.get(stream) else {
            return Err(self.no_such_stream(stream));
        };
        let (consumer, status) = self.consumer_of(stream, name)?;
        if consumer.created_second() == created_second {
            return Ok((stream, consumer, status));
        }
        let (account, stream) = (&self.config.account, &stream.name);
        Err(ApiError::new(
            ErrorKind::ResourceNotFound,
            format!(
                "Consumer {name} with creation timestamp {created_second} under stream: {stream}, account {account} not \
                 found."
            ),
        ))
    }

    /// The consumer of this ARN, which must be able to read, and its stream.
    pub(super) fn active_consumer(&self, arn: &str) -> Result<(&Stream, &Consumer), ApiError> {
        let (stream, consumer, status) = self.consumer_by_arn(arn)?;
        if status == ConsumerStatus::Active {
            return Ok((stream, consumer));
        }
        let (name, account) = (&consumer.name, &self.config.account);
        Err(ApiError::new(
            ErrorKind::ResourceInUse,
            format!(
                "Consumer {name} with creation timestamp {} under stream: {}, account {account} is not in ACTIVE status.",
                consumer.created_second(),
                stream.name
            ),
        ))
    }

    /// The consumer of this name.
    pub(super) fn consumer_of<'a>(
        &self,
        stream: &'a Stream,
        name: &str,
    ) -> Result<(&'a Consumer, ConsumerStatus), ApiError> {
        let consumer = stream.consumers.get(name);
        let found = consumer.and_then(|consumer| Some((consumer, self.consumer_status(consumer)?)));
        found.ok_or_else(|| self.no_such_consumer(stream, name))
    }

    pub(super) fn no_such_consumer(&self, stream: &Stream, name: &str) -> ApiError {
        let (account, stream) = (&self.config.account, &stream.name);
        ApiError::new(
            ErrorKind::ResourceNotFound,
            format!("Consumer {name} under stream: {stream}, account {account} not found."),
        )
    }

    /// How many consumers `stream` has, those included that come and go.
    pub(super) fn consumer_count(&self, stream: &Stream) -> usize {
        let consumers = stream.consumers.values();
        consumers
            .filter(|consumer| self.consumer_status(consumer).is_some())
            .count()
    }

    fn consumer_status(&self, consumer: &Consumer) -> Option<ConsumerStatus> {
        consumer.status(self.config.transition, self.now)
    }

    fn consumer_summary(&self, stream: &StreamName, consumer: &Consumer, status: ConsumerStatus) -> ConsumerSummary {
        let second = consumer.created_second();
        ConsumerSummary {
            consumer_name: consumer.name.clone(),
            consumer_arn: format!("{}/consumer/{}:{second}", self.arn(stream), consumer.name),
            consumer_status: status,
            consumer_creation_timestamp: consumer.created_at,
        }
    }

    /// The consumer that a request addresses by ARN, by name and stream, or by both.
    fn addressed_consumer(
        &self,
        stream_arn: Option<&String>,
        name: Option<&String>,
        consumer_arn: Option<&String>,
    ) -> Result<(&Stream, &Consumer, ConsumerStatus), ApiError> {
        Constraints::default()
            .stream(None, stream_arn)
            .name("consumerName", name)
            .consumer_arn("consumerARN", consumer_arn)
            .check()?;
        let Some(consumer_arn) = consumer_arn else {
            let (Some(_), Some(name)) = (stream_arn, name) else {
                return Err(ApiError::invalid(
                    "Either ConsumerARN or both StreamARN and ConsumerName should be provided.",
                ));
            };
            let stream = self.stream(None, stream_arn)?;
            let (consumer, status) = self.consumer_of(stream, name)?;
            return Ok((stream, consumer, status));
        };
        let found = self.consumer_by_arn(consumer_arn)?;
        let (stream, consumer, _) = &found;
        if name.is_some_and(|name| *name != consumer.name) {
            return Err(ApiError::invalid(
                "ConsumerName does not match the consumer of ConsumerARN.",
            ));
        }
        if stream_arn.is_some() && self.address(None, stream_arn)? != stream.name {
            return Err(ApiError::invalid("StreamARN does not match the stream of ConsumerARN."));
        }
        Ok(found)
    }

    /// Refuses to remove `stream` if it has consumers.
    pub(super) fn check_without_consumers(&self, stream: &StreamName) -> Result<(), ApiError> {
        if self.consumer_count(self.existing(stream)?) == 0 {
            return Ok(());
        }
        let arn = self.arn(stream);
        Err(ApiError::new(
            ErrorKind::ResourceInUse,
            format!(
                "DeleteStream can't delete {arn} because there are consumers associated with this data stream. To delete \
                 {stream} anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all the \
                 consumers that are associated with it."
            ),
        ))
    }

    /// Refuses one more consumer of `stream` if there is one of its name, or if there are too many.
    fn check_room_for_consumer(&self, stream: &StreamName, name: &str) -> Result<(), ApiError> {
        let account = &self.config.account;
        let stream = self.existing(stream)?;
        if self.consumer_of(stream, name).is_ok() {
            let message = format!(
                "Consumer {name} under stream: {}, account {account} already exists.",
                stream.name
            );
            return Err(ApiError::new(ErrorKind::ResourceInUse, message));
        }
        let limit_exceeded = |limit: usize, what: &str| {
            let stream = &stream.name;
            ApiError::new(
                ErrorKind::LimitExceeded,
                format!(
                    "This request would exceed the limit of {limit} {what} for stream {stream} under account {account}."
                ),
            )
        };
        let consumers_max = match stream.mode {
            StreamMode::OnDemand if self.has_commitment(self.now) => COMMITTED_CONSUMERS_MAX,
            _ => CONSUMERS_MAX,
        };
        if self.consumer_count(stream) >= consumers_max {
            return Err(limit_exceeded(consumers_max, "registered consumers"));
        }
        let is_creating = |consumer: &&Consumer| self.consumer_status(consumer) == Some(ConsumerStatus::Creating);
        if stream.consumers.values().filter(is_creating).count() >= CREATING_MAX {
            return Err(limit_exceeded(CREATING_MAX, "consumers in CREATING status"));
        }
        Ok(())
    }
}
