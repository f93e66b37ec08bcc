//! [`AckTracker`]: completions come in any order, a contiguous watermark goes out.

use crate::sequence::Position;

/// How many units may be outstanding at once unless something else is asked for.
pub const DEFAULT_WINDOW: usize = 1024;

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
/// use kcl_core::{Position, SequenceNumber, ack::AckTracker};
///
/// let after = |number: &str| SequenceNumber::new(number.to_owned()).map(Position::after);
/// let mut acks = AckTracker::new();
/// let first = acks.push(after("10")?);
/// let second = acks.push(after("20")?);
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
    watermark: Option<Position>,
    advanced: bool,
}

#[derive(Clone, Debug)]
struct Slot {
    serial: u64,
    /// `None` once the slot is free.
    position: Option<Position>,
    completed: bool,
    next: Option<usize>,
}

impl Default for AckTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl AckTracker {
    /// A tracker with a window of [`DEFAULT_WINDOW`] units.
    #[must_use]
    pub fn new() -> Self {
        Self::with_window(DEFAULT_WINDOW)
    }

    /// A tracker with a window of `capacity` units, at least one.
    #[must_use]
    pub fn with_window(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ends: None,
            next_serial: 0,
            outstanding: 0,
            capacity: capacity.max(1),
            watermark: None,
            advanced: false,
        }
    }

    /// Adds the next unit, which ends with the record at `position`.
    ///
    /// Ask [`has_room`](Self::has_room) before reading more: a unit that is already there is always tracked, since one
    /// that is not could be passed over.
    pub fn push(&mut self, position: Position) -> Ticket {
        let (ticket, slot) = self.occupy(position, None);
        self.ends = match self.ends {
            Some((first, last)) => {
                self.slots[last].next = Some(slot);
                Some((first, slot))
            }
            None => Some((slot, slot)),
        };
        ticket
    }

    /// Cuts an outstanding unit in two: `ticket` now stands for the part that ends at `head_end`, and the ticket that is
    /// given back for the rest.
    ///
    /// # Errors
    /// If the unit is not outstanding.
    pub fn split(&mut self, ticket: Ticket, head_end: Position) -> Result<Ticket, AckError> {
        let head = self.outstanding_slot(ticket)?;
        let tail_end = self.slots[head]
            .position
            .replace(head_end)
            .expect("a unit in the window has a position");
        let successor = self.slots[head].next;
        let (tail_ticket, tail) = self.occupy(tail_end, successor);
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

    /// How many units there may be between the watermark and the newest one.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether another unit may be pushed. Complete units behind a gap take room too: what is remembered stays bounded.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.slots.len() - self.free.len() < self.capacity
    }

    /// Whether everything that was pushed has been handled.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    fn occupy(&mut self, position: Position, next: Option<usize>) -> (Ticket, usize) {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.outstanding += 1;
        let unit = Slot {
            serial,
            position: Some(position),
            completed: false,
            next,
        };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot] = unit;
            slot
        } else {
            self.slots.push(unit);
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
            let unit = &mut self.slots[first];
            if !unit.completed {
                return;
            }
            self.watermark = unit.position.take();
            self.advanced = true;
            self.ends = unit.next.map(|next| (next, last));
            self.free.push(first);
        }
    }
}

#[cfg(test)]
mod tests;
