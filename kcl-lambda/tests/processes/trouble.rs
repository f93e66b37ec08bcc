//! What goes wrong: with the function, with its start, with us.

use super::*;

#[tokio::test]
async fn a_process_that_ends_fails_its_invocation_and_is_replaced() {
    let pool = pool(config("rust"));
    let cases = [
        (
            json!({"do": "exit", "status": 5}),
            "Runtime exited with error: exit status 5",
        ),
        (
            json!({"do": "exit", "status": 0}),
            "Runtime exited without providing a reason",
        ),
        (json!({"do": "abort"}), "Runtime exited with error: signal: aborted"),
    ];
    for (number, (event, end)) in (1..).zip(cases) {
        let error = function_error(invoke(&pool, number, event).await.unwrap_err());
        assert_eq!(
            (error.error_type.as_str(), error.kind),
            ("Runtime.ExitError", FunctionErrorKind::Exited)
        );
        assert_eq!(
            error.message,
            format!("RequestId: 00000000-0000-0000-0000-{number:012} Error: {end}")
        );
        assert_eq!(invoke(&pool, 9, json!({"n": 1})).await.unwrap(), json!({"n": 1}));
    }
    pool.shutdown().await;
}

#[tokio::test]
async fn a_process_that_is_killed_from_outside_fails_its_invocation() {
    let pool = pool(config("rust"));
    let call = invoke(&pool, 1, json!({"do": "hang"}));
    let kill = async {
        let processes = pool.when(|processes| is_running(processes, 1)).await;
        // As the kernel does where memory has run out.
        let id = rustix::process::Pid::from_raw(processes[&1].id.try_into().unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    };
    let (call, ()) = tokio::join!(call, kill);
    let message = call.unwrap_err().to_string();
    assert!(
        message.ends_with("Runtime exited with error: signal: killed"),
        "{message}"
    );
    pool.shutdown().await;
}

#[tokio::test]
async fn an_invocation_that_takes_too_long_ends_its_process() {
    let pool = pool(config("rust"));
    // One that waits, and one that does not even let its client see anything.
    for (number, what) in [(1, "hang"), (2, "block")] {
        let process = invoke(&pool, 8, json!({"do": "context"})).await.unwrap()["process"]
            .as_u64()
            .unwrap();
        let event = json!({"do": what});
        let answer = pool
            .invoke(invocation(number, &event, Duration::from_millis(250)))
            .await;
        assert!(!lives(process.try_into().unwrap()), "a retry would run beside it");
        let error = function_error(answer.unwrap_err());
        assert_eq!(
            (error.error_type.as_str(), error.kind),
            ("Sandbox.Timedout", FunctionErrorKind::Timeout)
        );
        let end = format!("00000000-0000-0000-0000-{number:012} Task timed out after 0.25 seconds");
        assert!(error.message.ends_with(&end), "{error}");
    }
    assert!(invoke(&pool, 3, json!({})).await.is_ok());
    pool.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error_of_the_function() {
    let pool = pool(config("rust"));
    let error = function_error(invoke(&pool, 1, json!({"do": "large"})).await.unwrap_err());
    assert_eq!(error.kind, FunctionErrorKind::ResponseTooLarge);
    assert!(invoke(&pool, 2, json!({})).await.is_ok());
    pool.shutdown().await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_not_to_be_had() {
    let mut config = config("rust");
    (config.memory_size_mib, config.limit_memory) = (128, true);
    let pool = pool(config);
    assert_eq!(
        invoke(&pool, 1, json!({"do": "allocate", "mib": 20})).await.unwrap(),
        20 << 20
    );
    let error = function_error(
        invoke(&pool, 2, json!({"do": "allocate", "mib": 200}))
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, FunctionErrorKind::Exited);
    assert!(invoke(&pool, 3, json!({})).await.is_ok());
    pool.shutdown().await;
}

#[tokio::test]
async fn an_invocation_that_is_given_up_ends_its_process() {
    let pool = pool(config("rust"));
    {
        let call = invoke(&pool, 1, json!({"do": "hang"}));
        tokio::select! {
            _ = call => panic!("it hangs"),
            _ = pool.when(|processes| is_running(processes, 1)) => {}
        }
    }
    pool.when(BTreeMap::is_empty).await;
    assert!(invoke(&pool, 2, json!({})).await.is_ok());
    pool.shutdown().await;
}

#[tokio::test]
async fn a_function_that_cannot_start_is_not_invoked_and_tried_again_with_pauses() {
    let mut config = config("exits at once");
    config.restart_pause_first = LONG;
    let pool = pool(config);
    let (why, pause) = reason(invoke(&pool, 1, json!({})).await.unwrap_err());
    assert!(why.ends_with("Runtime exited with error: exit status 3"), "{why}");
    assert_eq!(pause, Some(LONG));
    // No process is started for the next one.
    let (again, pause) = reason(invoke(&pool, 2, json!({})).await.unwrap_err());
    assert_eq!(again, why);
    assert!(pause.is_some_and(|pause| pause < LONG), "{pause:?}");

    let missing = ProcessPool::new(ProcessConfig::new("no-such-program-anywhere", [""; 0])).unwrap();
    let (why, _) = reason(invoke(&missing, 1, json!({})).await.unwrap_err());
    assert!(
        why.starts_with("\"no-such-program-anywhere\" cannot be started"),
        "{why}"
    );
}

#[tokio::test]
async fn a_start_that_is_too_slow_is_made_again_in_the_time_of_the_invocation() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("started");
    let mut config = config("too slow once").variable("FUNCTION_MARK", &mark);
    config.init_timeout = Duration::from_secs(1);
    let pool = pool(config);
    assert!(invoke(&pool, 1, json!({})).await.is_ok());
    assert_eq!(pool.processes().keys().copied().collect::<Vec<_>>(), [2]);
    pool.shutdown().await;

    let mut never = super::config("never asks");
    never.init_timeout = Duration::from_millis(100);
    let pool = super::pool(never);
    let short = invocation(1, &json!({}), Duration::from_millis(50));
    let (why, _) = reason(pool.invoke(short).await.unwrap_err());
    assert!(why.ends_with("did not ask for an invocation within 100ms"), "{why}");
    assert!(pool.processes().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let error = ProcessPool::new(config("rust").concurrency(0)).unwrap_err();
    assert_eq!(error.to_string(), "concurrency is 0: it is from 1 to 10000 processes");
    let mut nowhere = config("rust");
    nowhere.directory = Some("/no/such/place".into());
    assert!(ProcessPool::new(nowhere).is_err());
}

#[tokio::test]
async fn an_answer_of_any_bytes_is_given_as_it_is() {
    let pool = pool(config("rust"));
    let answer = pool.invoke(invocation(1, &json!({"a": [1, 2]}), LONG)).await.unwrap();
    assert_eq!(answer, Bytes::from_static(br#"{"a":[1,2]}"#));
    pool.shutdown().await;
}
