//! The integration tests: one binary, scenarios on real brokers.

#[path = "../lab/mod.rs"]
mod lab;

mod documents;
mod finished;
mod journal;
mod migration;
mod webhook;

mod apps;
mod auth;
mod aws_cli;
mod compacted;
mod crash;
mod endgame;
mod estimates;
mod faults;
mod fidelity;
mod groups;
mod interruption;
mod kafka_calls;
mod lab_smoke;
mod large_batches;
mod large_clusters;
mod mapped;
mod msk;
mod offline;
mod old_brokers;
mod permissions;
mod precheck;
mod proofs;
mod quotas;
mod random_logs;
mod refusals;
mod segments;
mod status;
mod stores;
mod survey;
mod terminal;
mod tampering;
mod topology;
mod transactions;
mod transactions_seen;
mod whole_migration;
mod witness;
