//! [`Attempt`]: one call from its arrival to its end, with the faults that strike it and its entry in the log.

use std::{borrow::Cow, sync::Arc};

use kcl_core::{ShardId, Timestamp};

use crate::{
    api::ApiError,
    broker::Broker,
    engine::{Load, Operation, Quirk},
    operations_log::{Caller, FaultHit, OperationEntry, Outcome},
    trouble::{Call, Effect, Strike},
    wire::Cut,
};

/// The longest names that there are: what is longer names nothing, and is cut in the log.
const NAME_BYTES_MAX: usize = 255;

/// A call that is being made.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    broker: &'a Broker,
    strike: Strike,
    /// When it arrived, if it has to wait.
    arrived: Option<Timestamp>,
    /// What the log is going to say, if there is one.
    entry: Option<OperationEntry>,
}

/// What is known of a call when it ends.
#[derive(Debug)]
pub(crate) struct Told {
    outcome: Outcome,
    answer: Load,
    /// The shard that it turned out to be about.
    shard: Option<ShardId>,
}

impl Told {
    /// An outcome, and nothing else to tell.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            answer: Load::default(),
            shard: None,
        }
    }
}

/// What is known of a call when it arrives.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// The operation's name; those of other services than Kinesis with the service's name in front.
    pub(crate) operation: &'static str,
    pub(crate) stream: Option<String>,
    pub(crate) shard: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) request: Load,
}

impl Arrival {
    fn of<O: Operation>(request: &O) -> Self {
        let subject = request.subject();
        Self {
            operation: O::NAME,
            stream: subject.stream,
            shard: subject.shard,
            table: None,
            request: request.load(),
        }
    }
}

impl<'a> Attempt<'a> {
    /// A typed call. It has no connection that could be cut.
    pub(crate) fn typed<O: Operation>(broker: &'a Broker, request: &O) -> Self {
        if !broker.is_watched() {
            return Self::unwatched(broker);
        }
        let arrival = Arrival::of(request);
        let strike = strike(broker, &arrival, false, || broker.shards_of(request));
        Self::begin(broker, broker.operations().in_process(), arrival, strike)
    }

    /// A call over HTTP.
    pub(crate) fn over_http<O: Operation>(broker: &'a Broker, caller: impl FnOnce() -> Caller, request: &O) -> Self {
        if !broker.is_watched() {
            return Self::unwatched(broker);
        }
        let arrival = Arrival::of(request);
        let strike = strike(broker, &arrival, true, || broker.shards_of(request));
        Self::begin(broker, Arc::new(caller()), arrival, strike)
    }

    /// A call to another service than Kinesis.
    pub(crate) fn other(
        broker: &'a Broker,
        caller: impl FnOnce() -> Caller,
        has_connection: bool,
        arrival: impl FnOnce() -> Arrival,
    ) -> Self {
        if !broker.is_watched() {
            return Self::unwatched(broker);
        }
        let arrival = arrival();
        let strike = strike(broker, &arrival, has_connection, Vec::new);
        Self::begin(broker, Arc::new(caller()), arrival, strike)
    }

    /// There are no faults, and nothing is logged.
    fn unwatched(broker: &'a Broker) -> Self {
        Self {
            broker,
            strike: Strike::default(),
            arrived: None,
            entry: None,
        }
    }

    fn begin(broker: &'a Broker, caller: Arc<Caller>, arrival: Arrival, strike: Strike) -> Self {
        let arrived = (!strike.latency.is_zero()).then(|| broker.now());
        let entry = broker.operations().is_on().then(|| {
            let faults = strike.faults.iter().map(|(id, fault)| FaultHit::new(*id, fault));
            OperationEntry {
                stream: arrival.stream.map(cut),
                shard: arrival.shard.map(cut),
                table: arrival.table.map(cut),
                faults: faults.collect(),
                request: arrival.request,
                ..OperationEntry::new(caller, Cow::Borrowed(arrival.operation))
            }
        });
        Self {
            broker,
            strike,
            arrived,
            entry,
        }
    }

    /// What happens to the call beside waiting.
    pub(crate) fn effect(&self) -> Option<&Effect> {
        self.strike.effect.as_ref()
    }

    /// Carries the call out and answers it as a service behind a connection does: late, or not at all.
    pub(crate) async fn answer<O: Operation>(self, request: O) -> Result<Result<O::Output, ApiError>, Cut> {
        let broker = self.broker;
        self.answer_with(|quirk| broker.execute(request, quirk), told::<O>)
            .await
    }

    /// Does what [`answer`](Self::answer) does with what `run` carries out, `told` being what the log says of it.
    pub(crate) async fn answer_with<T, E>(
        self,
        run: impl FnOnce(Option<Quirk>) -> (Timestamp, Result<T, E>),
        told: impl FnOnce(&Result<T, E>) -> Told,
    ) -> Result<Result<T, E>, Cut> {
        if !self.strike.latency.is_zero() {
            tokio::time::sleep(self.strike.latency).await;
        }
        match self.effect() {
            Some(Effect::DropRequest) => {
                let now = self.broker.now();
                self.end(now, Told::of(Outcome::Dropped));
                Err(Cut)
            }
            Some(Effect::DropAnswer) => {
                let (at, _) = run(None);
                self.end(at, Told::of(Outcome::Dropped));
                Err(Cut)
            }
            _ => Ok(self.carry_out_with(run, told)),
        }
    }

    /// Carries the call out.
    pub(crate) fn carry_out<O: Operation>(self, request: O) -> Result<O::Output, ApiError> {
        let broker = self.broker;
        self.carry_out_with(|quirk| broker.execute(request, quirk), told::<O>)
    }

    /// Carries out what `run` does, `told` being what the log says of it.
    pub(crate) fn carry_out_with<T, E>(
        mut self,
        run: impl FnOnce(Option<Quirk>) -> (Timestamp, Result<T, E>),
        told: impl FnOnce(&Result<T, E>) -> Told,
    ) -> Result<T, E> {
        let quirk = match self.strike.effect.take() {
            Some(Effect::Quirk(quirk)) => Some(quirk),
            _ => None,
        };
        let (at, answer) = run(quirk);
        if self.entry.is_some() {
            self.end(at, told(&answer));
        }
        answer
    }

    /// Writes the call into the log.
    pub(crate) fn end(self, at: Timestamp, told: Told) {
        if let Some(mut entry) = self.entry {
            entry.at = at;
            entry.waited_ms = self.arrived.map_or(0, |arrived| at.millis_since(arrived));
            entry.outcome = told.outcome;
            entry.answer = told.answer;
            entry.shard = entry.shard.or_else(|| told.shard.map(|shard| shard.to_string()));
            self.broker.operations().write(entry);
        }
    }
}

/// What the log says of an answer.
fn told<O: Operation>(answer: &Result<O::Output, ApiError>) -> Told {
    match answer {
        Ok(output) => Told {
            outcome: Outcome::Ok,
            answer: O::load_of(output),
            shard: O::shard_of(output).cloned(),
        },
        Err(error) => Told::of(Outcome::error(error.kind().as_str())),
    }
}

/// Writes a request into the log that was refused before it was known what it is about.
pub(crate) fn refused(
    broker: &Broker,
    caller: impl FnOnce() -> Caller,
    operation: Cow<'static, str>,
    kind: &'static str,
) {
    if broker.is_watched() {
        let operation = match operation {
            Cow::Owned(name) => Cow::Owned(cut(name)),
            known @ Cow::Borrowed(_) => known,
        };
        let entry = OperationEntry {
            at: broker.now(),
            outcome: Outcome::error(kind),
            ..OperationEntry::new(Arc::new(caller()), operation)
        };
        broker.operations().write(entry);
    }
}

/// Asks the plan what happens to a call.
fn strike(broker: &Broker, arrival: &Arrival, has_connection: bool, shards: impl FnOnce() -> Vec<String>) -> Strike {
    let trouble = broker.trouble();
    if !trouble.is_planned() {
        return Strike::default();
    }
    let shards = if trouble.wants_shards(arrival.operation) {
        shards()
    } else {
        Vec::new()
    };
    trouble.strike(&Call {
        operation: arrival.operation,
        stream: arrival.stream.as_deref(),
        shards: &shards,
        table: arrival.table.as_deref(),
        has_connection,
    })
}

fn cut(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        name.shrink_to_fit();
    }
    name
}

#[cfg(test)]
mod tests;
