//! A stream on the command line: by name, or by ARN where it may be another account's.

use std::str::FromStr;

use kcl_core::{InvalidId, StreamArn, StreamName};
use kcl_runtime::KinesisSource;

use crate::aws::Kinesis;

/// A stream on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamArg {
    Name(StreamName),
    Arn(StreamArn),
}

impl StreamArg {
    pub(crate) fn name(&self) -> &StreamName {
        match self {
            Self::Name(name) => name,
            Self::Arn(arn) => arn.name(),
        }
    }

    pub(crate) fn source(&self, kinesis: &Kinesis) -> KinesisSource {
        let client = kinesis.client.clone();
        match self {
            Self::Name(name) => KinesisSource::new(client, name.clone()),
            Self::Arn(arn) => KinesisSource::by_arn(client, arn.clone()),
        }
    }
}

impl FromStr for StreamArg {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.starts_with("arn:") {
            text.parse().map(Self::Arn)
        } else {
            text.parse().map(Self::Name)
        }
    }
}
