//! Tags of streams and consumers.

mod rules;

use std::{collections::BTreeMap, ops::Bound};

use kcl_core::Timestamp;

use super::{
    Engine, Operation, Subject,
    attached::Resource,
    validate::{Constraints, present},
};
use crate::api::{
    AddTagsToStream, ApiError, ListTagsForResource, ListTagsForResourceOutput, ListTagsForStream,
    ListTagsForStreamOutput, RemoveTagsFromStream, Tag, TagResource, UntagResource,
};

/// The most tags that one listing gives, which is as many as there can be.
const PAGE_MAX: i32 = 50;

impl Operation for AddTagsToStream {
    const NAME: &'static str = "AddTagsToStream";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .required("tags", self.tags.as_ref())
            .tags(self.tags.as_ref())
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .check()?;
        let name = engine.address(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        engine.tag(&Resource::Stream(name), present(self.tags)?)
    }
}

impl Operation for RemoveTagsFromStream {
    const NAME: &'static str = "RemoveTagsFromStream";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .required("tagKeys", self.tag_keys.as_ref())
            .tag_keys(self.tag_keys.as_ref())
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .check()?;
        let name = engine.address(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        engine.untag(&Resource::Stream(name), &present(self.tag_keys)?)
    }
}

impl Operation for ListTagsForStream {
    const NAME: &'static str = "ListTagsForStream";
    type Output = ListTagsForStreamOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<ListTagsForStreamOutput, ApiError> {
        let after = self.exclusive_start_tag_key.as_deref();
        Constraints::default()
            .range("limit", self.limit, 1..=PAGE_MAX)
            .length("exclusiveStartTagKey", after, 1..=rules::KEY_LEN_MAX)
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .check()?;
        let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let bounds = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut rest = stream.attached.tags.range::<str, _>(bounds);
        let limit = self.limit.unwrap_or(PAGE_MAX).unsigned_abs() as usize;
        Ok(ListTagsForStreamOutput {
            tags: rest.by_ref().take(limit).map(tag).collect(),
            has_more_tags: rest.next().is_some(),
        })
    }
}

impl Operation for TagResource {
    const NAME: &'static str = "TagResource";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.resource_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .required("tags", self.tags.as_ref())
            .tags(self.tags.as_ref())
            .resource(self.resource_arn.as_ref())
            .check()?;
        let resource = engine.resource(&present(self.resource_arn)?)?;
        engine.tag(&resource, present(self.tags)?)
    }
}

impl Operation for UntagResource {
    const NAME: &'static str = "UntagResource";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.resource_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .required("tagKeys", self.tag_keys.as_ref())
            .tag_keys(self.tag_keys.as_ref())
            .resource(self.resource_arn.as_ref())
            .check()?;
        let resource = engine.resource(&present(self.resource_arn)?)?;
        engine.untag(&resource, &present(self.tag_keys)?)
    }
}

impl Operation for ListTagsForResource {
    const NAME: &'static str = "ListTagsForResource";
    type Output = ListTagsForResourceOutput;

    fn subject(&self) -> Subject {
        Subject::stream(None, self.resource_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<ListTagsForResourceOutput, ApiError> {
        Constraints::default().resource(self.resource_arn.as_ref()).check()?;
        let resource = engine.resource(&present(self.resource_arn)?)?;
        Ok(ListTagsForResourceOutput {
            tags: engine.attached(&resource)?.tags.iter().map(tag).collect(),
        })
    }
}

fn tag((key, value): (&String, &String)) -> Tag {
    Tag {
        key: key.clone(),
        value: value.clone(),
    }
}

impl Engine {
    fn tag(&mut self, resource: &Resource, tags: BTreeMap<String, String>) -> Result<(), ApiError> {
        self.check_new_tags(resource, &tags, &self.attached(resource)?.tags)?;
        if let Some(attached) = self.attached_mut(resource) {
            attached.tags.extend(tags);
        }
        Ok(())
    }

    fn untag(&mut self, resource: &Resource, keys: &[String]) -> Result<(), ApiError> {
        self.check_tag_letters(format_args!("remove tags from {resource}"), keys)?;
        if let Some(attached) = self.attached_mut(resource) {
            for key in keys {
                attached.tags.remove(key);
            }
        }
        Ok(())
    }
}
