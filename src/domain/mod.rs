//! Pure values: what a cluster, a log, a batch, a segment and a plan are. No I/O, no clock.

pub mod acl;
#[cfg(feature = "kafka")]
pub mod batch;
pub mod digest;
pub mod finding;
pub mod offset;
pub mod partition;
pub mod plan;
#[cfg(feature = "kafka")]
pub mod record;
pub mod segment;
pub mod topology;
