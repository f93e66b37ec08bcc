//! [`SystemCpu`]: how busy the machine, or the container, is, from the files that the system keeps.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kcl_core::Tick;

/// Takes the average since it was last asked, from counters that the system keeps anyway.
#[derive(Debug)]
pub(super) struct SystemCpu {
    root: PathBuf,
    last: Option<(Tick, Usage)>,
}

/// A counter of CPU time, and what there is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Usage {
    /// Seconds used by the container, out of so many that it may use in a second.
    Container { seconds: f64, per_second: f64 },
    /// Ticks of the machine that were used, out of so many that passed.
    Machine { busy: u64, total: u64 },
}

impl SystemCpu {
    /// Reads the system's files under `root`, and starts to measure at `now`.
    pub(super) fn new(root: impl Into<PathBuf>, now: Tick) -> Self {
        let root = root.into();
        let last = Usage::read(&root).map(|usage| (now, usage));
        Self { root, last }
    }

    /// The percentage of the time since the last call. None where nothing can be measured.
    pub(super) fn measure(&mut self, now: Tick) -> Option<f64> {
        let usage = Usage::read(&self.root);
        let percentage = match (self.last, usage) {
            (Some((since, before)), Some(usage)) => before.percentage(usage, now.since(since).as_secs_f64()),
            _ => None,
        };
        self.last = usage.map(|usage| (now, usage));
        percentage
    }
}

#[expect(clippy::cast_precision_loss, reason = "counters far below 2^53, and percentages")]
impl Usage {
    fn read(root: &Path) -> Option<Self> {
        Self::of_cgroup_2(root)
            .or_else(|| Self::of_cgroup_1(root))
            .or_else(|| Self::of_machine(root))
    }

    fn of_cgroup_2(root: &Path) -> Option<Self> {
        let group = root.join("sys/fs/cgroup");
        let limit = fs::read_to_string(group.join("cpu.max")).ok()?;
        let (quota, period) = limit.trim().split_once(' ')?;
        // "max" is no limit: then the machine counts.
        let per_second = ratio(quota.parse().ok()?, period.parse().ok()?)?;
        let stat = fs::read_to_string(group.join("cpu.stat")).ok()?;
        let micros: u64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))?
            .trim()
            .parse()
            .ok()?;
        let seconds = micros as f64 / 1e6;
        Some(Self::Container { seconds, per_second })
    }

    fn of_cgroup_1(root: &Path) -> Option<Self> {
        let number = |file: &str| -> Option<i64> {
            let text = ["cpu,cpuacct", "cpu", "cpuacct"].iter().find_map(|group| {
                let path = root.join("sys/fs/cgroup").join(group).join(file);
                fs::read_to_string(path).ok()
            })?;
            text.trim().parse().ok()
        };
        // A quota of -1 is no limit.
        let per_second = ratio(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)?;
        let seconds = number("cpuacct.usage")? as f64 / 1e9;
        Some(Self::Container { seconds, per_second })
    }

    fn of_machine(root: &Path) -> Option<Self> {
        let stat = fs::read_to_string(root.join("proc/stat")).ok()?;
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let times: Vec<u64> = line.split_whitespace().map_while(|time| time.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what guests use is part of user and nice.
        let total: u64 = times.iter().take(8).sum();
        let idle: u64 = times.iter().skip(3).take(2).sum();
        (times.len() >= 4).then_some(Self::Machine {
            busy: total - idle,
            total,
        })
    }

    /// What was used between this and `later`, `elapsed` seconds after it.
    fn percentage(self, later: Self, elapsed: f64) -> Option<f64> {
        let share = match (self, later) {
            (
                Self::Container { seconds, .. },
                Self::Container {
                    seconds: later,
                    per_second,
                },
            ) if elapsed > 0.0 => (later - seconds) / (elapsed * per_second),
            (
                Self::Machine { busy, total },
                Self::Machine {
                    busy: later,
                    total: end,
                },
            ) if end > total => later.saturating_sub(busy) as f64 / (end - total) as f64,
            _ => return None,
        };
        // A limit may be exceeded for a moment, and a counter start again.
        Some(100.0 * share.clamp(0.0, 1.0))
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a scheduling period")]
fn ratio(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A system of files, as a container or a machine shows them.
    struct System(tempfile::TempDir);

    impl System {
        fn new(files: &[(&str, &str)]) -> Self {
            let system = Self(tempfile::tempdir().unwrap());
            files.iter().for_each(|(path, text)| system.write(path, text));
            system
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn meter(&self) -> SystemCpu {
            SystemCpu::new(self.0.path(), at(0))
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_origin(Duration::from_secs(seconds))
    }

    const MACHINE: (&str, &str) = ("proc/stat", "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n");

    #[test]
    fn given_a_machine_when_measured_then_waiting_for_disks_is_idle_and_guests_count_once() {
        let system = System::new(&[MACHINE]);
        let mut meter = system.meter();
        system.write("proc/stat", "cpu  130 0 120 800 150 0 0 0 80 0\n");
        assert_eq!(meter.measure(at(30)), Some(25.0));
        system.write("proc/stat", "cpu  230 0 120 800 150 0 0 0 180 0\n");
        assert_eq!(meter.measure(at(60)), Some(100.0));
    }

    #[test]
    fn given_a_container_with_a_limit_when_measured_then_the_limit_is_all() {
        let groups = |used: u64| {
            [
                [
                    ("sys/fs/cgroup/cpu.max", "50000 100000\n".to_owned()),
                    (
                        "sys/fs/cgroup/cpu.stat",
                        format!("usage_usec {}\nuser_usec 1\n", used * 1_000_000),
                    ),
                ]
                .to_vec(),
                [
                    ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n".to_owned()),
                    ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n".to_owned()),
                    (
                        "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage",
                        format!("{}\n", used * 1_000_000_000),
                    ),
                ]
                .to_vec(),
            ]
        };
        for version in 0..2 {
            let system = System::new(&[MACHINE]);
            let write = |used| {
                for (path, text) in &groups(used)[version] {
                    system.write(path, text);
                }
            };
            write(10);
            let mut meter = system.meter();
            // Half a CPU may be used: 12 seconds of 30 are 80 percent of what may be had.
            write(22);
            assert_eq!(meter.measure(at(30)), Some(80.0), "case {version}");
        }
    }

    #[test]
    fn given_a_container_without_a_limit_when_measured_then_the_machine_counts() {
        let system = System::new(&[
            MACHINE,
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 5\n"),
        ]);
        let mut meter = system.meter();
        system.write("proc/stat", "cpu  150 0 150 700 100 0 0 0\n");
        assert_eq!(meter.measure(at(30)), Some(100.0));
    }

    #[test]
    fn given_nothing_to_read_or_nonsense_when_measured_then_there_is_no_value() {
        assert_eq!(System::new(&[]).meter().measure(at(30)), None);
        let system = System::new(&[("proc/stat", "cpu  what is this\n")]);
        assert_eq!(system.meter().measure(at(30)), None);
    }
}
