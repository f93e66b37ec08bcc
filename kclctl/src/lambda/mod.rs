//! What `kclctl lambda` is made of besides the worker.

mod config;

pub(crate) use self::config::{ConfigError, MappingFile};
