//! What streams and consumers alike carry: tags and a policy. And how a request addresses either.

use std::{collections::BTreeMap, fmt};

use kcl_core::StreamName;

use super::{
    Engine,
    validate::{ARN_LEN_MAX, Constraints, consumer_of_arn, resource_of_arn, stream_of_arn},
};
use crate::api::{ApiError, ErrorKind};

const RESOURCE_ARN_PATTERN: &str = r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+";

/// What is attached to a stream or to a consumer.
#[derive(Debug, Default)]
pub(super) struct Attached {
    pub(super) tags: BTreeMap<String, String>,
    pub(super) policy: Option<String>,
}

/// A stream or one of its consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Stream(StreamName),
    Consumer { stream: StreamName, name: String },
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(name) => write!(f, "stream {name}"),
            Self::Consumer { stream, name } => write!(f, "consumer {name} of stream {stream}"),
        }
    }
}

impl Constraints {
    /// How a request addresses a resource.
    pub(super) fn resource(&mut self, arn: Option<&String>) -> &mut Self {
        let is_resource = |arn: &str| {
            let mut kinds = ["stream/", "channel/", "queue/"].into_iter();
            kinds.any(|kind| resource_of_arn(arn, kind).is_some())
        };
        self.required("resourceARN", arn)
            .pattern("resourceARN", arn, RESOURCE_ARN_PATTERN, is_resource)
            .length("resourceARN", arn.map(String::as_str), 1..=ARN_LEN_MAX)
    }
}

impl Engine {
    /// The resource of this ARN, and that it exists.
    pub(super) fn resource(&self, arn: &str) -> Result<Resource, ApiError> {
        if consumer_of_arn(arn).is_some() {
            let (stream, consumer, _) = self.consumer_by_arn(arn)?;
            return Ok(Resource::Consumer {
                stream: stream.name.clone(),
                name: consumer.name.clone(),
            });
        }
        match stream_of_arn(arn) {
            Some(name) => {
                self.check_place(arn, name)?;
                let stream = self.streams.get(name).ok_or_else(|| self.no_such_stream(name))?;
                Ok(Resource::Stream(stream.name.clone()))
            }
            // There are neither queues nor channels here.
            None => Err(ApiError::new(
                ErrorKind::ResourceNotFound,
                format!("Resource {arn} not found."),
            )),
        }
    }

    pub(super) fn attached(&self, resource: &Resource) -> Result<&Attached, ApiError> {
        match resource {
            Resource::Stream(name) => self.existing(name).map(|stream| &stream.attached),
            Resource::Consumer { stream, name } => {
                let (consumer, _) = self.consumer_of(self.existing(stream)?, name)?;
                Ok(&consumer.attached)
            }
        }
    }

    /// What is attached to a resource that was found, for change.
    pub(super) fn attached_mut(&mut self, resource: &Resource) -> Option<&mut Attached> {
        match resource {
            Resource::Stream(name) => self.streams.get_mut(name).map(|stream| &mut stream.attached),
            Resource::Consumer { stream, name } => {
                let consumers = &mut self.streams.get_mut(stream)?.consumers;
                consumers.get_mut(name).map(|consumer| &mut consumer.attached)
            }
        }
    }
}
