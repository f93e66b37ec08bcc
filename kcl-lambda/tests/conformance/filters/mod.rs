//! Filters.

mod criteria;
mod operators;
mod structure;

use kcl_core::{Record, Timestamp};
use kcl_lambda::filter::{FilterCriteria, FilterOptions, FilterVerdict, RecordFilter};

use super::{Evidence, Row, check};

fn record(data: &str) -> Record {
    Record::new(
        "7".parse().unwrap(),
        "key-7",
        Timestamp::from_epoch_millis(1_500),
        data.to_owned(),
    )
}

fn verdict(patterns: &[&str], options: FilterOptions, data: &str) -> FilterVerdict {
    let criteria = FilterCriteria::of_patterns(patterns.iter().copied());
    RecordFilter::new(&criteria, options).unwrap().judge(&record(data))
}

/// A row whose pattern of data keeps some data and drops others.
fn row(
    name: &'static str,
    aws: &'static str,
    evidence: Evidence,
    ours: &'static str,
    (pattern, kept, dropped): (&'static str, &'static [&'static str], &'static [&'static str]),
) -> Row {
    let check = move || {
        let pattern = format!(r#"{{"data":{pattern}}}"#);
        for data in kept {
            let verdict = verdict(&[&pattern], FilterOptions::default(), data);
            assert_eq!(verdict, FilterVerdict::Kept, "{pattern} {data}");
        }
        for data in dropped {
            let verdict = verdict(&[&pattern], FilterOptions::default(), data);
            assert_ne!(verdict, FilterVerdict::Kept, "{pattern} {data}");
        }
    };
    Row {
        name,
        aws,
        evidence,
        ours,
        check: Box::new(check),
    }
}

/// A row whose patterns are refused when the mapping is made.
fn refused(
    name: &'static str,
    aws: &'static str,
    evidence: Evidence,
    ours: &'static str,
    patterns: &'static [&'static str],
) -> Row {
    let check = move || {
        for pattern in patterns {
            let criteria = FilterCriteria::of_patterns([*pattern]);
            assert!(
                RecordFilter::new(&criteria, FilterOptions::default()).is_err(),
                "{pattern}"
            );
        }
    };
    Row {
        name,
        aws,
        evidence,
        ours,
        check: Box::new(check),
    }
}

/// A row about whole criteria.
fn whole(
    name: &'static str,
    aws: &'static str,
    evidence: Evidence,
    ours: &'static str,
    (patterns, options, data, expected): (&'static [&'static str], FilterOptions, &'static str, FilterVerdict),
) -> Row {
    Row {
        name,
        aws,
        evidence,
        ours,
        check: Box::new(move || assert_eq!(verdict(patterns, options, data), expected)),
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = operators::rows();
    rows.extend(structure::rows());
    rows.extend(criteria::data());
    rows.extend(criteria::refusals());
    rows
}

#[test]
fn filters() {
    check(rows());
}
