//! `--cloudwatch-metrics`: the metrics of Java KCL.

use std::{fs::File, path::PathBuf, str::FromStr, time::Duration};

#[cfg(feature = "cloudwatch")]
use kcl_runtime::kcl_metrics::CloudWatchSink;
use kcl_runtime::kcl_metrics::{EmfSink, KclMetrics, MetricsDimension, MetricsLevel};

use crate::{aws::ConnectionArgs, error::Error};

#[cfg(feature = "cloudwatch")]
const FORMS: &str = "use `put`, which calls PutMetricData, or `emf:PATH` with the file that lines are added to";
#[cfg(not(feature = "cloudwatch"))]
const FORMS: &str = "use `emf:PATH` with the file that lines are added to";

/// The metrics of Java KCL.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Metrics of Java KCL")]
pub(crate) struct CloudWatchArgs {
    /// Emit metrics under the names of Java KCL: `put` calls CloudWatch's PutMetricData, `emf:PATH` adds lines of the embedded
    /// metric format to a file, or to /dev/stderr.
    #[arg(long = "cloudwatch-metrics", value_name = "WHERE")]
    to: Option<Destination>,

    /// Their namespace [default: the application's name].
    #[arg(long = "cloudwatch-namespace", value_name = "NAME", requires = "to")]
    namespace: Option<String>,

    /// How much: `none`, `summary` or `detailed`.
    #[arg(
        long = "cloudwatch-level",
        value_name = "LEVEL",
        default_value = "detailed",
        requires = "to"
    )]
    level: MetricsLevel,

    /// The dimensions that they have; what differs in others only is added up.
    #[arg(
        long = "cloudwatch-dimensions",
        value_name = "NAME,...",
        value_delimiter = ',',
        default_values_t = MetricsDimension::ALL,
        requires = "to"
    )]
    dimensions: Vec<MetricsDimension>,

    /// How long values are added up before they are emitted; at least 1s.
    #[arg(
        long = "cloudwatch-interval",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = humantime::parse_duration,
        requires = "to"
    )]
    interval: Duration,
}

/// Where metrics go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    #[cfg(feature = "cloudwatch")]
    Put,
    Embedded(PathBuf),
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            #[cfg(feature = "cloudwatch")]
            None if text == "put" => Ok(Self::Put),
            Some(("emf", path)) if !path.is_empty() => Ok(Self::Embedded(PathBuf::from(path))),
            _ => Err(FORMS.to_owned()),
        }
    }
}

impl CloudWatchArgs {
    /// What the worker emits, if it is to.
    #[cfg_attr(
        not(feature = "cloudwatch"),
        expect(unused_variables, clippy::unused_async, reason = "only the service is spoken to")
    )]
    pub(crate) async fn metrics(&self, connection: &ConnectionArgs) -> Result<Option<KclMetrics>, Error> {
        let metrics = match &self.to {
            None => return Ok(None),
            #[cfg(feature = "cloudwatch")]
            Some(Destination::Put) => KclMetrics::new(CloudWatchSink::new(connection.cloudwatch().await?)),
            Some(Destination::Embedded(path)) => {
                let opened = File::options().create(true).append(true).open(path);
                let opened = opened.map_err(|source| Error::EmbeddedMetrics {
                    path: path.clone(),
                    source,
                });
                KclMetrics::new(EmfSink::new(opened?))
            }
        };
        let metrics = metrics
            .level(self.level)
            .dimensions(self.dimensions.iter().copied())
            .buffer_time(self.interval);
        Ok(Some(match &self.namespace {
            Some(namespace) => metrics.namespace(namespace),
            None => metrics,
        }))
    }
}
