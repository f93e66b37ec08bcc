//! `kclctl lambda`: functions in processes of their own.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kcl_core::BoxError;
use kcl_runtime::dead_letter::{Selection, SqliteDeadLetters};
use serde_json::Value;

use crate::common::{Bench, error, ok, stderr};

/// Runs this binary as a function; see [`as_a_function`].
fn function() -> Vec<String> {
    let binary = std::env::current_exe().unwrap();
    let arguments = ["--exact", "lambda::as_a_function", "--nocapture"];
    let binary = binary.to_str().unwrap().to_owned();
    std::iter::once(binary)
        .chain(arguments.map(ToOwned::to_owned))
        .collect()
}

/// A function without any library, where a process of a function is what this binary is: it prints what it gets, fails on
/// `poison`, and ends its process on `crash`.
#[test]
fn as_a_function() {
    if env::var("AWS_LAMBDA_RUNTIME_API").is_ok() {
        serve().unwrap();
    }
}

const INVOCATION: &str = "/2018-06-01/runtime/invocation";

fn serve() -> Result<(), BoxError> {
    let address = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let mut connection = BufReader::new(TcpStream::connect(&address)?);
    loop {
        let (id, event) = request(&mut connection, &format!("GET {INVOCATION}/next"), "")?;
        let event: Value = serde_json::from_str(&event)?;
        let mut error = None;
        for record in event["Records"].as_array().into_iter().flatten() {
            let data = STANDARD.decode(record["kinesis"]["data"].as_str().unwrap_or_default())?;
            let data = String::from_utf8(data)?;
            match data.as_str() {
                "crash" => std::process::exit(3),
                "poison" => error = Some(r#"{"errorType":"ValueError","errorMessage":"poison"}"#),
                data => println!("got {data} {}", env::var("AWS_LAMBDA_FUNCTION_NAME")?),
            }
        }
        let (path, body) = match error {
            Some(error) => ("error", error),
            None => ("response", r#"{"batchItemFailures":[]}"#),
        };
        request(&mut connection, &format!("POST {INVOCATION}/{id}/{path}"), body)?;
    }
}

/// Gives the id of the invocation, where the answer has one, and the body.
fn request(connection: &mut BufReader<TcpStream>, line: &str, body: &str) -> Result<(String, String), BoxError> {
    let (host, length) = (connection.get_ref().peer_addr()?, body.len());
    let head = format!("{line} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.get_mut().write_all(head.as_bytes())?;
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err("the runtime is gone".into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "lambda-runtime-aws-request-id" => value.trim().clone_into(&mut id),
                "content-length" => length = value.trim().parse()?,
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((id, String::from_utf8(body)?))
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn mapping(&self, extra: &str) -> String {
        let path = self.path("mapping.toml");
        let letters = self.path("letters.db");
        let text = format!("{extra}\n[KclExtensions]\nDeadLetters = \"sqlite:{letters}\"\n");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The lines that the function printed.
fn got(output: &std::process::Output) -> Vec<String> {
    let lines = stderr(output);
    let got = lines
        .lines()
        .filter_map(|line| line.split_once("got ").map(|(_, got)| got));
    got.map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_function_when_records_are_there_then_it_gets_them_and_a_second_run_goes_on_behind_them() {
    let (bench, files) = (Bench::with_shards(1).await, Files::new());
    let table = format!("sqlite:{}", files.path("leases.db"));
    let config = files.mapping("BatchSize = 2");
    let function = function();
    let run = [
        "lambda",
        "run",
        "--stream",
        "s",
        "--app",
        "probe",
        "--config",
        &config,
        "--lease-table",
        &table,
        "--until-idle",
        "500ms",
    ];
    let run = async || bench.run_with_command(&run, &function).await;
    ok(&bench.put(&["--key", "k"], "a\nb\nc\n").await);
    let first = run().await;
    ok(&first);
    assert_eq!(got(&first), ["a probe", "b probe", "c probe"]);
    ok(&bench.put(&["--key", "k"], "d\n").await);
    let second = run().await;
    ok(&second);
    assert_eq!(got(&second), ["d probe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_poison_and_a_crash_when_bisected_then_these_alone_are_dead_letters() {
    let (bench, files) = (Bench::with_shards(1).await, Files::new());
    let config = files.mapping("BisectBatchOnFunctionError = true\nMaximumRetryAttempts = 1");
    ok(&bench.put(&["--key", "k"], "a\npoison\nb\ncrash\nc\n").await);
    let run = [
        "lambda",
        "run",
        "--stream",
        "s",
        "--app",
        "probe",
        "--config",
        &config,
        "--until-idle",
        "2s",
    ];
    let output = bench.run_with_command(&run, &function()).await;
    ok(&output);
    let got = got(&output);
    for data in ["a", "b", "c"] {
        assert!(got.contains(&format!("{data} probe")), "{got:?}");
    }
    let letters = SqliteDeadLetters::open(files.path("letters.db")).await.unwrap();
    let kept = letters.list(&Selection::default()).await.unwrap();
    let mut data = Vec::new();
    for letter in kept {
        let letter = letters.get(letter.id).await.unwrap().unwrap();
        data.extend(
            letter
                .records
                .iter()
                .map(|record| String::from_utf8_lossy(&record.data).into_owned()),
        );
    }
    assert_eq!(data, ["poison", "crash"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_mapping_that_is_wrong_when_run_then_the_setting_is_named_and_nothing_is_read() {
    let (bench, files) = (Bench::with_shards(1).await, Files::new());
    for (text, expected) in [
        ("BatchSize = 0", "BatchSize is 0: use a whole number from 1 to 10000"),
        ("BatchSice = 1", "BatchSice"),
        (
            "EventSourceArn = \"arn:aws:kinesis:us-east-1:123456789012:stream/other\"",
            "are different streams",
        ),
    ] {
        let config = files.mapping(text);
        let run = ["lambda", "run", "--stream", "s", "--app", "probe", "--config", &config];
        let output = bench.run_with_command(&run, &function()).await;
        let told = error(&output, 2);
        assert!(told.contains(expected), "{told}");
    }
    let config = files.mapping("");
    let run = [
        "lambda",
        "run",
        "--stream",
        "s",
        "--app",
        "probe",
        "--config",
        &config,
        "--until-idle",
        "100ms",
    ];
    // There is nothing to do, so that nothing is started.
    ok(&bench.run_with_command(&run, &["/no/such/program".to_owned()]).await);
}
