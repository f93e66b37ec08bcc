//! What is to happen, by time; what is to happen at the same time, in the order in which it was put in.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::event::Event;

/// Events are large and the heap moves its elements: it holds their places in a shelf instead.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    shelf: Vec<Option<Event>>,
    empty: Vec<usize>,
    sequence: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        let place = self.empty.pop().unwrap_or_else(|| {
            self.shelf.push(None);
            self.shelf.len() - 1
        });
        self.shelf[place] = Some(event);
        self.heap.push(Reverse((at, self.sequence, place)));
    }

    pub(super) fn pop(&mut self) -> Option<(Duration, Event)> {
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.empty.push(place);
        self.shelf[place].take().map(|event| (at, event))
    }
}
