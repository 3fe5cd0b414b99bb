//! One short look at both clusters: log ends, partitions in trouble, groups with members.

use crate::config::Config;
use crate::config::model::ClusterConfig;
use crate::driver::locating::recalled;
use crate::driver::copying::planned_partitions;
use crate::domain::partition::TopicPartition;
use crate::domain::transaction::OpenTransaction;
use crate::driver::open_transactions;
use crate::error::{Error, Result};
use crate::kafka::cluster::{Cluster, Side};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::{Reader, Source};
use crate::kafka::target::Target;
use crate::machine::fold::Migration;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a cluster may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long its answers may take in all.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one question is repeated.
const PATIENCE: Duration = Duration::from_millis(500);

/// What one cluster says now.
#[derive(Clone, Debug, Default)]
pub struct SideLook {
    /// Why there is no look at it, where there is none.
    pub error: Option<String>,
    /// Where each partition ends for the copy: its last stable offset; after the cutover its high watermark.
    pub ends: BTreeMap<TopicPartition, i64>,
    /// Partitions of the plan without a leader, or with too few replicas in sync, in words.
    pub troubles: Vec<String>,
    /// The transactions that are open on the plan's partitions, on the source before the cutover; None where they could not be read.
    pub open_transactions: Option<Vec<OpenTransaction>>,
    /// Groups of the plan that have members, and how many; None where they could not be read.
    pub members: Option<BTreeMap<String, usize>>,
}

/// What both clusters say now; None where it does not matter any more.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub source: Option<SideLook>,
    pub target: Option<SideLook>,
}

/// Keeps the connections from one look to the next.
pub(super) struct Looker<'a> {
    config: &'a Config,
    source: Option<Cluster>,
    target: Option<Cluster>,
}

impl<'a> Looker<'a> {
    pub fn new(config: &'a Config) -> Self {
        Self { config, source: None, target: None }
    }

    pub async fn look(&mut self, migration: &Migration) -> Look {
        if migration.state.terminal() {
            return Look::default();
        }
        let source = recalled(Side::Source, &self.config, migration);
        let target = recalled(Side::Target, &self.config, migration);
        let planned_target = migration.plan.target.as_ref().map(|t| t.cluster_id.as_str());
        let (source, target) = futures::join!(
            look_at(Side::Source, &source, &mut self.source, Some(&migration.plan.source.cluster_id), migration),
            look_at(Side::Target, &target, &mut self.target, planned_target, migration),
        );
        Look { source: Some(source), target: Some(target) }
    }
}

async fn look_at(side: Side, config: &ClusterConfig, cluster: &mut Option<Cluster>, planned_id: Option<&str>, migration: &Migration) -> SideLook {
    let look = async {
        let cluster = connected(side, config, cluster).await?;
        let id = cluster.cluster_id();
        if let Some(planned) = planned_id.filter(|planned| *planned != id) {
            return Ok(SideLook { error: Some(format!("{side}: it is cluster {id}, but the plan was made for {planned}")), ..SideLook::default() });
        }
        match side {
            Side::Source => read(&Source::new(&cluster), migration, true).await,
            Side::Target => read(&Target::new(&cluster), migration, false).await,
        }
    };
    let outcome: Result<SideLook> = look.await;
    outcome.unwrap_or_else(|error| SideLook { error: Some(error.seen().to_owned()), ..SideLook::default() })
}

async fn connected(side: Side, config: &ClusterConfig, cluster: &mut Option<Cluster>) -> Result<Cluster> {
    if let Some(cluster) = cluster {
        return Ok(cluster.clone());
    }
    let late = |_| Error::new(side.unavailable(), format!("{side}: no broker answers within {} s", CONNECT_TIMEOUT.as_secs()));
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, Cluster::connect(side, config)).await.map_err(late)??;
    Ok(cluster.insert(connected).clone())
}

async fn read(reader: &Reader, migration: &Migration, with_ends: bool) -> Result<SideLook> {
    let hasty = reader.with_patience(PATIENCE);
    let read = async {
        let metadata = hasty.refresh().await?;
        let topics: BTreeSet<&str> = migration.plan.topics.iter().map(|t| t.name.as_str()).collect();
        let troubled = metadata.troubled(|name| topics.contains(name));
        let troubles = [("without a leader", troubled.offline), ("under-replicated", troubled.under_replicated)];
        let troubles = troubles.into_iter().flat_map(|(what, list)| list.into_iter().map(move |p| format!("{p} is {what}")));
        let at = if migration.state.committed() { OffsetAt::HighWatermark } else { OffsetAt::LastStable };
        let partitions = if with_ends { planned_partitions(&migration.plan) } else { Vec::new() };
        let open = async {
            let copied = with_ends && !migration.state.committed();
            if copied { open_transactions::look(&hasty, &partitions).await.ok() } else { None }
        };
        let ((ends, _), members, open_transactions) = futures::join!(hasty.list_offsets_each(&partitions, at), members(&hasty, migration), open);
        let ends = ends.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect();
        Ok(SideLook { error: None, ends, troubles: troubles.collect(), open_transactions, members: members.ok() })
    };
    let late = |_| Error::new(crate::error::Code::Interrupted, format!("it answers, but not within {} s", LOOK_TIMEOUT.as_secs()));
    tokio::time::timeout(LOOK_TIMEOUT, read).await.map_err(late)?
}

/// Groups of the plan that have members.
async fn members(reader: &Reader, migration: &Migration) -> Result<BTreeMap<String, usize>> {
    let planned: BTreeSet<&str> = migration.plan.groups.iter().map(|g| g.group_id.as_str()).collect();
    let mut listed = reader.list_groups().await?;
    listed.retain(|g| planned.contains(g.group_id.as_str()) && !matches!(g.state.as_str(), "Empty" | "Dead"));
    let described = reader.describe_groups(&listed).await?;
    Ok(described.into_iter().filter(|g| g.members > 0).map(|g| (g.group_id, g.members)).collect())
}
