//! The integration tests: one binary, scenarios on real brokers.

#[path = "../lab/mod.rs"]
mod lab;

mod journal;
mod migration;
mod webhook;

mod lab_smoke;
mod whole_migration;
