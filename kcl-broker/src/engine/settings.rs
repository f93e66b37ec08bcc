//! What the owner of a stream can switch on and off: encryption and metrics of shards.
//!
//! Nothing is encrypted or measured here. Clients are told what the service would tell them.

use std::collections::BTreeSet;

use kcl_core::{StreamName, Timestamp};

use super::{
    Engine, Operation, Subject,
    lifecycle::Update,
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{
    ApiError, DisableEnhancedMonitoring, EnableEnhancedMonitoring, Encryption, EnhancedMonitoringOutput,
    ShardLevelMetric, StartStreamEncryption, StopStreamEncryption, StreamSettings,
};

/// The most metrics that a request can name: as many as there are.
const METRICS_MAX: usize = ShardLevelMetric::ALL.len();
const ALL_METRICS: &str = "ALL";
/// How often a stream is given a key in a day, and how often it is left without.
const TIMES_MAX: usize = 25;

impl Operation for StartStreamEncryption {
    const NAME: &'static str = "StartStreamEncryption";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        check_encryption(
            self.stream_name.as_ref(),
            self.stream_arn.as_ref(),
            self.encryption_type.as_ref(),
            self.key_id.as_ref(),
        )?;
        let stream = engine.active_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let name = stream.name.clone();
        let settings = StreamSettings {
            encryption: Encryption::Kms {
                key_id: present(self.key_id)?,
            },
            ..stream.settings.clone()
        };
        engine.count_of_day(&name, |stream| &mut stream.encryption_started, TIMES_MAX, now)?;
        engine.begin_update(&name, Update::Settings(settings), now);
        Ok(())
    }
}

impl Operation for StopStreamEncryption {
    const NAME: &'static str = "StopStreamEncryption";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        check_encryption(
            self.stream_name.as_ref(),
            self.stream_arn.as_ref(),
            self.encryption_type.as_ref(),
            self.key_id.as_ref(),
        )?;
        let stream = engine.active_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let name = stream.name.clone();
        let settings = StreamSettings {
            encryption: Encryption::None,
            ..stream.settings.clone()
        };
        engine.count_of_day(&name, |stream| &mut stream.encryption_stopped, TIMES_MAX, now)?;
        engine.begin_update(&name, Update::Settings(settings), now);
        Ok(())
    }
}

fn check_encryption(
    stream_name: Option<&String>,
    stream_arn: Option<&String>,
    encryption_type: Option<&String>,
    key_id: Option<&String>,
) -> Result<(), ApiError> {
    Constraints::default()
        .stream(stream_name, stream_arn)
        .required("encryptionType", encryption_type)
        .one_of("encryptionType", encryption_type, &["NONE", "KMS"])
        .required("keyId", key_id)
        .length("keyId", key_id.map(String::as_str), 1..=2048)
        .check()?;
    match encryption_type.map(String::as_str) {
        Some("KMS") => Ok(()),
        _ => Err(ApiError::invalid(
            "EncryptionType must be KMS, the only type of encryption that can be started and stopped.",
        )),
    }
}

impl Operation for EnableEnhancedMonitoring {
    const NAME: &'static str = "EnableEnhancedMonitoring";
    type Output = EnhancedMonitoringOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<EnhancedMonitoringOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .metrics(self.shard_level_metrics.as_ref())
            .check()?;
        let stream = engine.active_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let more = metrics_named(&present(self.shard_level_metrics)?);
        let desired = &stream.settings.shard_level_metrics | &more;
        let output = engine.monitoring(stream, desired);
        Ok(engine.monitor(output, now))
    }
}

impl Operation for DisableEnhancedMonitoring {
    const NAME: &'static str = "DisableEnhancedMonitoring";
    type Output = EnhancedMonitoringOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<EnhancedMonitoringOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .metrics(self.shard_level_metrics.as_ref())
            .check()?;
        let stream = engine.active_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let less = metrics_named(&present(self.shard_level_metrics)?);
        let desired = &stream.settings.shard_level_metrics - &less;
        let output = engine.monitoring(stream, desired);
        Ok(engine.monitor(output, now))
    }
}

/// The metrics of these names, which are names of metrics.
fn metrics_named(names: &[String]) -> BTreeSet<ShardLevelMetric> {
    let is_named = |metric: &ShardLevelMetric| {
        let mut names = names.iter();
        names.any(|name| name == metric.as_str() || name == ALL_METRICS)
    };
    ShardLevelMetric::ALL.into_iter().filter(is_named).collect()
}

impl Constraints {
    /// The member `shardLevelMetrics` of a request.
    fn metrics(&mut self, names: Option<&Vec<String>>) -> &mut Self {
        const PATH: &str = "shardLevelMetrics";
        self.required(PATH, names)
            .count(PATH, names.map(Vec::len), 1..=METRICS_MAX);
        let known = || {
            let known = ShardLevelMetric::ALL.into_iter().map(ShardLevelMetric::as_str);
            known.chain([ALL_METRICS])
        };
        let is_known = |name: &String| known().any(|known| known == name);
        if let Some(names) = names.filter(|names| !names.iter().all(is_known)) {
            let known: Vec<_> = known().collect();
            let rule = format!(
                "Member must satisfy constraint: [Member must satisfy enum value set: [{}]]",
                known.join(", ")
            );
            self.violated(format_args!("'[{}]'", names.join(", ")), PATH, &rule);
        }
        self
    }
}

impl Engine {
    pub(super) fn set_settings(&mut self, name: &StreamName, settings: StreamSettings) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.settings = settings;
        }
    }

    /// What the change to the metrics `desired` answers.
    fn monitoring(&self, stream: &Stream, desired: BTreeSet<ShardLevelMetric>) -> EnhancedMonitoringOutput {
        EnhancedMonitoringOutput {
            stream_name: stream.name.clone(),
            stream_arn: self.arn(&stream.name),
            current_shard_level_metrics: stream.settings.shard_level_metrics.clone(),
            desired_shard_level_metrics: desired,
        }
    }

    /// Begins the change, if it is one.
    fn monitor(&mut self, output: EnhancedMonitoringOutput, now: Timestamp) -> EnhancedMonitoringOutput {
        let stream = self.streams.get(&output.stream_name);
        let desired = &output.desired_shard_level_metrics;
        if let Some(stream) = stream.filter(|stream| stream.settings.shard_level_metrics != *desired) {
            let settings = StreamSettings {
                shard_level_metrics: desired.clone(),
                ..stream.settings.clone()
            };
            self.begin_update(&output.stream_name, Update::Settings(settings), now);
        }
        output
    }
}
