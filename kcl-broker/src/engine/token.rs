//! Iterators and listing tokens: stateless, so that the engine keeps nothing for clients that never come back.
//!
//! A token names the life of the stream it was made for and the time it was made at. A checksum finds altered ones; it
//! is no protection against forgery, which a broker for tests does not need.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf, BufMut};
use kcl_core::{StreamName, Timestamp};
use md5::{Digest, Md5};

use super::{Subject, shard::shard_name};

/// How long a token is good.
pub(super) const TOKEN_LIFETIME_MS: u64 = 300_000;

/// What the service's own tokens begin with.
const HEADER: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
const CHECKSUM_LEN: usize = 16;
/// The service's tokens are this long or longer by a multiple of [`STEP`].
const SHORTEST: usize = 152;
const LONGEST: usize = 280;
const STEP: usize = 16;

const ITERATOR: u8 = 1;
const SHARD_PAGE: u8 = 2;
const STREAM_PAGE: u8 = 3;
const CONSUMER_PAGE: u8 = 4;

/// One life of a stream: another stream of the same name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Counts the streams that the engine has made.
    pub(super) serial: u64,
    /// When the stream was made. Tells apart the lives in two engines, each of which counts from one.
    pub(super) created_at: Timestamp,
}

/// Where to read on in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShardIterator {
    pub(super) stream: StreamName,
    pub(super) life: Life,
    pub(super) shard: u32,
    /// The counter of the first record that was not read.
    pub(super) counter: u64,
    pub(super) made_at: Timestamp,
}

impl ShardIterator {
    /// What a request with this iterator is about.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            stream: Some(self.stream.to_string()),
            shard: Some(shard_name(self.shard)),
        }
    }

    pub(super) fn seal(&self) -> String {
        let mut body = Vec::with_capacity(SHORTEST);
        body.put_u32(self.shard);
        body.put_u64(self.counter);
        put_stream(&mut body, self.life, &self.stream);
        seal(ITERATOR, self.made_at, &body)
    }

    pub(super) fn open(token: &str) -> Option<Self> {
        Self::read(open(ITERATOR, token)?)
    }

    /// What a request with this token is about, as far as it can be seen without a look at the checksum.
    pub(super) fn subject_of(token: &str) -> Option<Subject> {
        let sealed = decode(token)?;
        Some(Self::read(read(ITERATOR, sealed.get(HEADER.len() + CHECKSUM_LEN..)?)?)?.subject())
    }

    fn read((made_at, body): (Timestamp, Vec<u8>)) -> Option<Self> {
        let mut body = body.as_slice();
        let shard = body.try_get_u32().ok()?;
        let counter = body.try_get_u64().ok()?;
        let (life, stream) = take_stream(&mut body)?;
        Some(Self {
            stream,
            life,
            shard,
            counter,
            made_at,
        })
    }
}

/// Where to go on listing shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShardPage {
    pub(super) stream: StreamName,
    pub(super) life: Life,
    /// The last shard that was listed.
    pub(super) after: u32,
    /// The filter, as a number and a time that only the listing understands.
    pub(super) filter: (u8, Timestamp),
    pub(super) made_at: Timestamp,
}

impl ShardPage {
    /// What a request with this token is about.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            stream: Some(self.stream.to_string()),
            shard: None,
        }
    }

    pub(super) fn seal(&self) -> String {
        let mut body = Vec::with_capacity(SHORTEST);
        body.put_u32(self.after);
        body.put_u8(self.filter.0);
        body.put_i64(self.filter.1.epoch_millis());
        put_stream(&mut body, self.life, &self.stream);
        seal(SHARD_PAGE, self.made_at, &body)
    }

    pub(super) fn open(token: &str) -> Option<Self> {
        let (made_at, body) = open(SHARD_PAGE, token)?;
        let mut body = body.as_slice();
        let after = body.try_get_u32().ok()?;
        let filter = (
            body.try_get_u8().ok()?,
            Timestamp::from_epoch_millis(body.try_get_i64().ok()?),
        );
        let (life, stream) = take_stream(&mut body)?;
        Some(Self {
            stream,
            life,
            after,
            filter,
            made_at,
        })
    }
}

/// Where to go on listing the consumers of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConsumerPage {
    pub(super) life: Life,
    /// The last consumer that was listed.
    pub(super) after: String,
    pub(super) made_at: Timestamp,
}

impl ConsumerPage {
    pub(super) fn seal(&self) -> String {
        let mut body = Vec::with_capacity(SHORTEST);
        put_life(&mut body, self.life);
        body.put_slice(self.after.as_bytes());
        seal(CONSUMER_PAGE, self.made_at, &body)
    }

    pub(super) fn open(token: &str) -> Option<Self> {
        let (made_at, body) = open(CONSUMER_PAGE, token)?;
        let mut body = body.as_slice();
        let life = take_life(&mut body)?;
        let after = str::from_utf8(body).ok()?.to_owned();
        Some(Self { life, after, made_at })
    }
}

/// A token that goes on listing streams after `name`.
pub(super) fn seal_stream_page(name: &StreamName, made_at: Timestamp) -> String {
    seal(STREAM_PAGE, made_at, name.as_str().as_bytes())
}

/// The name after which a listing of streams goes on.
pub(super) fn open_stream_page(token: &str) -> Option<StreamName> {
    let (_, body) = open(STREAM_PAGE, token)?;
    StreamName::new(str::from_utf8(&body).ok()?).ok()
}

fn put_life(body: &mut Vec<u8>, life: Life) {
    body.put_u64(life.serial);
    body.put_i64(life.created_at.epoch_millis());
}

fn take_life(body: &mut &[u8]) -> Option<Life> {
    let serial = body.try_get_u64().ok()?;
    let created_at = Timestamp::from_epoch_millis(body.try_get_i64().ok()?);
    Some(Life { serial, created_at })
}

fn put_stream(body: &mut Vec<u8>, life: Life, stream: &StreamName) {
    put_life(body, life);
    body.put_slice(stream.as_str().as_bytes());
}

fn take_stream(body: &mut &[u8]) -> Option<(Life, StreamName)> {
    let life = take_life(body)?;
    let stream = StreamName::new(str::from_utf8(body).ok()?).ok()?;
    Some((life, stream))
}

/// Header, checksum of the rest, kind, time, length of the body, body, zeros.
fn seal(kind: u8, made_at: Timestamp, body: &[u8]) -> String {
    let mut token = Vec::with_capacity(LONGEST);
    token.put_slice(&HEADER);
    token.put_bytes(0, CHECKSUM_LEN);
    token.put_u8(kind);
    token.put_i64(made_at.epoch_millis());
    token.put_u16(u16::try_from(body.len()).unwrap_or(u16::MAX));
    token.put_slice(body);
    let padded = SHORTEST + token.len().saturating_sub(SHORTEST).next_multiple_of(STEP);
    token.resize(padded, 0);
    let (head, sealed) = token.split_at_mut(HEADER.len() + CHECKSUM_LEN);
    head[HEADER.len()..].copy_from_slice(&Md5::digest(sealed));
    STANDARD.encode(token)
}

fn open(kind: u8, token: &str) -> Option<(Timestamp, Vec<u8>)> {
    let token = decode(token)?;
    let rest = token.strip_prefix(HEADER.as_slice())?;
    let (checksum, sealed) = rest.split_at_checked(CHECKSUM_LEN)?;
    if Md5::digest(sealed).as_slice() != checksum {
        return None;
    }
    read(kind, sealed)
}

fn decode(token: &str) -> Option<Vec<u8>> {
    if token.len() > LONGEST.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(token).ok()
}

/// Reads what comes after the checksum.
fn read(kind: u8, mut sealed: &[u8]) -> Option<(Timestamp, Vec<u8>)> {
    if sealed.try_get_u8().ok()? != kind {
        return None;
    }
    let made_at = Timestamp::from_epoch_millis(sealed.try_get_i64().ok()?);
    let len = sealed.try_get_u16().ok()?;
    Some((made_at, sealed.get(..usize::from(len))?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iterator(name: &str) -> ShardIterator {
        ShardIterator {
            stream: StreamName::new(name).unwrap(),
            life: Life {
                serial: 3,
                created_at: Timestamp::from_epoch_millis(-1),
            },
            shard: 7,
            counter: u64::MAX,
            made_at: Timestamp::from_epoch_millis(1_357_034_400_250),
        }
    }

    #[test]
    fn tokens_of_the_longest_and_shortest_names_open_again_and_fit_the_api() {
        for name in ["s", &"n".repeat(128)] {
            let iterator = iterator(name);
            let token = iterator.seal();
            assert!(token.len() <= 512);
            assert_eq!((STANDARD.decode(&token).unwrap().len() - SHORTEST) % STEP, 0);
            assert_eq!(ShardIterator::open(&token), Some(iterator));
        }
    }

    #[test]
    fn what_an_iterator_is_about_is_seen_and_nothing_in_what_is_none() {
        let subject = ShardIterator::subject_of(&iterator("s").seal()).unwrap();
        assert_eq!(subject.stream.as_deref(), Some("s"));
        assert_eq!(subject.shard.as_deref(), Some("shardId-000000000007"));
        let page = seal_stream_page(&StreamName::new("s").unwrap(), Timestamp::from_epoch_millis(0));
        for none in ["", "AAAA", "no base64", &page] {
            assert_eq!(ShardIterator::subject_of(none), None, "{none}");
        }
    }

    #[test]
    fn an_altered_token_does_not_open() {
        let token = iterator("s").seal();
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                ShardIterator::open(str::from_utf8(&altered).unwrap()),
                None,
                "altered at {at}"
            );
        }
    }

    #[test]
    fn a_token_of_another_kind_does_not_open() {
        let token = seal_stream_page(&StreamName::new("s").unwrap(), Timestamp::from_epoch_millis(0));
        assert_eq!(open_stream_page(&token).unwrap().as_str(), "s");
        assert_eq!(ShardIterator::open(&token), None);
        assert_eq!(ShardPage::open(&iterator("s").seal()), None);
    }
}
