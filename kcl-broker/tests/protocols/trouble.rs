//! What is left of a connection when an answer is lost.

use kcl_broker::{Broker, Server, api::CreateStream, trouble::Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    connect,
    frames::{Client, DATA, HEADERS, RST_STREAM},
};

const WINDOW: u32 = 512 << 10;
const PUT: &str = r#"{"StreamName": "s", "PartitionKey": "k", "Data": "AAAA"}"#;

async fn world() -> (Server, Broker) {
    let broker = Broker::new();
    broker.call(CreateStream::new("s", 1)).unwrap();
    let server = Server::bind(broker.clone(), ([127, 0, 0, 1], 0)).await.unwrap();
    (server, broker)
}

#[tokio::test]
async fn a_lost_answer_resets_a_stream_of_http2_and_leaves_the_connection() {
    let (server, broker) = world().await;
    broker
        .trouble()
        .add(Fault::drop_answer().on("PutRecord").times(1))
        .unwrap();
    let mut client = Client::new(connect(&server).await, WINDOW).await;
    client.ask(1, "PutRecord", PUT).await;
    let reset = client.next().await;
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1), "{reset:?}");
    client.ask(3, "PutRecord", PUT).await;
    let head = client.next().await;
    assert_eq!((head.kind, head.stream), (HEADERS, 3));
    client.rest(3).await;
    assert_eq!(broker.operations().counts()["PutRecord"].calls, 2);
    drop(client);
    server.shutdown().await;
}

#[tokio::test]
async fn a_lost_answer_closes_a_connection_of_http1_without_a_byte() {
    let (server, broker) = world().await;
    broker.trouble().add(Fault::drop_request()).unwrap();
    let mut socket = connect(&server).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: broker\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: \
         Kinesis_20131202.PutRecord\r\nX-Amz-Date: 20130101T100000Z\r\nAuthorization: {}\r\nContent-Length: \
         {}\r\n\r\n{PUT}",
        crate::SIGNATURE,
        PUT.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    server.shutdown().await;
}

#[tokio::test]
async fn a_subscription_that_is_cut_off_resets_its_stream_after_the_last_event() {
    let (server, broker) = world().await;
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let consumer = broker
        .call(kcl_broker::api::RegisterStreamConsumer::new(stream, "c"))
        .unwrap();
    broker.trouble().add(Fault::disconnect(1)).unwrap();
    let mut client = Client::new(connect(&server).await, WINDOW).await;
    let subscribe = format!(
        r#"{{"ConsumerARN": "{}", "ShardId": "shardId-000000000000", "StartingPosition": {{"Type": "LATEST"}}}}"#,
        consumer.consumer.consumer_arn
    );
    client.ask(1, "SubscribeToShard", &subscribe).await;
    assert_eq!(client.next().await.kind, HEADERS);
    let mut events = Vec::new();
    let reset = loop {
        let frame = client.next().await;
        if frame.kind != DATA {
            break frame;
        }
        assert!(!frame.ends_stream());
        events.extend(frame.payload);
    };
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1), "{reset:?}");
    let events = String::from_utf8_lossy(&events);
    assert_eq!(events.matches("ContinuationSequenceNumber").count(), 1, "{events}");
    drop(client);
    server.shutdown().await;
}
