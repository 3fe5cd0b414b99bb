//! Runs the machine: performs effects, probes intents, journals facts.

pub mod acls;
pub mod context;
pub mod copier;
pub mod effects;
mod limits;
pub mod topics;
