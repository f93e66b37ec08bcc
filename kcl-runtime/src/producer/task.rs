//! The driver of a producer's machine: it makes calls and reports back, and holds no policy.

use std::collections::BTreeMap;

use kcl_core::{
    Shard, Tick,
    aggregate::UserRecord,
    producer::{Placed, ProducerConfig, ProducerEffect, ProducerInput, ProducerMachine, PutFailure},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::JoinSet,
};

use super::{
    call::{Answers, Writer},
    measure::Measures,
};
use crate::clock::Clock;

/// How many commands are taken in before calls are looked after.
const COMMANDS_AT_ONCE: usize = 256;

/// What a producer's users want.
#[derive(Debug)]
pub(super) enum Command {
    Put {
        record: UserRecord,
        answer: oneshot::Sender<Result<Placed, PutFailure>>,
        /// Given back when the record is done.
        room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    },
    Flush {
        /// Told when everything that was put before is done.
        done: oneshot::Sender<()>,
    },
}

/// A record that is not done.
struct Outstanding {
    answer: oneshot::Sender<Result<Placed, PutFailure>>,
    since: Tick,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// What ended in the background.
enum Ended {
    Call { call: u64, result: Answers },
    Listing(Result<Vec<Shard>, String>),
}

pub(super) struct ProducerTask {
    machine: ProducerMachine,
    clock: Clock,
    writer: Writer,
    commands: mpsc::Receiver<Command>,
    outstanding: BTreeMap<u64, Outstanding>,
    /// Who waits for everything up to this record.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    next_id: u64,
    background: JoinSet<Ended>,
    measures: Measures,
}

impl ProducerTask {
    pub(super) fn new(
        config: ProducerConfig,
        seed: u64,
        clock: Clock,
        writer: Writer,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            machine: ProducerMachine::new(config, seed),
            clock,
            measures: Measures::new(writer.stream()),
            writer,
            commands,
            outstanding: BTreeMap::new(),
            flushes: Vec::new(),
            next_id: 0,
            background: JoinSet::new(),
        }
    }

    /// Runs until every producer handle is gone and everything is done.
    pub(super) async fn run(mut self) {
        let mut open = true;
        let mut taken = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            self.perform();
            if !open && self.outstanding.is_empty() {
                break;
            }
            let deadline = self.machine.next_deadline();
            tokio::select! {
                biased;
                Some(ended) = self.background.join_next(), if !self.background.is_empty() => match ended {
                    Ok(ended) => self.ended(ended),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = self.clock.sleep_until(deadline) => self.handle(ProducerInput::Wake),
                count = self.commands.recv_many(&mut taken, COMMANDS_AT_ONCE), if open => {
                    for command in taken.drain(..) {
                        self.take(command);
                    }
                    if count == 0 {
                        open = false;
                        self.handle(ProducerInput::Flush);
                    }
                }
            }
        }
    }

    fn handle(&mut self, input: ProducerInput) {
        self.machine.handle(self.clock.now(), input);
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Put { record, answer, room } => {
                self.measures.accepted(record.size());
                let id = self.next_id;
                self.next_id += 1;
                let since = self.clock.now();
                let outstanding = Outstanding {
                    answer,
                    since,
                    _room: room,
                };
                self.outstanding.insert(id, outstanding);
                self.handle(ProducerInput::Put { id, record });
            }
            Command::Flush { done } => {
                self.flushes.push((self.next_id, done));
                self.handle(ProducerInput::Flush);
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Call { call, result } => {
                self.measures.answered(result.is_ok());
                if let Err(failure) = &result {
                    let (code, message) = (&failure.refusal.code, &failure.refusal.message);
                    tracing::warn!(stream = %self.writer.stream(), %code, %message, "records could not be put");
                }
                self.handle(ProducerInput::Answered { call, result });
            }
            Ended::Listing(result) => {
                if let Err(message) = &result {
                    tracing::warn!(
                        stream = %self.writer.stream(), %message,
                        "the shards could not be listed: records go as they are until they are known"
                    );
                }
                self.handle(ProducerInput::Listed(result));
            }
        }
    }

    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                ProducerEffect::Call {
                    call,
                    records,
                    user_records,
                } => {
                    self.measures.called(records.len(), user_records);
                    let writer = self.writer.clone();
                    let put = async move {
                        let result = writer.put(records).await;
                        Ended::Call { call, result }
                    };
                    self.background.spawn(put);
                }
                ProducerEffect::ListShards => {
                    let listing = self.writer.clone().list_shards();
                    self.background.spawn(async move { Ended::Listing(listing.await) });
                }
                ProducerEffect::Done { id, result } => self.done(id, result),
                ProducerEffect::Again { records, code } => self.measures.again(records, code),
            }
        }
        let first = self.outstanding.first_key_value().map(|(id, _)| *id);
        for (_, done) in self
            .flushes
            .extract_if(.., |(end, _)| first.is_none_or(|first| first >= *end))
        {
            // Nobody waits for an answer whose receiver is gone.
            let _ = done.send(());
        }
    }

    fn done(&mut self, id: u64, result: Result<Placed, PutFailure>) {
        if let Some(outstanding) = self.outstanding.remove(&id) {
            self.measures.done(&result, self.clock.now().since(outstanding.since));
            // Nobody waits for an answer whose receiver is gone.
            let _ = outstanding.answer.send(result);
        }
    }
}
