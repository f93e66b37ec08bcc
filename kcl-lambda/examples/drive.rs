//! Runs a function in processes and gives it the events of standard input: a line of JSON each, with the event and how many
//! milliseconds it may take. Answers come on standard output, a line each; what the function prints goes to standard error.
//!
//! `echo '{"event":{"Records":[]},"timeout_ms":3000}' | cargo run --example drive -- python3 -m awslambdaric app.handler`

use std::{
    error::Error,
    io::{self, BufRead as _, Write as _},
    time::Duration,
};

use kcl_lambda::{
    Invocation, Invoke as _, InvokeError, RequestId,
    process::{Output, ProcessConfig, ProcessPool},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

#[derive(Deserialize)]
struct Line {
    event: Box<RawValue>,
    timeout_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut command = std::env::args_os().skip(1);
    let program = command.next().ok_or("name the program that runs the function")?;
    let mut config = ProcessConfig::new(program, command).output(Output::Stderr);
    // A client that cannot start is told at once, and the next line is a try of its own.
    config.restart_pause_first = Duration::ZERO;
    let pool = ProcessPool::new(config)?;
    let mut chance = fastrand::Rng::with_seed(7);
    for line in io::stdin().lock().lines() {
        let Line { event, timeout_ms } = serde_json::from_str(&line?)?;
        let event = Box::<str>::from(event).into_string();
        let timeout = Duration::from_millis(timeout_ms);
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:function";
        let invocation = Invocation::new(RequestId::random(&mut chance), event.into(), timeout, arn);
        let said = match pool.invoke(invocation).await {
            Ok(answer) => json!({"answer": serde_json::from_slice::<Value>(&answer)?}),
            Err(InvokeError::Function(error)) => json!({
                "error": error.error_type,
                "message": error.message,
                "stack": error.stack_trace.len(),
                "kind": format!("{:?}", error.kind),
            }),
            Err(other) => json!({"not_invoked": other.to_string()}),
        };
        let processes: Vec<u32> = pool.processes().values().map(|process| process.id).collect();
        println!("{}", json!({"said": said, "processes": processes}));
        io::stdout().flush()?;
    }
    pool.shutdown().await;
    Ok(())
}
