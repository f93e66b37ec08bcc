//! One file, several processes: they open it at the same instant, race on one row, and are killed.
//!
//! The other processes are this test binary, told by an environment variable which part to play.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use kcl_checkpoint::SqliteLeaseStore;
use kcl_core::{ApplicationName, Lease, LeaseStore, LeaseWrite, Position, ShardId, WriteOutcome};

const PART: &str = "KCL_TEST_PART";
const FILE: &str = "KCL_TEST_FILE";
/// What the lines that matter begin with: the test harness prints as well.
const MARK: &str = "@@ ";

fn lease() -> Lease {
    Lease::new(ShardId::new("shardId-000000000000").unwrap(), Position::TrimHorizon)
}

async fn open(path: &Path) -> SqliteLeaseStore {
    let application = ApplicationName::new("processes").unwrap();
    SqliteLeaseStore::open(path, application).await.unwrap()
}

fn say(word: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{word}").unwrap();
    out.flush().unwrap();
}

/// The part of a process that another test started. Without one, it has nothing to do.
#[tokio::test]
#[ignore = "a part that other tests run as a process"]
async fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    say("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let store = open(&path).await;
    match part.as_str() {
        "win" => win(&store, 25).await,
        "renew" => win(&store, u64::MAX).await,
        other => panic!("there is no part {other:?}"),
    }
}

/// Renews until `wins` renewals were applied, and says each counter that was acknowledged.
async fn win(store: &SqliteLeaseStore, wins: u64) {
    let _ = store.create(&lease()).await.unwrap();
    let mut won = 0;
    while won < wins {
        let seen = store.get(&lease().key).await.unwrap().unwrap();
        let position = Position::after((seen.counter + 1).to_string().parse().unwrap());
        match store.update(&LeaseWrite::renew(&seen, Some(position))).await {
            Ok(WriteOutcome::Applied(lease)) => {
                won += 1;
                say(lease.counter);
            }
            Ok(WriteOutcome::Conflict(_)) => {}
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    /// Starts a process and waits until it is about to open the file.
    fn start(part: &str, path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "part", "--ignored", "--nocapture"])
            .env(PART, part)
            .env(FILE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self { child, lines };
        assert_eq!(process.next_word().as_deref(), Some("ready"));
        process
    }

    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn next_word(&mut self) -> Option<String> {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix(MARK).map(str::to_owned))
    }

    /// The counters that the process says until it ends.
    fn counters(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.next_word())
            .map(|word| word.parse().unwrap())
            .collect()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn processes_that_open_a_new_file_at_once_share_one_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    let mut processes: Vec<_> = (0..4).map(|_| Process::start("win", &path)).collect();
    processes.iter_mut().for_each(Process::go);
    let mut won: Vec<u64> = Vec::new();
    for process in &mut processes {
        let counters = process.counters();
        assert_eq!(counters.len(), 25);
        assert!(process.child.wait().unwrap().success());
        won.extend(counters);
    }
    won.sort_unstable();
    assert_eq!(won, (1..=100).collect::<Vec<_>>(), "each counter value has one winner");
    let stored = open(&path).await.get(&lease().key).await.unwrap().unwrap();
    assert_eq!(stored.counter, 100);
}

#[tokio::test]
async fn an_acknowledged_checkpoint_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    let mut last = 0;
    for acknowledgements in [1, 7, 40] {
        let mut process = Process::start("renew", &path);
        process.go();
        for _ in 0..acknowledgements {
            last = process.next_word().unwrap().parse().unwrap();
        }
        process.child.kill().unwrap();
        // What it still said before the end was acknowledged as well.
        last = process.counters().last().copied().unwrap_or(last);
        let stored = open(&path).await.get(&lease().key).await.unwrap().unwrap();
        // One write more than was said: the process was killed between the answer and the word.
        assert!(
            (last..=last + 1).contains(&stored.counter),
            "{last} was acknowledged, {} is stored",
            stored.counter
        );
        assert_eq!(
            stored.checkpoint,
            Position::after(stored.counter.to_string().parse().unwrap())
        );
    }
}
