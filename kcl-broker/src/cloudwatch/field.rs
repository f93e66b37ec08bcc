//! How members are read that look different in each protocol: numbers and times are texts in forms.

use kcl_core::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};

#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(f64),
    Text(String),
}

/// A number, or a text that is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Number(number) => Ok(Self(number)),
            Loose::Text(text) => match text.parse() {
                Ok(number) => Ok(Self(number)),
                Err(_) => Err(D::Error::custom(format_args!("{text:?} is no number"))),
            },
        }
    }
}

/// Seconds since the epoch, or a text in the form of ISO 8601.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Number(seconds) => Ok(Self(Timestamp::from_epoch_millis((seconds * 1000.0).round() as i64))),
            Loose::Text(text) => match text.parse::<jiff::Timestamp>() {
                Ok(at) => Ok(Self(Timestamp::from_epoch_millis(at.as_millisecond()))),
                Err(_) => Err(D::Error::custom(format_args!(
                    "{text:?} is no time in the form of ISO 8601"
                ))),
            },
        }
    }
}
