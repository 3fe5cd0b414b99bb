//! What the target's operators find otherwise than they are used to, and what of the source's running nobody carries over for them.

use super::report::{count, grouped, names};
use super::Context;
use crate::domain::config_diff::parse_version;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::limits::{NOT_PREFERRED_PERCENT_MAX, REPLICAS_PER_BROKER_MAX};
use crate::domain::plan::TopicPlan;
use crate::domain::practice::Practice;
use crate::domain::topology::{ClusterSnapshot, MetadataMode};
use std::collections::BTreeSet;

/// Topics that tools keep on a cluster, and which. Source: Cruise Control's and its metrics reporter's defaults.
const TOPICS_OF_TOOLS: [(&str, &str); 3] = [
    ("__CruiseControlMetrics", "Cruise Control, whose early versions speak to ZooKeeper"),
    ("__KafkaCruiseControlModelTrainingSamples", "Cruise Control, whose early versions speak to ZooKeeper"),
    ("__KafkaCruiseControlPartitionMetricSamples", "Cruise Control, whose early versions speak to ZooKeeper"),
];

/// Beginnings of groups' ids that tools choose. Source: CMAK's `KafkaManagedOffsetCache`.
const GROUPS_OF_TOOLS: [(&str, &str); 1] = [("KMOffsetCache-", "CMAK (Kafka Manager), which works through ZooKeeper")];

/// Settings that no broker knows any more in KRaft mode, beside those that begin with `zookeeper.`. Source: "KRaft vs ZooKeeper" in the documentation of 4.0.
const GONE_IF_SET: [&str; 1] = ["control.plane.listener.name"];
const GONE_SECRETS: [&str; 2] = ["password.encoder.secret", "password.encoder.old.secret"];

const TOKEN_SECRETS: [&str; 2] = ["delegation.token.master.key", "delegation.token.secret.key"];

pub(super) fn findings(context: &Context, topics: &[TopicPlan]) -> Vec<Finding> {
    let input = context.input;
    let mut found = Vec::new();
    let of_source = input.source_health.as_ref().map(|h| &h.practice);
    let of_target = input.target_health.as_ref().map(|h| &h.practice);
    let leaves_zookeeper = input.source.metadata_mode == MetadataMode::ZooKeeper && input.target.as_ref().is_none_or(|t| t.metadata_mode == MetadataMode::Kraft);
    if leaves_zookeeper {
        found.push(Finding::new(FindingCode::KraftOperations, "target", kraft_changes(&input.source, of_source).join("; ")));
        let tools = zookeeper_tools(context);
        if !tools.is_empty() {
            found.push(Finding::new(FindingCode::ZookeeperTools, "source", names(&tools)));
        }
    }
    if let Some(practice) = of_source {
        run_time_settings(practice, &mut found);
        if delegation_tokens(practice) {
            let set: Vec<&str> = TOKEN_SECRETS.into_iter().filter(|key| practice.secrets_set.contains(*key)).collect();
            let seen = format!("{} is set on its brokers; which tokens there are was not asked, since the answer holds their secrets", set.join(" and "));
            found.push(Finding::new(FindingCode::DelegationTokens, "source", seen));
        }
    }
    if let (Some(target), Some(practice)) = (&input.target, of_target) {
        controllers(target, practice, &mut found);
        feature_level(practice, &mut found);
        sizing(context, target, practice, topics, &mut found);
    }
    found
}

/// Traces of tools that speak to ZooKeeper, or once did.
pub(super) fn zookeeper_tools(context: &Context) -> Vec<String> {
    let input = context.input;
    let topics: BTreeSet<&str> = input.source.topics.iter().map(|t| t.name.as_str()).chain(input.other_topics.iter().map(String::as_str)).collect();
    let groups: BTreeSet<&str> = input.source.groups.iter().map(|g| g.group_id.as_str()).chain(input.other_groups.iter().map(String::as_str)).collect();
    let by_topic = TOPICS_OF_TOOLS.iter().filter(|(topic, _)| topics.contains(topic)).map(|(topic, tool)| format!("topic {topic} ({tool})"));
    let by_group = groups.iter().filter_map(|group| {
        let (_, tool) = GROUPS_OF_TOOLS.iter().find(|(prefix, _)| group.starts_with(prefix))?;
        Some(format!("group {group} ({tool})"))
    });
    by_topic.chain(by_group).collect()
}

/// Whether tokens can be had from the cluster.
pub(super) fn delegation_tokens(practice: &Practice) -> bool {
    TOKEN_SECRETS.iter().any(|key| practice.secrets_set.contains(*key))
}

fn kraft_changes(source: &ClusterSnapshot, practice: Option<&Practice>) -> Vec<String> {
    let mut changes: Vec<String> = [
        "tools: zookeeper-shell.sh, zookeeper-security-migration.sh and every --zookeeper option are gone, kafka-metadata-quorum.sh (who leads, who lags) and kafka-metadata-shell.sh (what is in the metadata) take their place",
        "direct access to ZooKeeper cannot be seen from the brokers: look at ZooKeeper's own connections (four-letter word cons, or netstat on port 2181) for addresses that are no broker's, such as Burrow, CMAK, old Cruise Control, exporters and scripts",
        "metrics that end: kafka.server:type=SessionExpireListener, kafka.server:type=ZooKeeperClientMetrics, kafka.controller:type=KafkaController,name=ZkMigrationState, kafka.controller:type=KafkaController,name=TopicsToDeleteCount (ReplicasToDeleteCount, TopicsIneligibleToDeleteCount, ReplicasIneligibleToDeleteCount), kafka.controller:type=ControllerStats but for UncleanLeaderElectionsPerSec (LeaderElectionRateAndTimeMs and the like), kafka.controller:type=ControllerEventManager,name=EventQueueSize, kafka.controller:type=ControllerChannelManager, and all of ZooKeeper's own",
        "metrics that move: kafka.controller:* is told by controllers alone, so that ActiveControllerCount summed over brokers is 0 unless controllers are scraped too",
        "metrics to add: kafka.server:type=raft-metrics (current-state, current-leader, commit-latency-avg), kafka.server:type=broker-metadata-metrics (last-applied-record-lag-ms, metadata-load-error-count), kafka.controller:type=KafkaController,name=FencedBrokerCount",
        "controllers are nodes of their own: they need monitoring, disks, a turn in rolling restarts and upgrades, and a majority of them has to be up for any change of metadata",
        "backups of ZooKeeper protect nothing any more: metadata lies in the log __cluster_metadata on each controller",
        "advertised.listeners cannot be changed at run time any more, and a broker's id is node.id, which nobody gives out automatically",
        "there is no way back from KRaft to ZooKeeper: the way back is the source, as long as it is kept",
    ]
    .map(str::to_owned)
    .into();
    let secrets = GONE_SECRETS.iter().filter(|key| practice.is_some_and(|p| p.secrets_set.contains(**key)));
    let gone: Vec<&str> = GONE_IF_SET.iter().filter(|key| source.broker_configs.contains_key(**key)).chain(secrets).copied().collect();
    if !gone.is_empty() {
        // The others of its kind have defaults, and mean nothing without it.
        let more = if gone.iter().any(|key| GONE_SECRETS.contains(key)) { ", and whatever else begins with password.encoder." } else { "" };
        changes.push(format!("settings of the source's brokers that the target's do not know: {}{more}", gone.join(", ")));
    }
    changes
}

fn run_time_settings(practice: &Practice, found: &mut Vec<Finding>) {
    let list: Vec<String> = practice
        .dynamic_settings
        .iter()
        .map(|(key, brokers)| {
            let brokers: Vec<String> = brokers.iter().map(i32::to_string).collect();
            format!("{key} (on {} {})", if brokers.len() == 1 { "broker" } else { "brokers" }, brokers.join(", "))
        })
        .collect();
    if !list.is_empty() {
        found.push(Finding::new(FindingCode::DynamicSettings, "source", format!("{}: {}", count(list.len(), "setting"), names(&list))));
    }
}

/// A quorum of one stops with its node; a node that is broker and controller stops as both. Source: "Deploying Considerations" in Kafka's documentation.
fn controllers(target: &ClusterSnapshot, practice: &Practice, found: &mut Vec<Finding>) {
    let Some(voters) = practice.voters.as_ref().filter(|voters| !voters.is_empty()) else { return };
    let mut seen = Vec::new();
    let may_fail = (voters.len() - 1) / 2;
    if voters.len() < 3 {
        seen.push(format!("{} in the quorum, of which {may_fail} may fail", count(voters.len(), "voter")));
    } else if voters.len().is_multiple_of(2) {
        seen.push(format!("{} voters in the quorum stand no more failures ({may_fail}) than {} would", voters.len(), voters.len() - 1));
    }
    let grave = voters.len() < 3;
    let combined: Vec<String> = voters.iter().filter(|id| target.brokers.iter().any(|b| b.id == **id)).map(i32::to_string).collect();
    if !combined.is_empty() {
        seen.push(format!("nodes that are broker and controller at once: {}", names(&combined)));
    }
    if !seen.is_empty() {
        let finding = Finding::new(FindingCode::Controllers, "target", seen.join(", "));
        found.push(if grave { finding } else { Finding { severity: Severity::Information, ..finding } });
    }
}

fn feature_level(practice: &Practice, found: &mut Vec<Finding>) {
    if let Some((finalized, supported)) = practice.features.get("metadata.version").filter(|(finalized, supported)| finalized < supported) {
        let seen = format!("metadata.version is finalized at level {finalized}, its brokers support {supported}");
        found.push(Finding::new(FindingCode::FeatureLevel, "target", seen));
    }
}

fn sizing(context: &Context, target: &ClusterSnapshot, practice: &Practice, topics: &[TopicPlan], found: &mut Vec<Finding>) {
    let created = topics.iter().filter(|t| context.input.target.as_ref().is_some_and(|target| target.topic(&t.name).is_none()));
    let new: usize = created.map(|t| t.partitions.len() * usize::try_from(t.replication_factor).unwrap_or(1).max(1)).sum();
    let there: usize = practice.replicas.values().sum();
    let brokers = target.brokers.len().max(1);
    let each = (new + there).div_ceil(brokers);
    let thousands = |n: usize| grouped(i64::try_from(n).unwrap_or(i64::MAX));
    let mut seen = format!("about {} replicas on each of {} ({} are there, {} come)", thousands(each), count(brokers, "broker"), thousands(there), thousands(new));
    if let Some(source) = context.input.source_health.as_ref().map(|h| &h.practice).filter(|p| p.partitions > 0) {
        let most = source.replicas.values().max().copied().unwrap_or(0);
        seen.push_str(&format!(", where the source's fullest broker has {}", thousands(most)));
        if source.not_preferred * 100 > source.partitions * NOT_PREFERRED_PERCENT_MAX {
            seen.push_str(&format!(
                ", {} of the source's {} partitions are not led by their first replica, so that some of its brokers carry more of the copy (kafka-leader-election.sh --bootstrap-server SOURCE --election-type preferred --all-topic-partitions)",
                thousands(source.not_preferred),
                thousands(source.partitions)
            ));
        }
    }
    let finding = Finding::new(FindingCode::Sizing, "target", seen);
    found.push(if each > REPLICAS_PER_BROKER_MAX { Finding { severity: Severity::Warning, ..finding } } else { finding });
}

/// Whether the target refuses clients that the source still takes. Source: KIP-896.
pub(super) fn refuses_old_clients(source: &ClusterSnapshot, target: &ClusterSnapshot) -> bool {
    let major = |c: &ClusterSnapshot| parse_version(&c.version).map(|(major, _)| major);
    matches!((major(source), major(target)), (Some(source), Some(target)) if source < 4 && target >= 4)
}
