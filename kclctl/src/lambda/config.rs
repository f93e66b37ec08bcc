//! `--config`: an event source mapping in a file.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use kcl_core::{InitialPosition, StreamArn};
use kcl_lambda::mapping::{EventSourceMapping, InvalidMapping};
use serde_json::{Map, Value};

use crate::stream::StreamArg;

/// The members of a mapping, as far as a file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MappingFile {
    path: PathBuf,
    members: Map<String, Value>,
}

/// A mapping cannot be had from its file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{} cannot be read", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not TOML", .path.display())]
    Toml {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("{} is not a JSON object", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: {invalid}", .path.display())]
    Mapping { path: PathBuf, invalid: InvalidMapping },
    #[error("--stream {given} and EventSourceArn {in_file} in {} are different streams: give one of them", .path.display())]
    OtherStream {
        path: PathBuf,
        given: String,
        in_file: String,
    },
    #[error("--stream is needed, or a --config with EventSourceArn")]
    NoStream,
}

impl MappingFile {
    /// Reads a file: JSON where its name ends in `.json`, else TOML.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let members = if is_json {
            serde_json::from_str(&text).map_err(|source| ConfigError::Json {
                path: path.clone(),
                source,
            })?
        } else {
            toml::from_str(&text).map_err(|source| ConfigError::Toml {
                path: path.clone(),
                source: Box::new(source),
            })?
        };
        Ok(Self { path, members })
    }

    /// The stream that it names: that of `--stream`, if both do.
    pub(crate) fn stream(&self, given: Option<&StreamArg>) -> Result<StreamArg, ConfigError> {
        let in_file = self.members.get("EventSourceArn").and_then(Value::as_str);
        let Some(text) = in_file else {
            return given.cloned().ok_or(ConfigError::NoStream);
        };
        // What is wrong with the ARN is told when the whole is read.
        let stream = text.split("/consumer/").next().unwrap_or(text);
        let named = StreamArn::from_str(stream).ok();
        match (given, named) {
            (Some(given), Some(named)) if given.name() != named.name() => Err(ConfigError::OtherStream {
                path: self.path.clone(),
                given: given.name().to_string(),
                in_file: text.to_owned(),
            }),
            (Some(given), _) => Ok(given.clone()),
            (None, Some(named)) => Ok(StreamArg::Arn(named)),
            (None, None) => Err(ConfigError::NoStream),
        }
    }

    /// The mapping, where `--stream` and `--app` say what the file does not: the stream's ARN, and the function's name. It
    /// starts with the oldest record unless it says otherwise, so that nothing is lost.
    pub(crate) fn mapping(mut self, stream: &StreamArn, function: &str) -> Result<EventSourceMapping, ConfigError> {
        let start = match InitialPosition::default() {
            InitialPosition::Latest => "LATEST",
            _ => "TRIM_HORIZON",
        };
        for (member, value) in [
            ("EventSourceArn", stream.as_str()),
            ("FunctionName", function),
            ("StartingPosition", start),
        ] {
            let has_arn = member == "FunctionName" && self.members.contains_key("FunctionArn");
            if !has_arn {
                self.members.entry(member).or_insert_with(|| value.into());
            }
        }
        let path = self.path;
        EventSourceMapping::try_from(self.members).map_err(|invalid| ConfigError::Mapping { path, invalid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn() -> StreamArn {
        "arn:aws:kinesis:us-east-1:123456789012:stream/s".parse().unwrap()
    }

    #[test]
    fn given_nothing_when_a_mapping_is_asked_for_then_the_options_make_it() {
        let mapping = MappingFile::default().mapping(&arn(), "a").unwrap();
        assert_eq!(mapping.event_source_arn.as_str(), arn().as_str());
        assert_eq!(mapping.starting_position, InitialPosition::TrimHorizon);
        assert_eq!(mapping.function_name.as_str(), "a");
    }

    #[test]
    fn given_toml_and_json_when_read_then_they_say_the_same_and_what_is_wrong_names_the_setting() {
        let directory = tempfile::tempdir().unwrap();
        let (toml, json) = (directory.path().join("m.toml"), directory.path().join("m.json"));
        std::fs::write(&toml, "BatchSize = 7\n[KclExtensions]\nRetryItems = false\n").unwrap();
        std::fs::write(&json, r#"{"BatchSize": 7, "KclExtensions": {"RetryItems": false}}"#).unwrap();
        let of = |path: &Path| MappingFile::read(path).unwrap().mapping(&arn(), "a").unwrap();
        assert_eq!(of(&toml), of(&json));
        assert_eq!(of(&toml).batch_size, 7);
        std::fs::write(&toml, "BatchSize = 0").unwrap();
        let error = MappingFile::read(&toml).unwrap().mapping(&arn(), "a").unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("BatchSize is 0: use a whole number from 1 to 10000")
        );
    }

    #[test]
    fn given_two_streams_when_they_differ_then_that_is_an_error() {
        let mut file = MappingFile::default();
        file.members.insert("EventSourceArn".to_owned(), arn().as_str().into());
        let other = "t".parse().unwrap();
        assert!(matches!(
            file.stream(Some(&other)),
            Err(ConfigError::OtherStream { .. })
        ));
        assert_eq!(file.stream(None).unwrap(), StreamArg::Arn(arn()));
        assert!(matches!(
            MappingFile::default().stream(None),
            Err(ConfigError::NoStream)
        ));
    }
}
