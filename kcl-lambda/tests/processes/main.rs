//! Functions in processes of their own: this program starts itself as one, with the client that real functions have.

#![expect(clippy::unwrap_used, reason = "tests and their helpers panic on what must not be")]

mod function;
mod life;
mod trouble;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kcl_lambda::{
    FunctionError, FunctionErrorKind, Invocation, Invoke as _, InvokeError, RequestId,
    process::{Output, OutputSink, OutputStream, ProcessConfig, ProcessPool, ProcessReport, ProcessState},
};
use serde_json::{Value, json};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// What the function printed.
#[derive(Debug, Default)]
struct Printed(Mutex<Vec<(OutputStream, String)>>);

impl OutputSink for Printed {
    fn line(&self, _: u64, stream: OutputStream, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((stream, line.to_owned()));
    }
}

impl Printed {
    fn lines(&self, stream: OutputStream) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_stream = lines.iter().filter(|(its, _)| *its == stream);
        of_stream.map(|(_, line)| line.clone()).collect()
    }
}

/// This program as a function of the given kind.
fn config(kind: &str) -> ProcessConfig {
    let program = std::env::current_exe().unwrap();
    let arguments = [
        "--ignored",
        "--exact",
        "--nocapture",
        "--test-threads=1",
        "function::function",
    ];
    let mut config = ProcessConfig::new(program, arguments)
        .variable("FUNCTION_KIND", kind)
        .output(Output::Lines(Arc::new(Printed::default())));
    config.init_timeout = LONG;
    config
}

fn pool(config: ProcessConfig) -> ProcessPool {
    ProcessPool::new(config).unwrap()
}

fn invocation(number: u128, event: &Value, timeout: Duration) -> Invocation {
    let id = RequestId::from(uuid::Uuid::from_u128(number));
    Invocation::new(
        id,
        event.to_string().into(),
        timeout,
        "arn:aws:lambda:eu-west-1:111122223333:function:probe",
    )
}

async fn invoke(pool: &ProcessPool, number: u128, event: Value) -> Result<Value, InvokeError> {
    let answer = pool.invoke(invocation(number, &event, LONG)).await?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

fn function_error(error: InvokeError) -> FunctionError {
    match error {
        InvokeError::Function(error) => error,
        other => panic!("{other}"),
    }
}

fn reason(error: InvokeError) -> (String, Option<Duration>) {
    match error {
        InvokeError::NotInvoked { reason, retry_after } => (reason, retry_after),
        other => panic!("{other}"),
    }
}

fn is_running(processes: &BTreeMap<u64, ProcessReport>, count: usize) -> bool {
    let running = processes
        .values()
        .filter(|process| matches!(process.state, ProcessState::Running(_)));
    running.count() == count
}

/// Whether the system has a process of this number that has not ended.
fn lives(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim().starts_with('Z'))
}
