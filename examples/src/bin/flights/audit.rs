//! The record of what was delivered, and the checks on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_sdk_kinesis::types::Shard;
use kcl_core::Batch;
use tokio::sync::watch;

use crate::data::Flight;

/// One delivery of one flight.
#[derive(Debug)]
struct Delivery {
    row: usize,
    shard: String,
}

/// What all workers delivered, in the order in which it happened.
#[derive(Debug)]
pub(crate) struct Audit {
    expected: usize,
    deliveries: Mutex<Vec<Delivery>>,
    /// How many different flights were handled.
    handled: watch::Sender<usize>,
}

impl Audit {
    pub(crate) fn new(expected: usize) -> Self {
        Self {
            expected,
            deliveries: Mutex::default(),
            handled: watch::Sender::new(0),
        }
    }

    /// Notes a batch; gives the number of flights in it that were not handled before.
    pub(crate) fn note(&self, batch: &Batch) -> Result<usize, serde_json::Error> {
        let flights: Vec<Flight> = batch
            .iter()
            .map(|record| serde_json::from_slice(&record.data))
            .collect::<Result<_, _>>()?;
        let mut deliveries = self.deliveries();
        let shard = batch.shard().to_string();
        deliveries.extend(flights.iter().map(|flight| Delivery {
            row: flight.row,
            shard: shard.clone(),
        }));
        let different = deliveries
            .iter()
            .map(|delivery| delivery.row)
            .collect::<BTreeSet<_>>()
            .len();
        let before = self.handled.send_replace(different);
        Ok(different - before)
    }

    /// Waits until every flight was handled.
    pub(crate) async fn all_handled(&self) {
        // The sender lives as long as this, so waiting cannot fail.
        let _ = self
            .handled
            .subscribe()
            .wait_for(|handled| *handled == self.expected)
            .await;
    }

    /// The flights that were handled, each once, in the order in which they were first delivered.
    pub(crate) fn handled_once(&self) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        self.deliveries()
            .iter()
            .map(|delivery| delivery.row)
            .filter(|row| seen.insert(*row))
            .collect()
    }

    /// Checks that nothing was lost or out of order.
    pub(crate) fn check(&self, flights: &[Flight], shards: &[Shard]) -> Result<String, String> {
        let order = self.handled_once();
        if let Some(lost) = flights.iter().find(|flight| !order.contains(&flight.row)) {
            return Err(format!(
                "flight {} {} (row {}) was never handled",
                lost.carrier, lost.flight, lost.row
            ));
        }
        check_aircraft(flights, &order)?;
        let deliveries = self.deliveries();
        let families = check_families(&deliveries, shards)?;
        let replayed = deliveries.len() - order.len();
        Ok(format!(
            "{} flights handled, none lost, {replayed} delivered again, every aircraft's flights in order, \
             {families} child shards after their parents",
            order.len()
        ))
    }

    fn deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every aircraft's flights were first delivered in the order of the file.
fn check_aircraft(flights: &[Flight], order: &[usize]) -> Result<(), String> {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for flight in order.iter().filter_map(|row| flights.get(*row)) {
        if let Some(before) = last.insert(&flight.tailnum, flight.row)
            && before > flight.row
        {
            return Err(format!(
                "aircraft {}: row {} was delivered after row {before}",
                flight.tailnum, flight.row
            ));
        }
    }
    Ok(())
}

/// No child's flight was delivered before the last of its parents'. Gives the number of children seen.
fn check_families(deliveries: &[Delivery], shards: &[Shard]) -> Result<usize, String> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, delivery) in deliveries.iter().enumerate() {
        first.entry(&delivery.shard).or_insert(at);
        last.insert(&delivery.shard, at);
    }
    let mut children = 0;
    for shard in shards {
        let parents = shard.parent_shard_id.iter().chain(&shard.adjacent_parent_shard_id);
        for parent in parents {
            let child = first.get(shard.shard_id.as_str());
            if let (Some(first), Some(last)) = (child, last.get(parent.as_str()))
                && first < last
            {
                return Err(format!(
                    "{} was delivered before its parent {parent} was done",
                    shard.shard_id
                ));
            }
        }
        children += usize::from(shard.parent_shard_id.is_some() && first.contains_key(shard.shard_id.as_str()));
    }
    if children == 0 {
        return Err("no child shard was consumed, so the split and the merge were not tried".to_owned());
    }
    Ok(children)
}
