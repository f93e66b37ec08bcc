//! What a request brings.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt as _;

use super::refusal::Refusal;

/// A body that was read to its end.
#[derive(Debug)]
pub(super) enum Whole {
    Taken {
        bytes: Bytes,
        trailers: Option<HeaderMap>,
    },
    /// It had more bytes than are taken, which were thrown away.
    TooLarge,
}

/// Reads a body to its end, even one that is too large: a client that writes does not listen, and would only see its
/// connection break. It is the invocation's timeout that ends what does not end.
pub(super) async fn read<B>(mut body: B, bytes_max: usize) -> Result<Whole, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut first, mut rest, mut trailers) = (Bytes::new(), BytesMut::new(), None);
    let mut too_large = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Truncated)?;
        match frame.into_data() {
            Ok(data) if too_large || first.len() + rest.len() + data.len() > bytes_max => {
                too_large = true;
                (first, rest) = (Bytes::new(), BytesMut::new());
            }
            Ok(data) if first.is_empty() => first = data,
            Ok(data) => rest.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    if too_large {
        return Ok(Whole::TooLarge);
    }
    // Nearly all answers come in one piece, which is not copied.
    let bytes = if rest.is_empty() {
        first
    } else {
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        whole.freeze()
    };
    Ok(Whole::Taken { bytes, trailers })
}
