//! What filters let through, and how large records are in an event.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kcl_core::{
    Record,
    delivery::{Admission, Admitted},
};

use super::worker_settings::any_shard;
use crate::{
    event::{EventSource, EventWriter},
    filter::{FilterVerdict, RecordFilter},
    mapping::{EventSourceMapping, InvalidMapping},
    metrics::MappingMetrics,
};

/// What the filters of a mapping say of the records that workers read. Clones count together.
#[derive(Clone, Debug)]
pub struct FilterCounts(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    kept: AtomicU64,
    filtered: AtomicU64,
    unparseable: AtomicU64,
    matching: Vec<AtomicU64>,
}

impl FilterCounts {
    pub(super) fn new(filters: usize) -> Self {
        Self(Arc::new(Counts {
            kept: AtomicU64::default(),
            filtered: AtomicU64::default(),
            unparseable: AtomicU64::default(),
            matching: (0..filters).map(|_| AtomicU64::default()).collect(),
        }))
    }

    /// Records that a filter matches.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::Relaxed)
    }

    /// Records that no filter matches.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.0.filtered.load(Ordering::Relaxed)
    }

    /// Records that no filter matches, and whose data is not the JSON that one asks for.
    #[must_use]
    pub fn unparseable(&self) -> u64 {
        self.0.unparseable.load(Ordering::Relaxed)
    }

    /// Per filter, the records that it matches.
    #[must_use]
    pub fn matching(&self) -> Vec<u64> {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.0.matching.iter().map(count).collect()
    }

    fn count(&self, verdict: FilterVerdict, matching: &[usize]) {
        let counter = match verdict {
            FilterVerdict::Kept => &self.0.kept,
            FilterVerdict::Filtered => &self.0.filtered,
            FilterVerdict::Unparseable => &self.0.unparseable,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        for counter in matching.iter().filter_map(|place| self.0.matching.get(*place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The admission of a mapping.
#[derive(Debug)]
pub(super) struct MappingAdmission {
    filter: RecordFilter,
    dry_run: bool,
    counts: FilterCounts,
    sizes: EventWriter,
    metrics: MappingMetrics,
}

impl MappingAdmission {
    pub(super) fn new(
        mapping: &EventSourceMapping,
        source: &EventSource,
        counts: FilterCounts,
        metrics: MappingMetrics,
    ) -> Result<Self, InvalidMapping> {
        let filter = mapping.record_filter();
        Ok(Self {
            filter: filter.map_err(|invalid| InvalidMapping::of_filters(&invalid))?,
            dry_run: mapping.extensions.filter_dry_run,
            counts,
            sizes: EventWriter::new(source, &any_shard()),
            metrics,
        })
    }
}

impl Admission for MappingAdmission {
    fn admits(&self, record: &Record) -> Admitted {
        self.metrics.polled();
        if self.filter.is_empty() {
            return Admitted::Yes;
        }
        let (verdict, matching) = self.filter.explain(record);
        self.counts.count(verdict, &matching);
        let admitted = match verdict {
            _ if self.dry_run => Admitted::Yes,
            FilterVerdict::Kept => Admitted::Yes,
            FilterVerdict::Filtered => Admitted::No,
            FilterVerdict::Unparseable => Admitted::Unreadable,
        };
        if admitted != Admitted::Yes {
            self.metrics.filtered_out();
        }
        admitted
    }

    fn payload(&self, record: &Record) -> u64 {
        // The comma behind it counts too.
        self.sizes.record_bytes(record) as u64 + 1
    }
}
