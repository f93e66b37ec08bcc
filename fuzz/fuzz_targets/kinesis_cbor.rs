//! Bodies of Kinesis requests in CBOR: the first byte picks the operation.

#![no_main]

use kcl_fuzz::{KINESIS, World};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else {
        return;
    };
    let operation = KINESIS[usize::from(*first) % KINESIS.len()];
    let world = World::new();
    let (status, _) = world.kinesis(operation, "application/x-amz-cbor-1.1", body);
    world.check(operation, status);
});
