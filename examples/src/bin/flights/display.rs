//! What there is to watch: a live line per shard on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kcl_runtime::{Report, WorkerHandle};

/// How often the lines of a terminal are brought up to date.
const REFRESH: Duration = Duration::from_millis(100);

/// Shows how the fleet is doing. Clones show on the same screen.
#[derive(Clone)]
pub(crate) struct Display {
    screen: Arc<Screen>,
}

struct Screen {
    live: bool,
    bars: MultiProgress,
    put: ProgressBar,
    handled: ProgressBar,
    shards: Mutex<BTreeMap<String, Line>>,
}

/// What is known of one shard.
#[derive(Default)]
struct Line {
    bar: Option<ProgressBar>,
    owner: String,
}

impl Display {
    pub(crate) fn new(flights: u64) -> Self {
        let live = std::io::stdout().is_terminal();
        let bars = MultiProgress::new();
        let bar = |name: &'static str| {
            let style = ProgressStyle::with_template("{prefix:8} {bar:40} {pos}/{len}");
            let bar = if live {
                bars.add(ProgressBar::new(flights))
            } else {
                ProgressBar::hidden()
            };
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_prefix(name)
        };
        let (put, handled) = (bar("put"), bar("handled"));
        Self {
            screen: Arc::new(Screen {
                live,
                bars,
                put,
                handled,
                shards: Mutex::default(),
            }),
        }
    }

    /// Says what happens.
    pub(crate) fn say(&self, what: &str) {
        if self.screen.live {
            // A terminal that is gone shows nothing, and the run goes on.
            let _ = self.screen.bars.println(what);
        } else {
            println!("{what}");
        }
    }

    pub(crate) fn put(&self, flights: u64) {
        self.screen.put.inc(flights);
    }

    pub(crate) fn handled(&self, flights: u64) {
        self.screen.handled.inc(flights);
    }

    /// Follows a worker until it ends.
    pub(crate) async fn watch(self, name: String, handle: WorkerHandle) {
        while let Some(report) = handle.report().await {
            self.show(&name, &report);
            tokio::time::sleep(REFRESH).await;
        }
    }

    fn show(&self, worker: &str, report: &Report) {
        let mut lines = self.screen.shards.lock().unwrap_or_else(PoisonError::into_inner);
        for consumer in &report.shards {
            let shard = consumer.shard.to_string();
            let line = lines.entry(shard.clone()).or_default();
            if line.owner != worker {
                line.owner = worker.to_owned();
                if !self.screen.live {
                    println!(
                        "{shard} {worker} {} from {}",
                        consumer.status.phase, consumer.status.checkpoint
                    );
                }
            }
            if self.screen.live {
                let bar = line.bar.get_or_insert_with(|| self.screen.bars.add(spinner(&shard)));
                let age = consumer
                    .iterator_age
                    .map_or_else(String::new, |age| format!("{} ms", age.as_millis()));
                let (status, handled) = (&consumer.status, consumer.status.handled.to_string());
                let tail = handled.get(handled.len().saturating_sub(12)..).unwrap_or_default();
                bar.set_message(format!(
                    "{worker:10} {:12} …{tail:12} age {age:>8}  {}",
                    status.phase, status.waiting
                ));
            }
        }
        for lease in report.worker.leases.iter().filter(|lease| lease.lease.is_finished()) {
            let line = lines.entry(lease.lease.shard.to_string()).or_default();
            if line.owner != "finished" {
                line.owner = "finished".to_owned();
                match &line.bar {
                    Some(bar) => bar.finish_with_message("finished"),
                    None if self.screen.live => {}
                    None => println!("{} finished", lease.lease.shard),
                }
            }
        }
    }

    /// Leaves the last state on the screen.
    pub(crate) fn finish(&self) {
        self.screen.put.abandon();
        self.screen.handled.abandon();
        let lines = self.screen.shards.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in lines.values().filter_map(|line| line.bar.as_ref()) {
            bar.abandon();
        }
    }
}

fn spinner(shard: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style).with_prefix(shard.to_owned())
}
