//! What operations cost, in the service's units.

use std::collections::BTreeMap;

use serde::Serialize;

const READ_UNIT_BYTES: usize = 4 << 10;
const WRITE_UNIT_BYTES: usize = 1 << 10;

/// What one kind of operation has cost one table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct OperationCost {
    /// The requests that named the table, refused conditional writes included.
    pub requests: u64,
    /// Read units of the table and its indexes: 4 KiB each, half if the read need not be consistent.
    pub read_units: f64,
    /// Write units of the table and its indexes: 1 KiB each.
    pub write_units: f64,
}

impl OperationCost {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            read_units: self.read_units + other.read_units,
            write_units: self.write_units + other.write_units,
        }
    }
}

/// What a table has cost since it was made, by operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableCosts {
    operations: BTreeMap<&'static str, OperationCost>,
}

impl TableCosts {
    pub(super) const fn new() -> Self {
        Self {
            operations: BTreeMap::new(),
        }
    }

    /// The cost of all operations together.
    #[must_use]
    pub fn total(&self) -> OperationCost {
        self.operations
            .values()
            .fold(OperationCost::default(), |sum, cost| sum.plus(*cost))
    }

    /// The cost of one operation, such as `UpdateItem`.
    #[must_use]
    pub fn of(&self, operation: &str) -> OperationCost {
        self.operations.get(operation).copied().unwrap_or_default()
    }

    /// The operations that were called, in the order of their names.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, OperationCost)> {
        self.operations.iter().map(|(operation, cost)| (*operation, *cost))
    }

    pub(super) fn add(&mut self, operation: &'static str, units: &Units) {
        let cost = self.operations.entry(operation).or_default();
        *cost = cost.plus(OperationCost {
            requests: 1,
            read_units: units.total(Kind::Read),
            write_units: units.total(Kind::Write),
        });
    }
}

/// Read and write units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// What one request costs one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units {
    kind: Kind,
    table: f64,
    indexes: BTreeMap<String, f64>,
}

impl Units {
    pub(super) const fn none(kind: Kind) -> Self {
        Self {
            kind,
            table: 0.0,
            indexes: BTreeMap::new(),
        }
    }

    /// A read of `bytes` of the table, or of an index.
    pub(super) fn read(index: Option<&str>, bytes: usize, consistent: bool) -> Self {
        let mut units = Self::none(Kind::Read);
        let read = blocks(bytes, READ_UNIT_BYTES) / if consistent { 1.0 } else { 2.0 };
        match index {
            Some(index) => units.add_index(index, read),
            None => units.table = read,
        }
        units
    }

    /// A write of an item, before indexes.
    pub(super) fn write(bytes: usize) -> Self {
        Self {
            table: blocks(bytes, WRITE_UNIT_BYTES),
            ..Self::none(Kind::Write)
        }
    }

    pub(super) fn add_index_write(&mut self, index: &str, bytes: usize) {
        self.add_index(index, blocks(bytes, WRITE_UNIT_BYTES));
    }

    fn add_index(&mut self, index: &str, units: f64) {
        *self.indexes.entry(index.to_owned()).or_default() += units;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.table += other.table;
        for (index, units) in &other.indexes {
            self.add_index(index, *units);
        }
    }

    /// As part of a transaction, which writes or reads everything twice.
    pub(super) fn doubled(mut self) -> Self {
        self.table *= 2.0;
        self.indexes.values_mut().for_each(|units| *units *= 2.0);
        self
    }

    fn total(&self, kind: Kind) -> f64 {
        if self.kind == kind {
            self.table + self.indexes.values().sum::<f64>()
        } else {
            0.0
        }
    }
}

fn blocks(bytes: usize, block: usize) -> f64 {
    // Far below 2^53, up to which every count has an exact f64.
    bytes.div_ceil(block).max(1) as f64
}

/// How much of the cost an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReturnConsumedCapacity {
    None,
    Total,
    Indexes,
}

/// What an answer tells of the cost.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConsumedCapacity {
    table_name: String,
    capacity_units: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_capacity_units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_capacity_units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Capacity>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    global_secondary_indexes: BTreeMap<String, Capacity>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Capacity {
    capacity_units: f64,
}

impl ReturnConsumedCapacity {
    pub(super) fn of(self, table_name: &str, units: &Units) -> Option<ConsumedCapacity> {
        let capacity = |capacity_units| Capacity { capacity_units };
        let detailed = self == Self::Indexes;
        (self != Self::None).then(|| ConsumedCapacity {
            table_name: table_name.to_owned(),
            capacity_units: units.total(units.kind),
            read_capacity_units: None,
            write_capacity_units: None,
            table: detailed.then(|| capacity(units.table)),
            global_secondary_indexes: units
                .indexes
                .iter()
                .filter(|_| detailed)
                .map(|(index, units)| (index.clone(), capacity(*units)))
                .collect(),
        })
    }

    /// As transactions tell it: reads and writes by name.
    pub(super) fn of_transaction(self, table_name: &str, units: &Units) -> Option<ConsumedCapacity> {
        let consumed = self.of(table_name, units)?;
        let of_kind = |kind| (units.kind == kind).then(|| units.total(kind));
        Some(ConsumedCapacity {
            read_capacity_units: of_kind(Kind::Read),
            write_capacity_units: of_kind(Kind::Write),
            ..consumed
        })
    }
}
