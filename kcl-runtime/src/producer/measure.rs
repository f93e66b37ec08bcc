//! What a producer measures.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Unit};
use kcl_core::{
    StreamName,
    producer::{Placed, PutFailure},
};

use super::metrics::{AGAIN, BYTES, CALL_RECORDS, CALL_USER_RECORDS, CALLS, OUTSTANDING, RECORDS, SECONDS};
use crate::clock::seconds;

/// Tells the recorder what the producer's metrics mean. Called by every producer; calling it again does no harm.
pub fn describe() {
    ::metrics::describe_counter!(RECORDS, Unit::Count, "Records that are written or given up");
    ::metrics::describe_counter!(BYTES, Unit::Bytes, "Data and keys of the records that were put");
    ::metrics::describe_counter!(CALLS, Unit::Count, "Calls of PutRecords");
    ::metrics::describe_histogram!(CALL_RECORDS, Unit::Count, "Kinesis records in a call");
    ::metrics::describe_histogram!(CALL_USER_RECORDS, Unit::Count, "User records in a call");
    ::metrics::describe_counter!(AGAIN, Unit::Count, "Records that are sent again");
    ::metrics::describe_gauge!(OUTSTANDING, Unit::Count, "Records accepted and not done");
    ::metrics::describe_histogram!(SECONDS, Unit::Seconds, "From acceptance to the end of a record");
}

/// The metrics of one producer, looked up once.
pub(super) struct Measures {
    stream: String,
    bytes: Counter,
    call_records: Histogram,
    call_user_records: Histogram,
    outstanding: Gauge,
    seconds: Histogram,
}

impl Measures {
    pub(super) fn new(stream: &StreamName) -> Self {
        let stream = stream.to_string();
        Self {
            bytes: ::metrics::counter!(BYTES, "stream" => stream.clone()),
            call_records: ::metrics::histogram!(CALL_RECORDS, "stream" => stream.clone()),
            call_user_records: ::metrics::histogram!(CALL_USER_RECORDS, "stream" => stream.clone()),
            outstanding: ::metrics::gauge!(OUTSTANDING, "stream" => stream.clone()),
            seconds: ::metrics::histogram!(SECONDS, "stream" => stream.clone()),
            stream,
        }
    }

    pub(super) fn accepted(&self, bytes: usize) {
        self.bytes.increment(bytes as u64);
        self.outstanding.increment(1.0);
    }

    pub(super) fn done(&self, result: &Result<Placed, PutFailure>, took: Duration) {
        let outcome = match result {
            Ok(_) => "written",
            Err(PutFailure::Expired { .. }) => "expired",
            Err(_) => "refused",
        };
        ::metrics::counter!(RECORDS, "stream" => self.stream.clone(), "outcome" => outcome).increment(1);
        self.outstanding.decrement(1.0);
        self.seconds.record(seconds(took));
    }

    pub(super) fn called(&self, records: usize, user_records: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a histogram's buckets are coarser than that")]
        let (records, user_records) = (records as f64, user_records as f64);
        self.call_records.record(records);
        self.call_user_records.record(user_records);
    }

    pub(super) fn answered(&self, whole: bool) {
        let outcome = if whole { "answered" } else { "failed" };
        ::metrics::counter!(CALLS, "stream" => self.stream.clone(), "outcome" => outcome).increment(1);
    }

    pub(super) fn again(&self, records: usize, code: String) {
        ::metrics::counter!(AGAIN, "stream" => self.stream.clone(), "code" => code).increment(records as u64);
    }
}
