//! Pure values: what a cluster, a log, a batch, a segment and a plan are. No I/O, no clock.

pub mod acl;
#[cfg(feature = "kafka")]
pub mod batch;
pub mod config_diff;
pub mod finding;
pub mod limits;
pub mod offset;
pub mod partition;
pub mod plan;
pub mod planning;
pub mod runbook;
pub mod selection;
pub mod topology;
