//! Tags and policies, as an SDK sees them.

use std::collections::HashMap;

use aws_sdk_kinesis::types::Tag;

use crate::doors::World;

const STREAM: &str = "rides";
const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": []}"#;

/// A stream and a consumer, by their ARNs.
async fn resources(world: &World) -> [String; 2] {
    let client = world.client();
    client
        .create_stream()
        .stream_name(STREAM)
        .shard_count(1)
        .tags("team", "billing")
        .send()
        .await
        .unwrap();
    let described = client
        .describe_stream_summary()
        .stream_name(STREAM)
        .send()
        .await
        .unwrap();
    let stream = described.stream_description_summary().unwrap().stream_arn().to_owned();
    let registered = client
        .register_stream_consumer()
        .stream_arn(&stream)
        .consumer_name("audit")
        .tags("team", "billing")
        .send()
        .await
        .unwrap();
    [stream, registered.consumer().unwrap().consumer_arn().to_owned()]
}

fn shown(tags: &[Tag]) -> Vec<(&str, &str)> {
    tags.iter().map(|tag| (tag.key(), tag.value().unwrap())).collect()
}

pub(crate) async fn streams_and_consumers_carry_tags(world: &World) {
    let client = world.client();
    for arn in resources(world).await {
        let tag = client.tag_resource().resource_arn(&arn).tags("stage", "test");
        tag.tags("grün", "").send().await.unwrap();
        let list = || client.list_tags_for_resource().resource_arn(&arn).send();
        let listed = list().await.unwrap();
        assert_eq!(
            shown(listed.tags()),
            [("grün", ""), ("stage", "test"), ("team", "billing")]
        );
        let untag = client.untag_resource().resource_arn(&arn).tag_keys("grün");
        untag.send().await.unwrap();
        assert_eq!(
            shown(list().await.unwrap().tags()),
            [("stage", "test"), ("team", "billing")]
        );
    }
}

pub(crate) async fn the_tags_of_a_stream_are_listed_page_by_page(world: &World) {
    resources(world).await;
    let client = world.client();
    let tags: HashMap<_, _> = (0..9).map(|i| (format!("k{i}"), "v".to_owned())).collect();
    let add = client.add_tags_to_stream().stream_name(STREAM).set_tags(Some(tags));
    add.send().await.unwrap();
    let page = || client.list_tags_for_stream().stream_name(STREAM).limit(6);
    let first = page().send().await.unwrap();
    assert!(first.has_more_tags());
    let last = first.tags().last().unwrap().key();
    let rest = page().exclusive_start_tag_key(last).send().await.unwrap();
    assert_eq!(
        shown(rest.tags()),
        [("k6", "v"), ("k7", "v"), ("k8", "v"), ("team", "billing")]
    );
    assert!(!rest.has_more_tags());
    let remove = client.remove_tags_from_stream().stream_name(STREAM).tag_keys("team");
    remove.send().await.unwrap();
    assert_eq!(page().send().await.unwrap().tags().len(), 6);
    let bad = client.add_tags_to_stream().stream_name(STREAM).tags("a;b", "v");
    let refused = bad.send().await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_argument_exception());
}

pub(crate) async fn streams_and_consumers_carry_policies(world: &World) {
    let client = world.client();
    for arn in resources(world).await {
        let get = || client.get_resource_policy().resource_arn(&arn).send();
        let none = get().await.unwrap_err().into_service_error();
        assert!(none.is_resource_not_found_exception());
        let put = client.put_resource_policy().resource_arn(&arn).policy(POLICY);
        put.send().await.unwrap();
        assert_eq!(get().await.unwrap().policy(), POLICY);
        client.delete_resource_policy().resource_arn(&arn).send().await.unwrap();
        get().await.unwrap_err();
    }
}
