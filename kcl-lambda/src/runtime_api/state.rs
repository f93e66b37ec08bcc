//! What a process may say at which time: the states of one process's Runtime API, without sockets.

use bytes::Bytes;
use kcl_core::Timestamp;

use crate::{
    invoke::{FunctionError, FunctionErrorKind, Invocation, RequestId},
    runtime_api::refusal::Refusal,
};

/// One connection of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId(pub(super) u64);

/// Where a process stands.
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    /// The invocation that was answered last: a second answer to it is told from a wrong id.
    answered: Option<RequestId>,
}

#[derive(Debug)]
enum Phase {
    /// The process has not asked for an invocation yet.
    Starting,
    /// It said that it cannot start.
    InitFailed(FunctionError),
    /// Between two invocations: it asks for one, or is about to.
    Idle,
    /// There is one for whoever asks next.
    Offered(Invocation),
    Running(Running),
    Answered(Result<Bytes, FunctionError>),
    /// Nothing is expected of the process any more.
    Closed,
}

#[derive(Debug)]
struct Running {
    invocation: Invocation,
    deadline: Timestamp,
    /// The connection that was given the invocation, as long as it is open.
    taken_by: Option<ConnectionId>,
}

/// An invocation as `next` gives it.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) invocation: Invocation,
    pub(super) deadline: Timestamp,
}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Starting,
            answered: None,
        }
    }

    /// The process asks for an invocation; `None`: it waits.
    ///
    /// An invocation that runs is given again to the connection that has it, and to any other once that one is gone: the
    /// process lost it, and would wait for ever. Other connections wait, since a process with several of them (as with
    /// `AWS_LAMBDA_MAX_CONCURRENCY`) would run it twice.
    pub(super) fn next(&mut self, connection: ConnectionId, now: Timestamp) -> Option<Served> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Starting | Phase::Idle => None,
            Phase::Offered(invocation) => {
                let deadline = now.saturating_add(invocation.timeout);
                Some(self.serve(invocation, deadline, connection))
            }
            Phase::Running(running) if running.taken_by.is_none_or(|taker| taker == connection) => {
                Some(self.serve(running.invocation, running.deadline, connection))
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn serve(&mut self, invocation: Invocation, deadline: Timestamp, connection: ConnectionId) -> Served {
        let served = Served {
            invocation: invocation.clone(),
            deadline,
        };
        self.phase = Phase::Running(Running {
            invocation,
            deadline,
            taken_by: Some(connection),
        });
        served
    }

    /// A connection of the process is gone.
    pub(super) fn disconnected(&mut self, connection: ConnectionId) -> bool {
        match &mut self.phase {
            Phase::Running(running) if running.taken_by == Some(connection) => {
                running.taken_by = None;
                true
            }
            _ => false,
        }
    }

    /// Whether an answer to this id would be taken.
    pub(super) fn expects(&self, id: &str) -> Result<(), Refusal> {
        match &self.phase {
            Phase::Running(running) if running.invocation.request_id.to_string() == id => Ok(()),
            Phase::Running(_) | Phase::Offered(_) => Err(Refusal::InvalidRequestId),
            Phase::Idle | Phase::Answered(_) if self.answered.is_some_and(|answered| answered.to_string() != id) => {
                Err(Refusal::InvalidRequestId)
            }
            phase => Err(Refusal::InvalidState(phase.name())),
        }
    }

    /// The process answers.
    pub(super) fn answer(&mut self, id: &str, answer: Result<Bytes, FunctionError>) -> Result<(), Refusal> {
        self.expects(id)?;
        if let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Answered(answer)) {
            self.answered = Some(running.invocation.request_id);
        }
        Ok(())
    }

    /// The process says that it cannot start.
    pub(super) fn fail_init(&mut self, error: FunctionError) -> Result<(), Refusal> {
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::InitFailed(error);
                Ok(())
            }
            ref phase => Err(Refusal::InvalidState(phase.name())),
        }
    }

    /// Whether the process has started, once that is known.
    pub(super) fn started(&self) -> Option<Result<(), FunctionError>> {
        match &self.phase {
            Phase::Starting => None,
            Phase::InitFailed(error) => Some(Err(error.clone())),
            _ => Some(Ok(())),
        }
    }

    /// Whether there may be an invocation for whoever asks next.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Gives an invocation to whoever asks next.
    pub(super) fn offer(&mut self, invocation: Invocation) {
        self.phase = Phase::Offered(invocation);
    }

    pub(super) const fn is_offered(&self) -> bool {
        matches!(self.phase, Phase::Offered(_))
    }

    /// The answer, once.
    pub(super) fn take_answer(&mut self) -> Option<Result<Bytes, FunctionError>> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Answered(answer) => Some(answer),
            other => {
                self.phase = other;
                None
            }
        }
    }

    pub(super) const fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered(_))
    }

    /// Expects nothing of the process any more: whatever it says is refused, and it waits for ever if it asks.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
    }
}

impl Phase {
    const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::InitFailed(_) => "InitError",
            Self::Idle | Self::Offered(_) => "Ready",
            Self::Running(_) => "Running",
            Self::Answered(_) => "Answered",
            Self::Closed => "Closed",
        }
    }
}

/// The error of an answer that is too large, in AWS's words.
pub(super) fn too_large(limit: usize) -> FunctionError {
    FunctionError::new(
        FunctionErrorKind::ResponseTooLarge,
        "Function.ResponseSizeTooLarge",
        format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
    )
}
