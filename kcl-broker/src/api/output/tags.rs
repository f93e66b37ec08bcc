//! Tags, listed.

/// A name and a value that the owner of a stream or a consumer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tag {
    /// The name.
    pub key: String,
    /// The value, which may be empty.
    pub value: String,
}

/// Answers [`ListTagsForStream`](crate::api::ListTagsForStream).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListTagsForStreamOutput {
    /// The tags, by key.
    pub tags: Vec<Tag>,
    /// Whether there are tags after these.
    pub has_more_tags: bool,
}

/// Answers [`ListTagsForResource`](crate::api::ListTagsForResource).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListTagsForResourceOutput {
    /// The tags, by key.
    pub tags: Vec<Tag>,
}
