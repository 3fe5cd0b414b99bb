//! Reads both clusters and both stores, changes nothing, and makes the plan of what was read.

mod clients;
mod health;
pub mod limits;
mod places;
mod read_rate;
pub mod rights;
mod sampling;
mod witnesses;
mod written;

use crate::config::Config;
use super::{locating, open_transactions};
use crate::config::model::ClusterConfig;
use crate::domain::acl::Operation;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::msk::MskCluster;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::domain::planning::{self, HealthProbe, PlanInput};
use crate::domain::selection::{group_left_out, topic_left_out};
use crate::domain::topology::{ClusterSnapshot, TopicSnapshot};
use crate::error::{Code, Error, Result};
use crate::kafka::cluster::{Cluster, Side};
use crate::kafka::markers;
use crate::kafka::source::Source;
use crate::kafka::target::Target;
use crate::telemetry::steps::Steps;
use places::Places;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Where Kafka keeps transactions; its health says whether a sentinel can be written.
const TRANSACTION_STATE: &str = "__transaction_state";

/// Surveys both clusters and makes the plan. A target that cannot be read is accepted: the plan says so in a finding.
///
/// `migration_id` beats the configured one, which beats the derived one.
///
/// **Errors**: only of the source: KF-SOURCE-UNAVAILABLE, KF-AUTH-…, KF-KAFKA-REFUSED (describing is not permitted),
/// KF-KAFKA-PROTOCOL, KF-CONFIG-UNSUPPORTED.
pub async fn survey(config: &Config, migration_id: Option<String>, shown: &Steps) -> Result<Plan> {
    Box::pin(survey_both(config, migration_id, shown)).await.map_err(|unread| unread.source)
}

/// Why there is no plan.
struct Unread {
    source: Error,
    /// Why the target cannot be read either; None where it can.
    target: Option<Error>,
    places: Places,
    /// The configuration with the brokers that were found.
    located: Config,
}

/// The configuration with the bootstrap servers of clusters that are given by their ARN.
fn located(config: &Config, source: Option<&Option<MskCluster>>, target: Option<&Option<MskCluster>>) -> Config {
    let one = |config: &ClusterConfig, msk: Option<&Option<MskCluster>>| msk.and_then(Option::as_ref).map_or_else(|| config.clone(), |msk| locating::with_servers(config, msk));
    Config { source: one(&config.source, source), target: one(&config.target, target), ..config.clone() }
}

async fn survey_both(config: &Config, migration_id: Option<String>, shown: &Steps) -> std::result::Result<Plan, Unread> {
    shown.at("reading the source's topics, groups, ACLs and settings");
    let (source_msk, target_msk) = futures::join!(locating::describe(Side::Source, &config.source), locating::describe(Side::Target, &config.target));
    let located = located(config, source_msk.as_ref().ok(), target_msk.as_ref().ok());
    let config = &located;
    let read_source = async {
        match &source_msk {
            Ok(_) => read_source(config).await,
            Err(error) => Err(error.clone()),
        }
    };
    let connect_target = async {
        match &target_msk {
            Ok(_) => Cluster::connect(Side::Target, &config.target).await,
            Err(error) => Err(error.clone()),
        }
    };
    let (source, connected, places) = futures::join!(Box::pin(read_source), Box::pin(connect_target), Box::pin(places::probe(config)));
    let target_cluster = connected.as_ref().ok().cloned();
    let source = match source {
        Ok(source) => source,
        Err(source) => return Err(Unread { source, target: connected.err(), places, located }),
    };
    let selected: Vec<&TopicSnapshot> = source.snapshot.topics.iter().filter(|t| t.name != TRANSACTION_STATE).collect();
    let read_target = async {
        match connected {
            Ok(cluster) => Box::pin(read_target(&cluster, &source.snapshot)).await,
            Err(error) => Err(error),
        }
    };
    let partitions: Vec<TopicPartition> = selected.iter().flat_map(|t| t.partitions.iter().filter(|p| p.leader.is_some()).map(|p| TopicPartition::new(t.name.as_str(), p.partition))).collect();
    let hasty = source.reader.with_patience(limits::PATIENCE);
    let before = Box::pin(clients::look(&source.reader, &partitions)).await;
    let first_ends = written::look(&source.reader, &partitions).await;
    let ((probes, sampling), source_health, open_transactions, target, witnesses) = futures::join!(
        sampling::sample(&source.reader, &selected, shown),
        health::probe(&source.reader),
        open_transactions::look(&hasty, &partitions),
        read_target,
        witnesses::greet(config)
    );
    // Alone, so that nothing else of ours slows it down.
    shown.at("reading the source as fast as it goes, for a second");
    let source_bytes_per_second = read_rate::observe(&source.reader, &selected).await;
    let last_ends = written::look_again(&source.reader, &partitions, &first_ends).await;
    let written = written::observed(&selected, &first_ends, &last_ends, &probes);
    let (target, target_health, target_defaults, write_txn_markers, target_operations, target_error) = match target {
        Ok(target) => (Some(target.snapshot), Some(target.health), target.defaults, target.write_txn_markers, target.operations, None),
        Err(error) => (None, None, None, None, None, Some(error)),
    };
    let consumer_groups = match &target {
        Some(target) => planning::asked_for_their_protocol(&source.snapshot, target),
        None => Vec::new(),
    };
    let clients = Box::pin(clients::compare(&source.reader, before, [&first_ends, &last_ends], &partitions, &source.other_topics, &consumer_groups)).await;
    let mut plan = planning::build(PlanInput {
        config,
        source: source.snapshot,
        other_topics: source.other_topics,
        other_groups: source.other_groups,
        source_health: Some(source_health),
        target,
        target_health,
        target_error,
        source_msk: source_msk.ok().flatten(),
        target_msk: target_msk.ok().flatten(),
        witnesses,
        target_defaults,
        probes: &probes,
        source_bytes_per_second,
        clients: Some(clients),
        written,
        sampling: Some(sampling),
        write_txn_markers,
        target_operations,
        open_transactions: open_transactions.map_err(|error| error.seen().to_owned()),
        backup_store: Some(places.backup),
        evidence_store: Some(places.evidence),
        signing_key: places.signing_key,
        now: Timestamp::now(),
        migration_id,
    });
    shown.at("trying what is permitted");
    let missing = Box::pin(rights::missing(Some(&source.cluster), target_cluster.as_ref(), &plan.permissions)).await;
    plan.findings.extend(missing.not_told);
    planning::add_missing(&mut plan, config, &missing.rights, &missing.missing);
    Ok(plan)
}

/// What precheck comes to.
pub enum Precheck {
    /// The plan, with its findings.
    Planned(Box<Plan>),
    /// The source could not be read, so that there is no plan; only these findings.
    Unplanned(Vec<Finding>),
}

impl Precheck {
    pub fn findings(&self) -> &[Finding] {
        match self {
            Precheck::Planned(plan) => &plan.findings,
            Precheck::Unplanned(findings) => findings,
        }
    }
}

/// Surveys both clusters for their findings; a source that cannot be read is a finding too.
///
/// **Errors**: none that a cluster or a store could cause.
pub async fn precheck(config: &Config, shown: &Steps) -> Result<Precheck> {
    match Box::pin(survey_both(config, None, shown)).await {
        Ok(plan) => Ok(Precheck::Planned(Box::new(plan))),
        Err(unread) if may_be_a_finding(unread.source.code()) => {
            let Places { backup, evidence, signing_key } = &unread.places;
            let places = planning::places_findings(config, Some(backup), Some(evidence), signing_key);
            let mut findings = planning::without_source(config, &unread.source, unread.target.as_ref(), places);
            if unread.source.code() == Code::KafkaRefused {
                rights::without_plan(&unread.located, &mut findings).await;
                findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
            }
            Ok(Precheck::Unplanned(findings))
        }
        Err(unread) => Err(unread.source),
    }
}

/// Whether an error of the source's is told as a finding.
fn may_be_a_finding(code: Code) -> bool {
    matches!(code, Code::SourceUnavailable | Code::ConfigUnsupported | Code::KafkaRefused | Code::KafkaProtocol) || FindingCode::of_error(code).is_some()
}

struct SourceReading {
    cluster: Cluster,
    reader: Source,
    snapshot: ClusterSnapshot,
    other_topics: Vec<String>,
    other_groups: Vec<String>,
}

/// Takes the snapshot of what the configuration selects, and the names of the rest.
async fn read_source(config: &Config) -> Result<SourceReading> {
    let cluster = Cluster::connect(Side::Source, &config.source).await?;
    let reader = Source::new(&cluster);
    let selected = |name: &str| name == TRANSACTION_STATE || topic_left_out(&config.topics, name, false).is_none();
    let (snapshot, listed) =
        futures::try_join!(reader.snapshot(selected, |id| group_left_out(&config.groups, id).is_none()), reader.list_groups())?;
    let other_topics = reader.metadata().topics.keys().filter(|name| snapshot.topic(name).is_none()).map(|name| name.to_string()).collect();
    let known: BTreeSet<&str> = snapshot.groups.iter().map(|g| g.group_id.as_str()).collect();
    let other_groups = listed.into_iter().map(|g| g.group_id).filter(|id| !known.contains(id.as_str())).collect();
    Ok(SourceReading { cluster, reader, snapshot, other_topics, other_groups })
}

struct TargetReading {
    snapshot: ClusterSnapshot,
    health: HealthProbe,
    defaults: Option<BTreeMap<String, String>>,
    write_txn_markers: Option<bool>,
    operations: Option<Vec<Operation>>,
}

/// Takes the target's snapshot of the topics and groups that the source's names.
async fn read_target(cluster: &Cluster, source: &ClusterSnapshot) -> Result<TargetReading> {
    let target = &Target::new(cluster);
    let groups: BTreeSet<&str> = source.groups.iter().map(|g| g.group_id.as_str()).collect();
    let topics = |name: &str| name == TRANSACTION_STATE || source.topic(name).is_some();
    // A topic that is to be created anyway: for its name alone there has to be a permission.
    let created = source.topics.iter().map(|t| t.name.as_str()).find(|name| *name != TRANSACTION_STATE && target.metadata().topic(name).is_none());
    let defaults = async { Ok(topic_defaults(target, created).await) };
    let health = async { Ok(health::probe(target).await) };
    let operations = async { Ok(rights::on_cluster(cluster).await) };
    let write_txn_markers = async { Ok(may_write_txn_markers(cluster).await) };
    let (snapshot, defaults, health, write_txn_markers, operations) =
        futures::try_join!(target.snapshot(topics, |id| groups.contains(id)), defaults, health, write_txn_markers, operations)?;
    Ok(TargetReading { snapshot, health, defaults, write_txn_markers, operations })
}

/// None where the target does not answer.
async fn may_write_txn_markers(cluster: &Cluster) -> Option<bool> {
    match markers::may_write_directly(&cluster.with_patience(limits::PATIENCE)).await {
        Ok(may) => Some(may),
        Err(error) => {
            tracing::warn!(%error, "the target does not tell whether WriteTxnMarkers is permitted");
            None
        }
    }
}

/// None where the target does not tell; planning then goes by the topics that it has.
async fn topic_defaults(target: &Target, created: Option<&str>) -> Option<BTreeMap<String, String>> {
    let name = created.map_or_else(|| format!("kferry-probe-{:016x}", getrandom::u64().unwrap_or_default()), str::to_owned);
    match target.with_patience(limits::PATIENCE).topic_defaults(&name).await {
        Ok(defaults) => defaults,
        Err(error) => {
            tracing::warn!(%error, "the target does not tell a topic's default settings");
            None
        }
    }
}
