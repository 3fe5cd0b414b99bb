//! Runs the machine: performs effects, probes intents, journals facts.

mod aborters;
pub mod acls;
pub mod context;
pub mod copier;
pub mod copying;
pub mod cutover;
pub mod cutover_ack;
pub mod effects;
pub mod execute;
pub mod finalize;
pub mod health;
pub mod late_writes;
pub mod limits;
pub mod locating;
pub mod open_transactions;
mod pending_leaves;
pub mod plan;
pub mod prove;
pub mod quotas;
pub mod release;
pub mod rollback;
mod scram_secrets;
pub mod status;
pub mod survey;
pub mod topics;
pub mod topology;
pub mod validate;
