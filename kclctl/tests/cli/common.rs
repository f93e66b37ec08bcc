//! The real binary against a broker of this process.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use kcl_broker::{Broker, Server};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// Far more than anything here takes; only a hang gets there.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The binary with an environment that knows nothing of AWS.
pub(crate) fn kclctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kclctl"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    within(kclctl(arguments).output()).await.unwrap()
}

/// Runs a command with this on stdin.
pub(crate) async fn run_with(arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
    let mut child = kclctl(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.into();
    let writing = tokio::spawn(async move {
        // A command that ends early does not read everything.
        let _ = stdin.write_all(&input).await;
    });
    let output = within(child.wait_with_output()).await.unwrap();
    writing.await.unwrap();
    output
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The output of a command that must have succeeded.
pub(crate) fn ok(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "stderr: {}", stderr(output));
    stdout(output)
}

/// The one error line of a command that must have failed.
pub(crate) fn error(output: &Output, code: i32) -> String {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(code), "stderr: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "stderr: {stderr}");
    lines[0].to_owned()
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A broker with a stream `s`.
pub(crate) struct Bench {
    pub(crate) endpoint: String,
    _server: Server,
}

impl Bench {
    pub(crate) async fn with_shards(shards: u32) -> Self {
        Self::of(Broker::new(), shards).await
    }

    pub(crate) async fn of(broker: Broker, shards: u32) -> Self {
        let server = Server::bind(broker, ([127, 0, 0, 1], 0)).await.unwrap();
        let bench = Self {
            endpoint: server.endpoint_url(),
            _server: server,
        };
        ok(&bench
            .run(&["stream", "create", "s", "--shards", &shards.to_string()])
            .await);
        bench
    }

    fn at<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--endpoint", &self.endpoint]].concat()
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        run(&self.at(arguments)).await
    }

    /// Runs a command that ends with one of the user's.
    pub(crate) async fn run_with_command(&self, arguments: &[&str], command: &[String]) -> Output {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        run(&[&self.at(arguments)[..], &["--"], &command].concat()).await
    }

    pub(crate) async fn put(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
        run_with(&self.at(&[&["put", "--stream", "s"], arguments].concat()), input).await
    }

    /// Everything that is in the stream.
    pub(crate) async fn consume(&self, arguments: &[&str]) -> Vec<Value> {
        let fast = [
            "consume",
            "--stream",
            "s",
            "--app",
            "a",
            "--until-idle",
            "100ms",
            "--idle-time-at-tip",
            "50ms",
        ];
        let output = self.run(&[&fast, arguments].concat()).await;
        ok(&output).lines().map(json).collect()
    }

    /// Starts a consumer that runs until it is told to stop.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let consume = ["consume", "--stream", "s", "--app", "a", "--idle-time-at-tip", "50ms"];
        Running::start(&mut kclctl(&self.at(&[&consume, arguments].concat())))
    }
}

/// A command that runs, line by line.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) async fn line(&mut self) -> String {
        within(self.lines.next_line())
            .await
            .unwrap()
            .expect("stdout ended early")
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    /// Waits for the end; gives the rest of stdout, stderr and the exit code.
    pub(crate) async fn end(mut self) -> Output {
        let mut rest = String::new();
        while let Some(line) = within(self.lines.next_line()).await.unwrap() {
            rest.push_str(&line);
            rest.push('\n');
        }
        let mut output = within(self.child.wait_with_output()).await.unwrap();
        output.stdout = rest.into_bytes();
        output
    }
}
