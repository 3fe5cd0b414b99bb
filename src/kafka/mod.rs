//! Speaks Kafka's protocol: connections, what a cluster says of itself, and the calls that read or change it.
//!
//! `Source` has no method that writes; `Target` has; `EmptyTransaction` (the sentinel's writer) stands apart from both.

mod acls;
pub mod auth;
pub mod cluster;
pub mod configs;
pub mod connection;
mod control_batches;
pub mod failure;
pub mod fetch;
pub mod group_offsets;
pub mod groups;
pub mod health;
pub mod limits;
pub mod markers;
pub mod metadata;
pub mod offsets;
pub mod permissions;
mod practice;
pub mod producers;
mod quotas;
mod records;
mod release;
pub mod request;
mod routing;
pub mod sentinel;
pub mod snapshot;
pub mod source;
pub mod target;
pub mod topics;
pub mod transactions;
pub mod versions;
mod wire;
pub mod witness;
