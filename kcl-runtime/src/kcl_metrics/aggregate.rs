//! Values added up: one statistic set for each metric and its dimensions. Pure: no clock, no lock, no task.

use std::{collections::BTreeMap, sync::Arc};

use kcl_core::Timestamp;

use super::{
    datum::{MetricDatum, MetricsDimension, MetricsLevel, Statistics, Unit},
    names::Metric,
};

/// The most sets at a time. Metrics of more shards than this are dropped, and counted.
const SETS_MAX: usize = 100_000;

/// The dimensions of a metric. Those that are not enabled are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) operation: Option<&'static str>,
    pub(super) shard: Option<Arc<str>>,
    pub(super) stream: Option<Arc<str>>,
    pub(super) worker: Option<Arc<str>>,
}

impl Scope {
    pub(super) fn of(operation: &'static str) -> Self {
        Self {
            operation: Some(operation),
            ..Self::default()
        }
    }

    fn only(&self, enabled: &[MetricsDimension]) -> Self {
        let has = |dimension| enabled.contains(&dimension);
        Self {
            operation: self.operation.filter(|_| has(MetricsDimension::Operation)),
            shard: self.shard.clone().filter(|_| has(MetricsDimension::ShardId)),
            stream: self.stream.clone().filter(|_| has(MetricsDimension::StreamId)),
            worker: self.worker.clone().filter(|_| has(MetricsDimension::WorkerIdentifier)),
        }
    }

    fn dimensions(&self) -> Vec<(MetricsDimension, String)> {
        let values = [
            self.operation,
            self.shard.as_deref(),
            self.stream.as_deref(),
            self.worker.as_deref(),
        ];
        let named = MetricsDimension::ALL.into_iter().zip(values);
        named
            .filter_map(|(dimension, value)| Some((dimension, value?.to_owned())))
            .collect()
    }
}

/// Adds values up until they are taken.
#[derive(Debug)]
pub(super) struct Aggregator {
    level: MetricsLevel,
    enabled: Vec<MetricsDimension>,
    sets: BTreeMap<(Scope, &'static str), (Unit, Statistics)>,
    dropped: u64,
}

impl Aggregator {
    pub(super) const fn new(level: MetricsLevel, enabled: Vec<MetricsDimension>) -> Self {
        Self {
            level,
            enabled,
            sets: BTreeMap::new(),
            dropped: 0,
        }
    }

    pub(super) fn add(&mut self, scope: &Scope, metric: Metric, value: f64) {
        if metric.level > self.level || !value.is_finite() {
            return;
        }
        let key = (scope.only(&self.enabled), metric.name);
        if let Some((_, statistics)) = self.sets.get_mut(&key) {
            statistics.add(value);
        } else if self.sets.len() < SETS_MAX {
            self.sets.insert(key, (metric.unit, Statistics::of(value)));
        } else {
            self.dropped += 1;
        }
    }

    /// All sets, and how many values had no room. Adding up begins anew.
    pub(super) fn take(&mut self, at: Timestamp) -> (Vec<MetricDatum>, u64) {
        let sets = std::mem::take(&mut self.sets).into_iter();
        let data = sets.map(|((scope, name), (unit, statistics))| MetricDatum {
            name,
            unit,
            dimensions: scope.dimensions(),
            at,
            statistics,
        });
        (data.collect(), std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::names::{GET_RECORDS_SUCCESS, PROCESS_TASK, RECORDS_PROCESSED, TIME},
        *,
    };

    const AT: Timestamp = Timestamp::from_epoch_millis(7);

    fn shard(shard: &str) -> Scope {
        Scope {
            shard: Some(shard.into()),
            ..Scope::of(PROCESS_TASK)
        }
    }

    #[test]
    fn given_values_when_taken_then_each_name_and_its_dimensions_is_one_set_and_the_next_begins_anew() {
        let mut aggregator = Aggregator::new(MetricsLevel::Detailed, MetricsDimension::ALL.to_vec());
        for value in [3.0, 1.0, 2.0] {
            aggregator.add(&shard("a"), RECORDS_PROCESSED, value);
        }
        aggregator.add(&shard("b"), RECORDS_PROCESSED, 5.0);
        aggregator.add(&shard("a"), TIME, 0.5);
        let (data, dropped) = aggregator.take(AT);
        assert_eq!((data.len(), dropped), (3, 0));
        let wanted = Statistics {
            count: 3,
            sum: 6.0,
            min: 1.0,
            max: 3.0,
        };
        assert_eq!(
            (data[0].name, data[0].statistics, data[0].at),
            ("RecordsProcessed", wanted, AT)
        );
        let dimensions = [
            (MetricsDimension::Operation, "ProcessTask".to_owned()),
            (MetricsDimension::ShardId, "a".to_owned()),
        ];
        assert_eq!(data[0].dimensions, dimensions);
        assert_eq!(aggregator.take(AT), (vec![], 0));
    }

    #[test]
    fn given_a_level_when_values_come_then_those_of_more_detail_are_left_out() {
        for (level, wanted) in [
            (MetricsLevel::None, &[][..]),
            (MetricsLevel::Summary, &["RecordsProcessed"]),
            (
                MetricsLevel::Detailed,
                &["KinesisDataFetcher.getRecords.Success", "RecordsProcessed"],
            ),
        ] {
            let mut aggregator = Aggregator::new(level, MetricsDimension::ALL.to_vec());
            aggregator.add(&shard("a"), RECORDS_PROCESSED, 1.0);
            aggregator.add(&shard("a"), GET_RECORDS_SUCCESS, 1.0);
            let (data, _) = aggregator.take(AT);
            assert_eq!(data.iter().map(|datum| datum.name).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn given_fewer_dimensions_when_values_differ_in_others_then_they_are_added_up() {
        let mut aggregator = Aggregator::new(MetricsLevel::Detailed, vec![MetricsDimension::Operation]);
        aggregator.add(&shard("a"), RECORDS_PROCESSED, 1.0);
        aggregator.add(&shard("b"), RECORDS_PROCESSED, 2.0);
        let (data, _) = aggregator.take(AT);
        assert_eq!((data.len(), data[0].statistics.sum), (1, 3.0));
        assert_eq!(
            data[0].dimensions,
            [(MetricsDimension::Operation, "ProcessTask".to_owned())]
        );
    }

    #[test]
    fn given_more_sets_than_there_is_room_for_when_they_come_then_they_are_counted_and_known_ones_go_on() {
        let mut aggregator = Aggregator::new(MetricsLevel::Detailed, MetricsDimension::ALL.to_vec());
        for number in 0..SETS_MAX + 2 {
            aggregator.add(&shard(&number.to_string()), TIME, 1.0);
        }
        aggregator.add(&shard("0"), TIME, 1.0);
        let (data, dropped) = aggregator.take(AT);
        assert_eq!((data.len(), dropped), (SETS_MAX, 2));
        assert_eq!(data[0].statistics.count, 2);
    }
}
