//! `kclctl migrate`, and what the doctor says about workers of Java.

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use kcl_broker::{Broker, trouble::Fault};
use kcl_checkpoint::{DynamoDbConfig, DynamoDbLeaseStore, Layout};
use kcl_core::{
    Lease, LeaseStore as _, Position, ShardId, Timestamp, WorkerId,
    coordination::{ClientVersion, WorkerMetrics},
};
use serde_json::Value;

use crate::common::{Bench, error, json, ok, run, stderr, stdout};

const COORDINATOR: &str = "a-CoordinatorState";
/// Under this name, and not the application's, so that it shows after which one the others are named.
const LEASES: &str = "leases-of-a";
const TABLE: [&str; 5] = ["--app", "a", "--lease-table", "dynamodb:leases-of-a", "--other-name"];

/// Short, so that tests do not wait for those who are gone.
const SOON: [&str; 2] = ["--failover-time", "300ms"];

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// An application of Java's, with a broker that it is on.
struct Application {
    bench: Bench,
    broker: Broker,
    client: Client,
    store: DynamoDbLeaseStore,
}

impl Application {
    /// With the tables of all versions of Java, or with one.
    async fn new(layout: Layout) -> Self {
        let broker = Broker::new();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("any", "any", None, None, "test"))
            .http_client(broker.http_client());
        let client = Client::from_conf(config.build());
        let mut config = DynamoDbConfig::default();
        config.layout = layout;
        config.owner_index = true;
        config.coordinator_table = Some(COORDINATOR.to_owned());
        config.worker_metrics_table = Some("a-WorkerMetricStats".to_owned());
        let store = DynamoDbLeaseStore::open_with(client.clone(), LEASES, config)
            .await
            .unwrap();
        let bench = Bench::of(broker.clone(), 1).await;
        Self {
            bench,
            broker,
            client,
            store,
        }
    }

    async fn row(&self, table: &str, key: (&str, &str), attributes: &[(&str, AttributeValue)]) {
        let put = self.client.put_item().table_name(table).item(key.0, text(key.1));
        let put = attributes
            .iter()
            .fold(put, |put, (name, value)| put.item(*name, value.clone()));
        put.send().await.unwrap();
    }

    async fn at(&self, version: ClientVersion) {
        let row = [
            ("cv", text(version.as_str())),
            ("mb", text("java")),
            ("mts", AttributeValue::N("1763740800000".to_owned())),
        ];
        self.row(COORDINATOR, ("key", "Migration3.0"), &row).await;
    }

    async fn version(&self) -> ClientVersion {
        self.store.client_version_row().await.unwrap().unwrap().version
    }

    async fn lease_of(&self, owner: &str) {
        let mut lease = Lease::new(ShardId::new("shardId-000000000000").unwrap(), Position::Latest);
        lease.owner = Some(WorkerId::new(owner).unwrap());
        let _ = self.store.create(&lease).await.unwrap();
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the command that is tested reads the clock too"
    )]
    async fn publish(&self, name: &str) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let now = Timestamp::from_epoch_millis(i64::try_from(now.as_millis()).unwrap());
        let metrics = WorkerMetrics::of_cpu(WorkerId::new(name).unwrap(), now, Vec::new());
        self.store.publish(&metrics).await.unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> std::process::Output {
        self.bench.run(&[arguments, &TABLE[..]].concat()).await
    }

    async fn migrate(&self, arguments: &[&str]) -> std::process::Output {
        self.run(&[&["migrate"][..], arguments].concat()).await
    }

    /// The findings of the doctor: their codes and messages.
    async fn doctor(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let output = self
            .run(&[&["leases", "doctor", "--json"][..], &SOON, arguments].concat())
            .await;
        let report = json(&stdout(&output));
        let text = |found: &Value, name: &str| found[name].as_str().unwrap().to_owned();
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .map(|found| (text(found, "code"), text(found, "message")))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_application_on_its_way_when_asked_then_it_says_where_it_is() {
    let application = Application::new(Layout::SeparateTables).await;
    application.at(ClientVersion::UpgradeFrom2x).await;
    application.lease_of("w1").await;
    let bare = ok(&application.migrate(&[]).await);
    assert_eq!(bare, ok(&application.migrate(&["status"]).await));
    for part in [
        "a is at CLIENT_VERSION_UPGRADE_FROM_2X",
        "written by java at 2025-11-21T16:00:00.000Z, in the table a-CoordinatorState",
        "workers with leases: 1, of which 1 of Java's publish no metrics: w1",
    ] {
        assert!(bare.contains(part), "{part}: {bare}");
    }
    application.publish("w1").await;
    let status = json(&ok(&application.migrate(&["--json"]).await));
    assert_eq!(status["without_metrics"], serde_json::json!([]));
    assert_eq!(status["lease_owners"], serde_json::json!(["w1"]));
    let usage = application.bench.run(&["migrate"]).await;
    assert!(stderr(&usage).contains("--lease-table") && usage.status.code() == Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_step_when_it_is_not_applied_then_it_is_only_told_and_otherwise_written_with_its_history() {
    let application = Application::new(Layout::SeparateTables).await;
    application.at(ClientVersion::ThreeXWithRollback).await;
    let told = ok(&application.migrate(&["rollback", "--dry-run"]).await);
    assert!(
        told.starts_with(
            "would write CLIENT_VERSION_2X over CLIENT_VERSION_3X_WITH_ROLLBACK in the row Migration3.0 of the table a-Coord"
        ) && told.ends_with("nothing was written; --yes writes it\n"),
        "{told}"
    );
    assert_eq!(application.version().await, ClientVersion::ThreeXWithRollback);

    let told = ok(&application.migrate(&["rollback", "--yes"]).await);
    assert!(told.starts_with("wrote CLIENT_VERSION_2X"), "{told}");
    assert_eq!(application.version().await, ClientVersion::TwoX);
    let again = ok(&application.migrate(&["rollback", "--yes"]).await);
    assert!(again.starts_with("nothing to do"), "{again}");
    let done = json(&ok(&application.migrate(&["rollforward", "--yes", "--json"]).await));
    assert_eq!(
        (&done["step"]["written"], &done["step"]["allowed"]),
        (&"yes".into(), &true.into())
    );
    let row = application.store.client_version_row().await.unwrap().unwrap();
    let past: Vec<_> = row
        .history
        .iter()
        .map(|step| (&*step.version, &*step.modified_by))
        .collect();
    let wanted = [
        ("CLIENT_VERSION_2X", "kclctl-rollback"),
        ("CLIENT_VERSION_3X_WITH_ROLLBACK", "java"),
    ];
    assert_eq!((row.version, &past[..]), (ClientVersion::UpgradeFrom2x, &wanted[..]));
    assert_eq!(row.modified_by.as_deref(), Some("kclctl-rollforward"));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_step_that_is_not_allowed_when_applied_then_it_is_refused_and_the_reason_given() {
    let application = Application::new(Layout::SeparateTables).await;
    application.at(ClientVersion::ThreeX).await;
    for arguments in [
        &["rollback", "--yes"][..],
        &["rollback", "--dry-run"],
        &["rollforward", "--yes"],
    ] {
        let message = error(&application.migrate(arguments).await, 1);
        assert!(
            message.contains("is not allowed") && message.contains("is only from"),
            "{message}"
        );
    }
    assert_eq!(application.version().await, ClientVersion::ThreeX);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_worker_without_metrics_when_completed_then_it_is_refused_as_long_as_it_lives() {
    let application = Application::new(Layout::SeparateTables).await;
    application.at(ClientVersion::ThreeXWithRollback).await;
    application.lease_of("w1").await;
    // It renews while the command watches.
    let store = application.store.clone();
    let renewing = tokio::spawn(async move {
        loop {
            let lease = store.list().await.unwrap().leases.remove(0);
            let _ = store.update(&kcl_core::LeaseWrite::renew(&lease, None)).await.unwrap();
        }
    });
    let complete = [&["complete", "--yes"][..], &SOON].concat();
    let message = error(&application.migrate(&complete).await, 1);
    assert!(
        message.contains("publish no metrics") && message.contains(": w1"),
        "{message}"
    );
    assert_eq!(application.version().await, ClientVersion::ThreeXWithRollback);
    application.publish("w1").await;
    let dry = ok(&application
        .migrate(&[&["complete", "--dry-run"][..], &SOON].concat())
        .await);
    assert!(
        dry.contains("yes: every worker of Java's that lives") && dry.contains("no way back"),
        "{dry}"
    );
    ok(&application.migrate(&complete).await);
    assert_eq!(application.version().await, ClientVersion::ThreeX);
    renewing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_row_in_the_lease_table_when_changed_then_it_is_written_there() {
    let application = Application::new(Layout::SingleTable).await;
    let row = [
        ("entityType", text("CLIENT_VERSION_MIGRATION")),
        ("cv", text("CLIENT_VERSION_UPGRADE_FROM_2X")),
    ];
    application.row(LEASES, ("leaseKey", "Migration3.0"), &row).await;
    let told = ok(&application.migrate(&["rollback", "--yes"]).await);
    assert!(told.contains("of the table leases-of-a"), "{told}");
    assert!(told.contains("note: ") && told.contains("before 3.5"), "{told}");
    assert_eq!(application.version().await, ClientVersion::TwoX);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_no_row_or_no_table_in_dynamodb_when_asked_then_the_error_says_so() {
    let application = Application::new(Layout::SeparateTables).await;
    let message = error(&application.migrate(&["rollback", "--yes"]).await, 1);
    assert!(
        message.contains("no row Migration3.0 of a, neither in the table a-CoordinatorState nor in leases-of-a"),
        "{message}"
    );
    let elsewhere = ["rollback", "--yes", "--coordinator-table", "other"];
    let message = error(&application.migrate(&elsewhere).await, 1);
    assert!(message.contains("neither in the table other nor"), "{message}");
    // To look is no error: most applications have no such row.
    let status = ok(&application.migrate(&["status"]).await);
    assert!(
        status.contains("a has no row Migration3.0") && status.contains("leader: none"),
        "{status}"
    );
    let message = error(
        &run(&["migrate", "--app", "a", "--lease-table", "sqlite:a.db"]).await,
        2,
    );
    assert!(message.contains("sqlite:a.db is no table in DynamoDB"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_answer_that_is_lost_when_applied_then_the_row_tells_that_it_was_written() {
    let application = Application::new(Layout::SeparateTables).await;
    application.at(ClientVersion::UpgradeFrom2x).await;
    let lose = Fault::drop_answer()
        .on("DynamoDB.UpdateItem")
        .table(COORDINATOR)
        .times(1);
    application.broker.trouble().add(lose).unwrap();
    let told = ok(&application.migrate(&["rollback", "--yes"]).await);
    assert!(told.starts_with("wrote CLIENT_VERSION_2X"), "{told}");
    assert_eq!(application.version().await, ClientVersion::TwoX);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_leader_that_is_gone_when_examined_then_the_doctor_waits_for_its_lock_and_says_so() {
    let application = Application::new(Layout::SeparateTables).await;
    let lock = |version: &str| {
        [
            ("ownerName", text("java")),
            // Longer than the doctor watches the leases.
            ("leaseDuration", text("2500")),
            ("recordVersionNumber", text(version)),
        ]
    };
    application.row(COORDINATOR, ("key", "Leader"), &lock("v1")).await;
    application.lease_of("w1").await;
    let found = application.doctor(&[]).await;
    let (_, message) = found.iter().find(|(code, _)| code == "stale_leader").unwrap();
    assert!(message.starts_with("java leads"), "{message}");
    // One that renews is not waited for, and not named.
    let renewing = async {
        for number in 0.. {
            application
                .row(COORDINATOR, ("key", "Leader"), &lock(&number.to_string()))
                .await;
        }
    };
    let found = tokio::select! {
        found = application.doctor(&[]) => found,
        () = renewing => panic!("it never ends"),
    };
    assert!(found.iter().all(|(code, _)| code != "stale_leader"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_upgrade_and_rows_of_other_kinds_when_examined_then_the_doctor_names_the_workers() {
    let application = Application::new(Layout::SeparateTables).await;
    application.at(ClientVersion::UpgradeFrom2x).await;
    application.lease_of("w1").await;
    application
        .row(
            LEASES,
            ("leaseKey", "w9"),
            &[("entityType", text("WORKER_METRIC_STATS"))],
        )
        .await;
    let codes = |found: Vec<(String, String)>| -> Vec<String> { found.into_iter().map(|(code, _)| code).collect() };
    let found = codes(application.doctor(&["--once"]).await);
    assert!(found.contains(&"workers_without_metrics".to_owned()), "{found:?}");
    assert!(found.contains(&"rows_old_workers_fail_on".to_owned()), "{found:?}");
    application.publish("w1").await;
    let found = codes(application.doctor(&["--once"]).await);
    assert!(!found.contains(&"workers_without_metrics".to_owned()), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_consumer_when_it_makes_its_table_then_the_others_have_the_names_that_java_gives() {
    let tables = async |arguments: &[&str]| {
        let application = Application::new(Layout::SingleTable).await;
        let consume = [&["--lease-table", "dynamodb:new", "--other-name"][..], arguments].concat();
        application.bench.consume(&consume).await;
        let list = application.client.list_tables().send().await.unwrap();
        list.table_names.unwrap()
    };
    assert_eq!(
        tables(&[]).await,
        ["a-CoordinatorState", "a-WorkerMetricStats", "leases-of-a", "new"]
    );
    assert_eq!(tables(&["--single-table"]).await, ["leases-of-a", "new"]);
    let named = ["--coordinator-table", "leaders", "--worker-metrics-table", "metrics"];
    assert_eq!(tables(&named).await, ["leaders", "leases-of-a", "metrics", "new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_table_that_cannot_be_read_when_examined_then_the_leases_are_and_it_is_noted() {
    let application = Application::new(Layout::SingleTable).await;
    application.lease_of("w1").await;
    // The service refuses a name that is so short, as it refuses who lacks a permission.
    let short = ["leases", "doctor", "--once", "--coordinator-table", "x"];
    let output = application.run(&short).await;
    let told = stderr(&output);
    assert!(
        told.contains("note: leaders and metrics are left out: ") && told.contains("the table x refuses Scan"),
        "{told}"
    );
    assert!(ok(&output).contains("hash"), "{}", stdout(&output));
}
