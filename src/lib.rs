//! kferry moves a Kafka cluster that cannot be converted in place onto a new one, record for record, and proves it.
//!
//! Facts are journaled, state is a fold of facts, what touches the world is at the edge, and evidence is a function of
//! the journal and its artefacts. `ARCHITECTURE.md` beside this file is the map.

#[cfg(feature = "aws")]
pub mod aws;
pub mod cli;
pub mod config;
#[cfg(feature = "kafka")]
pub mod copy;
pub mod domain;
#[cfg(feature = "kafka")]
pub mod driver;
pub mod error;
pub mod evidence;
#[cfg(feature = "kafka")]
pub mod freeze;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod license;
pub mod machine;
#[cfg(feature = "kafka")]
pub mod store;
pub mod telemetry;
pub mod validation;
