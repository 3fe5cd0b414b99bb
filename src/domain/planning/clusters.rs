//! What precheck finds about the configuration, the clusters as wholes, the stores and the key.

use super::acls::{AllowEveryone, who_may_write};
use super::in_place;
use super::msk;
use super::report::{count, names};
use super::{Context, HealthProbe, SigningKey, StoreProbe, stores};
use crate::config::model::{Config, FreezeMode, SentinelMode};
use crate::domain::acl::ALLOW_EVERYONE;
use crate::domain::config_diff::parse_version;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::error::Error;
use crate::domain::topology::{ClusterSnapshot, MetadataMode};
use std::collections::BTreeSet;

/// What this version does not examine before a migration, and how it is examined by hand.
pub const NOT_EXAMINED: [(&str, &str); 5] = [
    (
        "IAM policies: of permissions, only those that Kafka's own authorizer tells have been tried",
        "`aws iam simulate-principal-policy --policy-source-arn ROLE --action-names kafka-cluster:Connect kafka-cluster:ReadData kafka-cluster:WriteData … --resource-arns …`, for all actions of `iam-policy-concrete.json`",
    ),
    (
        "client quotas of single addresses that would hold kferry's host back, and replication throttles",
        "`kafka-configs.sh --bootstrap-server SERVER --describe --entity-type ips`; the same with `brokers` and `topics`, where `replication.throttled` is looked for",
    ),
    (
        "offsets that are kept outside Kafka (Flink, Spark, sink connectors): identical offsets leave them valid, for mapped topics see KF-PRE-MAPPED",
        "ask who reads without a consumer group's committed offsets",
    ),
    (
        "topic creation and configuration policies of the target (create.topic.policy.class.name, alter.config.policy.class.name)",
        "`grep -E 'create.topic.policy|alter.config.policy' server.properties` on a broker of the target, and on a controller",
    ),
    (
        "how consumers will bear a pause: max.poll.interval.ms, alerts on lag, jobs that time out while producers are frozen",
        "an empty poll does not run into `max.poll.interval.ms`; silence alerts on lag and throughput for as long as the freeze may last",
    ),
];

/// The points alone, as the finding has them.
pub(crate) fn not_examined() -> String {
    NOT_EXAMINED.map(|(point, _)| point).join("; ")
}

/// The finding of a source that could not be read, in which case there is no plan.
pub fn source_unreachable(error: &Error) -> Finding {
    let code = FindingCode::of_error(error.code()).unwrap_or(FindingCode::SourceUnreachable);
    Finding::new(code, "source", error.seen())
}

/// The finding of a target that could not be read.
pub fn target_unreachable(error: &Error) -> Finding {
    match FindingCode::of_error(error.code()) {
        Some(code) => Finding::new(code, "target", error.seen()),
        None => Finding::new(FindingCode::TargetUnreachable, "target", error.to_string()),
    }
}

/// What precheck finds where the source cannot be read: what does not depend on it, blockers first.
pub fn without_source(config: &Config, source: &Error, target: Option<&Error>, places: Vec<Finding>) -> Vec<Finding> {
    let mut found = vec![source_unreachable(source)];
    found.extend(target.map(target_unreachable));
    found.extend(config_findings(config));
    found.extend(places);
    let of_target = if target.is_none() { "the target beyond its metadata, which was read" } else { "the target" };
    let seen = format!("{of_target}; topics, groups, ACLs: they are examined once the source can be read");
    found.push(Finding::new(FindingCode::NotProbed, "", seen));
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

/// What the trials of both stores and of the signing key tell.
pub fn places_findings(config: &Config, backup: Option<&StoreProbe>, evidence: Option<&StoreProbe>, key: &SigningKey) -> Vec<Finding> {
    let mut found = stores::findings(config, backup, evidence);
    match key {
        SigningKey::Usable => {}
        SigningKey::Unset => found.push(Finding::new(FindingCode::SigningKeyMissing, "evidence", "evidence.signing_key_path is not set")),
        SigningKey::Unusable(seen) => found.push(Finding::new(FindingCode::SigningKeyMissing, "evidence", seen.clone())),
    }
    found
}

/// What the configuration alone tells.
pub fn config_findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(arn) = config.source.cluster_arn.as_ref().filter(|_| msk::same_arn(config)) {
        found.push(Finding::new(FindingCode::SameCluster, "", format!("both have the ARN {arn}")));
    }
    match config.cutover.freeze {
        // A webhook without its URL is refused with the configuration.
        FreezeMode::Manual | FreezeMode::Webhook => {}
        FreezeMode::Acl => found.push(Finding::new(FindingCode::FreezeUnsupported, "", "cutover.freeze is acl")),
    }
    match config.cutover.sentinel {
        SentinelMode::Invisible => {}
        SentinelMode::Visible => found.push(Finding::new(FindingCode::SentinelUnsupported, "", "cutover.sentinel is visible")),
    }
    found
}

pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let input = context.input;
    let (source, target) = (&input.source, input.target.as_ref());
    let mut found = Vec::new();
    found.extend(in_place::finding(context));
    found.push(Finding::new(FindingCode::MetadataModes, "", modes(source, target)));
    version_at_least(source, (2, 7), FindingCode::SourceTooOld, "source", &mut found);
    health(source, input.source_health.as_ref(), FindingCode::SourceUnhealthy, "source", &mut found);
    migrating(source, input.source_health.as_ref(), &mut found);
    transaction_state(source, "source", &mut found);
    match target {
        None => {
            let unread = "no target was read; what depends on it is not in this plan";
            found.push(match &input.target_error {
                Some(error) => target_unreachable(error),
                None => Finding::new(FindingCode::TargetUnreachable, "target", unread),
            });
        }
        Some(target) => {
            if !msk::same_arn(input.config) && !source.cluster_id.is_empty() && source.cluster_id == target.cluster_id {
                found.push(Finding::new(FindingCode::SameCluster, "", format!("both have the cluster id {}", source.cluster_id)));
            }
            version_at_least(target, (3, 0), FindingCode::TargetTooOld, "target", &mut found);
            health(target, input.target_health.as_ref(), FindingCode::TargetUnhealthy, "target", &mut found);
            transaction_state(target, "target", &mut found);
            allow_everyone(context, target, &mut found);
        }
    }
    // What keeps both clients out is said once.
    for finding in &input.witnesses {
        if !found.iter().any(|f| (f.code, &f.subject) == (finding.code, &finding.subject)) {
            found.push(finding.clone());
        }
    }
    let writers = who_may_write(context);
    if !writers.is_empty() {
        found.push(Finding::new(FindingCode::OthersMayWrite, "target", writers.join("; ")));
    }
    found.extend(places_findings(input.config, input.backup_store.as_ref(), input.evidence_store.as_ref(), &input.signing_key));
    found.push(Finding::new(FindingCode::NotProbed, "", not_examined()));
    found
}

/// One cluster in one line: id, metadata mode, version, brokers. Its snapshot holds chosen topics only, so they are not counted.
pub fn describe_cluster(cluster: &ClusterSnapshot) -> String {
    let brokers = count(cluster.brokers.len(), "broker");
    format!("{}, {} {}, {brokers}", cluster.cluster_id, mode_name(cluster.metadata_mode), cluster.version)
}

fn mode_name(mode: MetadataMode) -> &'static str {
    match mode {
        MetadataMode::ZooKeeper => "ZooKeeper",
        MetadataMode::Kraft => "KRaft",
        MetadataMode::Unknown => "unknown metadata mode",
    }
}

fn modes(source: &ClusterSnapshot, target: Option<&ClusterSnapshot>) -> String {
    let one = |c: &ClusterSnapshot| format!("{} {}", mode_name(c.metadata_mode), c.version);
    format!("source {}, target {}", one(source), target.map_or("not read".to_owned(), one))
}

/// A source with brokers of both modes, or of ZooKeeper's with a KRaft controller beside it. Source: KIP-866.
fn migrating(source: &ClusterSnapshot, probe: Option<&HealthProbe>, found: &mut Vec<Finding>) {
    let mut seen = Vec::new();
    if source.broker_configs.get("zookeeper.metadata.migration.enable").is_some_and(|v| v == "true") {
        seen.push("zookeeper.metadata.migration.enable is true on its brokers".to_owned());
    }
    let ready: Vec<String> = probe.into_iter().flat_map(|p| &p.practice.migrating).map(i32::to_string).collect();
    if !ready.is_empty() {
        seen.push(format!("brokers that say zkMigrationReady: {}", names(&ready)));
    }
    if !seen.is_empty() {
        found.push(Finding::new(FindingCode::SourceMigrating, "source", seen.join("; ")));
    }
}

fn version_at_least(cluster: &ClusterSnapshot, least: (u32, u32), code: FindingCode, name: &str, found: &mut Vec<Finding>) {
    match parse_version(&cluster.version) {
        Some(version) if version < least => found.push(Finding::new(code, name, format!("the brokers are of version {}", cluster.version))),
        Some(_) => {}
        None => found.push(Finding::new(FindingCode::NotProbed, name, "the brokers' version cannot be told")),
    }
}

fn health(cluster: &ClusterSnapshot, probe: Option<&HealthProbe>, code: FindingCode, name: &str, found: &mut Vec<Finding>) {
    let (mut offline, mut under_replicated, mut below_min) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (topic, p) in cluster.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
        // A leader asks for no more than the partition has. Source: `Partition.effectiveMinIsr`.
        let wanted = topic.config("min.insync.replicas").and_then(|v| v.parse::<usize>().ok()).unwrap_or(1).min(p.replicas.len());
        if p.leader.is_some() && p.in_sync.len() < wanted {
            below_min.push(format!("{}-{}", topic.name, p.partition));
        }
        if p.leader.is_none() {
            offline.insert(format!("{}-{}", topic.name, p.partition));
        } else if p.in_sync.len() < p.replicas.len() {
            under_replicated.insert(format!("{}-{}", topic.name, p.partition));
        }
    }
    let mut reassigning = Vec::new();
    let mut seen = Vec::new();
    match probe {
        Some(probe) => {
            offline.extend(probe.offline.iter().cloned());
            under_replicated.extend(probe.under_replicated.iter().cloned());
            reassigning.clone_from(&probe.reassigning);
            let absent: Vec<String> = probe.practice.absent.iter().map(i32::to_string).collect();
            if !absent.is_empty() {
                seen.push(format!("brokers that replicas are assigned to and that are not there: {}", names(&absent)));
            }
            seen.extend(probe.quorum.iter().cloned());
            if !probe.not_read.is_empty() {
                found.push(Finding::new(FindingCode::NotProbed, name, probe.not_read.join("; ")));
            }
        }
        None => found.push(Finding::new(FindingCode::NotProbed, name, "partition reassignments under way, and the KRaft quorum's health")),
    }
    let mut add = |list: Vec<String>, what: &str| {
        if !list.is_empty() {
            seen.push(format!("{} {what}: {}", count(list.len(), "partition"), names(&list)));
        }
    };
    add(offline.into_iter().collect(), "without a leader");
    add(under_replicated.into_iter().collect(), "under-replicated");
    add(below_min, "with fewer in-sync replicas than min.insync.replicas, where producers with acks=all are refused");
    add(reassigning, "being reassigned");
    if !seen.is_empty() {
        found.push(Finding::new(code, name, seen.join("; ")));
    }
}

/// Sentinels are transactions: both clusters need a coordinator.
fn transaction_state(cluster: &ClusterSnapshot, name: &str, found: &mut Vec<Finding>) {
    let mut add = |seen: String| found.push(Finding::new(FindingCode::TransactionState, name, seen));
    if let Some(topic) = cluster.topic("__transaction_state") {
        let offline = topic.partitions.iter().filter(|p| p.leader.is_none()).count();
        let wanted = topic.config("min.insync.replicas").and_then(|v| v.parse::<usize>().ok()).unwrap_or(1);
        let short = topic.partitions.iter().filter(|p| p.leader.is_some() && p.in_sync.len() < wanted).count();
        if offline + short > 0 {
            add(format!("__transaction_state has {} without a leader and {short} with fewer than {wanted} in-sync replicas", count(offline, "partition")));
        }
        return;
    }
    let key = "transaction.state.log.replication.factor";
    if let Some(wanted) = cluster.broker_configs.get(key).and_then(|v| v.parse::<usize>().ok()).filter(|w| *w > cluster.brokers.len()) {
        add(format!("__transaction_state does not exist yet, {key} is {wanted} and there are {}", count(cluster.brokers.len(), "broker")));
    }
}

/// A source without an authorizer is open to everyone; what becomes of its bindings on a target without one is said with them.
fn allow_everyone(context: &Context, target: &ClusterSnapshot, found: &mut Vec<Finding>) {
    let input = context.input;
    if target.acls.is_none() {
        return;
    }
    if input.source.acls.is_none() {
        match AllowEveryone::of(target, input.target_msk.as_ref()) {
            Some(t) if t.value == "true" => {}
            Some(t) => found.push(Finding::new(FindingCode::AllowEveryoneDiffers, "", format!("the source has no authorizer, so that everything is open there, {}", t.told("target")))),
            None => found.push(by_hand("the target's brokers while the source has no authorizer")),
        }
        return;
    }
    match (AllowEveryone::of(&input.source, input.source_msk.as_ref()), AllowEveryone::of(target, input.target_msk.as_ref())) {
        (Some(s), Some(t)) if s.value != t.value => found.push(Finding::new(FindingCode::AllowEveryoneDiffers, "", format!("{}, {}", s.told("source"), t.told("target")))),
        (Some(_), Some(_)) => {}
        _ => found.push(by_hand("both clusters' brokers")),
    }
}

/// Clients may be refused, or others let in, by what could not be seen.
fn by_hand(whose: &str) -> Finding {
    let seen = format!("{ALLOW_EVERYONE} is not shown by {whose}: compare it by hand, as the page of KF-PRE-ALLOW-EVERYONE says");
    Finding { severity: Severity::Warning, ..Finding::new(FindingCode::NotProbed, "", seen) }
}
