//! One port for both versions of HTTP.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::timeout,
};

use crate::{
    ask_over_http1, connect,
    frames::{ACK, Client, DATA, GOAWAY, HEADERS, PING, WINDOW_UPDATE},
    server,
};

/// `:status: 200` and `:status: 400` of the static table.
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;
/// What the Java client library asks for.
const WINDOW: u32 = 512 << 10;

#[tokio::test]
async fn one_port_speaks_both_versions() {
    let server = server().await;
    let mut old = connect(&server).await;
    let mut new = Client::new(connect(&server).await, WINDOW).await;

    let (head, body) = ask_over_http1(&mut old, "CreateStream", r#"{"StreamName": "s", "ShardCount": 1}"#).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "");

    new.ask(1, "ListStreams", "{}").await;
    let head = new.next().await;
    assert_eq!((head.kind, head.stream, head.payload[0]), (HEADERS, 1, OK));
    let listed = new.rest(1).await;
    let (head, body) = ask_over_http1(&mut old, "ListStreams", "{}").await;
    assert!(head.contains("x-amzn-requestid: "), "{head}");
    assert_eq!(body.as_bytes(), listed);
    assert!(body.contains(r#""StreamNames":["s"]"#));

    // Streams of a connection are independent, errors are errors, and an answer may have no body.
    new.ask(3, "CreateStream", r#"{"StreamName": "s", "ShardCount": 1}"#)
        .await;
    let head = new.next().await;
    assert_eq!((head.kind, head.stream, head.payload[0]), (HEADERS, 3, BAD_REQUEST));
    assert!(
        String::from_utf8(new.rest(3).await)
            .unwrap()
            .contains("ResourceInUseException")
    );
    new.ask(5, "DeleteStream", r#"{"StreamName": "s"}"#).await;
    let head = new.next().await;
    assert_eq!((head.kind, head.stream, head.payload[0]), (HEADERS, 5, OK));
    assert!(head.ends_stream());

    drop((old, new));
    server.shutdown().await;
}

#[tokio::test]
async fn pings_are_answered_and_windows_are_respected() {
    let server = server().await;
    let mut client = Client::new(connect(&server).await, 10).await;
    client.ask(1, "ListStreams", "{}").await;
    let head = client.next().await;
    assert_eq!(head.kind, HEADERS);
    let first = client.next().await;
    assert_eq!((first.kind, first.payload.len()), (DATA, 10));

    // Frames are read in order: were there more data, it would come before the answer to the ping.
    client.send(PING, 0, 0, b"are you?").await;
    let pong = client.next().await;
    assert_eq!(
        (pong.kind, pong.is_ack(), &pong.payload[..]),
        (PING, true, &b"are you?"[..])
    );

    client.send(WINDOW_UPDATE, 0, 1, &1000_u32.to_be_bytes()).await;
    let body = [first.payload, client.rest(1).await].concat();
    assert_eq!(
        body,
        br#"{"StreamNames":[],"HasMoreStreams":false,"StreamSummaries":[]}"#
    );
    drop(client);
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_closes_connections() {
    let server = server().await;
    let (mut silent, mut old) = (connect(&server).await, connect(&server).await);
    let mut new = Client::new(connect(&server).await, WINDOW).await;
    ask_over_http1(&mut old, "ListStreams", "{}").await;
    new.ask(1, "ListStreams", "{}").await;
    assert_eq!(new.next().await.kind, HEADERS);
    new.rest(1).await;

    let stopping = tokio::spawn(server.shutdown());
    assert_eq!(new.next().await.kind, GOAWAY);
    // Only when the client has heard of it the server is sure that no further request is on its way.
    let ping = new.next().await;
    assert_eq!(ping.kind, PING);
    new.send(PING, ACK, 0, &ping.payload).await;
    assert_eq!(new.next().await.kind, GOAWAY);
    assert!(new.is_closed().await);
    for socket in [&mut silent, &mut old] {
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
    }
    stopping.await.unwrap();
}

#[tokio::test]
async fn bodies_without_bounds_are_refused_before_they_are_read() {
    let server = server().await;
    let mut socket = connect(&server).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: broker\r\nContent-Length: {}\r\n\r\n",
        33 << 20
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    drop(socket);
    server.shutdown().await;
}

#[tokio::test]
async fn given_clients_that_announce_much_and_send_nothing_when_another_asks_then_it_is_answered_at_once() {
    let server = server().await;
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let mut socket = connect(&server).await;
        let request = b"POST / HTTP/1.1\r\nHost: broker\r\nContent-Length: 30000000\r\n\r\n{";
        socket.write_all(request).await.unwrap();
        stalled.push(socket);
    }
    // Of these streams nobody knows how much will come.
    let mut open = Client::new(connect(&server).await, WINDOW).await;
    for stream in 0..64 {
        open.ask_without_end(stream * 2 + 1, "ListStreams", "{").await;
    }
    open.send(PING, 0, 0, b"arrived?").await;
    let pong = open.next().await;
    assert_eq!((pong.kind, pong.is_ack()), (PING, true));

    let mut socket = connect(&server).await;
    // Half as long as it would be given to the others to go on.
    let answered = timeout(
        Duration::from_secs(30),
        ask_over_http1(&mut socket, "ListStreams", "{}"),
    );
    let (head, _) = answered.await.unwrap();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    drop((stalled, open, socket));
    server.shutdown().await;
}

#[tokio::test]
async fn given_more_large_bodies_than_there_is_room_for_when_they_arrive_together_then_all_are_answered() {
    let server = server().await;
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let mut socket = connect(&server).await;
        clients.spawn(async move {
            // Of no format, so that no time is spent on what it says.
            ask_over_http1(&mut socket, "ListStreams", &"x".repeat(30 << 20))
                .await
                .0
        });
    }
    while let Some(head) = clients.join_next().await {
        assert!(head.unwrap().starts_with("http/1.1 400"));
    }
    server.shutdown().await;
}

/// Sends this, and waits until the server closes the connection. Time passes when nobody does anything.
async fn assert_is_closed_after(begin: &[u8]) {
    let server = server().await;
    let mut socket = connect(&server).await;
    socket.write_all(begin).await.unwrap();
    let mut answer = Vec::new();
    // A server that has not read everything may reset the connection instead.
    let _ = socket.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", answer.escape_ascii());
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_go_on_is_hung_up_on() {
    // Nothing; what may become either version; half a head; half a body; HTTP/2 without a request.
    assert_is_closed_after(b"").await;
    assert_is_closed_after(b"PRI * HT").await;
    assert_is_closed_after(b"POST / HTTP/1.1\r\nHost: br").await;
    assert_is_closed_after(b"POST / HTTP/1.1\r\nHost: broker\r\nContent-Length: 10\r\n\r\n{").await;
    assert_is_closed_after(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
}
