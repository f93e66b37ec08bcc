//! Tags and policies.

use serde::Serialize;

use super::Output;
use crate::{
    api::{GetResourcePolicyOutput, ListTagsForResourceOutput, ListTagsForStreamOutput, Tag},
    wire::Format,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagShape<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> TagShape<'a> {
    fn of(tag: &'a Tag) -> Self {
        Self {
            key: &tag.key,
            value: &tag.value,
        }
    }
}

impl Output for ListTagsForStreamOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            tags: Vec<TagShape<'a>>,
            has_more_tags: bool,
        }
        format.encode(&Shape {
            tags: self.tags.iter().map(TagShape::of).collect(),
            has_more_tags: self.has_more_tags,
        })
    }
}

impl Output for ListTagsForResourceOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            tags: Vec<TagShape<'a>>,
        }
        format.encode(&Shape {
            tags: self.tags.iter().map(TagShape::of).collect(),
        })
    }
}

impl Output for GetResourcePolicyOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            policy: &'a str,
        }
        format.encode(&Shape { policy: &self.policy })
    }
}
