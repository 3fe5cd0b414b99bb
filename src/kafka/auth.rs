//! Who kferry is to a cluster, and how it makes sure of the cluster: TLS below, SASL above, IAM's tokens.

#[cfg(feature = "aws")]
pub(super) mod iam;
mod problem;
pub(super) mod sasl;
mod scram;
pub(super) mod tls;

pub use problem::AuthProblem;
