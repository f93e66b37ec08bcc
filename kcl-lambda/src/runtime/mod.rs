//! [`MappedFunction`]: a worker that does what an event source mapping says.

mod admission;
mod handler;
mod in_process;
mod shadow;
mod worker_settings;

use std::{sync::Arc, time::Duration};

use kcl_core::Batch;
use kcl_runtime::{FunctionWorkerBuilder, IntoBatchOutcome, WorkerBuilder, dead_letter::DeadLetters};

pub use self::{admission::FilterCounts, shadow::Shadow};
use self::{admission::MappingAdmission, handler::InvokingHandler, in_process::OwnFunction};
use crate::{
    event::EventSource,
    invoke::Invoke,
    mapping::{EventSourceMapping, InvalidMapping},
    metrics::{self, CountedLetters, MappingMetrics},
};

/// How long an invocation may take unless something else is asked for: Lambda's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// An event source mapping, and what has to be known of its function besides.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
/// use std::sync::Arc;
/// use kcl_core::Batch;
/// use kcl_lambda::{MappedFunction, mapping::EventSourceMapping};
/// use kcl_runtime::testing::TestWorld;
///
/// let world = TestWorld::new("telemetry", 1).await;
/// let mapping: EventSourceMapping = serde_json::from_str(r#"{
///     "EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
///     "FunctionName": "probe",
///     "StartingPosition": "TRIM_HORIZON",
///     "FilterCriteria": {"Filters": [{"Pattern": "{\"data\":{\"hot\":[true]}}"}]},
///     "KclExtensions": {"PayloadLimitInBytes": -1}
/// }"#)?;
/// let function = MappedFunction::new(mapping);
/// let counts = function.filter_counts();
/// let worker = function.calling(world.worker("w1"), |batch: Batch| async move {
///     println!("{} hot records", batch.len());
/// })?;
/// world.start(worker);
/// world.put("sensor-7", r#"{"hot":true}"#);
/// world.put("sensor-8", r#"{"hot":false}"#);
/// world.until_idle().await;
/// assert_eq!((counts.kept(), counts.filtered()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MappedFunction {
    mapping: Arc<EventSourceMapping>,
    timeout: Duration,
    function_arn: String,
    source: EventSource,
    counts: FilterCounts,
    seed: u64,
}

impl MappedFunction {
    /// What `mapping` says. The ARNs of the function and its role are made up from its name and the stream's account.
    #[must_use]
    pub fn new(mapping: EventSourceMapping) -> Self {
        let stream = mapping.event_source_arn.stream();
        let (region, account) = (stream.region(), stream.account().as_str());
        let name = mapping.function_name.as_str();
        let function_arn = if name.starts_with("arn:") {
            name.to_owned()
        } else {
            format!("arn:aws:lambda:{region}:{account}:function:{name}")
        };
        let bare = name.rsplit("function:").next().unwrap_or(name);
        let bare = bare.split(':').next().unwrap_or(bare);
        let source = EventSource {
            event_source_arn: mapping.event_source_arn.as_str().to_owned(),
            region: region.to_owned(),
            invoke_identity_arn: format!("arn:aws:iam::{account}:role/{bare}"),
        };
        let counts = FilterCounts::new(mapping.filter_criteria.filters.len());
        Self {
            mapping: Arc::new(mapping),
            timeout: DEFAULT_TIMEOUT,
            function_arn,
            source,
            counts,
            seed: 0,
        }
    }

    /// How long an invocation may take. 3 s by default, as on Lambda.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The role that events say the function is invoked by (`invokeIdentityArn`).
    #[must_use]
    pub fn role_arn(mut self, arn: impl Into<String>) -> Self {
        self.source.invoke_identity_arn = arn.into();
        self
    }

    /// Makes request ids repeatable, for tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The ARN that the function is told it was invoked by.
    #[must_use]
    pub fn function_arn(&self) -> &str {
        &self.function_arn
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> &EventSourceMapping {
        &self.mapping
    }

    /// What the filters say of the records, while a worker runs. With `FilterDryRun` that is all they do.
    #[must_use]
    pub fn filter_counts(&self) -> FilterCounts {
        self.counts.clone()
    }

    /// A worker that invokes `function` with events, in Lambda's JSON. Dead letters go to whom the builder that is given back
    /// is told.
    ///
    /// # Errors
    /// If the mapping asks for what a worker cannot do.
    pub fn invoking(
        &self,
        worker: WorkerBuilder,
        function: Arc<dyn Invoke>,
    ) -> Result<FunctionWorkerBuilder, InvalidMapping> {
        let metrics = MappingMetrics::new(&self.mapping);
        let handler = InvokingHandler::new(self, function, metrics.clone());
        self.put_together(worker, metrics, |worker| worker.handler(handler))
    }

    /// A worker that calls an async function of this process with batches, without any JSON. It may take any number of bytes
    /// where `PayloadLimitInBytes` is -1, and returns what [functions of workers](WorkerBuilder::function) do: records that the
    /// outcome names count as failed where `ReportBatchItemFailures` is on, and the whole batch does where it is not.
    ///
    /// # Errors
    /// As [`invoking`](Self::invoking), and if the mapping has a tumbling window, whose state batches do not carry.
    pub fn calling<F, R>(&self, worker: WorkerBuilder, function: F) -> Result<FunctionWorkerBuilder, InvalidMapping>
    where
        F: Fn(Batch) -> R + Send + Sync + 'static,
        R: Future<Output: IntoBatchOutcome> + Send + 'static,
    {
        if let Some(size) = self.mapping.tumbling_window {
            return Err(InvalidMapping::of_windows(size));
        }
        let metrics = MappingMetrics::new(&self.mapping);
        let function = OwnFunction::new(self, function, metrics.clone());
        self.put_together(worker, metrics, |worker| worker.handler(function))
    }

    /// Counts what `letters` is given, as the mapping's metrics say.
    #[must_use]
    pub fn counted(&self, letters: Arc<dyn DeadLetters>) -> Arc<dyn DeadLetters> {
        Arc::new(CountedLetters {
            letters,
            metrics: MappingMetrics::new(&self.mapping),
        })
    }

    /// What a mapping may say and a worker does not do by itself.
    fn check_for_a_worker(&self) -> Result<(), InvalidMapping> {
        let extensions = &self.mapping.extensions;
        if let Some(until) = extensions.replay_until {
            let rule = "leave it out for a worker, which runs on; kcl_runtime::replay and kclctl replay read a stretch of time";
            return Err(InvalidMapping::new("KclExtensions.ReplayUntilTimestamp", until, rule));
        }
        match &extensions.shadow_function_name {
            Some(name) => {
                let rule =
                    "leave it out, and give both functions to kcl_lambda::Shadow: a name does not say how to run one";
                Err(InvalidMapping::new("KclExtensions.ShadowFunctionName", name, rule))
            }
            None => Ok(()),
        }
    }

    fn put_together(
        &self,
        mut worker: WorkerBuilder,
        metrics: MappingMetrics,
        handled: impl FnOnce(WorkerBuilder) -> FunctionWorkerBuilder,
    ) -> Result<FunctionWorkerBuilder, InvalidMapping> {
        self.check_for_a_worker()?;
        metrics::describe();
        worker.configure(|config| worker_settings::apply(&self.mapping, config));
        let admission = MappingAdmission::new(&self.mapping, &self.source, self.counts.clone(), metrics)?;
        let settings = worker_settings::delivery(&self.mapping, &self.source, admission)?;
        Ok(handled(worker).delivery(settings))
    }
}

#[cfg(test)]
mod tests;
