//! Whether the source could be converted to KRaft where it stands, its conditions one by one.
//!
//! Source: "Migrate from ZooKeeper to KRaft mode" in the Amazon MSK developer guide; KIP-866 and "ZooKeeper to KRaft Migration" in
//! the Kafka documentation of 3.9; KIP-858 (several log directories, 3.7), KIP-900 (SCRAM, 3.5); delegation tokens came to KRaft with 3.6.

use super::operations::{delegation_tokens, zookeeper_tools};
use super::report::{count, names};
use super::{Context, HealthProbe};
use crate::domain::config_diff::parse_version;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::msk::{self, Availability, MskKind};
use crate::domain::topology::{ClusterSnapshot, HIDDEN, MetadataMode};
use std::collections::BTreeSet;

/// What became of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Yes,
    No,
    /// Nothing that a client of the brokers can see.
    Unseen,
}

struct Condition {
    met: Met,
    what: String,
}

/// None where nobody asks: the source is in KRaft mode, or the target is not.
pub(super) fn finding(context: &Context) -> Option<Finding> {
    let source = &context.input.source;
    let target_is_zookeeper = context.input.target.as_ref().is_some_and(|t| t.metadata_mode == MetadataMode::ZooKeeper);
    if source.metadata_mode != MetadataMode::ZooKeeper || target_is_zookeeper {
        return None;
    }
    let config = &context.input.config.source;
    let servers = config.bootstrap_servers.iter().map(String::as_str);
    let on_msk = msk::is_msk(config.cluster_arn.as_deref(), servers, source.brokers.iter().map(|b| b.host.as_str()));
    let (way, conditions) = match on_msk {
        true => ("Amazon MSK's own conversion (UpdateClusterKafkaVersion to a version that ends in .kraft)", of_msk(context)),
        false => ("Apache Kafka's own conversion (KIP-866), since its brokers do not bear Amazon MSK's names,", of_kafka(context)),
    };
    Some(Finding::new(FindingCode::InPlace, "source", told(way, &conditions)))
}

/// The verdict, then each condition.
fn told(way: &str, conditions: &[Condition]) -> String {
    let of = |met| conditions.iter().filter(|c| c.met == met).count();
    let verdict = match (of(Met::No), of(Met::Unseen)) {
        (0, 0) => "applies to this cluster".to_owned(),
        (0, unseen) => format!("applies to this cluster, as far as its brokers show: {} cannot be seen from here", count(unseen, "condition")),
        (failing, _) => format!("does not apply to this cluster as it stands: {} of {} not met", failing, count(conditions.len(), "condition")),
    };
    let lines = conditions.iter().map(|c| {
        let mark = match c.met {
            Met::Yes => "yes",
            Met::No => "NO",
            Met::Unseen => "not seen",
        };
        format!("{mark}: {}", c.what)
    });
    [format!("{way} {verdict}")].into_iter().chain(lines).collect::<Vec<_>>().join("; ")
}

fn condition(met: bool, what: String) -> Condition {
    Condition { met: if met { Met::Yes } else { Met::No }, what }
}

fn unseen(what: &str) -> Condition {
    Condition { met: Met::Unseen, what: what.to_owned() }
}

/// Of a version, whether it is one that can be converted; unseen where the brokers' version cannot be told.
fn version(source: &ClusterSnapshot, fits: impl Fn((u32, u32)) -> bool, wanted: &str) -> Condition {
    match parse_version(&source.version) {
        Some(version) => condition(fits(version), format!("{wanted} ({} is seen)", source.version)),
        None => unseen(wanted),
    }
}

/// By what the brokers show, and by the control plane where the cluster is given by its ARN.
fn of_msk(context: &Context) -> Vec<Condition> {
    let source = &context.input.source;
    let told = context.input.source_msk.as_ref();
    let racks: BTreeSet<&str> = source.brokers.iter().filter_map(|b| b.rack.as_deref()).collect();
    let zones = told.and_then(|msk| msk.zones).or(Some(racks.len()).filter(|n| *n > 0));
    let listeners = match context.input.source_health.as_ref().filter(|h| !h.practice.log_dirs.is_empty()) {
        Some(health) => {
            let dynamic = health.practice.dynamic_settings.contains_key("advertised.listeners");
            condition(!dynamic, format!("advertised.listeners is not set at run time{}", if dynamic { " (it is)" } else { "" }))
        }
        None => unseen("advertised.listeners is not set at run time"),
    };
    let mut all = vec![version(source, |v| v == (3, 9), "Kafka 3.9.x, to which an older cluster is upgraded first")];
    // Express brokers have three zones, and nobody but them speaks to their ZooKeeper.
    if told.is_none_or(|msk| msk.kind != MskKind::Express) {
        all.push(match zones {
            Some(n) => condition(n >= 3, format!("three Availability Zones, for Standard brokers ({n} seen)")),
            None => unseen("three Availability Zones, for Standard brokers (the brokers do not tell theirs)"),
        });
        all.push(unseen("access of clients to ZooKeeper is disabled, for Standard brokers (UpdateConnectivity, ZookeeperAccess.Enabled=false)"));
    }
    all.extend([listeners, healthy(source, context.input.source_health.as_ref()), tools(context)]);
    all.push(match told.and_then(|msk| msk.instance_type.as_deref()) {
        Some(of_type) => condition(of_type != "kafka.t3.small", format!("no brokers of type kafka.t3.small ({of_type} is seen)")),
        None => unseen("no brokers of type kafka.t3.small"),
    });
    all.push(match told {
        Some(msk) => {
            let seen = |on: bool| if on { "on" } else { "off" };
            let what = format!("not public access together with open monitoring (public access is {}, open monitoring {})", seen(msk.public_access), seen(msk.open_monitoring));
            condition(!(msk.public_access && msk.open_monitoring), what)
        }
        None => unseen("not public access together with open monitoring"),
    });
    all.push(match told {
        Some(msk) => condition(msk.availability() == Availability::Active, format!("the cluster is ACTIVE with no operation pending ({} is seen)", msk.state_in_words())),
        None => unseen("the cluster is ACTIVE with no operation pending"),
    });
    all
}

fn of_kafka(context: &Context) -> Vec<Condition> {
    let source = &context.input.source;
    let configured = |key: &str| source.broker_configs.get(key).map(String::as_str);
    let mut all = vec![version(source, |v| v == (3, 9), "Kafka 3.9, to which an older cluster is upgraded first, broker by broker")];
    all.push(match configured("inter.broker.protocol.version").and_then(parse_version) {
        Some((major, minor)) => condition((major, minor) == (3, 9), format!("inter.broker.protocol.version is 3.9 ({major}.{minor} is set)")),
        None => unseen("inter.broker.protocol.version is 3.9"),
    });
    all.push(unseen("every broker.id is set to a number that is not above reserved.broker.max.id, and no controller gets one of them"));
    let health = context.input.source_health.as_ref();
    match health.map(|h| &h.practice.log_dirs).filter(|dirs| !dirs.is_empty()) {
        Some(dirs) => {
            let several = dirs.values().filter(|n| **n > 1).count();
            let fits = several == 0 || parse_version(&source.version).is_some_and(|v| v >= (3, 7));
            all.push(condition(fits, format!("one log directory per broker, or 3.7 (KIP-858) ({} with several)", count(several, "broker"))));
        }
        None => all.push(unseen("one log directory per broker, or 3.7 (KIP-858)")),
    }
    if source.scram_users.as_ref().is_some_and(|users| !users.is_empty()) {
        all.push(version(source, |v| v >= (3, 5), "3.5 or later, because there are SCRAM users (KIP-900)"));
    }
    if health.is_some_and(|h| delegation_tokens(&h.practice)) {
        all.push(version(source, |v| v >= (3, 6), "3.6 or later, because there may be delegation tokens"));
    }
    all.push(healthy(source, health));
    all.push(tools(context));
    all.extend(authorizer(source, configured("authorizer.class.name")));
    all.push(unseen("three more nodes for controllers, two restarts of every broker and one of every controller"));
    all
}

/// Kafka's own becomes another one; whether one of your own does without ZooKeeper, its makers know. None where there is none.
fn authorizer(source: &ClusterSnapshot, class: Option<&str>) -> Option<Condition> {
    let own = "authorizer.class.name is kafka.security.authorizer.AclAuthorizer, which becomes StandardAuthorizer";
    match class.filter(|class| *class != HIDDEN) {
        Some("") => None,
        Some("kafka.security.authorizer.AclAuthorizer") => Some(condition(true, own.to_owned())),
        Some(class) => Some(unseen(&format!("your own authorizer works without ZooKeeper ({class})"))),
        None => source.acls.is_some().then(|| unseen(own)),
    }
}

fn healthy(source: &ClusterSnapshot, probe: Option<&HealthProbe>) -> Condition {
    let Some(probe) = probe else { return unseen("every broker is there, and every replica in sync") };
    let short = source.topics.iter().flat_map(|t| &t.partitions).any(|p| p.leader.is_none() || p.in_sync.len() < p.replicas.len());
    let at_rest = !short && probe.offline.is_empty() && probe.under_replicated.is_empty() && probe.reassigning.is_empty() && probe.practice.absent.is_empty();
    condition(at_rest, "every broker is there, every replica in sync, no reassignment under way".to_owned())
}

fn tools(context: &Context) -> Condition {
    match zookeeper_tools(context) {
        seen if seen.is_empty() => unseen("no tool and no client speaks to ZooKeeper directly (no trace of one is seen)"),
        seen => condition(false, format!("no tool and no client speaks to ZooKeeper directly (look at {})", names(&seen))),
    }
}
