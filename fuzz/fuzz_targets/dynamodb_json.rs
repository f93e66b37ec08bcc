//! Bodies of DynamoDB requests: the first byte picks the operation.

#![no_main]

use kcl_fuzz::{DYNAMODB, World};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else {
        return;
    };
    let operation = DYNAMODB[usize::from(*first) % DYNAMODB.len()];
    let world = World::new().with_table();
    let (status, answer) = world.dynamodb(operation, body);
    assert!(matches!(status, 200 | 400), "{operation} was answered {status}");
    serde_json::from_slice::<serde_json::Value>(&answer).expect("every answer is JSON");
});
