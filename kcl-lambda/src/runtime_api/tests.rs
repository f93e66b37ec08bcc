//! A client that does what real ones do, and one that does what none should.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::*;
use crate::{
    invoke::{FunctionErrorKind, RequestId},
    wall::wall,
};

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next";

fn id(number: u128) -> RequestId {
    RequestId::from(uuid::Uuid::from_u128(number))
}

fn invocation(number: u128) -> Invocation {
    let event = Bytes::from_static(b"{\"Records\":[]}");
    Invocation::new(
        id(number),
        event,
        Duration::from_secs(3),
        "arn:aws:lambda:eu-west-1:111122223333:function:probe",
    )
}

async fn api() -> RuntimeApi {
    RuntimeApi::bind(RuntimeApiConfig::default()).await.unwrap()
}

/// One connection.
struct Client {
    socket: BufReader<TcpStream>,
    host: String,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    fn error_type(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert!(body["errorMessage"].is_string(), "{body}");
        body["errorType"].as_str().unwrap().to_owned()
    }
}

impl Client {
    async fn of(api: &RuntimeApi) -> Self {
        Self {
            socket: BufReader::new(TcpStream::connect(api.address()).await.unwrap()),
            host: api.address().to_string(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    async fn begin(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{line} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !line.starts_with("GET") && !headers.iter().any(|(name, _)| *name == "Transfer-Encoding") {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(&[request.as_bytes(), b"\r\n", body].concat()).await;
    }

    async fn end(&mut self) -> Answer {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.socket.read_line(&mut line).await.unwrap(),
                0,
                "the connection was closed"
            );
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines[1..]
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
        self.socket.read_exact(&mut body).await.unwrap();
        Answer { status, headers, body }
    }

    async fn call(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.begin(line, headers, body).await;
        self.end().await
    }

    async fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.call(&format!("POST /2018-06-01/runtime/{path}"), &[], body).await
    }

    async fn respond(&mut self, number: u128, body: &[u8]) -> Answer {
        self.post(&format!("invocation/{}/response", id(number)), body).await
    }
}

/// A process that has taken this invocation.
async fn running(api: &RuntimeApi, number: u128) -> Client {
    let mut client = Client::of(api).await;
    client.begin(NEXT, &[], b"").await;
    api.started().await.unwrap();
    api.offer(invocation(number)).unwrap();
    let answer = client.end().await;
    assert_eq!(answer.header("lambda-runtime-aws-request-id"), id(number).to_string());
    client
}

#[tokio::test]
async fn an_invocation_goes_round() {
    let api = api().await;
    let mut client = Client::of(&api).await;
    client.begin(NEXT, &[], b"").await;
    api.started().await.unwrap();
    let before = wall().epoch_millis();
    api.offer(invocation(1).with_trace_id("Root=1-2")).unwrap();
    let given = client.end().await;
    assert_eq!(
        (given.status, given.body.as_slice()),
        (200, br#"{"Records":[]}"#.as_slice())
    );
    let expected = [
        ("content-type", "application/json"),
        ("lambda-runtime-aws-request-id", "00000000-0000-0000-0000-000000000001"),
        ("lambda-runtime-invocation-id", "00000000-0000-0000-0000-000000000001"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-west-1:111122223333:function:probe",
        ),
        ("lambda-runtime-trace-id", "Root=1-2"),
    ];
    for (name, value) in expected {
        assert_eq!(given.header(name), value, "{name}");
    }
    let deadline: i64 = given.header("lambda-runtime-deadline-ms").parse().unwrap();
    assert!(
        (before + 3000..=wall().epoch_millis() + 3000).contains(&deadline),
        "{deadline}"
    );

    let taken = client.respond(1, br#"{"batchItemFailures":[]}"#).await;
    assert_eq!(
        (taken.status, taken.body.as_slice()),
        (202, b"{\"status\":\"OK\"}\n".as_slice())
    );
    assert_eq!(api.answered().await.unwrap(), br#"{"batchItemFailures":[]}"#.as_slice());

    // On the same connection again.
    client.begin(NEXT, &[], b"").await;
    api.offer(invocation(2)).unwrap();
    assert_eq!(
        client.end().await.header("lambda-runtime-aws-request-id"),
        id(2).to_string()
    );
}

#[tokio::test]
async fn errors_are_read_as_each_client_puts_them() {
    // As Python, Node, Rust and a hurried script write them.
    let cases = [
        (
            json!({"errorMessage": "bad", "errorType": "ValueError", "requestId": "x", "stackTrace": ["a\n", "b\n"]})
                .to_string(),
            "",
            ("ValueError", "bad", vec!["a\n", "b\n"]),
        ),
        (
            json!({"errorType": "TypeError", "errorMessage": "bad", "trace": ["TypeError: bad", "  at f"]}).to_string(),
            "TypeError",
            ("TypeError", "bad", vec!["TypeError: bad", "  at f"]),
        ),
        (
            json!({"errorType": "alloc::string::String", "errorMessage": "bad"}).to_string(),
            "unhandled",
            ("alloc::string::String", "bad", vec![]),
        ),
        (
            "went wrong".to_owned(),
            "Runtime.Shell",
            ("Runtime.Shell", "went wrong", vec![]),
        ),
        (String::new(), "", ("Runtime.Unknown", "", vec![])),
    ];
    let api = api().await;
    for (number, (body, header, (error_type, message, stack))) in (1..).zip(cases) {
        let mut client = running(&api, number).await;
        let line = format!("POST /2018-06-01/runtime/invocation/{}/error", id(number));
        let headers = [("Lambda-Runtime-Function-Error-Type", header)];
        assert_eq!(client.call(&line, &headers, body.as_bytes()).await.status, 202);
        let error = api.answered().await.unwrap_err();
        assert_eq!(error.kind, FunctionErrorKind::Unhandled);
        assert_eq!(
            (error.error_type.as_str(), error.message.as_str()),
            (error_type, message)
        );
        assert_eq!(error.stack_trace, stack);
    }
}

#[tokio::test]
async fn what_a_client_knows_of_an_exception_may_be_a_mebibyte() {
    let api = api().await;
    let mut client = running(&api, 1).await;
    let cause = "x".repeat(1 << 20);
    let headers = [("Lambda-Runtime-Function-XRay-Error-Cause", cause.as_str())];
    let line = format!("POST /2018-06-01/runtime/invocation/{}/error", id(1));
    assert_eq!(client.call(&line, &headers, b"{}").await.status, 202);
    assert!(api.answered().await.is_err());
}

#[tokio::test]
async fn a_start_that_fails_is_told() {
    let api = api().await;
    let mut client = Client::of(&api).await;
    let line = "POST /2018-06-01/runtime/init/error";
    let headers = [("Lambda-Runtime-Function-Error-Type", "Runtime.ImportModuleError")];
    let answer = client
        .call(line, &headers, br#"{"errorMessage":"No module named 'app'"}"#)
        .await;
    assert_eq!(answer.status, 202);
    let error = api.started().await.unwrap_err();
    assert_eq!(error.to_string(), "Runtime.ImportModuleError: No module named 'app'");
    // It may not say so twice, nor after it started.
    assert_eq!(
        client.call(line, &headers, b"{}").await.error_type(),
        "InvalidStateTransition"
    );
}

#[tokio::test]
async fn answers_to_what_does_not_run_are_refused() {
    let api = api().await;
    let mut early = Client::of(&api).await;
    let refused = early.respond(1, b"{}").await;
    assert_eq!(
        (refused.status, refused.error_type().as_str()),
        (403, "InvalidStateTransition")
    );

    let mut client = running(&api, 1).await;
    for wrong in ["7", "not-an-id", "00000000-0000-0000-0000-00000000000A"] {
        let refused = client.post(&format!("invocation/{wrong}/response"), b"{}").await;
        assert_eq!(
            (refused.status, refused.error_type().as_str()),
            (400, "InvalidRequestID")
        );
        let refused = client.post(&format!("invocation/{wrong}/error"), b"{}").await;
        assert_eq!(
            (refused.status, refused.error_type().as_str()),
            (400, "InvalidRequestID")
        );
    }
    assert_eq!(client.respond(1, b"\"mine\"").await.status, 202);
    let refused = client.respond(1, b"\"again\"").await;
    assert_eq!(
        (refused.status, refused.error_type().as_str()),
        (403, "InvalidStateTransition")
    );
    assert_eq!(api.answered().await.unwrap(), b"\"mine\"".as_slice());
    let refused = client.post("init/error", b"{}").await;
    assert_eq!(
        (refused.status, refused.error_type().as_str()),
        (403, "InvalidStateTransition")
    );

    // The next one is no answer of the last.
    client.begin(NEXT, &[], b"").await;
    api.offer(invocation(2)).unwrap();
    client.end().await;
    assert_eq!(client.respond(1, b"{}").await.error_type(), "InvalidRequestID");
    assert_eq!(client.respond(2, b"2").await.status, 202);
    assert_eq!(api.answered().await.unwrap(), b"2".as_slice());
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails_the_invocation() {
    let config = RuntimeApiConfig {
        response_bytes_max: 1000,
        ..RuntimeApiConfig::default()
    };
    let api = RuntimeApi::bind(config).await.unwrap();
    let mut client = running(&api, 1).await;
    assert_eq!(client.respond(1, &[b' '; 1000]).await.status, 202);
    assert_eq!(api.answered().await.unwrap().len(), 1000);

    let mut client = running(&api, 2).await;
    // More than what a socket buffers: a server that did not read it all would break the connection instead.
    let refused = client.respond(2, &vec![b' '; 8 << 20]).await;
    assert_eq!(
        (refused.status, refused.error_type().as_str()),
        (413, "RequestEntityTooLarge")
    );
    let error = api.answered().await.unwrap_err();
    assert_eq!(error.kind, FunctionErrorKind::ResponseTooLarge);
    assert_eq!(error.error_type, "Function.ResponseSizeTooLarge");
    client.begin(NEXT, &[], b"").await;
    api.offer(invocation(3)).unwrap();
    assert_eq!(client.end().await.status, 200, "the connection is as good as before");
}

async fn stream(client: &mut Client, number: u128, mode: &str, chunks: &[&str], trailers: &str) -> Answer {
    let line = format!("POST /2018-06-01/runtime/invocation/{}/response", id(number));
    let headers = [
        ("Transfer-Encoding", "chunked"),
        ("Lambda-Runtime-Function-Response-Mode", mode),
        (
            "Trailer",
            "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        ),
    ];
    client.begin(&line, &headers, b"").await;
    for chunk in chunks {
        client
            .send(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())
            .await;
    }
    client.send(format!("0\r\n{trailers}\r\n").as_bytes()).await;
    client.end().await
}

#[tokio::test]
async fn streamed_answers_are_put_together() {
    let api = api().await;
    let mut client = running(&api, 1).await;
    let chunks = ["{\"batchItem", "Failures\"", ":[]}"];
    assert_eq!(stream(&mut client, 1, "streaming", &chunks, "").await.status, 202);
    assert_eq!(api.answered().await.unwrap(), br#"{"batchItemFailures":[]}"#.as_slice());
}

#[tokio::test]
async fn a_streamed_answer_that_breaks_off_is_an_error() {
    let api = api().await;
    let mut client = running(&api, 1).await;
    // {"errorMessage":"half way","errorType":"Boom"}, and "half way", in base64.
    let trailers = "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\
                    Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJoYWxmIHdheSIsImVycm9yVHlwZSI6IkJvb20ifQ==\r\n";
    assert_eq!(
        stream(&mut client, 1, "streaming", &["{\"batch"], trailers)
            .await
            .status,
        202
    );
    let error = api.answered().await.unwrap_err();
    assert_eq!(
        (error.error_type.as_str(), error.message.as_str()),
        ("Boom", "half way")
    );

    // The client for Rust writes them as data.
    let mut client = running(&api, 2).await;
    let data = "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\
                Lambda-Runtime-Function-Error-Body: aGFsZiB3YXk=\r\n";
    assert_eq!(
        stream(&mut client, 2, "streaming", &["{\"batch", data], "")
            .await
            .status,
        202
    );
    let error = api.answered().await.unwrap_err();
    assert_eq!(
        (error.error_type.as_str(), error.message.as_str()),
        ("Runtime.StreamError", "half way")
    );

    let mut client = running(&api, 3).await;
    let refused = stream(&mut client, 3, "sideways", &["{}"], "").await;
    assert_eq!(
        (refused.status, refused.error_type().as_str()),
        (400, "InvalidFunctionResponseMode")
    );
    let error = api.answered().await.unwrap_err();
    assert_eq!(error.error_type, "Runtime.InvalidResponseModeHeader");
}

#[tokio::test]
async fn an_answer_dressed_for_the_web_is_undressed() {
    let api = api().await;
    let mut client = running(&api, 1).await;
    let line = format!("POST /2018-06-01/runtime/invocation/{}/response", id(1));
    let headers = [("Content-Type", "application/vnd.awslambda.http-integration-response")];
    let body = b"{\"statusCode\":200}\0\0\0\0\0\0\0\0{\"batchItemFailures\":[]}";
    assert_eq!(client.call(&line, &headers, body).await.status, 202);
    assert_eq!(api.answered().await.unwrap(), br#"{"batchItemFailures":[]}"#.as_slice());
}

#[tokio::test]
async fn an_invocation_that_was_lost_on_the_way_is_given_again() {
    let api = api().await;
    // It goes away while it waits: the invocation is for the next one.
    let mut waits = Client::of(&api).await;
    waits.begin(NEXT, &[], b"").await;
    api.started().await.unwrap();
    drop(waits);
    api.drained().await;
    let mut client = running(&api, 1).await;
    // It asks again without having answered.
    let again = client.call(NEXT, &[], b"").await;
    assert_eq!(again.header("lambda-runtime-aws-request-id"), id(1).to_string());
    // It comes back on another connection.
    drop(client);
    let mut other = Client::of(&api).await;
    let again = other.call(NEXT, &[], b"").await;
    assert_eq!(again.header("lambda-runtime-aws-request-id"), id(1).to_string());
    assert_eq!(other.respond(1, b"1").await.status, 202);
    assert_eq!(api.answered().await.unwrap(), b"1".as_slice());
}

#[tokio::test]
async fn an_invocation_runs_once_however_many_wait() {
    let api = api().await;
    let mut clients = [Client::of(&api).await, Client::of(&api).await];
    for client in &mut clients {
        client.begin(NEXT, &[], b"").await;
    }
    api.started().await.unwrap();
    api.offer(invocation(1)).unwrap();
    let [mut first, mut second] = clients;
    let (taken, mut taker, mut other) = tokio::select! {
        answer = first.end() => (answer, first, second),
        answer = second.end() => (answer, second, first),
    };
    assert_eq!(taken.header("lambda-runtime-aws-request-id"), id(1).to_string());
    assert_eq!(taker.respond(1, b"1").await.status, 202);
    assert_eq!(api.answered().await.unwrap(), b"1".as_slice());
    // What the other one gets is the next one.
    api.offer(invocation(2)).unwrap();
    assert_eq!(
        other.end().await.header("lambda-runtime-aws-request-id"),
        id(2).to_string()
    );
}

#[tokio::test]
async fn half_a_request_and_junk_change_nothing() {
    let api = api().await;
    let mut client = running(&api, 1).await;
    let mut broken = Client::of(&api).await;
    let half = format!(
        "POST /2018-06-01/runtime/invocation/{}/response HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\n{{",
        id(1),
        api.address()
    );
    broken.send(half.as_bytes()).await;
    drop(broken);
    let mut junk = Client::of(&api).await;
    junk.send(b"\x16\x03\x01\0\0junk\r\n\r\n").await;
    assert_eq!(junk.end().await.status, 400);
    for (line, status) in [
        ("GET /", 404),
        ("GET /2018-06-01/runtime/invocation", 404),
        ("POST /2018-06-01/runtime/invocation/next", 405),
        ("GET /2018-06-01/runtime/init/error", 405),
    ] {
        assert_eq!(client.call(line, &[], b"").await.status, status, "{line}");
    }
    assert_eq!(client.respond(1, b"1").await.status, 202);
    assert_eq!(api.answered().await.unwrap(), b"1".as_slice());
}

#[tokio::test]
async fn browsers_are_refused() {
    let api = api().await;
    let mut client = Client::of(&api).await;
    for headers in [[("Origin", "https://example.com")], [("Sec-Fetch-Site", "cross-site")]] {
        assert_eq!(client.call(NEXT, &headers, b"").await.status, 403);
    }
    client.host = "rebound.example.com".to_owned();
    assert_eq!(client.call(NEXT, &[], b"").await.status, 403);
    client.host = format!("localhost:{}", api.address().port());
    client.begin(NEXT, &[], b"").await;
    api.started().await.unwrap();
}

#[tokio::test]
async fn extensions_and_restores_find_what_they_touch() {
    let api = api().await;
    let mut client = Client::of(&api).await;
    let register = client
        .call("POST /2020-01-01/extension/register", &[], br#"{"events":[]}"#)
        .await;
    assert_eq!(register.status, 200);
    assert_eq!(register.header("lambda-extension-identifier").len(), 36);
    let body: Value = serde_json::from_slice(&register.body).unwrap();
    assert_eq!(
        body,
        json!({"functionName": "function", "functionVersion": "$LATEST", "handler": "bootstrap"})
    );
    assert_eq!(
        client
            .call("GET /2018-06-01/runtime/restore/next", &[], b"")
            .await
            .status,
        200
    );
    let telemetry = client.call("PUT /2022-07-01/telemetry", &[], b"{}").await;
    assert_eq!(
        (telemetry.status, telemetry.error_type().as_str()),
        (202, "Telemetry.NotSupported")
    );
    assert_eq!(
        client.post("restore/error", br#"{"errorMessage":"no"}"#).await.status,
        202
    );
    assert_eq!(api.started().await.unwrap_err().message, "no");
}

#[tokio::test]
async fn nothing_is_expected_of_a_process_that_is_given_up() {
    let api = api().await;
    let mut client = running(&api, 1).await;
    assert!(api.offer(invocation(2)).is_err(), "it has one");
    api.close();
    assert_eq!(client.respond(1, b"{}").await.status, 403);
    assert!(api.offer(invocation(2)).is_err());
}
