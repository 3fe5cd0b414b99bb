//! The lab: real brokers, a real object store, stock Java clients and faults, on loopback, for tests, demo and benchmarks.
//!
//! What the lab cannot do is a panic with the reason, so that a scenario reads as a list of steps; the few calls whose
//! refusal is itself of interest come as `try_…`. Everything that is started dies with this process, however it ends.
#![allow(dead_code)]

pub mod agent;
pub mod cache;
pub mod cluster;
pub mod compacted;
pub mod connect;
pub mod json_schema;
pub mod kferry;
pub mod mirror;
pub mod msk;
pub mod process;
pub mod proxy;
pub mod random_logs;
pub mod s3;
pub mod secured;
mod sigv4;
pub mod streams;
pub mod wire;
pub mod workdir;

#[allow(unused_imports)]
pub use {
    agent::{Acl, Agent, QuotaRow, Commit, Committed, Compared, Consume, Consumed, Content, Dumped, Headers, Judgement, Live, Load, Record, Span, Topic, Totals, Weave, Woven},
    cache::{Tool, check_tools},
    cluster::{Cluster, Mode, Options},
    compacted::differences_by_key,
    connect::ConnectWorker,
    kferry::{Kferry, Outcome, Running},
    mirror::MirrorMaker,
    msk::{Msk, MskFailure},
    proxy::{Fault, FaultProxy, KafkaProxy},
    random_logs::{RandomLog, RandomLogs},
    s3::S3,
    secured::Door,
    streams::StreamsApp,
    workdir::WorkDir,
};
