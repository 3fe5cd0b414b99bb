//! Pure values: what a cluster, a log, a batch, a segment and a plan are. No I/O, no clock.

pub mod access_map;
pub mod acl;
pub mod append_limit;
pub mod batch;
pub mod config_diff;
pub mod difference;
pub mod digest;
pub mod finding;
pub mod iam_policy;
pub mod leaf_file;
pub mod leaf_layout;
pub mod limits;
pub mod msk;
pub mod offset;
pub mod partition;
pub mod permissions;
pub mod plan;
pub mod planning;
pub mod practice;
pub mod quota;
pub mod record;
pub mod runbook;
pub mod segment;
pub mod selection;
pub mod topology;
pub mod transaction;
