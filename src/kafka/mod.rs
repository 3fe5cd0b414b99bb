//! Speaks Kafka's protocol: connections, what a cluster says of itself, and the calls that read or change it.
//!
//! `Source` has no method that writes; `Target` has; `EmptyTransaction` (the sentinel's writer) stands apart from both.

pub mod cluster;
pub mod connection;
pub mod failure;
pub mod limits;
pub mod metadata;
pub mod request;
pub mod source;
pub mod versions;
mod wire;
