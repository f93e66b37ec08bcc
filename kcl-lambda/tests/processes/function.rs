//! The function: it does what its event says.

use std::{process::Command, time::Duration};

use lambda_runtime_1::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

/// Not a test: what the tests start as a process of its own.
#[test]
#[ignore = "the function that the tests start; by itself it does nothing"]
fn function() {
    let Ok(kind) = std::env::var("FUNCTION_KIND") else {
        return;
    };
    match kind.as_str() {
        "rust" => {}
        "exits at once" => std::process::exit(3),
        "never asks" => loop {
            std::thread::park();
        },
        "too slow once" => {
            let mark = std::env::var("FUNCTION_MARK").unwrap();
            if std::fs::create_dir(mark).is_ok() {
                loop {
                    std::thread::park();
                }
            }
        }
        other => panic!("{other}"),
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(lambda_runtime_1::run(service_fn(handle))).unwrap();
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    match event["do"].as_str().unwrap_or("echo") {
        "echo" => Ok(event),
        "context" => Ok(json!({
            "request": context.request_id,
            "arn": context.invoked_function_arn,
            "name": context.env_config.function_name,
            "memory": context.env_config.memory,
            "variable": std::env::var("GREETING").ok(),
            "process": std::process::id(),
        })),
        "fail" => Err("it is bad".into()),
        "panic" => panic!("out of luck"),
        "print" => {
            println!("said {}", event["text"]);
            eprintln!("warned {}", event["text"]);
            Ok(Value::Null)
        }
        "exit" => std::process::exit(event["status"].as_i64().unwrap_or_default().try_into().unwrap()),
        "abort" => std::process::abort(),
        "hang" => Ok(std::future::pending().await),
        "block" => loop {
            std::thread::park();
        },
        "allocate" => {
            let bytes = usize::try_from(event["mib"].as_u64().unwrap()).unwrap() << 20;
            Ok(json!(vec![1_u8; bytes].len()))
        }
        "large" => Ok(json!("x".repeat(7 << 20))),
        "start a child" => {
            let child = Command::new("sleep").arg("1000").spawn()?;
            Ok(json!(child.id()))
        }
        "sleep" => {
            // Real time, since another process has no other.
            tokio::time::sleep(Duration::from_millis(event["millis"].as_u64().unwrap())).await;
            Ok(Value::Null)
        }
        other => panic!("{other}"),
    }
}
