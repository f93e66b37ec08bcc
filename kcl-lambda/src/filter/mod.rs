//! Filters: which records a function is given at all.
//!
//! A [`RecordFilter`] reads the patterns of [`FilterCriteria`] once and then judges records by the bytes of their data.
//! The JSON of a record is read once for all filters, and only as far as they ask: fields that no pattern names are
//! skipped.
//!
//! # What a pattern says
//!
//! A pattern is an object whose fields are those of the record; for Kinesis there is `data`, the record's data read as
//! JSON. All fields of an object must match, and of a list of alternatives one. Of several filters one must match.
//!
//! | alternative | matches |
//! |---|---|
//! | `"text"`, `true`, `null` | that value |
//! | `300` | the number in these digits: neither `300.0` nor `3e2`, as AWS documents |
//! | `{"numeric": [">", 10, "<=", 20]}` | numbers by value, exactly, however many digits they have |
//! | `{"prefix": "a"}`, `{"suffix": "z"}`, `{"equals-ignore-case": "a"}` | text |
//! | `{"anything-but": ["a", 1]}` | a value that is none of these; a missing field does not match |
//! | `{"exists": true}`, `{"exists": false}` | whether there is a value; an object, and a list of none, is no value |
//! | `"$or": [{…}, {…}]`, among the fields of an object | one of the objects |
//!
//! A list in the record matches if one of its elements does, and fields of an object pattern must match in the same
//! element. Of a field that a record has twice the last counts.

mod found;
mod number;
mod pattern;
mod problem;
mod value_test;

use std::{borrow::Cow, fmt};

use kcl_core::Record;
use serde::{Deserialize, Serialize};

pub use self::problem::{InvalidPattern, PatternProblem};
use self::{
    found::{Found, Shape},
    pattern::ObjectPattern,
};

/// The most filters that a mapping may have, if AWS was not asked for more.
pub const FILTERS_MAX: usize = 5;
/// The most filters that AWS grants on request.
pub const FILTERS_MAX_ON_REQUEST: usize = 10;
/// The most characters of a pattern.
pub const PATTERN_CHARACTERS_MAX: usize = 4096;

/// The filters of a mapping, in the shape that AWS's API has: `{"Filters":[{"Pattern":"<JSON>"}]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a format of AWS's, made with a literal")]
pub struct FilterCriteria {
    /// The filters. Without any, every record is kept.
    #[serde(rename = "Filters", default)]
    pub filters: Vec<Filter>,
}

impl FilterCriteria {
    /// Criteria with these patterns, each JSON.
    #[must_use]
    pub fn of_patterns<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        let filter = |pattern: P| Filter {
            pattern: pattern.into(),
        };
        Self {
            filters: patterns.into_iter().map(filter).collect(),
        }
    }
}

/// One filter of [`FilterCriteria`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a format of AWS's, made with a literal")]
pub struct Filter {
    /// The pattern, JSON as text.
    #[serde(rename = "Pattern")]
    pub pattern: String,
}

/// What filters may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain settings, made with a literal")]
pub struct FilterOptions {
    /// Patterns may ask for `partitionKey`, `sequenceNumber`, `approximateArrivalTimestamp` and `kinesisSchemaVersion`
    /// beside `data`. Not on Lambda.
    pub metadata: bool,
    /// The most filters.
    pub filters_max: usize,
}

impl Default for FilterOptions {
    /// What Lambda allows.
    fn default() -> Self {
        Self {
            metadata: false,
            filters_max: FILTERS_MAX,
        }
    }
}

/// Filter criteria cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFilters {
    /// There are more filters than allowed.
    #[error("there are {filters} filters, and {filters_max} are allowed")]
    TooMany {
        /// How many there are.
        filters: usize,
        /// How many there may be.
        filters_max: usize,
    },
    /// A pattern cannot be used.
    #[error("the pattern of filter {filter} cannot be used")]
    Pattern {
        /// Which filter, from 0.
        filter: usize,
        /// What is wrong with the pattern, and where.
        source: InvalidPattern,
    },
}

/// What filters say about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "whoever filters must treat every verdict")]
pub enum FilterVerdict {
    /// It is for the function.
    Kept,
    /// No filter matches. The record is passed, and the function does not see it.
    Filtered,
    /// No filter matches, and one asks for the data, which is not JSON. Lambda drops such a record too, and does not
    /// tell.
    Unparseable,
}

/// Filters that are ready to judge records.
///
/// ```
/// use kcl_core::{Record, Timestamp};
/// use kcl_lambda::filter::{FilterCriteria, FilterOptions, FilterVerdict, RecordFilter};
///
/// let criteria = FilterCriteria::of_patterns([r#"{"data":{"temperature":[{"numeric":[">",30]}]}}"#]);
/// let filter = RecordFilter::new(&criteria, FilterOptions::default())?;
/// let judge = |data: &'static str| {
///     let number = "7".parse().expect("digits");
///     filter.judge(&Record::new(number, "sensor-7", Timestamp::from_epoch_millis(0), data))
/// };
/// assert_eq!(judge(r#"{"temperature":30.5}"#), FilterVerdict::Kept);
/// assert_eq!(judge(r#"{"temperature":30}"#), FilterVerdict::Filtered);
/// assert_eq!(judge("hot"), FilterVerdict::Unparseable);
/// # Ok::<(), kcl_lambda::filter::InvalidFilters>(())
/// ```
#[derive(Clone)]
pub struct RecordFilter {
    patterns: Vec<ObjectPattern>,
    shape: Shape,
    /// The place of `data` in the shape, if a pattern asks for it.
    data: Option<usize>,
    metadata: Vec<(usize, Metadata)>,
}

/// What a record says beside its data, by the names that events have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metadata {
    PartitionKey,
    SequenceNumber,
    ArrivalTimestamp,
    SchemaVersion,
}

impl Metadata {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "partitionKey" => Some(Self::PartitionKey),
            "sequenceNumber" => Some(Self::SequenceNumber),
            "approximateArrivalTimestamp" => Some(Self::ArrivalTimestamp),
            "kinesisSchemaVersion" => Some(Self::SchemaVersion),
            _ => None,
        }
    }

    fn of(self, record: &Record) -> Found<'_> {
        match self {
            Self::PartitionKey => Found::Text(Cow::Borrowed(&record.partition_key)),
            Self::SequenceNumber => Found::Text(Cow::Borrowed(record.sequence_number.as_str())),
            Self::ArrivalTimestamp => {
                Found::Number(Cow::Owned(crate::event::time(record.approximate_arrival_timestamp)))
            }
            Self::SchemaVersion => Found::Text(Cow::Borrowed("1.0")),
        }
    }
}

impl RecordFilter {
    /// Reads the patterns of `criteria`.
    ///
    /// # Errors
    /// If there are too many, or one cannot be used: the error says which, where in it, and why.
    pub fn new(criteria: &FilterCriteria, options: FilterOptions) -> Result<Self, InvalidFilters> {
        let FilterOptions { metadata, filters_max } = options;
        let filters = criteria.filters.len();
        if filters > filters_max {
            return Err(InvalidFilters::TooMany { filters, filters_max });
        }
        let mut shape = Shape::default();
        let mut patterns = Vec::with_capacity(filters);
        for (filter, Filter { pattern }) in criteria.filters.iter().enumerate() {
            let pattern = pattern::read(pattern, metadata, &mut shape);
            patterns.push(pattern.map_err(|source| InvalidFilters::Pattern { filter, source })?);
        }
        let metadata = shape.names();
        let metadata = metadata.filter_map(|(name, place)| Metadata::of_name(name).map(|metadata| (place, metadata)));
        Ok(Self {
            metadata: metadata.collect(),
            data: shape.place_of("data"),
            patterns,
            shape,
        })
    }

    /// Whether the function is to see `record`.
    #[must_use]
    pub fn judge(&self, record: &Record) -> FilterVerdict {
        if self.patterns.is_empty() {
            return FilterVerdict::Kept;
        }
        let (found, parseable) = self.look(record);
        let kept = self.patterns.iter().any(|pattern| pattern.matches(&found));
        verdict(kept, parseable)
    }

    /// Which filters match `record`, by their places; the verdict follows from that.
    #[must_use]
    pub fn explain(&self, record: &Record) -> (FilterVerdict, Vec<usize>) {
        let (found, parseable) = self.look(record);
        let patterns = self.patterns.iter().enumerate();
        let matching = patterns.filter(|(_, pattern)| pattern.matches(&found));
        let matching: Vec<_> = matching.map(|(place, _)| place).collect();
        let kept = !matching.is_empty() || self.patterns.is_empty();
        (verdict(kept, parseable), matching)
    }

    /// How many filters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there are no filters: every record is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// What patterns ask for, and whether the data could be read.
    fn look<'r>(&self, record: &'r Record) -> (Found<'r>, bool) {
        let mut slots = vec![Found::Missing; self.shape.len()];
        for (place, metadata) in &self.metadata {
            slots[*place] = metadata.of(record);
        }
        let mut parseable = true;
        if let Some(place) = self.data {
            let data = found::read(&record.data, self.shape.child(place));
            parseable = data.is_some();
            // Neither text nor a list nor a number can be what a pattern of an object asks for, not even to lack a
            // field.
            slots[place] = match data {
                Some(object @ Found::Object(_)) => object,
                _ => Found::Unfit,
            };
        }
        (Found::Object(slots), parseable)
    }
}

fn verdict(kept: bool, parseable: bool) -> FilterVerdict {
    match (kept, parseable) {
        (true, _) => FilterVerdict::Kept,
        (false, true) => FilterVerdict::Filtered,
        (false, false) => FilterVerdict::Unparseable,
    }
}

impl fmt::Debug for RecordFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordFilter")
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

/// Counts what filters would do to the records of a stream, before they are put to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DryRun {
    /// Records that would be kept.
    pub kept: u64,
    /// Records that would be filtered out, since no filter matches.
    pub filtered: u64,
    /// Records that would be filtered out, since their data is not JSON.
    pub unparseable: u64,
    /// Per filter, the records that it matches.
    pub matching: Vec<u64>,
}

impl DryRun {
    /// Counts one record, and says what would become of it.
    pub fn count(&mut self, filter: &RecordFilter, record: &Record) -> FilterVerdict {
        let (verdict, matching) = filter.explain(record);
        match verdict {
            FilterVerdict::Kept => self.kept += 1,
            FilterVerdict::Filtered => self.filtered += 1,
            FilterVerdict::Unparseable => self.unparseable += 1,
        }
        self.matching.resize(filter.len().max(self.matching.len()), 0);
        for place in matching {
            self.matching[place] += 1;
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
