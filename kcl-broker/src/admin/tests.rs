use ::http::Request;
use serde_json::Value;

use super::*;
use crate::api::{CreateStream, PutRecord};

const LOCAL: &str = "127.0.0.1:50000";

fn ask(broker: &Broker, peer: &str, request: Request<&str>) -> (StatusCode, Value) {
    let (head, body) = request.into_parts();
    assert!(is_meant(&head));
    let response = respond(broker, peer.parse().unwrap(), &head, body.as_bytes());
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    (response.status(), serde_json::from_slice(response.body()).unwrap())
}

fn request<'a>(method: &str, path: &str, body: &'a str) -> Request<&'a str> {
    let request = Request::builder().method(method).uri(path);
    request.header(HOST, "127.0.0.1:4567").body(body).unwrap()
}

#[test]
fn faults_are_added_listed_and_cleared() {
    let broker = Broker::new();
    let fault = r#"{"fault": "throttle", "operation": "PutRecord", "times": 1}"#;
    for id in 1..=2 {
        let added = ask(&broker, LOCAL, request("POST", "/_kcl/faults", fault));
        assert_eq!(added, (StatusCode::OK, json!({ "id": id })));
    }
    broker.call(PutRecord::new("s", "k", "d")).unwrap_err();
    let (status, listed) = ask(&broker, LOCAL, request("GET", "/_kcl/faults", ""));
    assert_eq!(status, StatusCode::OK);
    let first = json!({
        "id": 1, "fault": "throttle", "operation": "PutRecord", "times": 1, "matched": 1, "struck": 1,
    });
    assert_eq!(
        (&listed["faults"][0], &listed["faults"][1]["struck"]),
        (&first, &json!(0))
    );

    let (status, removed) = ask(&broker, LOCAL, request("DELETE", "/_kcl/faults/1", ""));
    assert_eq!((status, &removed["faults"][0]), (StatusCode::OK, &first));
    for id in ["1", "x", ""] {
        let (status, _) = ask(&broker, LOCAL, request("DELETE", &format!("/_kcl/faults/{id}"), ""));
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
    }
    let (_, cleared) = ask(&broker, LOCAL, request("DELETE", "/_kcl/faults", ""));
    assert_eq!(cleared["faults"][0]["id"], 2);
    assert_eq!(broker.trouble().list(), []);
}

#[test]
fn what_cannot_be_planned_is_refused_with_the_reason() {
    let broker = Broker::new();
    for (fault, problem) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        (r#"{"fault": "throtle"}"#, "there is no fault \"throtle\"; "),
        (
            r#"{"fault": "throttle", "operation": "Put"}"#,
            "there is no operation \"Put\"; ",
        ),
    ] {
        let (status, answer) = ask(&broker, LOCAL, request("POST", "/_kcl/faults", fault));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{fault}");
        assert!(answer["error"].as_str().unwrap().starts_with(problem), "{answer}");
    }
}

#[test]
fn the_log_is_read_through_a_filter() {
    let broker = Broker::new();
    broker.call(CreateStream::new("s", 1)).unwrap();
    broker.call(PutRecord::new("s", "k", "data")).unwrap();
    broker.call(PutRecord::new("t", "k", "data")).unwrap_err();
    let path = "/_kcl/operations?operation=PutRecord&failed=true&after=1&last=5";
    let (status, answer) = ask(&broker, LOCAL, request("GET", path, ""));
    assert_eq!(status, StatusCode::OK);
    let calls = answer["operations"].as_array().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["serial"], 3);
    assert_eq!(calls[0]["outcome"], "ResourceNotFoundException");
    assert_eq!(calls[0]["request"], json!({"records": 1, "bytes": 5}));
    assert_eq!(answer["last_serial"], 3);
    assert_eq!(answer["counts"]["PutRecord"]["calls"], 2);
    let (_, all) = ask(&broker, LOCAL, request("GET", "/_kcl/operations", ""));
    assert_eq!(all["operations"].as_array().unwrap().len(), 3);
    for query in ["failed=maybe", "operatoin=PutRecord", "last=-1"] {
        let (status, _) = ask(&broker, LOCAL, request("GET", &format!("/_kcl/operations?{query}"), ""));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[test]
fn only_programs_on_this_machine_are_answered() {
    let broker = Broker::new();
    let with = |header: &str, value: &str| {
        let mut request = request("GET", "/_kcl/faults", "");
        let name = ::http::HeaderName::try_from(header).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for (peer, request, status) in [
        (LOCAL, with("accept", "*/*"), 200),
        ("[::1]:50000", with("host", "[::1]:4567"), 200),
        ("[::ffff:127.0.0.1]:50000", with("host", "localhost:4567"), 200),
        (LOCAL, with("host", "localhost"), 200),
        ("10.0.0.2:50000", with("accept", "*/*"), 403),
        ("[2001:db8::1]:50000", with("accept", "*/*"), 403),
        (LOCAL, with("origin", "http://127.0.0.1:4567"), 403),
        (LOCAL, with("origin", "null"), 403),
        (LOCAL, with("host", "rebound.example.com:4567"), 403),
        (LOCAL, with("host", "127.0.0.1.example.com"), 403),
    ] {
        let shown = format!("{peer} {:?}", request.headers());
        let (answered, body) = ask(&broker, peer, request);
        assert_eq!(answered.as_u16(), status, "{shown}: {body}");
    }
    let no_host = Request::builder().uri("/_kcl/faults").body("").unwrap();
    assert_eq!(ask(&broker, LOCAL, no_host).0, StatusCode::FORBIDDEN);
    let authority = Request::builder()
        .uri("http://127.0.0.1:4567/_kcl/faults")
        .body("")
        .unwrap();
    assert_eq!(ask(&broker, LOCAL, authority).0, StatusCode::OK);
}

#[test]
fn what_there_is_not_is_not_found_and_what_cannot_be_done_is_not_allowed() {
    let broker = Broker::new();
    for (method, path, status) in [
        ("GET", "/_kcl/nothing", 404),
        ("GET", "/_kcl/", 404),
        ("PUT", "/_kcl/faults", 405),
        ("DELETE", "/_kcl/operations", 405),
        ("POST", "/_kcl/faults/1", 405),
    ] {
        let (answered, body) = ask(&broker, LOCAL, request(method, path, ""));
        assert_eq!(answered.as_u16(), status, "{method} {path}: {body}");
    }
}

#[test]
fn requests_of_clients_of_the_service_are_not_mistaken() {
    let meant = |path: &str, target: Option<&str>| {
        let mut request = Request::builder().method("POST").uri(path);
        if let Some(target) = target {
            request = request.header(TARGET, target);
        }
        is_meant(&request.body(()).unwrap().into_parts().0)
    };
    assert!(meant("/_kcl/faults", None));
    assert!(!meant("/_kcl/faults", Some("Kinesis_20131202.ListStreams")));
    assert!(!meant("/", Some("Kinesis_20131202.ListStreams")));
    assert!(!meant("/", None));
    assert!(!meant("/_kclfaults", None));
}
