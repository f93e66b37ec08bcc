//! Conditions and updates as the service's expressions.
//!
//! What is expected is what Java KCL expects of its own writes: the counter, the owner, the checkpoint owner, or that
//! nobody is one. What is changed is named attribute by attribute, so that those of other writers stay.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::{Expect, LeaseWrite, Patch, WorkerId, lease::SwitchCount};

use super::{
    codec::{self, PositionValues, Unstorable, number, text},
    schema::{
        CHECKPOINT, CHECKPOINT_OWNER, CHECKPOINT_SUB, CHECKPOINT_TIMESTAMP, CHILDREN, ENDING_HASH_KEY, FAILOVER_TIME,
        LEASE_COUNTER, LEASE_KEY, LEASE_OWNER, OWNER_SWITCHES, PAUSED, PENDING, PENDING_STATE, PENDING_SUB,
        PENDING_TIMESTAMP, SEEKS, SESSION, SESSION_COUNTER, STARTING_HASH_KEY, THROUGHPUT,
    },
};

/// A conditional write as the service takes it.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    pub(super) condition: String,
    /// None where nothing changes.
    pub(super) update: Option<String>,
    pub(super) names: HashMap<String, String>,
    /// None where there are none: the service refuses an empty map.
    pub(super) values: Option<HashMap<String, AttributeValue>>,
}

impl Expressions {
    /// What must hold for a delete.
    pub(super) fn condition(expect: &Expect) -> Self {
        let mut places = Places::default();
        let condition = places.condition(expect);
        places.into_expressions(condition, None)
    }

    /// What must hold for an update and what it changes.
    pub(super) fn update(write: &LeaseWrite) -> Result<Self, Unstorable> {
        let mut places = Places::default();
        let condition = places.condition(&write.expect);
        let mut clauses = Clauses {
            places: &mut places,
            set: Vec::new(),
            remove: Vec::new(),
            add: Vec::new(),
        };
        clauses.patch(&write.patch, write.expect.counter)?;
        let update = clauses.text();
        Ok(places.into_expressions(condition, update))
    }
}

/// Placeholders of names and values. Every name gets one, since it may be a reserved word one day.
#[derive(Debug, Default)]
struct Places {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Places {
    fn name(&mut self, name: &str) -> String {
        let place = format!("#{name}");
        self.names.insert(place.clone(), name.to_owned());
        place
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let place = format!(":v{}", self.values.len());
        self.values.insert(place.clone(), value);
        place
    }

    fn condition(&mut self, expect: &Expect) -> String {
        let mut clauses = vec![format!("attribute_exists({})", self.name(LEASE_KEY))];
        if let Some(counter) = expect.counter {
            clauses.push(self.equals(LEASE_COUNTER, number(counter)));
        }
        for (name, expected) in [
            (LEASE_OWNER, &expect.owner),
            (CHECKPOINT_OWNER, &expect.checkpoint_owner),
        ] {
            match expected {
                None => {}
                Some(Some(worker)) => clauses.push(self.equals(name, text(worker))),
                Some(None) => clauses.push(format!("attribute_not_exists({})", self.name(name))),
            }
        }
        clauses.join(" AND ")
    }

    fn equals(&mut self, name: &str, value: AttributeValue) -> String {
        format!("{} = {}", self.name(name), self.value(value))
    }

    fn into_expressions(self, condition: String, update: Option<String>) -> Expressions {
        Expressions {
            condition,
            update,
            names: self.names,
            values: Some(self.values).filter(|values| !values.is_empty()),
        }
    }
}

/// The clauses of an update.
struct Clauses<'a> {
    places: &'a mut Places,
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
}

impl Clauses<'_> {
    fn set(&mut self, name: &str, value: AttributeValue) {
        let (name, value) = (self.places.name(name), self.places.value(value));
        self.set.push(format!("{name} = {value}"));
    }

    fn remove(&mut self, name: &str) {
        let name = self.places.name(name);
        self.remove.push(name);
    }

    fn set_or_remove(&mut self, name: &str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// One more. What is absent counts as none.
    fn increment(&mut self, name: &str) {
        let (name, one) = (self.places.name(name), self.places.value(number(1_u64)));
        self.add.push(format!("{name} {one}"));
    }

    fn worker(&mut self, name: &str, worker: Option<&Option<WorkerId>>) {
        if let Some(worker) = worker {
            self.set_or_remove(name, worker.as_ref().map(text));
        }
    }

    fn patch(&mut self, patch: &Patch, counter: Option<u64>) -> Result<(), Unstorable> {
        self.counter_and_session(patch, counter);
        if let Some(time) = patch.failover_time {
            self.set(FAILOVER_TIME, codec::millis(time));
        }
        if let Some(bytes) = patch.throughput {
            self.set(THROUGHPUT, codec::throughput(bytes));
        }
        self.worker(LEASE_OWNER, patch.owner.as_ref());
        self.worker(CHECKPOINT_OWNER, patch.checkpoint_owner.as_ref());
        if let Some(checkpoint) = &patch.checkpoint {
            let values = PositionValues::of(checkpoint)?;
            self.position([CHECKPOINT, CHECKPOINT_SUB, CHECKPOINT_TIMESTAMP], values);
        }
        match &patch.pending_checkpoint {
            None => {}
            Some(None) => [PENDING, PENDING_SUB, PENDING_TIMESTAMP, PENDING_STATE]
                .into_iter()
                .for_each(|name| self.remove(name)),
            Some(Some(pending)) => {
                let values = PositionValues::of(&pending.position)?;
                self.position([PENDING, PENDING_SUB, PENDING_TIMESTAMP], values);
                self.set_or_remove(PENDING_STATE, pending.state.as_ref().map(codec::state));
            }
        }
        if let Some(seeks) = patch.seeks {
            self.set(SEEKS, number(seeks));
        }
        if let Some(paused) = patch.paused {
            self.set_or_remove(PAUSED, paused.map(|since| number(since.epoch_millis())));
        }
        match patch.owner_switches {
            SwitchCount::Keep => {}
            SwitchCount::Increment => self.increment(OWNER_SWITCHES),
            SwitchCount::Reset => self.set(OWNER_SWITCHES, number(0_u64)),
        }
        if let Some(children) = &patch.children {
            self.set_or_remove(CHILDREN, codec::shards(children));
        }
        if let Some(range) = patch.hash_key_range {
            self.set(STARTING_HASH_KEY, codec::hash_key(range.start));
            self.set(ENDING_HASH_KEY, codec::hash_key(range.end));
        }
        Ok(())
    }

    fn position(&mut self, [name, sub, timestamp]: [&str; 3], values: PositionValues) {
        self.set(name, values.text);
        self.set(sub, values.sub);
        self.set_or_remove(timestamp, values.timestamp);
    }

    /// A session is true as of one value of the counter, see [`SESSION_COUNTER`]: it goes with every move that we make.
    fn counter_and_session(&mut self, patch: &Patch, counter: Option<u64>) {
        if patch.increment_counter {
            self.increment(LEASE_COUNTER);
        }
        match patch.session {
            // Both numbers move together: a session that is out of date stays so.
            None if patch.increment_counter => self.increment(SESSION_COUNTER),
            None => {}
            Some(None) => {
                self.remove(SESSION);
                self.remove(SESSION_COUNTER);
                self.remove(FAILOVER_TIME);
            }
            Some(Some(session)) => {
                self.set(SESSION, codec::session(session));
                match counter {
                    Some(counter) => {
                        let after = counter.wrapping_add(u64::from(patch.increment_counter));
                        self.set(SESSION_COUNTER, number(after));
                    }
                    None => self.set_to_counter_after(patch.increment_counter),
                }
            }
        }
    }

    /// For a write that expects no counter: what `SET` reads is the row before the write.
    fn set_to_counter_after(&mut self, incremented: bool) {
        let [session, counter] = [SESSION_COUNTER, LEASE_COUNTER].map(|name| self.places.name(name));
        let one_more = incremented.then(|| format!(" + {}", self.places.value(number(1_u64))));
        self.set
            .push(format!("{session} = {counter}{}", one_more.unwrap_or_default()));
    }

    fn text(&self) -> Option<String> {
        let clauses = [("SET", &self.set), ("REMOVE", &self.remove), ("ADD", &self.add)];
        let clauses = clauses.iter().filter(|(_, actions)| !actions.is_empty());
        let texts: Vec<_> = clauses
            .map(|(clause, actions)| format!("{clause} {}", actions.join(", ")))
            .collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}
