//! What is ordinary: starts, warm processes, several at a time, the end.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use super::*;

#[tokio::test]
async fn a_function_is_invoked_in_a_process_that_stays_warm() {
    let mut config = config("rust")
        .function_name("probe")
        .variable("GREETING", "good morning");
    config.memory_size_mib = 512;
    let pool = pool(config);
    assert!(pool.processes().is_empty(), "nobody asked for one yet");
    let first = invoke(&pool, 1, json!({"do": "context"})).await.unwrap();
    assert_eq!(first["request"], "00000000-0000-0000-0000-000000000001");
    assert_eq!(first["arn"], "arn:aws:lambda:eu-west-1:111122223333:function:probe");
    assert_eq!((&first["name"], &first["memory"]), (&json!("probe"), &json!(512)));
    assert_eq!(first["variable"], "good morning");
    for number in 2..20 {
        let next = invoke(&pool, number, json!({"do": "context"})).await.unwrap();
        assert_eq!(next["process"], first["process"]);
    }
    let processes = pool.processes();
    assert_eq!(processes.len(), 1);
    assert_eq!(processes[&1].invocations, 19);
    pool.shutdown().await;
    assert!(pool.processes().is_empty());
}

#[tokio::test]
async fn errors_and_panics_are_the_functions_and_leave_the_process_alone() {
    let pool = pool(config("rust"));
    for (what, message) in [("fail", "it is bad"), ("panic", "out of luck")] {
        let error = function_error(invoke(&pool, 1, json!({"do": what})).await.unwrap_err());
        assert_eq!(error.kind, FunctionErrorKind::Unhandled);
        assert!(error.message.contains(message), "{error}");
    }
    assert_eq!(
        invoke(&pool, 2, json!({"do": "echo"})).await.unwrap(),
        json!({"do": "echo"})
    );
    assert_eq!(pool.processes()[&1].invocations, 3);
    pool.shutdown().await;
}

#[tokio::test]
async fn no_more_run_than_may() {
    let pool = pool(config("rust").concurrency(2));
    let calls: Vec<_> = (1..=3)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { invoke(&pool, number, json!({"do": "hang"})).await })
        })
        .collect();
    let processes = pool.when(|processes| is_running(processes, 2)).await;
    assert_eq!(processes.len(), 2);
    for call in &calls {
        assert!(!call.is_finished());
    }
    pool.shutdown().await;
    for call in calls {
        let (why, _) = reason(call.await.unwrap().unwrap_err());
        assert!(why.contains("being stopped"), "{why}");
    }
}

#[tokio::test]
async fn an_invocation_waits_for_its_turn() {
    let pool = pool(config("rust"));
    let first = invoke(&pool, 1, json!({"do": "context"}));
    let second = invoke(&pool, 2, json!({"do": "context"}));
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap()["process"], second.unwrap()["process"]);
    pool.shutdown().await;
}

#[tokio::test]
async fn what_is_printed_is_forwarded() {
    let printed = Arc::new(Printed::default());
    let pool = pool(config("rust").output(Output::Lines(Arc::clone(&printed) as _)));
    invoke(&pool, 1, json!({"do": "print", "text": "hello"})).await.unwrap();
    // Whatever was printed has been read once the process is gone.
    pool.shutdown().await;
    let said = printed.lines(OutputStream::Stdout);
    assert!(said.iter().any(|line| line.ends_with("said \"hello\"")), "{said:?}");
    assert_eq!(printed.lines(OutputStream::Stderr), ["warned \"hello\""]);
}

#[tokio::test]
async fn idle_processes_are_let_go() {
    let mut config = config("rust");
    config.idle_timeout = Some(Duration::ZERO);
    let pool = pool(config);
    invoke(&pool, 1, json!({})).await.unwrap();
    pool.when(BTreeMap::is_empty).await;
    invoke(&pool, 2, json!({})).await.unwrap();
    pool.shutdown().await;
}

#[tokio::test]
async fn nothing_is_left_of_a_pool_that_stops() {
    let pool = pool(config("rust"));
    let child = invoke(&pool, 1, json!({"do": "start a child"})).await.unwrap();
    let child = u32::try_from(child.as_u64().unwrap()).unwrap();
    let function = pool.processes()[&1].id;
    assert!(lives(child) && lives(function));
    pool.shutdown().await;
    assert!(!lives(function));
    gone(child).await;
    let (why, _) = reason(invoke(&pool, 2, json!({})).await.unwrap_err());
    assert!(why.contains("being stopped"), "{why}");
}

/// Waits until the system has let go of a process that was killed: it does so soon, and tells nobody.
async fn gone(id: u32) {
    let gone = async {
        while lives(id) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

#[test]
fn nothing_is_left_when_the_runtime_is_gone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let child = runtime.block_on(async {
        let pool = pool(config("rust"));
        let child = invoke(&pool, 1, json!({"do": "start a child"})).await.unwrap();
        std::mem::forget(pool);
        u32::try_from(child.as_u64().unwrap()).unwrap()
    });
    assert!(lives(child));
    drop(runtime);
    tokio::runtime::Runtime::new().unwrap().block_on(gone(child));
}

#[test]
fn nothing_is_left_when_this_program_is_killed() {
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "life::worker"])
        .env("WORKER", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(worker.stdout.take().unwrap());
    let child = said
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("child ")?.parse().ok());
    let child = child.unwrap();
    assert!(lives(child));
    worker.kill().unwrap();
    worker.wait().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(gone(child));
}

/// Not a test: a program with a function, which is then killed.
#[tokio::test]
#[ignore = "the program that a test starts and kills; by itself it does nothing"]
async fn worker() {
    if std::env::var_os("WORKER").is_some() {
        let pool = pool(config("rust"));
        let child = invoke(&pool, 1, json!({"do": "start a child"})).await.unwrap();
        println!("\nchild {child}");
        std::future::pending::<()>().await;
    }
}
