//! Who runs, and what it does: for people, and for tests that wait for a state.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::invoke::RequestId;

/// One process of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessReport {
    /// The system's number for it.
    pub id: u32,
    /// What it does.
    pub state: ProcessState,
    /// How many invocations it was given so far.
    pub invocations: u64,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It has not asked for an invocation yet.
    Starting,
    /// It has none.
    Idle,
    /// It has this one.
    Running(RequestId),
    /// It is being ended.
    Stopping,
}

/// All processes of a pool, by the numbers that the pool gave them, from 1.
#[derive(Debug, Default)]
pub(super) struct Board {
    processes: watch::Sender<BTreeMap<u64, ProcessReport>>,
}

impl Board {
    pub(super) fn read(&self) -> BTreeMap<u64, ProcessReport> {
        self.processes.borrow().clone()
    }

    pub(super) async fn when(
        &self,
        is: impl Fn(&BTreeMap<u64, ProcessReport>) -> bool,
    ) -> BTreeMap<u64, ProcessReport> {
        let mut changes = self.processes.subscribe();
        match changes.wait_for(|processes| is(processes)).await {
            Ok(processes) => processes.clone(),
            // The sender is this board's.
            Err(_) => self.read(),
        }
    }

    pub(super) fn enter(&self, number: u64, id: u32) {
        let report = ProcessReport {
            id,
            state: ProcessState::Starting,
            invocations: 0,
        };
        self.processes.send_modify(|processes| {
            processes.insert(number, report);
        });
    }

    pub(super) fn change(&self, number: u64, state: ProcessState) {
        self.processes.send_modify(|processes| {
            if let Some(process) = processes.get_mut(&number) {
                process.state = state;
                process.invocations += u64::from(matches!(state, ProcessState::Running(_)));
            }
        });
    }

    pub(super) fn leave(&self, number: u64) {
        self.processes.send_modify(|processes| {
            processes.remove(&number);
        });
    }
}
