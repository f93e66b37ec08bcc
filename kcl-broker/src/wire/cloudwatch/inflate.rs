//! Bodies that clients have compressed.

use std::{borrow::Cow, io::Read as _};

use flate2::read::MultiGzDecoder;
use http::{header::CONTENT_ENCODING, request::Parts};

use crate::{
    cloudwatch::{MetricsError, MetricsErrorKind},
    wire::text_of,
};

/// The largest body after it is unpacked. What is sent is a megabyte at most, and compresses well.
const BYTES_MAX: u64 = 16 << 20;

/// The body as it was before the client compressed it.
pub(super) fn inflated<'a>(head: &Parts, body: &'a [u8]) -> Result<Cow<'a, [u8]>, MetricsError> {
    let malformed = |why: String| MetricsError::new(MetricsErrorKind::Malformed, why);
    match text_of(&head.headers, &CONTENT_ENCODING).trim() {
        "" | "identity" => Ok(Cow::Borrowed(body)),
        "gzip" => {
            let mut unpacked = Vec::new();
            let mut reader = MultiGzDecoder::new(body).take(BYTES_MAX + 1);
            reader
                .read_to_end(&mut unpacked)
                .map_err(|error| malformed(format!("the body is not gzip: {error}")))?;
            if unpacked.len() as u64 > BYTES_MAX {
                return Err(malformed(format!("the unpacked body is larger than {BYTES_MAX} bytes")));
            }
            Ok(Cow::Owned(unpacked))
        }
        other => Err(malformed(format!(
            "the content encoding {other} is not known: use gzip"
        ))),
    }
}
