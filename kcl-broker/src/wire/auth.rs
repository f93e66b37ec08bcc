//! Whether a request is signed. By whom, and whether rightly, nobody asks: a test has no secrets.

use std::borrow::Cow;

use http::{
    HeaderMap,
    header::{AUTHORIZATION, DATE, HeaderName},
    request::Parts,
};

use crate::api::{ApiError, ErrorKind};

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// The parameter that tells a signed query from others.
const ALGORITHM: &str = "X-Amz-Algorithm";
const IN_HEADER: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];
const IN_QUERY: [&str; 5] = [
    ALGORITHM,
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
];

/// Refuses what no client that signs would send.
pub(super) fn check(head: &Parts) -> Result<(), ApiError> {
    let header = header_text(&head.headers).filter(|header| !header.is_empty());
    let query = head.uri.query().unwrap_or_default();
    match (header, is_named(query, ALGORITHM)) {
        (Some(_), true) => {
            let message = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
            Err(ApiError::new(ErrorKind::InvalidSignature, message))
        }
        (None, false) => {
            let message = "Missing Authentication Token";
            Err(ApiError::new(ErrorKind::MissingAuthenticationToken, message))
        }
        (Some(header), false) => check_header(&header, &head.headers),
        (None, true) => check_query(query),
    }
}

fn check_header(header: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let parameters = || header.split([',', ' ']).skip(1);
    let mut gaps = IN_HEADER
        .into_iter()
        .filter(|name| !parameters().any(|parameter| value_of(parameter, name).is_some_and(|value| !value.is_empty())))
        .map(|name| format!("Authorization header requires '{name}' parameter. "))
        .collect::<String>();
    if !headers.contains_key(AMZ_DATE) && !headers.contains_key(DATE) {
        gaps.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
    }
    incomplete(&gaps, format_args!("Authorization={header}"))
}

fn check_query(query: &str) -> Result<(), ApiError> {
    let gaps = IN_QUERY
        .into_iter()
        .filter(|name| !pairs(query).any(|pair| value_of(pair, name).is_some_and(|value| !value.is_empty())))
        .map(|name| format!("AWS query-string parameters must include '{name}'. "))
        .collect::<String>();
    incomplete(&gaps, format_args!("Re-examine the query-string parameters."))
}

fn incomplete(gaps: &str, advice: std::fmt::Arguments<'_>) -> Result<(), ApiError> {
    if gaps.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(ErrorKind::IncompleteSignature, format!("{gaps}{advice}")))
}

fn header_text(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    Some(String::from_utf8_lossy(headers.get(AUTHORIZATION)?.as_bytes()))
}

fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&')
}

fn is_named(query: &str, name: &str) -> bool {
    pairs(query).any(|pair| pair.split('=').next() == Some(name))
}

fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    pair.strip_prefix(name)?.strip_prefix('=')
}
