//! `vnd.amazon.eventstream`: what subscriptions are written in.
//!
//! A frame is its length, the length of its headers, a checksum of these two, the headers, the payload, and a checksum
//! of all before. Payloads are JSON with times in seconds, whatever the request was encoded in.

use bytes::{BufMut, Bytes};
use serde_json::json;

use super::{Format, PLAIN_JSON, json};
use crate::api::{ApiError, SubscribeToShardEvent};

/// The content type of a stream of frames.
pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
const FRAME_OVERHEAD_BYTES: usize = 256;
/// What tells that a header's value is a text.
const TEXT: u8 = 7;

/// The first frame, without which some clients do not take the stream for one.
pub(super) fn initial_response() -> Bytes {
    let headers = [
        (":message-type", "event"),
        (":event-type", "initial-response"),
        (":content-type", Format::Json.content_type()),
    ];
    frame(&headers, 2, |buffer| buffer.put_slice(b"{}"))
}

/// The frame of an event.
pub(super) fn event(event: &SubscribeToShardEvent) -> Bytes {
    let headers = [
        (":message-type", "event"),
        (":event-type", "SubscribeToShardEvent"),
        (":content-type", PLAIN_JSON),
    ];
    frame(&headers, json::capacity_for(&event.records), |buffer| {
        json::put_event(buffer, event);
    })
}

/// The frame of the error that a subscription ends with.
pub(super) fn exception(error: &ApiError) -> Bytes {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", error.kind().as_str()),
        (":content-type", PLAIN_JSON),
    ];
    let payload = match error.message() {
        Some(message) => json!({ "message": message }),
        None => json!({}),
    };
    let payload = payload.to_string();
    frame(&headers, payload.len(), |buffer| buffer.put_slice(payload.as_bytes()))
}

/// A frame whose payload `put_payload` writes in place.
fn frame(headers: &[(&str, &str)], capacity: usize, put_payload: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut frame = Vec::with_capacity(capacity + FRAME_OVERHEAD_BYTES);
    frame.put_bytes(0, PRELUDE_BYTES);
    for (name, value) in headers {
        frame.put_u8(name.len() as u8);
        frame.put_slice(name.as_bytes());
        frame.put_u8(TEXT);
        frame.put_u16(value.len() as u16);
        frame.put_slice(value.as_bytes());
    }
    let headers_len = frame.len() - PRELUDE_BYTES;
    put_payload(&mut frame);
    let len = frame.len() + CHECKSUM_BYTES;
    let mut prelude = &mut frame[..PRELUDE_BYTES];
    prelude.put_u32(len as u32);
    prelude.put_u32(headers_len as u32);
    let checksum = crc32fast::hash(&frame[..PRELUDE_BYTES - CHECKSUM_BYTES]);
    frame[PRELUDE_BYTES - CHECKSUM_BYTES..PRELUDE_BYTES].copy_from_slice(&checksum.to_be_bytes());
    frame.put_u32(crc32fast::hash(&frame));
    Bytes::from(frame)
}

#[cfg(test)]
mod tests;
