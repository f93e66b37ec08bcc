//! [`Trouble`]: a broker's plan of faults.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::{Call, Fault, FaultError, FaultId, FaultPlan, FaultStatus, Strike};

/// The faults that the clients of a broker meet. Clones are handles to the same plan; see [the module](super).
///
/// Made by [`Broker::trouble`](crate::Broker::trouble).
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    plan: Mutex<FaultPlan>,
    /// Whether there are faults: calls to a broker without trouble do not wait for each other here.
    is_planned: AtomicBool,
}

impl Trouble {
    /// Adds a fault behind those that there are.
    ///
    /// # Errors
    /// If the fault means nothing or could never strike, or if there are 256 already.
    pub fn add(&self, fault: Fault) -> Result<FaultId, FaultError> {
        self.change(|plan| plan.add(fault))
    }

    /// The faults, in the order in which they are asked, with how often each struck.
    #[must_use]
    pub fn list(&self) -> Vec<FaultStatus> {
        self.plan().faults().to_vec()
    }

    /// Takes a fault out, and gives what became of it.
    #[expect(clippy::must_use_candidate, reason = "to take it out is enough")]
    pub fn remove(&self, id: FaultId) -> Option<FaultStatus> {
        self.change(|plan| plan.remove(id))
    }

    /// Takes all faults out. Calls that wait already go on waiting, and subscriptions that are silent stay so.
    pub fn clear(&self) {
        self.change(FaultPlan::clear);
    }

    /// Whether there are any faults.
    pub(crate) fn is_planned(&self) -> bool {
        self.shared.is_planned.load(Ordering::Relaxed)
    }

    /// Whether faults want to know to which shards a call of `operation` writes.
    pub(crate) fn wants_shards(&self, operation: &str) -> bool {
        self.plan().wants_shards(operation)
    }

    pub(crate) fn strike(&self, call: &Call<'_>) -> Strike {
        self.plan().strike(call)
    }

    fn change<T>(&self, change: impl FnOnce(&mut FaultPlan) -> T) -> T {
        let mut plan = self.plan();
        let changed = change(&mut plan);
        self.shared
            .is_planned
            .store(!plan.faults().is_empty(), Ordering::Relaxed);
        changed
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
