//! Applications that keep their own state in Kafka, and so have an order of moving: Kafka Streams, Kafka Connect, schema registries.

use super::report::{count, names};
use super::Context;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::plan::{OffsetMode, TopicPlan};
use crate::domain::topology::GroupSnapshot;
use std::collections::{BTreeMap, BTreeSet};

/// How Kafka Streams ends the names of its own topics, which begin with the application's id. Source: "Manage Kafka Streams application topics".
const STREAMS_TOPICS: [&str; 2] = ["-changelog", "-repartition"];

/// How the names of a Connect cluster's own topics end as a rule; they are chosen by whoever sets it up.
const CONNECT_TOPICS: [&str; 6] = ["config", "configs", "offset", "offsets", "status", "statuses"];

/// Where registries keep schemas unless told otherwise: Confluent's and Karapace; Apicurio.
const SCHEMA_TOPICS: [&str; 2] = ["_schemas", "kafkasql-journal"];

pub(super) fn findings(context: &Context, plans: &[TopicPlan]) -> Vec<Finding> {
    let input = context.input;
    let selected: BTreeSet<&str> = plans.iter().map(|t| t.name.as_str()).collect();
    let mapped: BTreeSet<&str> = plans.iter().filter(|t| t.mode == OffsetMode::Mapped).map(|t| t.name.as_str()).collect();
    let topics: BTreeSet<&str> = input.source.topics.iter().map(|t| t.name.as_str()).chain(input.other_topics.iter().map(String::as_str)).collect();
    let mut found = Vec::new();
    streams(context, &topics, &selected, &mapped, &mut found);
    connect(context, &topics, &selected, &mut found);
    let registries: Vec<&str> = SCHEMA_TOPICS.into_iter().filter(|topic| topics.contains(topic)).collect();
    if !registries.is_empty() {
        let list: Vec<String> = registries.iter().map(|topic| format!("{topic} ({})", if selected.contains(topic) { "selected" } else { "not selected" })).collect();
        found.push(Finding::new(FindingCode::SchemaRegistry, "source", list.join(", ")));
    }
    found
}

fn streams(context: &Context, topics: &BTreeSet<&str>, selected: &BTreeSet<&str>, mapped: &BTreeSet<&str>, found: &mut Vec<Finding>) {
    let input = context.input;
    let by_type = |g: &GroupSnapshot| g.group_type.eq_ignore_ascii_case("streams");
    let groups: BTreeSet<&str> = input.source.groups.iter().map(|g| g.group_id.as_str()).chain(input.other_groups.iter().map(String::as_str)).collect();
    // `app-2-…` belongs to `app-2`, although `app` is there too.
    let owner = |topic: &str| groups.iter().copied().filter(|group| topic.strip_prefix(group).is_some_and(|rest| rest.starts_with('-'))).max_by_key(|group| group.len());
    let mut owned: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for topic in topics.iter().copied().filter(|topic| STREAMS_TOPICS.iter().any(|end| topic.ends_with(end))) {
        if let Some(group) = owner(topic) {
            owned.entry(group).or_default().push(topic);
        }
    }
    let (mut list, mut moved) = (Vec::new(), Vec::new());
    for group in groups.iter().copied() {
        let own = owned.remove(group).unwrap_or_default();
        let known = input.source.groups.iter().find(|g| g.group_id == group);
        if own.is_empty() && !known.is_some_and(by_type) {
            continue;
        }
        let inside = own.iter().filter(|t| selected.contains(*t)).count();
        let group_moves = known.is_some();
        // Nothing of it moves.
        if inside == 0 && !group_moves {
            continue;
        }
        list.push(format!("{group} ({} of its own: {})", count(own.len(), "topic"), names(&own)));
        moved.extend(own.iter().copied().filter(|t| mapped.contains(t)));
        if inside < own.len() || !group_moves {
            partly(group, &own, selected, if group_moves { "its group is selected" } else { "its group is not selected" }, found);
        }
    }
    if list.is_empty() {
        return;
    }
    let mut seen = format!("{}: {}", count(list.len(), "application"), names(&list));
    if !moved.is_empty() {
        seen.push_str(&format!(
            ". These get other offsets, so that local state (state.dir, with its checkpoints) has to be deleted before the application starts on the target: {}",
            names(&moved)
        ));
    }
    found.push(Finding::new(FindingCode::Streams, "source", seen));
}

fn partly(application: &str, own: &[&str], selected: &BTreeSet<&str>, group: &str, found: &mut Vec<Finding>) {
    let (inside, outside): (Vec<&str>, Vec<&str>) = own.iter().partition(|t| selected.contains(*t));
    let list = |topics: &[&str]| if topics.is_empty() { "none".to_owned() } else { names(topics) };
    found.push(Finding::new(FindingCode::ApplicationPartly, application, format!("{group}, selected: {}, not selected: {}", list(&inside), list(&outside))));
}

fn connect(context: &Context, topics: &BTreeSet<&str>, selected: &BTreeSet<&str>, found: &mut Vec<Finding>) {
    let groups = &context.input.source.groups;
    let workers: Vec<&str> = groups.iter().filter(|g| g.protocol_type == "connect").map(|g| g.group_id.as_str()).collect();
    let sinks: Vec<&str> = groups.iter().filter(|g| g.protocol_type != "connect" && g.group_id.starts_with("connect-") && !workers.contains(&g.group_id.as_str())).map(|g| g.group_id.as_str()).collect();
    let own: Vec<&str> = topics.iter().copied().filter(|topic| is_connects(topic)).collect();
    if workers.is_empty() && !own.iter().any(|t| selected.contains(t)) {
        return;
    }
    let list = |names_: &[&str]| if names_.is_empty() { "none seen".to_owned() } else { names(names_) };
    found.push(Finding::new(
        FindingCode::Connect,
        "source",
        format!("groups of workers: {}, groups of sink connectors: {}, topics that look like Connect's own: {}", list(&workers), list(&sinks), list(&own)),
    ));
    if !own.is_empty() && own.iter().any(|t| !selected.contains(t)) {
        partly("connect", &own, selected, if workers.is_empty() { "no group of workers is selected" } else { "a group of workers is selected" }, found);
    }
}

/// Whether a topic's name is one that Connect's own topics bear as a rule.
fn is_connects(topic: &str) -> bool {
    let words: Vec<&str> = topic.split(['-', '_', '.']).collect();
    words.contains(&"connect") && words.last().is_some_and(|last| CONNECT_TOPICS.contains(last))
}
