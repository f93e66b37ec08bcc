//! A small broker that speaks the Kinesis API, for development and tests.
//!
//! It keeps its streams in memory and behaves as the service does where clients can tell: sequence numbers, hash keys,
//! lineage of shards, iterators and their expiry, retention, errors. Changes of streams take effect at once, or after a
//! time of your choice ([`BrokerBuilder::transition`]): until then streams are `CREATING`, `UPDATING` or `DELETING`.
//!
//! - [`Broker`] is the handle; [`Broker::call`] carries out the typed requests in [`api`].
//! - [`Broker::subscribe`] follows a shard as registered consumers do.
//! - [`Broker::http_client`] is an HTTP client for an AWS SDK in the same process: no socket, and virtual time if you like.
//! - [`Server`] puts the broker on the network.
//! - [`trouble`] is what can go wrong on demand, and [`operations_log`] who called what.
//! - [`Engine`] is what decides: a pure function of time and requests.
//!
//! # Not built
//!
//! Queues and channels: `CreateQueue`, `CreateChannel` and what belongs to them are answered
//! `UnknownOperationException`. Nobody is authenticated, nothing is encrypted, resource policies are not
//! enforced, and nothing outlives the process.

mod admin;
pub mod api;
mod attempt;
mod broker;
pub mod cloudwatch;
pub mod dynamodb;
mod engine;
mod http;
mod local;
mod mix;
pub mod operations_log;
mod services;
mod subscription;
pub mod trouble;
mod wire;

#[cfg(feature = "tls")]
pub use self::http::{CertificateError, SelfSigned};
pub use self::{
    api::{ApiError, ErrorKind},
    broker::{Broker, BrokerBuilder},
    engine::{Engine, EngineConfig, FailRecords, Limits, Load, Operation, Quirk, Step, Subject, SubscriptionId},
    http::{BindError, Server},
    local::LocalHttpClient,
    subscription::Subscription,
};
