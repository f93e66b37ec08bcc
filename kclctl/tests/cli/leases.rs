//! `kclctl leases` and its commands: what operators do with a table.

mod changes;
mod looks;

use kcl_checkpoint::SqliteLeaseStore;
use kcl_core::{ApplicationName, HashKeyRange, Lease, LeaseKey, LeaseStore as _, Position, Session, ShardId, WorkerId};
use serde_json::Value;

use crate::common::{error, json, ok, run, stderr};

struct Table {
    _directory: tempfile::TempDir,
    path: std::path::PathBuf,
    name: String,
}

fn shard(number: u8) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn free(number: u8) -> Lease {
    Lease::new(shard(number), Position::after("7".parse().unwrap())).with_hash_key_range(HashKeyRange::FULL)
}

fn held(number: u8, worker: &str) -> Lease {
    let mut lease = free(number);
    (lease.owner, lease.session) = (Some(WorkerId::new(worker).unwrap()), Some(Session(1)));
    lease
}

fn finished(number: u8) -> Lease {
    let mut lease = free(number);
    lease.checkpoint = Position::ShardEnd;
    lease
}

impl Table {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leases.db");
        let name = format!("sqlite:{}", path.display());
        Self {
            _directory: directory,
            path,
            name,
        }
    }

    async fn of(leases: impl IntoIterator<Item = Lease>) -> Self {
        let table = Self::new();
        let store = table.store().await;
        for lease in leases {
            let _ = store.create(&lease).await.unwrap();
        }
        table
    }

    async fn store(&self) -> SqliteLeaseStore {
        let app = ApplicationName::new("a").unwrap();
        SqliteLeaseStore::open(&self.path, app).await.unwrap()
    }

    async fn row(&self, number: u8) -> Option<Lease> {
        let key = LeaseKey::of_shard(&shard(number));
        self.store().await.get(&key).await.unwrap()
    }

    fn command<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let table = ["--app", "a", "--lease-table", self.name.as_str()];
        [&["leases"][..], arguments, &table].concat()
    }

    async fn run(&self, arguments: &[&str]) -> std::process::Output {
        run(&self.command(arguments)).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        json(&ok(&self.run(&[arguments, &["--json"]].concat()).await))
    }
}

const ZERO: &str = "shardId-000000000000";
const ONE: &str = "shardId-000000000001";

/// Short, so that tests do not wait for those who are gone.
const SOON: [&str; 2] = ["--failover-time", "300ms"];

#[tokio::test(flavor = "multi_thread")]
async fn given_no_command_when_run_then_the_leases_are_listed() {
    let table = Table::of([held(0, "w1"), free(1)]).await;
    let bare = ok(&table.run(&[]).await);
    assert_eq!(bare, ok(&table.run(&["list"]).await));
    assert_eq!(table.json(&[]).await, table.json(&["list"]).await);
    error_text(&run(&["leases"]).await, 2, "--lease-table");
}

fn error_text(output: &std::process::Output, code: i32, part: &str) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(part), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_no_terminal_when_nothing_is_confirmed_then_nothing_is_done() {
    let table = Table::of([held(0, "w1"), free(1)]).await;
    let before = table.json(&[]).await;
    for command in [
        &["delete", ONE][..],
        &["release", "--all"],
        &["seek", ONE, "--to", "latest", "--force"],
    ] {
        assert!(error(&table.run(command).await, 2).contains("--yes"), "{command:?}");
    }
    for command in [
        &["delete", ONE, "--dry-run"][..],
        &["release", "--all", "--dry-run"],
        &["seek", ONE, "--to", "latest", "--force", "--dry-run"],
    ] {
        assert!(ok(&table.run(command).await).contains("planned"), "{command:?}");
    }
    let several = ["seek", "--all", "--to", "495", "--yes"];
    error_text(&table.run(&several).await, 2, "one shard");
    assert_eq!(table.json(&[]).await, before);
}
