//! [`Client`]: whom a request comes from.

use http::{
    HeaderMap,
    header::{AUTHORIZATION, USER_AGENT},
};

use super::{Peer, text_of};
use crate::operations_log::Caller;

/// The most bytes of a header that the log keeps.
const TEXT_BYTES_MAX: usize = 256;

/// Whom a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) peer: Peer,
    pub(super) headers: &'a HeaderMap,
}

impl Client<'_> {
    /// What the log of operations says of it.
    pub(super) fn caller(self) -> Caller {
        let access_key_id = access_key_id(text_of(self.headers, &AUTHORIZATION));
        Caller::new(
            match self.peer {
                Peer::InProcess => None,
                Peer::Remote(address) => Some(address),
            },
            access_key_id.and_then(kept),
            kept(text_of(self.headers, &USER_AGENT)),
        )
    }
}

/// The id in `AWS4-HMAC-SHA256 Credential=ID/20130101/us-east-1/kinesis/aws4_request, ...`.
fn access_key_id(authorization: &str) -> Option<&str> {
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split(['/', ',', ' ']).next()
}

fn kept(text: &str) -> Option<String> {
    let kept = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_what_sdks_send_and_nothing_in_what_they_do_not() {
        for (authorization, id) in [
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20130101/us-east-1/kinesis/aws4_request, SignedHeaders=host",
                Some("AKIDEXAMPLE"),
            ),
            ("AWS4-HMAC-SHA256 Credential=alone", Some("alone")),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(access_key_id(authorization), id, "{authorization}");
        }
    }

    #[test]
    fn headers_are_kept_in_part_if_they_are_long_and_not_at_all_if_they_are_empty() {
        assert_eq!(kept(""), None);
        assert_eq!(kept(&"ä".repeat(1000)).unwrap().len(), TEXT_BYTES_MAX);
    }
}
