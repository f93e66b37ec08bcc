//! Requests to the table that are under way, and what their answers mean.

use std::sync::Arc;

use super::{OpId, StoreFailure, TenureId, WorkerEffect, WorkerEvent, WorkerFailure, WorkerMachine};
use crate::{
    ids::LeaseKey,
    lease::{Lease, LeaseWrite},
    store::{StoreOperation, WriteOutcome},
    stream::LeaseStream,
    time::Tick,
};

/// A request that is under way.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) kind: OpKind,
    pub(super) key: LeaseKey,
    /// The row before the write and the row that the write makes of it; none where the write adds or removes the row.
    pub(super) change: Option<(Arc<Lease>, Lease)>,
    pub(super) sent: Tick,
}

/// A [`WriteOutcome`], with a row that the table and a tenure share.
#[derive(Debug)]
enum Settled {
    Applied(Arc<Lease>),
    Conflict(Option<Arc<Lease>>),
}

impl From<WriteOutcome> for Settled {
    fn from(outcome: WriteOutcome) -> Self {
        match outcome {
            WriteOutcome::Applied(row) => Self::Applied(Arc::new(row)),
            WriteOutcome::Conflict(row) => Self::Conflict(row.map(Arc::new)),
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpKind {
    /// To become the holder.
    Take,
    /// To ask the holder for the lease.
    RequestHandOff,
    /// To pass a lease on whose consumer ended with an earlier life.
    HandOffOrphan,
    /// To keep, checkpoint or end a tenure.
    Tenure(TenureId),
    /// To add the lease of a listed shard.
    Create,
    /// To add the lease of a child of a finished shard.
    CreateChild,
    /// To put a row back that had vanished.
    Restore,
    /// To turn down a lease that is passed on to a worker that stops.
    Decline,
    /// To learn, before this worker exits, whether a row names it.
    Look,
    /// To remove the lease of a shard that is over.
    Delete,
}

impl WorkerMachine {
    fn register(&mut self, now: Tick, kind: OpKind, key: LeaseKey, change: Option<(Arc<Lease>, Lease)>) -> OpId {
        self.next_op += 1;
        let op = OpId(self.next_op);
        self.busy.insert(key.clone());
        self.ops.insert(
            op,
            Op {
                kind,
                key,
                change,
                sent: now,
            },
        );
        op
    }

    /// Sends a conditional write on `row`.
    pub(super) fn send(&mut self, now: Tick, kind: OpKind, row: &Arc<Lease>, write: LeaseWrite) -> OpId {
        let after = write.patch.apply(row);
        let op = self.register(now, kind, row.key.clone(), Some((Arc::clone(row), after)));
        self.push(WorkerEffect::Update { op, write });
        op
    }

    pub(super) fn send_create(&mut self, now: Tick, kind: OpKind, mut lease: Lease) {
        if lease.stream.is_none() {
            lease.stream = self.config.stream.clone().map(LeaseStream::One);
        }
        let op = self.register(now, kind, lease.key.clone(), None);
        self.push(WorkerEffect::Create { op, lease });
    }

    pub(super) fn send_delete(&mut self, now: Tick, row: &Lease) {
        let op = self.register(now, OpKind::Delete, row.key.clone(), None);
        let expect = crate::lease::Expect::unchanged(row);
        self.push(WorkerEffect::Delete {
            op,
            key: row.key.clone(),
            expect,
        });
    }

    /// Reads a row of which it is not known whether it names this worker.
    pub(super) fn send_look(&mut self, now: Tick, key: LeaseKey) {
        let op = self.register(now, OpKind::Look, key.clone(), None);
        self.push(WorkerEffect::Get { op, key });
    }

    pub(super) fn written(&mut self, now: Tick, op: OpId, result: Result<WriteOutcome, StoreFailure>) {
        let Some(request) = self.ops.get(&op).cloned() else {
            return;
        };
        match result {
            // The answer was lost: the row itself says whether the write happened.
            Err(StoreFailure::Ambiguous(message)) => {
                self.trouble(operation_of(request.kind), message, 1);
                self.push(WorkerEffect::Get { op, key: request.key });
            }
            Ok(outcome) => self.settle(now, op, request, Ok(Settled::from(outcome))),
            Err(failure) => self.settle(now, op, request, Err(failure)),
        }
    }

    /// The row was read again after an answer was lost. Only the row as the write makes it proves that it happened.
    pub(super) fn row_read(&mut self, now: Tick, op: OpId, result: Result<Option<Lease>, StoreFailure>) {
        let Some(request) = self.ops.get(&op).cloned() else {
            return;
        };
        let outcome = match result {
            Ok(row) => match (&request.change, row.map(Arc::new)) {
                (Some((_, after)), Some(row)) if *after == *row => Ok(Settled::Applied(row)),
                (_, row) => Ok(Settled::Conflict(row)),
            },
            Err(failure) => {
                if matches!(request.kind, OpKind::Take | OpKind::RequestHandOff) {
                    self.doubt(now, request.key.clone());
                }
                Err(failure)
            }
        };
        // A take that was planned from an old scan may ask for the very row that an earlier take of this life made, and
        // that row says nothing about now. So a take is proved by taking once more, from the row as it is.
        let again = match &outcome {
            Ok(Settled::Applied(row)) if request.kind == OpKind::Take && self.stopping.is_none() => Some(row.clone()),
            _ => None,
        };
        if let Some(row) = again {
            self.settle(now, op, request, Ok(Settled::Conflict(Some(row.clone()))));
            return self.take(now, &row);
        }
        self.settle(now, op, request, outcome);
    }

    fn settle(&mut self, now: Tick, op: OpId, request: Op, result: Result<Settled, StoreFailure>) {
        self.ops.remove(&op);
        self.busy.remove(&request.key);
        if let Err(StoreFailure::Unusable(message)) = &result {
            let message = message.clone();
            self.tenure_write_failed(now, request.kind, None);
            return self.stop(now, Some(WorkerFailure::StoreUnusable { message }));
        }
        match (&result, request.kind) {
            (Ok(Settled::Applied(row)), kind) if kind != OpKind::Delete => self.note_row(row),
            (Ok(Settled::Conflict(Some(row))), _) => self.note_row(row),
            (Ok(_), _) => {
                self.table.remove(&request.key);
            }
            (Err(_), OpKind::Decline | OpKind::HandOffOrphan | OpKind::Look) => self.doubt(now, request.key.clone()),
            (Err(_), _) => {}
        }
        if result.is_ok() {
            self.doubts.remove(&request.key);
        }
        let seen = match (&result, &request.change) {
            // What did not change is not tried again at once.
            (Ok(Settled::Conflict(row)), Some((before, _))) if row.as_ref() == Some(before) => None,
            (Ok(Settled::Conflict(row)), _) => row.clone(),
            (Ok(Settled::Applied(row)), _) if request.kind != OpKind::Delete => Some(row.clone()),
            (Ok(Settled::Applied(_)) | Err(_), _) => None,
        };
        let created = (request.kind == OpKind::Create).then(|| request.key.clone());
        let failed = matches!(result, Err(_) | Ok(Settled::Conflict(None)));
        self.unscanned.extend(created.clone());
        match result {
            Ok(Settled::Applied(row)) => self.applied(now, request, row),
            Ok(Settled::Conflict(row)) => self.conflicted(now, &request, row),
            Err(failure) => self.write_failed(now, &request, &failure),
        }
        if let Some(key) = created {
            self.creation_ended(now, &key, failed);
        }
        if let Some(row) = seen {
            self.decline(now, &row);
        }
    }

    /// A row as an answer shows it, unless it is none of this worker's business any more.
    fn note_row(&mut self, row: &Arc<Lease>) {
        self.streams.note_row(row);
        if self.streams.have(row) || self.held.contains_key(&row.key) {
            self.table.insert(row.key.clone(), Arc::clone(row));
        }
    }

    fn applied(&mut self, now: Tick, request: Op, row: Arc<Lease>) {
        let key = request.key;
        match request.kind {
            OpKind::Take => self.taken(now, request.change.map(|(before, _)| before), row, request.sent),
            OpKind::RequestHandOff => {
                if let Some(from) = row.checkpoint_owner.clone() {
                    self.event(WorkerEvent::HandOffRequested { key, from });
                }
                self.next_scan = self.next_scan.min(now + self.config.hand_off_poll());
            }
            OpKind::Decline | OpKind::Look => {}
            OpKind::HandOffOrphan => {
                let (to, checkpoint) = (row.owner.clone(), row.checkpoint.clone());
                self.event(WorkerEvent::HandOffFinished { key, to, checkpoint });
            }
            OpKind::Tenure(tenure) => self.tenure_written(now, tenure, &row, request.sent),
            OpKind::Create => {
                if self.kinds.note_added(&key) {
                    self.send_delete(now, &row);
                }
                self.event(WorkerEvent::LeaseCreated {
                    key,
                    checkpoint: row.checkpoint.clone(),
                });
            }
            OpKind::CreateChild => {
                self.child_created(&key);
                self.event(WorkerEvent::LeaseCreated {
                    key,
                    checkpoint: row.checkpoint.clone(),
                });
            }
            OpKind::Restore => {
                self.vanished.remove(&key);
                let checkpoint = row.checkpoint.clone();
                self.event(WorkerEvent::LeaseRestored { key, checkpoint });
            }
            OpKind::Delete => self.event(WorkerEvent::LeaseDeleted { key }),
        }
    }

    fn conflicted(&mut self, now: Tick, request: &Op, row: Option<Arc<Lease>>) {
        match request.kind {
            OpKind::Tenure(tenure) => {
                if let Some(held) = self.tenures.get_mut(&tenure) {
                    held.write = None;
                    if row.as_ref() == Some(&held.lease) {
                        // Nobody wrote, and neither did this worker: the write was lost on its way, so it is no conflict.
                        self.tenure_write_failed(now, request.kind, None);
                        return;
                    }
                }
                self.row_changed(now, tenure, row);
            }
            // That it exists is all that matters, whoever made it.
            OpKind::CreateChild if row.is_some() => self.child_created(&request.key),
            OpKind::CreateChild => self.child_failed(now),
            OpKind::Take => {
                let newer = row
                    .filter(|row| row.holder() == Some(&self.config.worker) && row.session > Some(self.config.session));
                if let Some(row) = newer {
                    self.duplicate(now, row.key.clone());
                }
            }
            OpKind::Restore if row.is_some() => {
                self.vanished.remove(&request.key);
            }
            OpKind::RequestHandOff
            | OpKind::HandOffOrphan
            | OpKind::Decline
            | OpKind::Look
            | OpKind::Create
            | OpKind::Restore
            | OpKind::Delete => {}
        }
    }

    fn write_failed(&mut self, now: Tick, request: &Op, failure: &StoreFailure) {
        if request.kind == OpKind::Restore && self.not_restored(now, &request.key) > 1 {
            // Told once: it may go on for as long as somebody leaves there what is no lease.
            return;
        }
        let failures = self.tenure_write_failed(now, request.kind, Some(failure));
        self.trouble(operation_of(request.kind), failure.message().to_owned(), failures);
    }

    pub(super) fn trouble(&mut self, operation: StoreOperation, message: String, failures: u32) {
        self.event(WorkerEvent::StoreTrouble {
            operation,
            message,
            failures,
        });
    }
}

fn operation_of(kind: OpKind) -> StoreOperation {
    match kind {
        OpKind::Create | OpKind::CreateChild | OpKind::Restore => StoreOperation::Create,
        OpKind::Delete => StoreOperation::Delete,
        OpKind::Look => StoreOperation::Get,
        OpKind::Take | OpKind::RequestHandOff | OpKind::HandOffOrphan | OpKind::Decline | OpKind::Tenure(_) => {
            StoreOperation::Update
        }
    }
}
