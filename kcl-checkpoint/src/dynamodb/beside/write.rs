//! A worker's metrics as an update of its row.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::{Timestamp, coordination::WorkerMetrics};

use super::{
    super::{
        codec::{number, text},
        schema::ENTITY_TYPE,
    },
    schema::{ENTITY_METRICS, RANGES, SUPPORT, SUPPORT_UPDATED, UPDATED, VALUES},
};

/// An update as the service takes it.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// Sets what is known and leaves the rest: what Java keeps in `properties` stays, and so does what an unknown version added.
pub(super) fn publication(metrics: &WorkerMetrics) -> Update {
    let ranges = metrics.operating_ranges.iter();
    let values = metrics.values.iter();
    let attributes = [
        (ENTITY_TYPE, Some(text(ENTITY_METRICS))),
        (UPDATED, metrics.updated_at.map(seconds)),
        (
            VALUES,
            Some(AttributeValue::M(
                values
                    .map(|(metric, values)| (metric.clone(), list(values.iter().map(|value| decimal(*value)))))
                    .collect(),
            )),
        ),
        (
            RANGES,
            Some(AttributeValue::M(
                ranges
                    .map(|(metric, range)| (metric.clone(), list([whole(*range)])))
                    .collect(),
            )),
        ),
        (SUPPORT, metrics.support.map(|(code, _)| number(code))),
        (SUPPORT_UPDATED, metrics.support.map(|(_, at)| seconds(at))),
    ];
    let mut update = Update {
        expression: String::new(),
        names: HashMap::new(),
        values: HashMap::new(),
    };
    for (name, value) in attributes {
        let Some(value) = value else { continue };
        let before = if update.expression.is_empty() { "SET" } else { "," };
        update.expression = format!("{}{before} #{name} = :{name}", update.expression);
        update.names.insert(format!("#{name}"), name.to_owned());
        update.values.insert(format!(":{name}"), value);
    }
    update
}

fn list(numbers: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::L(numbers.into_iter().map(AttributeValue::N).collect())
}

fn seconds(at: Timestamp) -> AttributeValue {
    number(at.epoch_millis().div_euclid(1000))
}

/// With as many digits as Java gives. What is no number was not taken, for which Java has -1.
fn decimal(value: f64) -> String {
    if !value.is_finite() {
        return "-1".to_owned();
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Java reads ranges as whole numbers, and cannot read a row with another one.
fn whole(value: f64) -> String {
    decimal(value.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_numbers_when_written_then_java_can_read_them() {
        for (value, digits) in [
            (0.0, "0"),
            (-0.000_000_1, "0"),
            (12.5, "12.5"),
            (33.333_333_333, "33.333333"),
            (100.0, "100"),
            (-1.0, "-1"),
            (f64::NAN, "-1"),
            (f64::INFINITY, "-1"),
        ] {
            assert_eq!(decimal(value), digits, "{value}");
        }
        assert_eq!((whole(80.4), whole(99.5)), ("80".to_owned(), "100".to_owned()));
    }
}
