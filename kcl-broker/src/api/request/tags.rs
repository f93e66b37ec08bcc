//! Tags: names and values that the owners of streams and consumers give them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::api::field;

/// Adds tags to a stream. A tag whose key the stream has takes its place.
///
/// ```
/// use kcl_broker::{Broker, api::{AddTagsToStream, CreateStream, ListTagsForStream}};
///
/// let broker = Broker::new();
/// broker.call(CreateStream::new("rides", 1))?;
/// broker.call(AddTagsToStream::new("rides", [("team", "billing")]))?;
/// let listed = broker.call(ListTagsForStream::new("rides"))?;
/// assert_eq!((listed.tags[0].key.as_str(), listed.tags[0].value.as_str()), ("team", "billing"));
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AddTagsToStream {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The tags, by key.
    #[serde(deserialize_with = "field::text_map")]
    pub tags: Option<BTreeMap<String, String>>,
}

impl AddTagsToStream {
    /// Adds tags to the stream of this name.
    #[must_use]
    pub fn new(
        stream_name: impl Into<String>,
        tags: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            tags: Some(tag_map(tags)),
        }
    }
}

/// Takes tags off a stream. Keys that it does not have are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RemoveTagsFromStream {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The keys of the tags.
    #[serde(deserialize_with = "field::texts")]
    pub tag_keys: Option<Vec<String>>,
}

impl RemoveTagsFromStream {
    /// Takes the tags of these keys off the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, tag_keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            tag_keys: Some(tag_keys.into_iter().map(Into::into).collect()),
        }
    }
}

/// Lists the tags of a stream by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListTagsForStream {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// Begin after this key.
    #[serde(deserialize_with = "field::text")]
    pub exclusive_start_tag_key: Option<String>,
    /// The most tags to give.
    #[serde(deserialize_with = "field::integer")]
    pub limit: Option<i32>,
}

impl ListTagsForStream {
    /// Lists the tags of the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            ..Self::default()
        }
    }
}

/// Adds tags to a stream or to a consumer. A tag whose key it has takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TagResource {
    /// The stream or the consumer.
    #[serde(deserialize_with = "field::text", rename = "ResourceARN")]
    pub resource_arn: Option<String>,
    /// The tags, by key.
    #[serde(deserialize_with = "field::text_map")]
    pub tags: Option<BTreeMap<String, String>>,
}

impl TagResource {
    /// Adds tags to what has this ARN.
    #[must_use]
    pub fn new(
        resource_arn: impl Into<String>,
        tags: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        Self {
            resource_arn: Some(resource_arn.into()),
            tags: Some(tag_map(tags)),
        }
    }
}

/// Takes tags off a stream or a consumer. Keys that it does not have are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UntagResource {
    /// The stream or the consumer.
    #[serde(deserialize_with = "field::text", rename = "ResourceARN")]
    pub resource_arn: Option<String>,
    /// The keys of the tags.
    #[serde(deserialize_with = "field::texts")]
    pub tag_keys: Option<Vec<String>>,
}

impl UntagResource {
    /// Takes the tags of these keys off what has this ARN.
    #[must_use]
    pub fn new(resource_arn: impl Into<String>, tag_keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            resource_arn: Some(resource_arn.into()),
            tag_keys: Some(tag_keys.into_iter().map(Into::into).collect()),
        }
    }
}

/// Lists the tags of a stream or of a consumer by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListTagsForResource {
    /// The stream or the consumer.
    #[serde(deserialize_with = "field::text", rename = "ResourceARN")]
    pub resource_arn: Option<String>,
}

impl ListTagsForResource {
    /// Lists the tags of what has this ARN.
    #[must_use]
    pub fn new(resource_arn: impl Into<String>) -> Self {
        Self {
            resource_arn: Some(resource_arn.into()),
        }
    }
}

fn tag_map(tags: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> BTreeMap<String, String> {
    tags.into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}
