use std::collections::BTreeMap;

use super::*;
use crate::api::{
    AddTagsToStream, DeregisterStreamConsumer, ListTagsForResource, ListTagsForStream, RegisterStreamConsumer,
    RemoveTagsFromStream, Tag, TagResource, UntagResource,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
const NONE: [(&str, &str); 0] = [];

fn shown(tags: &[Tag]) -> Vec<(&str, &str)> {
    tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect()
}

#[track_caller]
fn assert_tags(world: &mut World, arn: &str, expected: &[(&str, &str)]) {
    let listed = world.call(ListTagsForResource::new(arn)).unwrap();
    assert_eq!(shown(&listed.tags), expected);
}

fn numbered(count: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("k{i:02}"), "v".to_owned())).collect()
}

#[test]
fn tags_are_added_replaced_and_removed() {
    let mut world = World::with_shards(1);
    assert_tags(&mut world, ARN, &NONE);
    world
        .call(AddTagsToStream::new(
            STREAM,
            [("team", "billing"), ("stage", "test"), ("empty", "")],
        ))
        .unwrap();
    world.call(TagResource::new(ARN, [("stage", "live")])).unwrap();
    assert_tags(
        &mut world,
        ARN,
        &[("empty", ""), ("stage", "live"), ("team", "billing")],
    );
    world
        .call(RemoveTagsFromStream::new(STREAM, ["team", "unknown"]))
        .unwrap();
    world.call(UntagResource::new(ARN, ["empty"])).unwrap();
    assert_tags(&mut world, ARN, &[("stage", "live")]);
}

#[test]
fn streams_and_consumers_can_be_made_with_tags() {
    let mut world = World::with_shards(1);
    let tags = || Some(BTreeMap::from([("team".to_owned(), "billing".to_owned())]));
    world
        .call(CreateStream {
            tags: tags(),
            ..CreateStream::new("tagged", 1)
        })
        .unwrap();
    assert_tags(&mut world, &ARN.replace("rides", "tagged"), &[("team", "billing")]);
    let registered = world
        .call(RegisterStreamConsumer {
            tags: tags(),
            ..RegisterStreamConsumer::new(ARN, "billing")
        })
        .unwrap();
    assert_tags(&mut world, &registered.consumer.consumer_arn, &[("team", "billing")]);
    assert_tags(&mut world, ARN, &NONE);

    let bad = Some(BTreeMap::from([("a;b".to_owned(), String::new())]));
    let create = CreateStream {
        tags: bad.clone(),
        ..CreateStream::new("other", 1)
    };
    assert_kind(world.call(create), ErrorKind::InvalidArgument);
    world.call(CreateStream::new("other", 1)).unwrap();
    let register = RegisterStreamConsumer {
        tags: bad,
        ..RegisterStreamConsumer::new(ARN, "audit")
    };
    assert_kind(world.call(register), ErrorKind::InvalidArgument);
    world.call(RegisterStreamConsumer::new(ARN, "audit")).unwrap();
}

#[test]
fn a_consumer_has_tags_of_its_own() {
    let mut world = World::with_shards(1);
    let registered = world.call(RegisterStreamConsumer::new(ARN, "billing")).unwrap();
    let consumer = registered.consumer.consumer_arn;
    world
        .call(TagResource::new(&consumer, [("a", "1"), ("b", "2")]))
        .unwrap();
    world.call(UntagResource::new(&consumer, ["a"])).unwrap();
    assert_tags(&mut world, &consumer, &[("b", "2")]);
    assert_tags(&mut world, ARN, &NONE);
    let percent = world.call(TagResource::new(&consumer, [("a%", "")]));
    assert_refused(
        percent,
        ErrorKind::InvalidArgument,
        "Failed to add tags to consumer billing of stream rides under account 000000000000 because some tags contained \
         illegal characters. The allowed characters are Unicode letters, white-spaces, \
         '_',',','/','=','+','-','@',':'.",
    );
    world.call(DeregisterStreamConsumer::by_arn(&consumer)).unwrap();
    assert_kind(
        world.call(ListTagsForResource::new(&consumer)),
        ErrorKind::ResourceNotFound,
    );
}

#[test]
fn tags_are_listed_page_by_page() {
    let mut world = World::with_shards(1);
    world.call(AddTagsToStream::new(STREAM, numbered(50))).unwrap();
    let all = world.call(ListTagsForStream::new(STREAM)).unwrap();
    assert_eq!((all.tags.len(), all.has_more_tags), (50, false));
    let page = |after: Option<&str>, limit| ListTagsForStream {
        exclusive_start_tag_key: after.map(ToOwned::to_owned),
        limit: Some(limit),
        ..ListTagsForStream::new(STREAM)
    };
    let first = world.call(page(None, 2)).unwrap();
    assert_eq!(
        (shown(&first.tags), first.has_more_tags),
        (vec![("k00", "v"), ("k01", "v")], true)
    );
    let last = world.call(page(Some("k47"), 2)).unwrap();
    assert_eq!(
        (shown(&last.tags), last.has_more_tags),
        (vec![("k48", "v"), ("k49", "v")], false)
    );
    // The key need not be there.
    let end = world.call(page(Some("k48x"), 2)).unwrap();
    assert_eq!((end.tags.len(), end.has_more_tags), (1, false));
}

#[test]
fn fifty_tags_fit_and_no_more() {
    let mut world = World::with_shards(1);
    world.call(AddTagsToStream::new(STREAM, numbered(49))).unwrap();
    let two = AddTagsToStream::new(STREAM, [("one", ""), ("two", "")]);
    assert_refused(
        world.call(two),
        ErrorKind::InvalidArgument,
        "Failed to add tags to stream rides under account 000000000000 because a given stream cannot have more than 50 \
         tags associated with it.",
    );
    // What is there already takes no room, and nothing of a refused request was done.
    world
        .call(AddTagsToStream::new(STREAM, [("one", ""), ("k00", "new")]))
        .unwrap();
    let listed = world.call(ListTagsForStream::new(STREAM)).unwrap();
    assert_eq!(listed.tags.len(), 50);
    assert_eq!(shown(&listed.tags)[0], ("k00", "new"));
}

#[test]
fn letters_digits_spaces_and_some_marks_make_a_tag() {
    let mut world = World::with_shards(1);
    let good = ["ü0 _.", "/=+-@:", "日本\u{3000}語", "٣", "a b"];
    for text in good {
        world.call(AddTagsToStream::new(STREAM, [(text, text)])).unwrap();
    }
    world.call(RemoveTagsFromStream::new(STREAM, good)).unwrap();
    assert_tags(&mut world, ARN, &NONE);
    let message = "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = \
                   + - % @ :.";
    for text in ["a;b", "a\tb", "a\nb", "a,b", "a*b", "a&b", "😀"] {
        for answer in [
            world.call(AddTagsToStream::new(STREAM, [(text, "v")])),
            world.call(AddTagsToStream::new(STREAM, [("k", text)])),
            world.call(RemoveTagsFromStream::new(STREAM, [text])),
            world.call(UntagResource::new(ARN, [text])),
        ] {
            assert_refused(answer, ErrorKind::InvalidArgument, message);
        }
    }
    assert_refused(
        world.call(RemoveTagsFromStream::new(STREAM, ["abc%def"])),
        ErrorKind::InvalidArgument,
        "Failed to remove tags from stream rides under account 000000000000 because some tags contained illegal \
         characters. The allowed characters are Unicode letters, white-spaces, '_',',','/','=','+','-','@',':'.",
    );
}

#[test]
fn keys_of_the_service_are_reserved() {
    let mut world = World::with_shards(1);
    for key in ["aws:cloudformation:stack-name", "AWS:x"] {
        assert_kind(
            world.call(AddTagsToStream::new(STREAM, [(key, "v")])),
            ErrorKind::InvalidArgument,
        );
    }
    world.call(AddTagsToStream::new(STREAM, [("awsome", "v")])).unwrap();
}

#[test]
fn keys_and_values_have_lengths_that_are_counted_in_characters() {
    let mut world = World::with_shards(1);
    let longest = [("ü".repeat(128), "ü".repeat(256))];
    world.call(AddTagsToStream::new(STREAM, longest)).unwrap();
    assert_refused(
        world.call(AddTagsToStream::new(STREAM, [("", "v")])),
        ErrorKind::Validation,
        "1 validation error detected: Value '{=v}' at 'tags' failed to satisfy constraint: Map keys must satisfy \
         constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to \
         1]",
    );
    let long = "x".repeat(257);
    assert_refused(
        world.call(AddTagsToStream::new(STREAM, [("k", &long)])),
        ErrorKind::Validation,
        &format!(
            "1 validation error detected: Value '{{k={long}}}' at 'tags' failed to satisfy constraint: Map value must \
             satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater \
             than or equal to 0]"
        ),
    );
    let long = "x".repeat(129);
    assert_refused(
        world.call(RemoveTagsFromStream::new(STREAM, ["a", &long])),
        ErrorKind::Validation,
        &format!(
            "1 validation error detected: Value '[a, {long}]' at 'tagKeys' failed to satisfy constraint: Member must \
             satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater \
             than or equal to 1]"
        ),
    );
}

#[test]
fn requests_without_tags_or_with_too_many_are_refused() {
    let mut world = World::with_shards(1);
    assert_refused(
        world.call(AddTagsToStream::new(STREAM, NONE)),
        ErrorKind::Validation,
        "1 validation error detected: Value '{}' at 'tags' failed to satisfy constraint: Member must have length greater \
         than or equal to 1",
    );
    assert_refused(
        world.call(UntagResource::default()),
        ErrorKind::Validation,
        "2 validation errors detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null; \
         Value null at 'resourceARN' failed to satisfy constraint: Member must not be null",
    );
    let keys = (0..51).map(|i| i.to_string());
    assert_kind(
        world.call(RemoveTagsFromStream::new(STREAM, keys)),
        ErrorKind::Validation,
    );
    assert_kind(world.call(TagResource::new(ARN, numbered(201))), ErrorKind::Validation);
    assert_kind(
        world.call(TagResource::new(ARN, numbered(200))),
        ErrorKind::InvalidArgument,
    );
    let limit = ListTagsForStream {
        limit: Some(51),
        ..ListTagsForStream::new(STREAM)
    };
    assert_kind(world.call(limit), ErrorKind::Validation);
}

#[test]
fn a_resource_is_a_stream_or_a_consumer_that_exists() {
    let mut world = World::with_shards(1);
    assert_refused(
        world.call(ListTagsForResource::new(ARN.replace("rides", "none"))),
        ErrorKind::ResourceNotFound,
        "Stream none under account 000000000000 not found.",
    );
    for missing in ["stream/rides/consumer/billing:1", "queue/q", "channel/c"] {
        let arn = ARN.replace("stream/rides", missing);
        assert_kind(world.call(ListTagsForResource::new(arn)), ErrorKind::ResourceNotFound);
    }
    assert_kind(world.call(ListTagsForResource::new("rides")), ErrorKind::Validation);
    assert_kind(
        world.call(ListTagsForResource::new(ARN.replace("stream/", "table/"))),
        ErrorKind::Validation,
    );
}
