//! [`CpuMeter`]: how busy the machine, or the container, is that this worker runs in.
//!
//! Java KCL's leader balances a fleet by what its workers publish: the percentage of the CPU that is in use, where 100 is all
//! that the worker may use. On ECS the agent tells ([`task`]). Elsewhere, and when it does not answer, the system's own counters
//! do ([`system`]): in a container with a limit that is the limit (control groups, version 2 or 1, as EKS sets them), and else the
//! machine (`/proc/stat`).

mod system;
mod task;

use std::collections::VecDeque;

use kcl_core::Tick;

use self::{system::SystemCpu, task::TaskMetadata};

/// As many values as Java's workers publish.
const VALUES: usize = 10;

/// Takes the average since it was last asked.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    system: SystemCpu,
    task: Option<TaskMetadata>,
    /// Whether it was told that the agent does not answer.
    told: bool,
    percentages: VecDeque<f64>,
}

impl CpuMeter {
    /// A meter of what this process runs in, which starts to measure at `now`.
    pub(crate) fn of_this_process(now: Tick) -> Self {
        Self::new(SystemCpu::new("/", now), TaskMetadata::of_this_process())
    }

    fn new(system: SystemCpu, task: Option<TaskMetadata>) -> Self {
        Self {
            system,
            task,
            told: false,
            percentages: VecDeque::new(),
        }
    }

    /// The last averages, newest last, with that of the time since the last call. Empty where nothing can be measured.
    pub(crate) async fn measure(&mut self, now: Tick) -> Vec<f64> {
        // Read in any case, so that it can step in.
        let of_system = self.system.measure(now);
        let percentage = match &mut self.task {
            None => of_system,
            Some(task) => match task.measure().await {
                Ok(of_task) => of_task,
                Err(error) => {
                    if !self.told {
                        tracing::debug!(%error, "the agent of ECS does not tell the CPU in use; the system's counters do");
                        self.told = true;
                    }
                    of_system
                }
            },
        };
        if let Some(percentage) = percentage {
            // As many decimals as Java's workers write.
            self.percentages.push_back((percentage * 1e6).round() / 1e6);
            while self.percentages.len() > VALUES {
                self.percentages.pop_front();
            }
        }
        self.percentages.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests;
