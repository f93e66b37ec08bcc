//! Records of any content through `SubscribeToShard`: what the frames carry is what was put.
//!
//! The input is cut into records; the first byte of each is the length of its partition key.

#![no_main]

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::byte_stream::ByteStream;
use bytes::BytesMut;
use kcl_broker::api::{PutRecord, RegisterStreamConsumer};
use kcl_fuzz::{SHARD, STREAM, World};
use serde_json::{Value, json};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let world = World::new();
    let mut put = Vec::new();
    for piece in input.chunks(40) {
        let Some((len, rest)) = piece.split_first() else {
            continue;
        };
        let (key, data) = rest.split_at(usize::from(*len).min(rest.len()));
        let Ok(key) = str::from_utf8(key) else { continue };
        let mut request = PutRecord::new(STREAM, key, data.to_vec());
        request.explicit_hash_key = Some("0".to_owned());
        if let Ok(written) = world.broker.call(request) {
            put.push((written.sequence_number.to_string(), key.to_owned()));
        }
    }
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    let consumer = world
        .broker
        .call(RegisterStreamConsumer::new(arn, "fuzz"))
        .expect("a consumer");
    let body = json!({
        "ConsumerARN": consumer.consumer.consumer_arn, "ShardId": SHARD, "StartingPosition": {"Type": "TRIM_HORIZON"},
    });
    let response = world.send(
        "Kinesis_20131202.SubscribeToShard",
        "application/x-amz-json-1.1",
        body.to_string().as_bytes(),
    );
    assert_eq!(response.status().as_u16(), 200);
    let mut body = ByteStream::new(response.into_body());
    let mut decoder = MessageFrameDecoder::new();
    let mut buffer = BytesMut::new();
    let mut got = Vec::new();
    world.run(async {
        // The stream goes on for five minutes of the world's time; its first events carry what was there.
        while got.len() < put.len() {
            let frame = body.next().await;
            buffer.extend_from_slice(&frame.expect("the stream goes on").expect("frames"));
            while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut buffer).expect("a frame") {
                let event: Value = serde_json::from_slice(message.payload()).expect("JSON");
                for record in event["Records"].as_array().into_iter().flatten() {
                    let text = |name: &str| record[name].as_str().expect("text").to_owned();
                    if text("PartitionKey") != "taxi-7" {
                        got.push((text("SequenceNumber"), text("PartitionKey")));
                    }
                }
            }
        }
    });
    put.retain(|(_, key)| key != "taxi-7");
    assert_eq!(got, put);
});
