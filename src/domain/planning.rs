//! Makes the plan: what will be done to each topic, group and ACL, and what precheck finds. A pure function of what was read.

mod acls;
mod adoption;
mod applications;
mod broker_settings;
mod clients;
mod clusters;
mod content;
mod estimate;
mod groups;
mod identity;
mod in_place;
mod limits_and_users;
mod markers;
mod msk;
mod offsets_mode;
mod operations;
mod reconcile;
mod report;
mod rights;
mod room;
mod samples;
mod stores;
mod topics;

pub(crate) use acls::open_without_bindings;
#[cfg(feature = "kafka")]
pub(crate) use clients::asked_for_their_protocol;
pub(crate) use clusters::not_examined;
pub use clusters::{config_findings, describe_cluster, places_findings, source_unreachable, target_unreachable, without_source, NOT_EXAMINED};
pub(super) use content::replicated_bytes;
pub use identity::derive_migration_id;
pub(crate) use identity::by_configuration as id_by_configuration;
pub(crate) use markers::words as controls_in_words;
// The commands that make a plan need a cluster.
#[cfg(feature = "kafka")]
pub(crate) use markers::words_of as controls_of_topic_in_words;
pub use reconcile::{reconcile, Drift};
pub(crate) use estimate::{freeze_in_words, milliseconds, sampling_in_words, seed_in_words};
pub(crate) use report::{bytes, count, duration, grouped, names};
pub use rights::{add_missing, explain_unreachable, missing_findings};
pub use samples::{Counts, Sample};

use super::config_diff::TargetSettings;
use super::finding::{Finding, Severity};
use super::acl::Operation;
use super::msk::MskCluster;
use super::permissions;
use super::store_cause::StoreFailure;
use super::practice::{Clients, Practice};
use super::plan::{PLAN_VERSION, Plan, Sampling, TopicPlan, Written};
use super::topology::ClusterSnapshot;
use super::transaction::OpenTransaction;
use crate::config::model::Config;
use crate::error::Error;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a few sampled fetches said of one partition (its first and its last batches).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionProbe {
    pub partition: i32,
    /// Batches that were looked at; 0 where the partition is empty.
    pub batches: u64,
    /// The lowest magic of those batches.
    pub magic_min: Option<i8>,
    /// A data batch with the transactional bit was seen.
    pub transactional: bool,
    /// A control batch was seen.
    pub control: bool,
    /// The stretches that were looked at, in the order of their offsets; none overlaps another.
    pub samples: Vec<Sample>,
    /// A batch with the LogAppendTime bit was seen.
    pub log_append_time: bool,
    /// Compaction has left its traces: offsets were missing inside a batch or between two batches, or a batch has a delete horizon.
    pub hole: bool,
    /// Latest record timestamp that was seen, in milliseconds since the epoch.
    pub timestamp_max_ms: Option<i64>,
    /// Largest batch that was seen, header included.
    pub batch_bytes_max: i64,
    /// Bytes of the batches that were looked at, and their records.
    pub sampled_bytes: u64,
    pub sampled_records: u64,
    /// The largest record that was seen in a batch that is not small: its offset, and what it takes in a batch of its own.
    pub record_bytes_max: Option<(i64, i64)>,
    /// Why the partition could not be sampled.
    pub error: Option<String>,
}

/// What sampling said of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicProbe {
    pub topic: String,
    pub partitions: Vec<PartitionProbe>,
}

/// What trial calls said of one object store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreProbe {
    /// Bucket and prefix, or directory, as a user would recognise it.
    pub location: String,
    /// What stands in the way of using it; empty where nothing does.
    pub failures: Vec<StoreFailure>,
    /// Settings that may not be read, in words.
    pub unseen: Vec<String>,
    /// Whether the bucket has Object Lock; None where it was not asked or the store has no such thing.
    pub object_lock: Option<bool>,
    /// Whether it keeps every version; None likewise.
    pub versioning: Option<bool>,
    /// The retention that new objects get by themselves, in words.
    pub default_retention: Option<String>,
}

/// What troubles a cluster as a whole, beyond the topics of its snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthProbe {
    /// Partitions without a leader.
    pub offline: Vec<String>,
    /// Partitions with fewer in-sync replicas than replicas.
    pub under_replicated: Vec<String>,
    /// Partitions whose replicas are being moved.
    pub reassigning: Vec<String>,
    /// What is wrong with the KRaft quorum, in words; empty where nothing is, or there is none.
    pub quorum: Vec<String>,
    /// What could not be read, in words.
    pub not_read: Vec<String>,
    pub practice: Practice,
}

/// The state of the key that signs the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// `evidence.signing_key_path` is not set.
    Unset,
    /// It is set, and this was wrong with it.
    Unusable(String),
    /// It was read and can sign.
    Usable,
}

/// Everything that planning looks at.
#[derive(Clone, Debug)]
pub struct PlanInput<'a> {
    pub config: &'a Config,
    pub source: ClusterSnapshot,
    /// Topics of the source that are not in its snapshot.
    pub other_topics: Vec<String>,
    /// Groups of the source that are not in its snapshot.
    pub other_groups: Vec<String>,
    /// None where it was not looked at.
    pub source_health: Option<HealthProbe>,
    /// None where the target does not exist yet or cannot be reached.
    pub target: Option<ClusterSnapshot>,
    /// What the MSK control plane says, where the cluster is given by its ARN.
    pub source_msk: Option<MskCluster>,
    pub target_msk: Option<MskCluster>,
    /// None where it was not looked at.
    pub target_health: Option<HealthProbe>,
    /// Why there is no target's snapshot, as the attempt to read it said.
    pub target_error: Option<Error>,
    /// What keeps librdkafka out of the clusters.
    pub witnesses: Vec<Finding>,
    /// What a topic without settings of its own gets on the target, for every topic setting that the target knows. None: read
    /// from the target's topics, as far as these tell.
    pub target_defaults: Option<BTreeMap<String, String>>,
    pub probes: &'a [TopicProbe],
    /// Bytes per second that the source handed out while it was read for as long as a second; None where it has too little to tell.
    pub source_bytes_per_second: Option<u64>,
    /// None where nobody looked.
    pub clients: Option<Clients>,
    /// How fast producers write; None where the source did not answer twice.
    pub written: Option<Written>,
    /// How much was looked at for `probes`.
    pub sampling: Option<Sampling>,
    /// Whether the target lets us use WriteTxnMarkers; None where it could not be asked.
    pub write_txn_markers: Option<bool>,
    /// What the target permits kferry on the cluster as a whole; None where it could not be asked.
    pub target_operations: Option<Vec<Operation>>,
    /// The transactions that are open on the selected partitions, or why they could not be read.
    pub open_transactions: Result<Vec<OpenTransaction>, String>,
    /// None where it was not tried.
    pub backup_store: Option<StoreProbe>,
    /// None where it was not tried.
    pub evidence_store: Option<StoreProbe>,
    pub signing_key: SigningKey,
    pub now: Timestamp,
    /// Given on the command line; beats the configured one, which beats the derived one.
    pub migration_id: Option<String>,
}

/// What the parts of planning share.
struct Context<'a> {
    input: &'a PlanInput<'a>,
    settings: Option<TargetSettings>,
    probes: BTreeMap<&'a str, &'a TopicProbe>,
}

/// Builds the plan with its findings; the findings that block come first.
pub fn build(input: PlanInput) -> Plan {
    let settings = input.target.as_ref().and_then(|t| TargetSettings::of(t, input.target_defaults.as_ref()));
    let probes = input.probes.iter().map(|p| (p.topic.as_str(), p)).collect();
    let context = Context { input: &input, settings, probes };

    let mut findings = config_findings(input.config);
    findings.extend(clusters::findings(&context));
    let (topics, mut left_out) = topics::plan(&context, &mut findings);
    let estimate = estimate::estimate(&input, &topics);
    findings.extend(content::findings(&context, &topics, &estimate));
    findings.extend(operations::findings(&context, &topics));
    findings.extend(broker_settings::findings(&context));
    findings.extend(room::findings(&context, &topics));
    findings.extend(applications::findings(&context, &topics));
    findings.extend(clients::findings(&context));
    let acls = acls::plan(&context, &mut findings);
    let quotas = limits_and_users::plan(&context, &mut findings);
    limits_and_users::scram(&context, &mut findings);
    findings.extend(msk::findings(&context, &topics, content::needed_bytes(&topics)));
    let scram_secrets = msk::scram_secrets(&context, &mut findings);
    let (groups, groups_left_out) = groups::plan(&context, &topics, &mut findings);
    left_out.extend(groups_left_out);

    let source_changes = source_changes(input.config, &topics);
    let mut plan = Plan {
        version: PLAN_VERSION,
        migration_id: identity::of(&input),
        created_at: input.now.to_string(),
        kferry_version: env!("CARGO_PKG_VERSION").to_owned(),
        topics,
        acls,
        quotas,
        scram_secrets,
        permissions: Vec::new(),
        groups,
        estimate,
        findings: Vec::new(),
        source_changes,
        left_out,
        source: input.source.clone(),
        target: input.target.clone(),
        source_msk: input.source_msk.clone(),
        target_msk: input.target_msk.clone(),
    };
    let needed = permissions::needed(&plan, input.config);
    if let Some(diff) = &mut plan.acls {
        diff.own = acls::own_bindings(&context, diff, &needed);
        acls::lockouts(&context, diff, &needed, &mut findings);
    }
    plan.permissions = permissions::needed(&plan, input.config);
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    plan.findings = findings;
    plan
}

/// The findings that forbid a migration to begin.
pub fn blockers(plan: &Plan) -> Vec<&Finding> {
    plan.findings.iter().filter(|f| f.severity == Severity::Blocker).collect()
}

fn source_changes(config: &Config, topics: &[TopicPlan]) -> Vec<String> {
    let partitions: usize = topics.iter().map(|t| t.partitions.len()).sum();
    let mut changes = vec![format!(
        "in each cutover attempt, once the freeze is proven: one empty transaction over the {partitions} selected partitions. It appends one control \
         record (the sentinel) to each, which takes an offset and which no consumer ever sees; the source's transaction coordinator keeps its transactional id"
    )];
    changes.push(match config.cutover.freeze {
        crate::config::model::FreezeMode::Manual => "for the freeze, nothing: you stop the producers".to_owned(),
        crate::config::model::FreezeMode::Webhook => "for the freeze, nothing by kferry: the receiver of your webhook stops the producers in its own way".to_owned(),
        crate::config::model::FreezeMode::Acl => "for the freeze, nothing: this version does not have the mode acl".to_owned(),
    });
    changes
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
