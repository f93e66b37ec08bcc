//! The limits of the service's throughput.

mod bucket;

#[cfg(test)]
mod tests;

pub(super) use self::bucket::{Bucket, Rate};
