//! kferry moves a Kafka cluster that cannot be converted in place onto a new one, record for record, and proves it.
//!
//! Facts are journaled, state is a fold of facts, what touches the world is at the edge, and evidence is a function of
//! the journal and its artefacts. `ARCHITECTURE.md` beside this file is the map.

#[cfg(feature = "aws")]
pub mod aws;
pub mod config;
pub mod domain;
pub mod error;
pub mod evidence;
#[cfg(feature = "kafka")]
pub mod freeze;
pub mod license;
pub mod machine;
#[cfg(feature = "kafka")]
pub mod store;
pub mod validation;
