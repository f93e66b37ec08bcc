//! What a table or an index is billed by.

use super::error::DynamoError;

const UNITS_MAX: i64 = 1_000_000_000_000;

/// Whether capacity is paid by request or set aside. Nothing is throttled either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Throughput {
    OnDemand,
    Provisioned { read: i64, write: i64 },
}

impl Throughput {
    /// Units that are set aside, if they are in range.
    pub(super) fn provisioned(read: i64, write: i64) -> Result<Self, DynamoError> {
        for (units, name) in [(read, "ReadCapacityUnits"), (write, "WriteCapacityUnits")] {
            if !(1..=UNITS_MAX).contains(&units) {
                return Err(DynamoError::invalid(format!(
                    "Given value {units} for {name} is out of bounds"
                )));
            }
        }
        Ok(Self::Provisioned { read, write })
    }

    pub(super) const fn is_on_demand(self) -> bool {
        matches!(self, Self::OnDemand)
    }

    /// The read and the write units, zero if none are set aside.
    pub(super) const fn units(self) -> (i64, i64) {
        match self {
            Self::OnDemand => (0, 0),
            Self::Provisioned { read, write } => (read, write),
        }
    }
}
