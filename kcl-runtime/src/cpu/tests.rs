//! The meter beside an agent of ECS that a test plays.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const NANOS: u64 = 1_000_000_000;

/// The agent: what it answers, by path. Anything else it does not know.
struct Agent {
    address: String,
    answers: Arc<Mutex<BTreeMap<String, String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Agent {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}/v4/an-id-1", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(BTreeMap::<String, String>::new()));
        let known = Arc::clone(&answers);
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut socket = BufReader::new(socket);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    if socket.read_line(&mut request).await.unwrap() == 0 {
                        break;
                    }
                }
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = known.lock().unwrap().get(&path).cloned();
                let (status, body) = answer.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
                // Whoever asked may not wait for the answer.
                let _ = socket.write_all((head + &body).as_bytes()).await;
            }
        });
        Self {
            address,
            answers,
            serving,
        }
    }

    fn answer(&self, path: &str, body: &str) {
        let path = format!("/v4/an-id-1{path}");
        self.answers.lock().unwrap().insert(path, body.to_owned());
    }

    /// A task of these limits with this container, `this`, beside a sidecar.
    fn task(&self, limits: &Value, shares: [u64; 2]) {
        let container = |id: &str, shares: u64| json!({ "DockerId": id, "Limits": { "CPU": shares, "Memory": 512 } });
        let containers = [container("sidecar", shares[1]), container("this", shares[0])];
        let task = json!({ "Family": "billing", "Limits": limits, "Containers": containers });
        self.answer("/task", &task.to_string());
        self.answer("", &container("this", shares[0]).to_string());
    }

    /// Seconds of CPU of the container and of the machine, which has four, a moment ago and now.
    fn stats(&self, [used, machine]: [u64; 2], [used_before, machine_before]: [u64; 2]) {
        let times = |used: u64, machine: u64| {
            json!({
                "cpu_usage": { "total_usage": used * NANOS, "usage_in_usermode": 1 },
                "system_cpu_usage": machine * NANOS,
                "online_cpus": 4,
                "throttling_data": { "periods": 0 },
            })
        };
        let stats = json!({
            "read": "2026-01-01T00:00:00Z",
            "cpu_stats": times(used, machine),
            "precpu_stats": times(used_before, machine_before),
        });
        self.answer("/stats", &stats.to_string());
    }

    fn metadata(&self) -> TaskMetadata {
        TaskMetadata::new(self.address.clone())
    }
}

fn at(seconds: u64) -> Tick {
    Tick::from_origin(Duration::from_secs(seconds))
}

#[tokio::test]
async fn given_a_task_with_a_limit_when_measured_then_the_containers_part_of_it_is_all() {
    let agent = Agent::start().await;
    // Two CPUs for the task, of which the container can count on three quarters.
    agent.task(&json!({ "CPU": 2.0, "Memory": 1_024 }), [768, 256]);
    agent.stats([103, 1_020], [100, 1_012]);
    let mut metadata = agent.metadata();
    // The first time, of the last moment: 3 seconds of the 2 that passed on four CPUs are all that it may use.
    assert_eq!(metadata.measure().await.unwrap(), Some(100.0));
    // Then of all the time since: 9 seconds of 30 are a fifth of one and a half CPUs.
    agent.stats([112, 1_140], [112, 1_136]);
    assert_eq!(metadata.measure().await.unwrap(), Some(20.0));
    // What others leave over may be used, and is more than all.
    agent.stats([152, 1_180], [112, 1_136]);
    assert_eq!(metadata.measure().await.unwrap(), Some(100.0));
    // The agent has no newer figures.
    assert_eq!(metadata.measure().await.unwrap(), None);
}

#[tokio::test]
async fn given_tasks_without_limits_or_shares_when_measured_then_the_machine_is_shared() {
    let agent = Agent::start().await;
    for (limits, shares, percentage) in [
        (json!({ "Memory": 1_024 }), [10, 30], 40.0),
        (Value::Null, [10, 30], 40.0),
        // Containers that ask for nothing share evenly.
        (json!({ "CPU": 1 }), [0, 0], 80.0),
    ] {
        agent.task(&limits, shares);
        // 4 seconds on four CPUs in 10: 0.4 CPUs.
        agent.stats([104, 1_040], [100, 1_000]);
        assert_eq!(agent.metadata().measure().await.unwrap(), Some(percentage), "{limits}");
    }
}

#[tokio::test]
async fn given_no_agent_or_a_broken_answer_when_measured_then_the_system_counts() {
    let machine = tempfile::tempdir().unwrap();
    fs::create_dir_all(machine.path().join("proc")).unwrap();
    let write = |busy: u64, idle: u64| {
        fs::write(machine.path().join("proc/stat"), format!("cpu  {busy} 0 0 {idle}\n")).unwrap();
    };
    let agent = Agent::start().await;
    agent.task(&json!({ "CPU": 4 }), [1_024, 0]);
    for (address, answer) in [
        ("nonsense".to_owned(), ""),
        ("http://127.0.0.1:1/v4/an-id-1".to_owned(), ""),
        (agent.address.clone() + "/unknown", ""),
        (agent.address.clone(), "no json"),
        (agent.address.clone(), "{}"),
        (agent.address.clone(), r#"{"cpu_stats": {"online_cpus": 0}}"#),
        (agent.address.clone(), r#"{"cpu_stats": {"online_cpus": 4}}"#),
    ] {
        agent.answer("/stats", answer);
        write(100, 100);
        let system = SystemCpu::new(machine.path(), at(0));
        let mut meter = CpuMeter::new(system, Some(TaskMetadata::new(address.clone())));
        write(125, 175);
        assert_eq!(meter.measure(at(30)).await, [25.0], "{address} {answer}");
    }
}

#[tokio::test]
async fn given_an_agent_that_comes_back_when_measured_then_it_counts_again() {
    let machine = tempfile::tempdir().unwrap();
    let agent = Agent::start().await;
    agent.task(&json!({ "CPU": 4 }), [1_024, 0]);
    let mut meter = CpuMeter::new(SystemCpu::new(machine.path(), at(0)), Some(agent.metadata()));
    assert_eq!(meter.measure(at(30)).await, Vec::<f64>::new());
    agent.stats([100, 1_000], [0, 0]);
    // The agent itself began a moment ago, and has nothing to compare with.
    assert_eq!(meter.measure(at(60)).await, Vec::<f64>::new());
    agent.stats([102, 1_010], [0, 0]);
    let part = 1_024.0 / 1_026.0;
    let expected: f64 = 20.0 / part;
    assert_eq!(meter.measure(at(90)).await, [(expected * 1e6).round() / 1e6]);
}

#[tokio::test]
async fn given_many_measurements_when_taken_then_the_last_ten_are_kept() {
    let agent = Agent::start().await;
    agent.task(&json!({ "CPU": 4 }), [1_024, 1_024]);
    let mut meter = CpuMeter::new(SystemCpu::new("/nowhere", at(0)), Some(agent.metadata()));
    let (mut used, mut values) = (0, Vec::new());
    for round in 0..=12 {
        used += round;
        agent.stats([used, 1_000 + 200 * round], [0, 0]);
        values = meter.measure(at(30 * round)).await;
    }
    assert_eq!(values, (3..=12).map(f64::from).collect::<Vec<_>>());
}
