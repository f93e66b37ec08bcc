//! `PutMetricData`.

use std::collections::BTreeMap;

use kcl_core::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Dimension, Metrics, MetricsError, MetricsErrorKind, Node, Operation,
    datum::{MetricDatum, StatisticSet},
    field::{Number, Time},
};

const DATA_MAX: usize = 1000;
const VALUES_MAX: usize = 150;
const DIMENSIONS_MAX: usize = 30;
const NAME_CHARS_MAX: usize = 255;
const DIMENSION_VALUE_CHARS_MAX: usize = 1024;
/// Values lie between this and its opposite.
const VALUE_MAX: f64 = (1_u128 << 120) as f64 * (1_u128 << 120) as f64 * (1_u128 << 120) as f64;

const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutMetricData {
    namespace: Option<String>,
    metric_data: Option<Vec<Datum>>,
    entity_metric_data: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    metric_name: Option<String>,
    dimensions: Option<Vec<Dimension>>,
    timestamp: Option<Time>,
    value: Option<Number>,
    values: Option<Vec<Number>>,
    counts: Option<Vec<Number>>,
    statistic_values: Option<Statistics>,
    unit: Option<String>,
    storage_resolution: Option<Number>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    sample_count: Option<Number>,
    sum: Option<Number>,
    minimum: Option<Number>,
    maximum: Option<Number>,
}

impl Operation for PutMetricData {
    fn execute(self, metrics: &mut Metrics, now: Timestamp) -> Result<Option<Node>, MetricsError> {
        let namespace = checked_name("Namespace", self.namespace)?;
        if namespace.starts_with(':') {
            return Err(MetricsError::invalid("The value : for parameter Namespace is invalid."));
        }
        if self.entity_metric_data.is_some_and(|data| !data.is_empty()) {
            return Err(MetricsError::invalid(
                "EntityMetricData is not built in this broker: use MetricData",
            ));
        }
        let data = self.metric_data.unwrap_or_default();
        if data.is_empty() {
            return Err(MetricsError::missing("MetricData"));
        }
        if data.len() > DATA_MAX {
            return Err(MetricsError::invalid(format!(
                "The collection MetricData must not have a size greater than {DATA_MAX}."
            )));
        }
        let data = data
            .into_iter()
            .enumerate()
            .map(|(place, datum)| datum.checked(&format!("MetricData.member.{}", place + 1), &namespace, now))
            .collect::<Result<Vec<_>, _>>()?;
        data.into_iter().for_each(|datum| metrics.keep(datum));
        Ok(None)
    }
}

impl Datum {
    fn checked(self, path: &str, namespace: &str, now: Timestamp) -> Result<MetricDatum, MetricsError> {
        let metric_name = checked_name(&format!("{path}.MetricName"), self.metric_name)?;
        let dimensions = checked_dimensions(&format!("{path}.Dimensions"), self.dimensions)?;
        let unit = self.unit.unwrap_or_else(|| "None".to_owned());
        check_unit(&format!("{path}.Unit"), &unit)?;
        if let Some(Number(resolution)) = self.storage_resolution
            && ![1.0, 60.0].contains(&resolution)
        {
            return Err(MetricsError::invalid(format!(
                "The value {resolution} for parameter {path}.StorageResolution must be 1 or 60."
            )));
        }
        let given = [
            self.value.is_some(),
            self.values.is_some(),
            self.statistic_values.is_some(),
        ];
        match given.into_iter().filter(|given| *given).count() {
            1 => {}
            0 => return Err(MetricsError::missing(&format!("{path}.Value"))),
            _ => {
                return Err(MetricsError::new(
                    MetricsErrorKind::InvalidParameterCombination,
                    format!(
                        "The parameters {path}.Value, {path}.Values and {path}.StatisticValues are mutually exclusive and \
                         you have specified more than one."
                    ),
                ));
            }
        }
        let values = match (self.value, self.values) {
            (Some(value), _) => vec![(checked_value(&format!("{path}.Value"), value)?, 1.0)],
            (None, Some(values)) => weighted(path, &values, self.counts.as_deref())?,
            (None, None) => Vec::new(),
        };
        let statistics = match self.statistic_values {
            Some(statistics) => statistics.checked(&format!("{path}.StatisticValues"))?,
            None => statistics_of(&values),
        };
        Ok(MetricDatum {
            namespace: namespace.to_owned(),
            metric_name,
            dimensions,
            timestamp: self.timestamp.map_or(now, |Time(at)| at),
            values,
            statistics,
            unit,
        })
    }
}

impl Statistics {
    fn checked(self, path: &str) -> Result<StatisticSet, MetricsError> {
        let member = |name: &str, value: Option<Number>| {
            let path = format!("{path}.{name}");
            checked_value(&path, value.ok_or_else(|| MetricsError::missing(&path))?)
        };
        Ok(StatisticSet::new(
            member("SampleCount", self.sample_count)?,
            member("Sum", self.sum)?,
            member("Minimum", self.minimum)?,
            member("Maximum", self.maximum)?,
        ))
    }
}

/// Values with how often each was measured: once unless the request says otherwise.
fn weighted(path: &str, values: &[Number], counts: Option<&[Number]>) -> Result<Vec<(f64, f64)>, MetricsError> {
    if values.is_empty() || values.len() > VALUES_MAX {
        return Err(MetricsError::invalid(format!(
            "The collection {path}.Values must have a size between 1 and {VALUES_MAX}."
        )));
    }
    if counts.is_some_and(|counts| counts.len() != values.len()) {
        return Err(MetricsError::new(
            MetricsErrorKind::InvalidParameterCombination,
            format!("The parameters {path}.Values and {path}.Counts must be of the same size."),
        ));
    }
    let count = |place: usize| counts.map_or(1.0, |counts| counts[place].0);
    let checked = values.iter().enumerate().map(|(place, value)| {
        let value = checked_value(&format!("{path}.Values.member.{}", place + 1), *value)?;
        let count = count(place);
        if !count.is_finite() || count <= 0.0 {
            return Err(MetricsError::invalid(format!(
                "The value {count} for parameter {path}.Counts.member.{} must be greater than 0.",
                place + 1
            )));
        }
        Ok((value, count))
    });
    checked.collect()
}

fn statistics_of(values: &[(f64, f64)]) -> StatisticSet {
    let nothing = StatisticSet::new(0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    values.iter().fold(nothing, |sum, (value, count)| {
        sum.merged(StatisticSet::new(*count, value * count, *value, *value))
    })
}

fn checked_value(path: &str, Number(value): Number) -> Result<f64, MetricsError> {
    // What is no number at all is not in the range either.
    if value.abs() <= VALUE_MAX {
        return Ok(value);
    }
    Err(MetricsError::invalid(format!(
        "The value {value} for parameter {path} is invalid: it must lie between -2^360 and 2^360."
    )))
}

pub(super) fn checked_name(path: &str, name: Option<String>) -> Result<String, MetricsError> {
    let name = name.ok_or_else(|| MetricsError::missing(path))?;
    check_len(path, &name, NAME_CHARS_MAX)?;
    Ok(name)
}

fn check_len(path: &str, text: &str, max: usize) -> Result<(), MetricsError> {
    if (1..=max).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(MetricsError::invalid(format!(
        "The parameter {path} must have between 1 and {max} characters."
    )))
}

pub(super) fn check_unit(path: &str, unit: &str) -> Result<(), MetricsError> {
    if UNITS.contains(&unit) {
        return Ok(());
    }
    Err(MetricsError::invalid(format!(
        "The value {unit} for parameter {path} is invalid: it must be one of [{}].",
        UNITS.join(", ")
    )))
}

pub(super) fn checked_dimensions(
    path: &str,
    dimensions: Option<Vec<Dimension>>,
) -> Result<BTreeMap<String, String>, MetricsError> {
    let dimensions = dimensions.unwrap_or_default();
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(MetricsError::invalid(format!(
            "The collection {path} must not have a size greater than {DIMENSIONS_MAX}."
        )));
    }
    let mut checked = BTreeMap::new();
    for (place, dimension) in dimensions.into_iter().enumerate() {
        let path = format!("{path}.member.{}", place + 1);
        let name = checked_name(&format!("{path}.Name"), dimension.name)?;
        let value_path = format!("{path}.Value");
        let value = dimension.value.ok_or_else(|| MetricsError::missing(&value_path))?;
        check_len(&value_path, &value, DIMENSION_VALUE_CHARS_MAX)?;
        if checked.insert(name, value).is_some() {
            return Err(MetricsError::invalid(format!(
                "The parameter {path}.Name is there twice."
            )));
        }
    }
    Ok(checked)
}
