//! What a function answered, and what follows for the records that it was given.

use std::fmt;

use kcl_core::{Record, SequenceNumber};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, value::RawValue};

/// The most bytes that the state of a window may have on Lambda, as JSON: 1 MB. A worker keeps less, see
/// [`LARGEST_WINDOW_STATE`](kcl_core::delivery::LARGEST_WINDOW_STATE).
pub const WINDOW_STATE_BYTES_MAX: usize = 1024 * 1024;

/// What the event source mapping asks of a function's response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain switches, made with a literal")]
pub struct ResponseRules {
    /// `ReportBatchItemFailures` is on: the response may name records that failed.
    pub item_failures: bool,
    /// There is a tumbling window: the response must have a `state`.
    pub window_state: bool,
    /// An object without `batchItemFailures` is a failure. Lambda takes it for success, so that a misspelt key hides
    /// every failed record.
    pub strict: bool,
}

/// What a response says about the batch that the function was given.
///
/// ```
/// use kcl_core::{Record, Timestamp};
/// use kcl_lambda::{ResponseRules, ResponseVerdict};
///
/// let record = |number: &str| Ok::<_, kcl_core::InvalidSequenceNumber>(
///     Record::new(number.parse()?, "key", Timestamp::from_epoch_millis(0), "data"));
/// let batch = [record("98")?, record("99")?, record("100")?];
/// let rules = ResponseRules { item_failures: true, ..ResponseRules::default() };
///
/// let response = br#"{"batchItemFailures":[{"itemIdentifier":"100"},{"itemIdentifier":"99"}]}"#;
/// let verdict = ResponseVerdict::of(response, &batch, rules);
/// assert_eq!(verdict.handled(batch.len()), 1);
/// assert!(matches!(verdict, ResponseVerdict::Failed { failed, .. } if failed.indexes() == [1, 2]));
/// # Ok::<(), kcl_core::InvalidSequenceNumber>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever drives a function must treat every verdict"
)]
pub enum ResponseVerdict {
    /// Every record is handled.
    AllHandled {
        /// The state of the window, where there is one.
        state: Option<WindowState>,
    },
    /// Some records failed.
    Failed {
        /// Which ones. On Lambda everything from the first of them on comes again.
        failed: FailedItems,
        /// The state of the window, where there is one.
        state: Option<WindowState>,
    },
    /// The response cannot be followed, and the whole batch has failed.
    Invalid(InvalidResponse),
}

impl ResponseVerdict {
    /// Reads `payload`, the response to `records`, which are in sequence order.
    ///
    /// With neither item failures nor a window state to read, whatever was answered is success.
    #[must_use]
    pub fn of(payload: &[u8], records: &[Record], rules: ResponseRules) -> Self {
        if !rules.item_failures && !rules.window_state {
            return Self::AllHandled { state: None };
        }
        match read(payload, records, rules) {
            Ok((failed, state)) => match failed {
                None => Self::AllHandled { state },
                Some(failed) => Self::Failed { failed, state },
            },
            Err(invalid) => Self::Invalid(invalid),
        }
    }

    /// How many of a batch of `records` are handled by Lambda's rule: those before the first that failed.
    #[must_use]
    pub fn handled(&self, records: usize) -> usize {
        match self {
            Self::AllHandled { .. } => records,
            Self::Failed { failed, .. } => failed.first().min(records),
            Self::Invalid(_) => 0,
        }
    }
}

/// The records that a response names as failed, by their places in the batch; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedItems {
    /// Ascending, each once.
    indexes: Vec<usize>,
}

impl FailedItems {
    /// The place of the first record that failed.
    #[must_use]
    pub fn first(&self) -> usize {
        self.indexes[0]
    }

    /// The places of all that failed, ascending, each once.
    #[must_use]
    pub fn indexes(&self) -> &[usize] {
        &self.indexes
    }
}

/// The state of a tumbling window: a JSON object, byte for byte as the function gave it.
#[derive(Clone)]
pub struct WindowState(Box<RawValue>);

impl WindowState {
    /// Takes over `json`.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn new(json: &str) -> Result<Self, InvalidResponse> {
        let raw: &RawValue = serde_json::from_str(json).map_err(|error| InvalidResponse::not_json(&error))?;
        Self::of_raw(raw)
    }

    fn of_raw(raw: &RawValue) -> Result<Self, InvalidResponse> {
        if raw.get().starts_with('{') {
            Ok(Self(raw.to_owned()))
        } else {
            Err(InvalidResponse::StateIsNoObject { found: kind(raw) })
        }
    }

    /// The JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Whether it is larger than [`WINDOW_STATE_BYTES_MAX`]: on Lambda the window then ends early.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.as_json().len() > WINDOW_STATE_BYTES_MAX
    }
}

impl Default for WindowState {
    /// The state with which a window begins, `{}`.
    fn default() -> Self {
        Self::new("{}").expect("it is an object")
    }
}

impl PartialEq for WindowState {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for WindowState {}

impl fmt::Debug for WindowState {
    /// Names the size; what users aggregate stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowState({} bytes)", self.as_json().len())
    }
}

impl Serialize for WindowState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WindowState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::of_raw(&raw).map_err(serde::de::Error::custom)
    }
}

/// A response cannot be followed: the batch counts as failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// It is not JSON.
    #[error("the response is not JSON ({reason}): return {{\"batchItemFailures\":[]}} or nothing")]
    NotJson {
        /// What is wrong, and where.
        reason: String,
    },
    /// It is JSON, and neither an object nor empty.
    #[error("the response is {found}: return an object such as {{\"batchItemFailures\":[]}}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// It has no `batchItemFailures`, and the rules are strict.
    #[error("the response has no batchItemFailures, and strict responses are asked for")]
    NoList,
    /// `batchItemFailures` is there, and no list.
    #[error("batchItemFailures is {found}: it must be a list of {{\"itemIdentifier\":\"<sequence number>\"}}")]
    NotAList {
        /// What it is.
        found: &'static str,
    },
    /// An item of the list has no text under `itemIdentifier`.
    #[error("item {item} of batchItemFailures has no itemIdentifier with the sequence number of a record, as text")]
    NoIdentifier {
        /// Which item, from 0.
        item: usize,
    },
    /// An item names a record that is not in the batch.
    #[error("item {item} of batchItemFailures names {identifier:?}: no record of the batch has this sequence number")]
    UnknownItem {
        /// Which item, from 0.
        item: usize,
        /// What it names; the first 200 characters of it.
        identifier: String,
    },
    /// There is a tumbling window, and the response has no `state`.
    #[error("the response has no state: with a tumbling window, return {{\"state\":{{…}}}}")]
    NoState,
    /// `state` is there, and no object.
    #[error("the state is {found}: with a tumbling window it must be an object")]
    StateIsNoObject {
        /// What it is.
        found: &'static str,
    },
}

impl InvalidResponse {
    fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson {
            reason: error.to_string(),
        }
    }
}

/// The members of a response that mean something.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "batchItemFailures", borrow, default, deserialize_with = "given")]
    failures: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    state: Option<&'a RawValue>,
}

/// Unlike serde's own `Option`, tells `null` from what is missing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn read(
    payload: &[u8],
    records: &[Record],
    rules: ResponseRules,
) -> Result<(Option<FailedItems>, Option<WindowState>), InvalidResponse> {
    let body = body(payload)?;
    let state = match body.state {
        _ if !rules.window_state => None,
        None => return Err(InvalidResponse::NoState),
        Some(state) => Some(WindowState::of_raw(state)?),
    };
    let failed = match body.failures {
        _ if !rules.item_failures => None,
        None if rules.strict && !is_nothing(payload) => return Err(InvalidResponse::NoList),
        None => None,
        Some(failures) => failed_items(failures, records)?,
    };
    Ok((failed, state))
}

fn body(payload: &[u8]) -> Result<Body<'_>, InvalidResponse> {
    if payload.trim_ascii().starts_with(b"{") {
        return serde_json::from_slice(payload).map_err(|error| InvalidResponse::not_json(&error));
    }
    let nothing = Body {
        failures: None,
        state: None,
    };
    // A runtime that has nothing to say may post no byte at all.
    if payload.trim_ascii().is_empty() {
        return Ok(nothing);
    }
    let raw: &RawValue = serde_json::from_slice(payload).map_err(|error| InvalidResponse::not_json(&error))?;
    if is_nothing(raw.get().as_bytes()) {
        Ok(nothing)
    } else {
        Err(InvalidResponse::NotAnObject { found: kind(raw) })
    }
}

/// Whether valid JSON says nothing: `null`, `""`, `[]` or `{}`.
fn is_nothing(json: &[u8]) -> bool {
    let mut tokens = json.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
    let mut start = [0; 4];
    let len = start
        .iter_mut()
        .map_while(|slot| tokens.next().map(|byte| *slot = byte))
        .count();
    // Whitespace between quotes is text.
    matches!(&start[..len], b"" | b"[]" | b"{}" | b"null") || json.trim_ascii() == br#""""#
}

fn failed_items(failures: &RawValue, records: &[Record]) -> Result<Option<FailedItems>, InvalidResponse> {
    let failures: Value = serde_json::from_str(failures.get()).map_err(|error| InvalidResponse::not_json(&error))?;
    let items = match failures {
        Value::Null => return Ok(None),
        Value::Array(items) => items,
        other => return Err(InvalidResponse::NotAList { found: kind_of(&other) }),
    };
    let mut indexes = Vec::with_capacity(items.len());
    for (item, value) in items.iter().enumerate() {
        let identifier = value.get("itemIdentifier").and_then(Value::as_str);
        let identifier = identifier
            .filter(|identifier| !identifier.is_empty())
            .ok_or(InvalidResponse::NoIdentifier { item })?;
        let named = named(identifier, records);
        if named.is_empty() {
            let identifier = identifier.chars().take(200).collect();
            return Err(InvalidResponse::UnknownItem { item, identifier });
        }
        indexes.extend(named);
    }
    indexes.sort_unstable();
    indexes.dedup();
    Ok((!indexes.is_empty()).then_some(FailedItems { indexes }))
}

/// The places of the records that `identifier` names: those of a sequence number, which are several if they came in one
/// aggregate, or the one at `number/sub-sequence number`.
fn named(identifier: &str, records: &[Record]) -> std::ops::Range<usize> {
    let (number, sub) = match identifier.split_once('/') {
        Some((number, sub)) => (number, Some(sub)),
        None => (identifier, None),
    };
    let Ok(number) = SequenceNumber::new(number) else {
        return 0..0;
    };
    let start = records.partition_point(|record| record.sequence_number < number);
    let len = records[start..].partition_point(|record| record.sequence_number == number);
    let Some(sub) = sub else {
        return start..start + len;
    };
    let Ok(sub) = sub.parse() else {
        return 0..0;
    };
    let one = records[start..start + len].binary_search_by_key(&sub, |record| record.sub_sequence_number);
    one.map_or(0..0, |place| start + place..start + place + 1)
}

fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::String(_) => "text",
        Value::Bool(_) => "a boolean",
        Value::Null => "null",
        Value::Number(_) => "a number",
    }
}

#[cfg(test)]
mod tests;
