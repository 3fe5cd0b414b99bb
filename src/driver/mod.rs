//! Runs the machine: performs effects, probes intents, journals facts.

pub mod acls;
pub mod context;
pub mod copier;
pub mod copying;
pub mod cutover;
pub mod effects;
pub mod execute;
pub mod health;
pub mod limits;
pub mod plan;
pub mod release;
pub mod status;
pub mod survey;
pub mod topics;
pub mod topology;
