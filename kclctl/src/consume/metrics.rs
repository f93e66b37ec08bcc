//! `--metrics`: the worker's metrics for Prometheus.

use std::net::SocketAddr;

use kcl_runtime::metrics::{BATCH_RECORDS, HANDLER_SECONDS};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use crate::error::Error;

const SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const RECORDS: [f64; 8] = [1.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0];

/// Serves the metrics of this process from now on.
pub(crate) fn serve_metrics(address: SocketAddr) -> Result<(), Error> {
    install(address).map_err(|source| Error::Metrics { address, source })?;
    tracing::info!(%address, "metrics are served");
    Ok(())
}

fn install(address: SocketAddr) -> Result<(), BuildError> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Full(HANDLER_SECONDS.to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(BATCH_RECORDS.to_owned()), &RECORDS)?
        .install()
}
