//! Every store of this crate keeps every promise, and a store that does not is found out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kcl_checkpoint::{
    MemoryLeaseStore, SqliteConfig, SqliteLeaseStore,
    conformance::{self, Table},
};
use kcl_core::ApplicationName;

fn application() -> ApplicationName {
    ApplicationName::new("conformance").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_every_promise() {
    let kept = conformance::run_all(|| async {
        let store = MemoryLeaseStore::new();
        Ok(Table::new(store.clone(), store))
    })
    .await;
    kept.unwrap_or_else(|violations| panic!("{violations}"));
}

async fn sqlite_keeps_every_promise(config: SqliteConfig) {
    let directory = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    let kept = conformance::run_all(|| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(format!("{number}.db"));
        let config = config.clone();
        async move {
            let first = SqliteLeaseStore::open_with(&path, application(), config.clone()).await?;
            let second = SqliteLeaseStore::open_with(&path, application(), config).await?;
            Ok(Table::new(first, second))
        }
    })
    .await;
    kept.unwrap_or_else(|violations| panic!("{violations}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_every_promise_on_blocking_threads() {
    sqlite_keeps_every_promise(SqliteConfig::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_every_promise_inline() {
    let mut config = SqliteConfig::default();
    config.inline = true;
    config.durability = kcl_checkpoint::Durability::ProcessKill;
    sqlite_keeps_every_promise(config).await;
}
