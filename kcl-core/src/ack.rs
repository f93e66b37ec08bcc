//! [`AckTracker`]: completions come in any order, a contiguous watermark goes out.

use crate::{sequence::Position, time::Timestamp};

/// How many records may lie between the watermark and the newest unit unless something else is asked for.
pub const DEFAULT_WINDOW: usize = 10_000;

/// A unit of work: consecutive records of a shard that are handled together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The position of the last of them.
    pub end: Position,
    /// How many.
    pub records: usize,
    /// When the first of them arrived.
    pub arrived: Timestamp,
}

/// Names one unit of work in the [`AckTracker`] that gave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    serial: u64,
    slot: usize,
}

/// A ticket cannot be completed or split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The unit was completed before.
    #[error("the unit of {0:?} was completed before")]
    AlreadyCompleted(Ticket),
    /// The ticket is not from this tracker.
    #[error("{0:?} was not given out by this tracker")]
    Unknown(Ticket),
}

/// Tells how far a shard has been handled without a gap, while its units of work complete in any order.
///
/// Units are pushed in the shard's order; the watermark is the position of the last unit before the first that is not
/// complete. Nothing compares sequence numbers: the order of the pushes is the order. Every operation takes constant
/// time, amortised.
///
/// ```
/// use kcl_core::{Position, SequenceNumber, Timestamp, ack::{AckTracker, Unit}};
///
/// let after = |number: &str| SequenceNumber::new(number.to_owned()).map(Position::after);
/// let unit = |end| Unit { end, records: 1, arrived: Timestamp::from_epoch_millis(0) };
/// let mut acks = AckTracker::new();
/// let first = acks.push(unit(after("10")?));
/// let second = acks.push(unit(after("20")?));
///
/// acks.complete(second)?;
/// assert_eq!(acks.watermark(), None); // The first is still under way.
/// acks.complete(first)?;
/// assert_eq!(acks.watermark(), Some(&after("20")?));
/// assert!(acks.is_idle());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AckTracker {
    /// The units in the window, each with the slot of its successor. Free slots are reused.
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// The first and the last unit in the window.
    ends: Option<(usize, usize)>,
    next_serial: u64,
    outstanding: usize,
    capacity: usize,
    /// Records between the watermark and the newest unit, and those below the watermark.
    window: usize,
    passed: u64,
    watermark: Option<Position>,
    advanced: bool,
}

#[derive(Clone, Debug)]
struct Slot {
    serial: u64,
    /// `None` once the slot is free.
    unit: Option<Unit>,
    completed: bool,
    next: Option<usize>,
}

impl Default for AckTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl AckTracker {
    /// A tracker with a window of [`DEFAULT_WINDOW`] records.
    #[must_use]
    pub fn new() -> Self {
        Self::with_window(DEFAULT_WINDOW)
    }

    /// A tracker with a window of `capacity` records, at least one.
    #[must_use]
    pub fn with_window(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ends: None,
            next_serial: 0,
            outstanding: 0,
            capacity: capacity.max(1),
            window: 0,
            passed: 0,
            watermark: None,
            advanced: false,
        }
    }

    /// Adds the next unit.
    ///
    /// Ask for the [`room`](Self::room) before: a unit that is already there is always tracked, since one that is not
    /// could be passed over.
    pub fn push(&mut self, unit: Unit) -> Ticket {
        self.window += unit.records;
        let (ticket, slot) = self.occupy(unit, None);
        self.ends = match self.ends {
            Some((first, last)) => {
                self.slots[last].next = Some(slot);
                Some((first, slot))
            }
            None => Some((slot, slot)),
        };
        ticket
    }

    /// Cuts an outstanding unit in two: `ticket` now stands for its first `head_records`, which end at `head_end`, and the
    /// ticket that is given back for the rest, whose first record arrived at `rest_arrived`.
    ///
    /// # Errors
    /// If the unit is not outstanding.
    pub fn split(
        &mut self,
        ticket: Ticket,
        head_end: Position,
        head_records: usize,
        rest_arrived: Timestamp,
    ) -> Result<Ticket, AckError> {
        let head = self.outstanding_slot(ticket)?;
        let unit = self.slots[head]
            .unit
            .as_mut()
            .expect("a unit in the window is not free");
        let rest = Unit {
            end: std::mem::replace(&mut unit.end, head_end),
            records: unit.records.saturating_sub(head_records),
            arrived: rest_arrived,
        };
        unit.records -= rest.records;
        let successor = self.slots[head].next;
        let (tail_ticket, tail) = self.occupy(rest, successor);
        self.slots[head].next = Some(tail);
        if let Some((_, last)) = &mut self.ends
            && *last == head
        {
            *last = tail;
        }
        Ok(tail_ticket)
    }

    /// Notes that a unit has been handled.
    ///
    /// # Errors
    /// If the unit is not outstanding; nothing changes then.
    pub fn complete(&mut self, ticket: Ticket) -> Result<(), AckError> {
        let slot = self.outstanding_slot(ticket)?;
        self.slots[slot].completed = true;
        self.outstanding -= 1;
        self.advance();
        Ok(())
    }

    /// How far everything has been handled without a gap; `None` until the first unit is.
    #[must_use]
    pub fn watermark(&self) -> Option<&Position> {
        self.watermark.as_ref()
    }

    /// The watermark, if it moved since this was asked last.
    pub fn take_watermark(&mut self) -> Option<Position> {
        std::mem::take(&mut self.advanced)
            .then(|| self.watermark.clone())
            .flatten()
    }

    /// How many units are not complete.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// How many records there may be between the watermark and the newest unit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many records there are between the watermark and the newest unit. Those that are handled and lie behind a gap
    /// count too: what is remembered, and what a crash repeats, stays bounded.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// How many more records may be pushed.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.window)
    }

    /// How many records the watermark has passed.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// When the oldest record that is not handled arrived.
    #[must_use]
    pub fn oldest_arrival(&self) -> Option<Timestamp> {
        let (first, _) = self.ends?;
        self.slots[first].unit.as_ref().map(|unit| unit.arrived)
    }

    /// Whether everything that was pushed has been handled.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    fn occupy(&mut self, unit: Unit, next: Option<usize>) -> (Ticket, usize) {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.outstanding += 1;
        let taken = Slot {
            serial,
            unit: Some(unit),
            completed: false,
            next,
        };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot] = taken;
            slot
        } else {
            self.slots.push(taken);
            self.slots.len() - 1
        };
        (Ticket { serial, slot }, slot)
    }

    fn outstanding_slot(&self, ticket: Ticket) -> Result<usize, AckError> {
        if ticket.serial >= self.next_serial {
            return Err(AckError::Unknown(ticket));
        }
        let unit = self.slots.get(ticket.slot).ok_or(AckError::Unknown(ticket))?;
        if unit.serial == ticket.serial && !unit.completed {
            Ok(ticket.slot)
        } else {
            Err(AckError::AlreadyCompleted(ticket))
        }
    }

    /// Moves the watermark over all complete units at the front of the window.
    fn advance(&mut self) {
        while let Some((first, last)) = self.ends {
            let slot = &mut self.slots[first];
            if !slot.completed {
                return;
            }
            self.ends = slot.next.map(|next| (next, last));
            if let Some(unit) = slot.unit.take() {
                self.window -= unit.records;
                self.passed += unit.records as u64;
                self.watermark = Some(unit.end);
                self.advanced = true;
            }
            self.free.push(first);
        }
    }
}

#[cfg(test)]
mod tests;
