//! What is refused before anybody looks at values, and the headers of all answers.

use super::*;

const CBOR: &str = "application/x-amz-cbor-1.1";
const LIST_STREAMS: &str = "Kinesis_20131202.ListStreams";
const UNKNOWN_JSON: &[u8] = br#"{"__type":"UnknownOperationException"}"#;
const UNREADABLE_JSON: &[u8] = br#"{"__type":"SerializationException"}"#;
const UNKNOWN_CBOR: &[u8] = b"\xa1\x66__type\x78\x19UnknownOperationException";
const UNREADABLE_CBOR: &[u8] = b"\xa1\x66__type\x76SerializationException";
const UNKNOWN_PLAIN: &[u8] =
    br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
const UNREADABLE_PLAIN: &[u8] =
    br#"{"Output":{"__type":"com.amazon.coral.service#SerializationException"},"Version":"1.0"}"#;
const DENIED: &[u8] = b"<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be \
                        authorized</Message>\n</AccessDeniedException>\n";
const NO_SUCH_PLACE: &[u8] = b"<UnknownOperationException/>\n";

struct Case {
    method: Method,
    target: Option<&'static str>,
    content_type: Option<&'static str>,
    body: &'static [u8],
}

impl Case {
    fn post(target: Option<&'static str>, content_type: Option<&'static str>, body: &'static [u8]) -> Self {
        Self {
            method: Method::POST,
            target,
            content_type,
            body,
        }
    }

    #[track_caller]
    fn gets(&self, status: u16, content_type: Option<&str>, body: &[u8]) {
        let headers = headers(self.target, self.content_type);
        let answer = respond(&broker(), &self.method, &headers, self.body);
        let content_type_of = |headers: &HeaderMap| Some(headers.get(CONTENT_TYPE)?.to_str().unwrap().to_owned());
        assert_eq!(
            (
                answer.status().as_u16(),
                content_type_of(answer.headers()).as_deref(),
                answer.body().escape_ascii().to_string()
            ),
            (status, content_type, body.escape_ascii().to_string()),
        );
        assert!(answer.headers().contains_key(REQUEST_ID));
        assert!(answer.headers().contains_key(EXTENDED_ID));
    }
}

#[test]
fn other_methods_than_post_are_denied() {
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD] {
        let case = Case {
            method,
            target: Some(LIST_STREAMS),
            content_type: Some(JSON),
            body: b"{}",
        };
        case.gets(403, None, DENIED);
    }
}

#[test]
fn an_empty_body_is_unreadable_and_told_in_cbor_unless_json_was_spoken() {
    let known = Some(LIST_STREAMS);
    Case::post(known, Some(JSON), b"").gets(400, Some(JSON), UNREADABLE_JSON);
    Case::post(None, Some(JSON), b"").gets(400, Some(JSON), UNKNOWN_JSON);
    for content_type in [
        None,
        Some(CBOR),
        Some(PLAIN_JSON),
        Some("application/x-amz-json-1.0"),
        Some("x"),
    ] {
        Case::post(known, content_type, b"").gets(400, Some(CBOR), UNREADABLE_CBOR);
        Case::post(Some("Kinesis_20131202."), content_type, b"").gets(400, Some(CBOR), UNKNOWN_CBOR);
        Case::post(None, content_type, b"").gets(400, Some(CBOR), UNKNOWN_CBOR);
    }
}

#[test]
fn an_unknown_content_type_is_no_such_place_or_denied() {
    for content_type in [None, Some("text/plain"), Some("application/x-amz-json-1.1asdf")] {
        for target in [LIST_STREAMS, "Kinesis_20131202.Whatever", "Whatever.Whatever"] {
            Case::post(Some(target), content_type, b"{}").gets(404, None, NO_SUCH_PLACE);
        }
        for target in [None, Some("Whatever"), Some("Kinesis_20131202."), Some(".ListStreams")] {
            Case::post(target, content_type, b"{}").gets(403, None, DENIED);
        }
    }
}

#[test]
fn a_body_is_read_before_it_is_asked_what_it_is_for() {
    for target in [Some(LIST_STREAMS), Some("Whatever.Whatever"), None] {
        for body in [&b"hello"[..], b"true", b"null", b"{"] {
            Case::post(target, Some(JSON), body).gets(400, Some(JSON), UNREADABLE_JSON);
            Case::post(target, Some(CBOR), body).gets(400, Some(CBOR), UNREADABLE_CBOR);
            Case::post(target, Some(PLAIN_JSON), body).gets(400, Some(PLAIN_JSON), UNREADABLE_PLAIN);
        }
        Case::post(target, Some(PLAIN_JSON), b"{}").gets(404, Some(PLAIN_JSON), UNKNOWN_PLAIN);
    }
    for target in [None, Some("Kinesis_20131202.CreateQueue"), Some("Whatever.ListStreams")] {
        Case::post(target, Some(JSON), b"{}").gets(400, Some(JSON), UNKNOWN_JSON);
        Case::post(target, Some(CBOR), b"\xa0").gets(400, Some(CBOR), UNKNOWN_CBOR);
    }
}

#[test]
fn content_types_may_have_parameters_and_spaces() {
    let listed = br#"{"StreamNames":[],"HasMoreStreams":false,"StreamSummaries":[]}"#;
    let known = Some(LIST_STREAMS);
    for content_type in [
        "application/x-amz-json-1.1; charset=utf-8",
        "  application/x-amz-json-1.1   ;whatever",
    ] {
        Case::post(known, Some(content_type), b"{}").gets(200, Some(JSON), listed);
    }
    let listed = b"\xa3\x6bStreamNames\x80\x6eHasMoreStreams\xf4\x6fStreamSummaries\x80";
    Case::post(known, Some("application/x-amz-cbor-1.1;charset=utf-8"), b"\xbf\xff").gets(200, Some(CBOR), listed);
}

/// What is said to a request with an empty structure, signed like this.
fn refusal_of(uri: &str, signature: Option<&str>, date: Option<&str>) -> Value {
    let mut request = http::Request::post(uri)
        .header(TARGET, LIST_STREAMS)
        .header(CONTENT_TYPE, JSON);
    for (name, value) in [("authorization", signature), ("date", date)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let answer = answer_to(&broker(), request.body(()).unwrap(), b"{}");
    let body = serde_json::from_slice::<Value>(answer.body()).unwrap();
    assert_eq!(answer.status() == StatusCode::OK, body.get("__type").is_none());
    json!([body["__type"], body["message"]])
}

#[test]
fn unsigned_requests_are_refused() {
    let missing = json!(["MissingAuthenticationTokenException", "Missing Authentication Token"]);
    assert_eq!(refusal_of("/", None, Some("a")), missing);
    assert_eq!(refusal_of("/", Some(""), Some("a")), missing);
    let query = "/?X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d";
    assert_eq!(refusal_of(query, None, None), missing);
}

#[test]
fn a_signature_must_be_whole_and_in_one_place() {
    let both = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
    let both = json!(["InvalidSignatureException", both]);
    assert_eq!(refusal_of("/?X-Amz-Algorithm", Some("X"), None), both);

    let incomplete = |message: &str| json!(["IncompleteSignatureException", message]);
    let message = "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' \
                   parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires \
                   existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=X";
    assert_eq!(refusal_of("/?X-Amz-Algorith", Some("X"), None), incomplete(message));
    for signature in [
        "AWS4- Signature=b Credential=a",
        "AWS4- Signature=b,Credential=a",
        "AWS4- Signature=b, Credential=a",
    ] {
        let message = format!("Authorization header requires 'SignedHeaders' parameter. Authorization={signature}");
        assert_eq!(refusal_of("/", Some(signature), Some("a")), incomplete(&message));
    }

    let message =
        "AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters.";
    let query = "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=&X-Amz-Date=d";
    assert_eq!(refusal_of(query, None, None), incomplete(message));
}

#[test]
fn whole_signatures_are_accepted_whatever_they_are_and_wherever_the_request_goes() {
    let accepted = json!([null, null]);
    assert_eq!(refusal_of("/any/path?at=all", Some(SIGNATURE), Some("a")), accepted);
    let query = "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d&X-Amz-Date=e";
    assert_eq!(refusal_of(query, None, None), accepted);
}

#[test]
fn browsers_may_do_what_they_ask_for() {
    let preflight = http::Request::options("/")
        .header("origin", "http://localhost")
        .header("access-control-request-headers", "a, b, c")
        .header("access-control-request-method", "d");
    let answer = answer_to(&broker(), preflight.body(()).unwrap(), b"");
    assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 0));
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["access-control-allow-headers"], "a, b, c");
    assert_eq!(headers["access-control-allow-methods"], "d");
    assert_eq!(headers["access-control-max-age"], "172800");
    assert!(headers.contains_key(REQUEST_ID));
    assert!(!headers.contains_key(EXTENDED_ID) && !headers.contains_key(CONTENT_TYPE));

    let mut headers = super::headers(Some(LIST_STREAMS), Some(JSON));
    headers.insert("origin", HeaderValue::from_static("http://localhost"));
    let answer = respond(&broker(), &Method::POST, &headers, b"{}");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.split(',').any(|name| name == "x-amzn-RequestId"));
    assert!(!answer.headers().contains_key("access-control-max-age"));
}
