//! `ListMetrics` and `GetMetricStatistics`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kcl_core::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Dimension, Metrics, MetricsError, MetricsErrorKind, Node, Operation,
    datum::{MetricDatum, StatisticSet},
    field::{Number, Time},
    put::{check_unit, checked_dimensions, checked_name},
};

const PAGE_LEN: usize = 500;
const RECENT: Duration = Duration::from_hours(3);
const POINTS_MAX: i64 = 1440;
const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMetrics {
    namespace: Option<String>,
    metric_name: Option<String>,
    dimensions: Option<Vec<Dimension>>,
    next_token: Option<String>,
    recently_active: Option<String>,
    owning_account: Option<IgnoredAny>,
}

/// What tells metrics apart.
type Metric<'a> = (&'a str, &'a str, &'a BTreeMap<String, String>);

fn metric_of(datum: &MetricDatum) -> Metric<'_> {
    (&datum.namespace, &datum.metric_name, &datum.dimensions)
}

impl Operation for ListMetrics {
    fn execute(self, metrics: &mut Metrics, now: Timestamp) -> Result<Option<Node>, MetricsError> {
        if self.owning_account.is_some() {
            return Err(MetricsError::invalid(
                "OwningAccount is not built in this broker: it has one account",
            ));
        }
        let since = match self.recently_active.as_deref() {
            None => None,
            Some("PT3H") => Some(now.saturating_sub(RECENT)),
            Some(other) => {
                return Err(MetricsError::invalid(format!(
                    "The value {other} for parameter RecentlyActive must be PT3H."
                )));
            }
        };
        let wanted = |datum: &MetricDatum| {
            self.namespace.as_ref().is_none_or(|name| *name == datum.namespace)
                && self.metric_name.as_ref().is_none_or(|name| *name == datum.metric_name)
                && self.dimensions.iter().flatten().all(|filter| filter.allows(datum))
                && since.is_none_or(|since| datum.timestamp >= since)
        };
        let data = metrics.data().filter(|datum| wanted(datum));
        let listed: BTreeSet<Metric<'_>> = data.map(|datum| metric_of(datum)).collect();
        let start = match self.next_token.as_deref().map(str::parse::<usize>) {
            None => 0,
            Some(Ok(start)) => start,
            Some(Err(_)) => return Err(MetricsError::invalid("The parameter NextToken is invalid.")),
        };
        let page = listed.iter().skip(start).take(PAGE_LEN).map(|metric| shown(*metric));
        let mut output = vec![("Metrics", Node::List(page.collect()))];
        if listed.len() > start.saturating_add(PAGE_LEN) {
            output.push(("NextToken", Node::text((start + PAGE_LEN).to_string())));
        }
        Ok(Some(Node::Structure(output)))
    }
}

impl Dimension {
    /// Whether a point has this dimension, with this value if there is one.
    fn allows(&self, datum: &MetricDatum) -> bool {
        let Some(name) = &self.name else { return true };
        let value = datum.dimensions.get(name);
        match &self.value {
            None => value.is_some(),
            wanted => value == wanted.as_ref(),
        }
    }
}

fn shown((namespace, name, dimensions): Metric<'_>) -> Node {
    let dimensions = dimensions
        .iter()
        .map(|(name, value)| Node::Structure(vec![("Name", Node::text(name)), ("Value", Node::text(value))]));
    Node::Structure(vec![
        ("Namespace", Node::text(namespace)),
        ("MetricName", Node::text(name)),
        ("Dimensions", Node::List(dimensions.collect())),
    ])
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricStatistics {
    namespace: Option<String>,
    metric_name: Option<String>,
    dimensions: Option<Vec<Dimension>>,
    start_time: Option<Time>,
    end_time: Option<Time>,
    period: Option<Number>,
    statistics: Option<Vec<String>>,
    extended_statistics: Option<Vec<IgnoredAny>>,
    unit: Option<String>,
}

impl Operation for GetMetricStatistics {
    fn execute(self, metrics: &mut Metrics, _: Timestamp) -> Result<Option<Node>, MetricsError> {
        let namespace = checked_name("Namespace", self.namespace)?;
        let metric_name = checked_name("MetricName", self.metric_name)?;
        let dimensions = checked_dimensions("Dimensions", self.dimensions)?;
        let Time(start) = self.start_time.ok_or_else(|| MetricsError::missing("StartTime"))?;
        let Time(end) = self.end_time.ok_or_else(|| MetricsError::missing("EndTime"))?;
        let Number(period) = self.period.ok_or_else(|| MetricsError::missing("Period"))?;
        if self
            .extended_statistics
            .is_some_and(|statistics| !statistics.is_empty())
        {
            return Err(MetricsError::invalid(
                "ExtendedStatistics is not built in this broker: use Statistics",
            ));
        }
        let statistics = self.statistics.unwrap_or_default();
        if let Some(other) = statistics.iter().find(|name| !STATISTICS.contains(&name.as_str())) {
            return Err(MetricsError::invalid(format!(
                "The value {other} for parameter Statistics is invalid."
            )));
        }
        if statistics.is_empty() {
            return Err(MetricsError::missing("Statistics"));
        }
        if let Some(unit) = &self.unit {
            check_unit("Unit", unit)?;
        }
        let period_ms = checked_period(period, start, end)?;

        let data = metrics.data().filter(|datum| {
            metric_of(datum) == (&*namespace, &*metric_name, &dimensions)
                && (start..end).contains(&datum.timestamp)
                && self.unit.as_ref().is_none_or(|unit| *unit == datum.unit)
        });
        let mut points = BTreeMap::<(i64, &str), StatisticSet>::new();
        for datum in data {
            let begin = datum.timestamp.epoch_millis().div_euclid(period_ms) * period_ms;
            points
                .entry((begin, &datum.unit))
                .and_modify(|point| *point = point.merged(datum.statistics))
                .or_insert(datum.statistics);
        }
        let points = points.into_iter().map(|((begin, unit), point)| {
            let mut members = vec![("Timestamp", Node::Time(Timestamp::from_epoch_millis(begin)))];
            let wanted = STATISTICS
                .into_iter()
                .filter(|name| statistics.iter().any(|wanted| wanted == name));
            members.extend(wanted.map(|name| (name, Node::Number(point.named(name)))));
            members.push(("Unit", Node::text(unit)));
            Node::Structure(members)
        });
        let points = Node::List(points.collect());
        Ok(Some(Node::Structure(vec![
            ("Label", Node::text(metric_name)),
            ("Datapoints", points),
        ])))
    }
}

impl StatisticSet {
    fn named(&self, name: &str) -> f64 {
        match name {
            "SampleCount" => self.sample_count,
            "Sum" => self.sum,
            "Minimum" => self.minimum,
            "Maximum" => self.maximum,
            _ => self.sum / self.sample_count,
        }
    }
}

/// The period in milliseconds, if it cuts the time into not too many parts.
fn checked_period(period: f64, start: Timestamp, end: Timestamp) -> Result<i64, MetricsError> {
    let seconds = period as i64;
    let is_allowed = matches!(seconds, 1 | 5 | 10 | 20 | 30) || (seconds > 0 && seconds % 60 == 0);
    if !is_allowed || seconds > i64::from(i32::MAX) {
        return Err(MetricsError::invalid(
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.",
        ));
    }
    if end <= start {
        return Err(MetricsError::new(
            MetricsErrorKind::InvalidParameterCombination,
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let period_ms = seconds * 1000;
    let points = i64::try_from(end.millis_since(start).div_ceil(period_ms.unsigned_abs())).unwrap_or(i64::MAX);
    if points > POINTS_MAX {
        return Err(MetricsError::new(
            MetricsErrorKind::InvalidParameterCombination,
            format!(
                "You have requested up to {points} datapoints, which exceeds the limit of {POINTS_MAX}. You may reduce the \
                 datapoints requested by increasing Period, or decreasing the time range."
            ),
        ));
    }
    Ok(period_ms)
}
