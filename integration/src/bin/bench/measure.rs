//! Wall time, CPU time and memory of a process, and the table of all runs.

use std::{error::Error, time::Instant};

use integration::bench::{own_cpu_seconds, own_peak_mib, own_resident_mib};
use serde::{Deserialize, Serialize};

/// What one run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) records: usize,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
    /// What is kept when everything is read and the consumer is gone.
    pub(crate) left_mib: f64,
}

#[expect(clippy::cast_precision_loss, reason = "numbers of records are far below 2^52")]
impl Run {
    pub(crate) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.records as f64
    }
}

/// Runs a consumer and prints what it took: its time from the first record on, its CPU time as a whole.
pub(crate) async fn report(
    consume: impl Future<Output = Result<(usize, Instant), Box<dyn Error>>>,
) -> Result<(), Box<dyn Error>> {
    let cpu = own_cpu_seconds()?;
    let (records, first) = consume.await?;
    let run = Run {
        records,
        seconds: first.elapsed().as_secs_f64(),
        cpu_seconds: own_cpu_seconds()? - cpu,
        peak_mib: own_peak_mib()?,
        left_mib: own_resident_mib()?,
    };
    println!("{}", serde_json::to_string(&run)?);
    Ok(())
}

/// One figure of a run.
type Figure = fn(&Run) -> f64;

/// Prints medians and their ratios.
pub(crate) fn print(bare: &[Run], worker: &[Run]) {
    let lines: [(&str, Figure); 3] = [
        ("records/s", Run::records_per_second),
        ("CPU s per million records", Run::cpu_per_million),
        ("peak MiB", |run| run.peak_mib),
    ];
    println!(
        "{:28}{:>14}{:>14}{:>16}",
        "median", "bare loop", "worker", "worker / loop"
    );
    for (name, figure) in lines {
        let (bare, worker) = (median(bare, figure), median(worker, figure));
        println!("{name:28}{bare:>14.1}{worker:>14.1}{:>16.2}", worker / bare);
    }
}

/// The middle one of all runs' figures.
pub(crate) fn median(runs: &[Run], figure: Figure) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
