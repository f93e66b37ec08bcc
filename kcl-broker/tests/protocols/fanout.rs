//! Subscriptions over both versions of HTTP, frame by frame.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use kcl_broker::{
    Broker, Server,
    api::{CreateStream, PutRecord, RegisterStreamConsumer, SplitShard},
};
use kcl_core::HashKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    SIGNATURE, connect,
    frames::{Client, DATA, HEADERS},
};

const WINDOW: u32 = 512 << 10;

/// A server, its broker, and the body of a request to subscribe.
async fn world() -> (Server, Broker, String) {
    let broker = Broker::new();
    broker.call(CreateStream::new("s", 1)).unwrap();
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let registered = broker.call(RegisterStreamConsumer::new(stream, "c")).unwrap();
    let arn = registered.consumer.consumer_arn;
    let server = Server::bind(broker.clone(), ([127, 0, 0, 1], 0)).await.unwrap();
    let subscribe = format!(
        r#"{{"ConsumerARN": "{arn}", "ShardId": "shardId-000000000000", "StartingPosition": {{"Type": "LATEST"}}}}"#
    );
    (server, broker, subscribe)
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let header = message.headers().iter().find(|header| header.name().as_str() == name);
    header.unwrap().value().as_string().unwrap().as_str()
}

fn payload(message: &Message) -> serde_json::Value {
    assert_eq!(header(message, ":event-type"), "SubscribeToShardEvent");
    serde_json::from_slice(message.payload()).unwrap()
}

/// The next event stream frame of a stream of HTTP/2.
async fn next(client: &mut Client, stream: u32, decoder: &mut MessageFrameDecoder, rest: &mut Vec<u8>) -> Message {
    loop {
        let mut unread = rest.as_slice();
        let decoded = decoder.decode_frame(&mut unread).unwrap();
        *rest = unread.to_vec();
        if let DecodedFrame::Complete(message) = decoded {
            return message;
        }
        let frame = client.next().await;
        assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
        rest.extend(frame.payload);
    }
}

#[tokio::test]
async fn http2_carries_a_subscription_beside_other_requests() {
    let (server, broker, subscribe) = world().await;
    let mut client = Client::new(connect(&server).await, WINDOW).await;
    client.ask(1, "SubscribeToShard", &subscribe).await;
    let head = client.next().await;
    assert_eq!((head.kind, head.stream, head.ends_stream()), (HEADERS, 1, false));

    let (mut decoder, mut rest) = (MessageFrameDecoder::new(), Vec::new());
    let first = next(&mut client, 1, &mut decoder, &mut rest).await;
    assert_eq!(header(&first, ":event-type"), "initial-response");
    let event = payload(&next(&mut client, 1, &mut decoder, &mut rest).await);
    assert_eq!(event["Records"], serde_json::json!([]));

    client.ask(3, "DescribeStreamSummary", r#"{"StreamName": "s"}"#).await;
    let head = client.next().await;
    assert_eq!((head.kind, head.stream), (HEADERS, 3));
    client.rest(3).await;

    broker.call(PutRecord::new("s", "key", "data")).unwrap();
    let event = payload(&next(&mut client, 1, &mut decoder, &mut rest).await);
    assert_eq!(event["Records"][0]["Data"], "ZGF0YQ==");

    let middle = HashKey(1 << 127);
    broker
        .call(SplitShard::new("s", "shardId-000000000000", middle))
        .unwrap();
    let event = payload(&next(&mut client, 1, &mut decoder, &mut rest).await);
    assert_eq!(event["ChildShards"].as_array().unwrap().len(), 2);
    assert_eq!(event.get("ContinuationSequenceNumber"), None);
    let end = client.next().await;
    assert_eq!((end.kind, end.stream, end.ends_stream()), (DATA, 1, true));
    drop(client);
    server.shutdown().await;
}

#[tokio::test]
async fn http1_carries_a_subscription_in_chunks_of_no_known_length() {
    let (server, _, subscribe) = world().await;
    let mut client = connect(&server).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: broker\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: \
         Kinesis_20131202.SubscribeToShard\r\nX-Amz-Date: 20130101T100000Z\r\nAuthorization: {SIGNATURE}\r\n\
         Content-Length: {}\r\n\r\n{subscribe}",
        subscribe.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
    assert!(
        head.contains("\r\ncontent-type: application/vnd.amazon.eventstream\r\n"),
        "{head}"
    );
    assert!(!head.contains("content-length"), "{head}");

    // A server that stops ends what is left of the body as if that were all.
    server.shutdown().await;
    let mut body = Vec::new();
    client.read_to_end(&mut body).await.unwrap();
    assert!(body.ends_with(b"0\r\n\r\n"));
}
