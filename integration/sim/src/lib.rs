//! A fleet simulated deterministically: the machines of `kcl-core`, the broker's engine, a lease table, a network and a
//! clock per worker, in one thread and one queue of events.
//!
//! A seed is a history: the same events in the same order, on every machine and in every build. Trouble is drawn from
//! the seed too, and can be taken away piece by piece to see what a failure needs.

mod aggregates;
mod calls;
mod delivery;
mod drive;
mod drive_peers;
mod event;
mod fan_out;
mod features;
mod judge;
mod mutant;
mod node;
mod oracle;
mod peers;
mod places;
mod queue;
mod scenario;
mod servers;
mod shrink;
mod trace;
mod trouble;
mod world;

pub use self::{
    delivery::{DrawnDelivery, Says},
    features::{Feature, FeatureChoice, Features},
    mutant::Mutant,
    oracle::{Oracle, TenureLog, Violation},
    peers::Kind as PeerKind,
    scenario::{Choice, DrawnLanes, Fault, FaultKind, Handler, Initial, PeerChoice, Peers, Scenario, Workload},
    shrink::shrink,
    world::{Outcome, Watch, live},
};
