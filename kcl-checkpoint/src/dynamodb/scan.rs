//! Reading all rows: page by page, in as many parts at once as the table's size asks for.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::{
    Client, config::http::HttpResponse, error::SdkError, operation::scan::ScanError, types::ReturnConsumedCapacity,
};
use futures::future::try_join_all;
use kcl_core::StoreError;

use super::{
    codec::Item,
    error::{Request, says_no_table},
};

/// What one page holds at most. A part of this size takes one request, so a scan takes about as long as one.
const SEGMENT_BYTES: u64 = 1024 * 1024;
/// As many parts as Java KCL makes at most; more would come in each other's way.
const SEGMENTS_MAX: u32 = 32;
/// What one unit of a consistent read covers.
const UNIT_BYTES: f64 = 4096.0;

/// Into how many parts a scan is divided. What the table's description says is up to six hours old, so that each scan
/// corrects it by what it read.
#[derive(Debug)]
pub(super) struct Segments {
    fixed: Option<u32>,
    found: AtomicU32,
}

impl Segments {
    pub(super) fn new(fixed: Option<u32>, table_bytes: u64) -> Self {
        Self {
            fixed: fixed.map(|segments| segments.clamp(1, 1_000_000)),
            found: AtomicU32::new(segments_of(table_bytes)),
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.fixed.unwrap_or_else(|| self.found.load(Ordering::Relaxed))
    }

    fn learn(&self, table_bytes: u64) {
        self.found.store(segments_of(table_bytes), Ordering::Relaxed);
    }
}

fn segments_of(table_bytes: u64) -> u32 {
    let segments = table_bytes.div_ceil(SEGMENT_BYTES);
    u32::try_from(segments).unwrap_or(SEGMENTS_MAX).clamp(1, SEGMENTS_MAX)
}

/// A part of the table, or a page of it: rows, and the units that it took to read them.
#[derive(Debug, Default)]
struct Part {
    rows: Vec<Item>,
    units: f64,
}

/// All rows, in no order.
pub(super) async fn scan(client: &Client, request: Request<'_>, segments: &Segments) -> Result<Vec<Item>, StoreError> {
    let total = segments.count();
    let part = |segment| {
        let plan = Plan {
            // Who plans from rows of a moment ago takes leases that were just taken.
            consistent: true,
            segment: (total > 1).then_some((segment, total)),
        };
        scan_part(client, request.table, plan)
    };
    let parts = try_join_all((0..total).map(part)).await;
    let parts = parts.map_err(|error| request.failed(*error))?;
    let units: f64 = parts.iter().map(|part| part.units).sum();
    // Services that only look like DynamoDB may not say what a read takes: then the number stays.
    if units > 0.0 {
        segments.learn((units * UNIT_BYTES) as u64);
    }
    Ok(parts.into_iter().flat_map(|part| part.rows).collect())
}

/// All rows of a small table, page by page; `None` if there is no such table.
pub(super) async fn scan_if_there(
    client: &Client,
    request: Request<'_>,
    consistent: bool,
) -> Result<Option<Vec<Item>>, StoreError> {
    let plan = Plan {
        consistent,
        segment: None,
    };
    match scan_part(client, request.table, plan).await {
        Ok(part) => Ok(Some(part.rows)),
        Err(error) if says_no_table(&*error) => Ok(None),
        Err(error) => Err(request.failed(*error)),
    }
}

/// How a part of a table is read.
#[derive(Clone, Copy, Debug)]
struct Plan {
    consistent: bool,
    /// Which part of how many; none if it is the whole table.
    segment: Option<(u32, u32)>,
}

type ScanFailure = Box<SdkError<ScanError, HttpResponse>>;

async fn scan_part(client: &Client, table: &str, plan: Plan) -> Result<Part, ScanFailure> {
    let mut part = Part::default();
    let mut start = None;
    loop {
        let page = client
            .scan()
            .table_name(table)
            .consistent_read(plan.consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_segment(plan.segment.map(|(segment, _)| segment.cast_signed()))
            .set_total_segments(plan.segment.map(|(_, total)| total.cast_signed()))
            .set_exclusive_start_key(start)
            .send()
            .await?;
        part.rows.extend(page.items.unwrap_or_default());
        part.units += page
            .consumed_capacity
            .and_then(|consumed| consumed.capacity_units)
            .unwrap_or_default();
        start = page.last_evaluated_key.filter(|key| !key.is_empty());
        if start.is_none() {
            return Ok(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_tables_of_many_sizes_when_divided_then_parts_grow_with_them_up_to_a_limit() {
        for (bytes, segments) in [
            (0, 1),
            (1, 1),
            (1 << 20, 1),
            ((1 << 20) + 1, 2),
            (5 << 20, 5),
            (32 << 20, 32),
            (1 << 40, 32),
            (u64::MAX, 32),
        ] {
            assert_eq!(Segments::new(None, bytes).count(), segments, "{bytes} bytes");
        }
        assert_eq!(Segments::new(Some(7), 1 << 40).count(), 7);
        assert_eq!(Segments::new(Some(0), 0).count(), 1);
    }
}
