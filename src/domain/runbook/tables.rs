//! The runbook's lists: what happens to each topic, setting, binding and group.

use super::quoted;
use crate::config::model::{AuthMode, Config};
use crate::domain::acl::{PatternType, ResourceType};
use crate::domain::difference;
use crate::domain::iam_policy;
use crate::domain::limits::{NAMES_SHOWN_MAX, ROWS_SHOWN_MAX};
use crate::domain::permissions::{ClusterSide, Permission};
use crate::domain::plan::{OffsetMode, Plan, TopicAction, TopicPlan};
use crate::domain::planning::{bytes, count, grouped};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Text that stays within one cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Rows under a heading; beyond the limit the rest is counted.
fn rows(out: &mut String, rows: &[String], noun: &str) {
    for row in rows.iter().take(ROWS_SHOWN_MAX) {
        let _ = writeln!(out, "{row}");
    }
    if rows.len() > ROWS_SHOWN_MAX {
        let _ = writeln!(out, "\n{} more {noun} are in `plan.json`.", rows.len() - ROWS_SHOWN_MAX);
    }
}

pub(super) fn source_changes(plan: &Plan) -> String {
    let mut out = String::from("\n## What is written on the source\n\nNothing before the cutover. Then:\n\n");
    for change in &plan.source_changes {
        let _ = writeln!(out, "- {change}");
    }
    out
}

pub(super) fn topics(plan: &Plan) -> String {
    let mut out = String::from("\n## Topics\n\n| topic | on the target | partitions | records at most | size | replicas | prefix fillers | markers, about | offsets without a record, about |\n|---|---|---|---|---|---|---|---|---|\n");
    let row = |t: &TopicPlan| {
        let action = match t.action {
            TopicAction::Create => "created",
            TopicAction::Adopt => "adopted, it exists and is empty",
        };
        let records: i64 = t.partitions.iter().map(|p| p.log_end - p.log_start).sum();
        let size = t.size_bytes();
        let fillers: i64 = t.partitions.iter().map(|p| p.prefix_fillers).sum();
        let replicas = match (t.source_replication_factor, t.replication_factor) {
            (s, r) if s == r => r.to_string(),
            (s, r) => format!("{r} (source {s})"),
        };
        format!("| {} | {action} | {} | {} | {} | {replicas} | {} | {} | {} |", cell(&t.name), t.partitions.len(), grouped(records), bytes(size), grouped(fillers), grouped(t.markers_estimated), grouped(t.holes_estimated))
    };
    if plan.topics.len() <= ROWS_SHOWN_MAX {
        rows(&mut out, &plan.topics.iter().map(row).collect::<Vec<_>>(), "topics");
        return out;
    }
    // Of many, what is not ordinary is what a reader looks for, and then what takes long.
    let mut topics: Vec<&TopicPlan> = plan.topics.iter().collect();
    topics.sort_by_key(|t| (is_ordinary(t), std::cmp::Reverse(t.size_bytes())));
    let special = topics.iter().filter(|t| !is_ordinary(t)).count();
    let words = format!("Of {} topics, {special} take more than to be created and copied as they are: these stand first, then the largest ones.\n", topics.len());
    out = out.replacen("\n| topic |", &format!("\n{words}\n| topic |"), 1);
    rows(&mut out, &topics.into_iter().map(row).collect::<Vec<_>>(), "topics");
    out
}

/// Whether a topic is created and copied as it is, without anything that a reader should know.
fn is_ordinary(t: &TopicPlan) -> bool {
    let plain = t.action == TopicAction::Create && t.mode == OffsetMode::Identical && t.replication_factor == t.source_replication_factor;
    let empty = t.unknown_configs.is_empty() && t.left_out_configs.is_empty() && t.drift.is_empty();
    plain && empty && t.markers_estimated == 0 && t.holes_estimated == 0 && t.partitions.iter().all(|p| p.prefix_fillers == 0)
}

pub(super) fn settings(plan: &Plan) -> String {
    let mut out = String::from("\n## Settings\n\nWhile kferry copies, every topic on the target has these instead of its own:\n\n");
    // Most overrides are the same everywhere: those are said once, the others by their range.
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, value) in plan.topics.iter().flat_map(|t| &t.overrides) {
        let seen = values.entry(key).or_default();
        if !seen.contains(&value.as_str()) {
            seen.push(value);
        }
    }
    for (key, seen) in values {
        let _ = match seen[..] {
            [value] => writeln!(out, "- `{key}={value}`"),
            _ => writeln!(out, "- `{key}`: by topic, see `plan.json`"),
        };
    }
    out.push_str("\nAfter the commit they are replaced by the source's effective settings: ");
    let own: usize = plan.topics.iter().map(|t| t.configs.len()).sum();
    let _ = writeln!(out, "{own} settings on {} topics, listed in `plan.json` under `configs`.", plan.topics.iter().filter(|t| !t.configs.is_empty()).count());
    let list = |title: &str, pick: fn(&TopicPlan) -> &BTreeMap<String, String>, out: &mut String| {
        let lines: Vec<String> = plan.topics.iter().flat_map(|t| pick(t).iter().map(move |(k, v)| format!("- {}: `{k}={v}`", t.name))).collect();
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}\n");
            rows(out, &lines, "settings");
        }
    };
    list("Not carried over, since the target does not know them:", |t| &t.unknown_configs, &mut out);
    list("Not carried over, since they are bound to the source or need what the target lacks:", |t| &t.left_out_configs, &mut out);
    out
}

pub(super) fn acls(plan: &Plan, config: &Config) -> String {
    let mut out = String::from("\n## ACLs\n\n");
    match &plan.acls {
        None => match plan.source.acls.as_ref().map(Vec::len) {
            None => out.push_str("The source has no authorizer: nothing is carried over.\n"),
            Some(0) => out.push_str("The source has no bindings: nothing is carried over.\n"),
            Some(n) if config.target.auth.mode == AuthMode::Iam => {
                let _ = writeln!(out, "The source has {n} bindings, and the target goes by IAM: **none of them is carried over.** `access-map.json` has a policy for each principal, and what IAM cannot say.");
            }
            Some(n) => {
                let _ = writeln!(out, "The source has {n} bindings, and the target has no authorizer: **none of them is carried over.**");
            }
        },
        Some(diff) => {
            let _ = writeln!(
                out,
                "| bindings | |\n|---|---|\n| created with the topics | {} |\n| withheld until the commit, since they let somebody write | {} |\n| on the target already | {} |\n| on the target only | {} |",
                diff.create.len(),
                diff.withheld.len(),
                diff.equal.len(),
                diff.target_only.len()
            );
            if !diff.own.is_empty() {
                let _ = writeln!(out, "\n{} more are kferry's own: created first, and deleted last, by `finalize` or `rollback`.", diff.own.len());
            }
            if !diff.internal.is_empty() {
                let _ = writeln!(out, "\n{} belong to the source cluster itself and are not carried over.", diff.internal.len());
            }
        }
    }
    out
}

pub(super) fn quotas(plan: &Plan) -> String {
    let mut out = String::from("\n## Client quotas\n\n");
    match &plan.quotas {
        None => out.push_str("They could not be read on both clusters: none is carried over.\n"),
        Some(diff) => {
            let _ = writeln!(
                out,
                "| entities and limits | |\n|---|---|\n| entities set with the topics | {} |\n| entities set after the commit, since they would slow kferry down | {} |\n| limits that are the same already | {} |\n| limits that differ, or that only the target has | {} |",
                diff.set.len(),
                diff.withheld.len(),
                diff.equal,
                diff.drift.len()
            );
        }
    }
    out
}

pub(super) fn differences(plan: &Plan, config: &Config) -> String {
    let lines: Vec<String> = difference::lines(plan, config).into_iter().map(|line| format!("    {line}")).collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n## What changes on the target beside its topics\n\n`execute` shows this again before it begins. `+` is added, `-` removed, `~` changed, `=` kept, `!` refused.\n\n");
    rows(&mut out, &lines, "lines");
    out
}

/// The permissions, and for whoever grants them the commands, or the policy where IAM decides.
pub(super) fn permissions(plan: &Plan, config: &Config) -> String {
    let mut out = String::from(
        "\n## What kferry has to be permitted\n\nNeither more nor less; `precheck` tries each. READ and WRITE let describe, ALTER_CONFIGS lets read settings. Take the permissions back when the migration is finalized or rolled back. They name the topics and groups of this plan: where groups come up meanwhile, as `console-consumer-…` do, grant those on groups by a prefix or `*`, or leave such groups out (`groups.exclude`).\n\n| cluster | operation | on | for | in |\n|---|---|---|---|---|\n",
    );
    for p in &plan.permissions {
        let kind = p.resource_type.name();
        let on = match (p.pattern_type, &p.names[..]) {
            (PatternType::Prefixed, names) => format!("{kind} `{}*`", names.join("*`, `")),
            (PatternType::Literal, [name]) => format!("{kind} `{name}`"),
            (PatternType::Literal, names) => format!("{kind}, {} of them: {}", names.len(), shortened(names)),
        };
        let _ = writeln!(out, "| {} | {} | {} | {} | {} |", p.side.name(), p.operation.name(), cell(&on), p.why, p.phases);
    }
    for side in [ClusterSide::Source, ClusterSide::Target] {
        let (cluster, principal) = match side {
            ClusterSide::Source => (&config.source, config.principal_on_source()),
            ClusterSide::Target => (&config.target, config.principal_on_target()),
        };
        let needed: Vec<(usize, &Permission)> = plan.permissions.iter().enumerate().filter(|(_, p)| p.side == side).collect();
        if cluster.auth.mode == AuthMode::Iam {
            let policy = iam_policy::of_cluster(plan, side, cluster).and_then(|policy| serde_json::to_string_pretty(&policy).ok()).unwrap_or_default();
            let _ = writeln!(out, "\nOn the {}, as the policy of the IAM role that kferry runs under:\n\n```json\n{policy}\n```", side.name());
            continue;
        }
        let principal = principal.unwrap_or_else(|| "User:KFERRY".to_owned());
        let server = cluster.bootstrap_servers.first().map_or("HOST:9092", String::as_str);
        let _ = writeln!(out, "\nOn the {}, as an administrator (`--remove` instead of `--add` takes them back):\n\n```", side.name());
        let commands: Vec<String> = needed.iter().map(|(index, p)| command(*index, p, server, &principal)).collect();
        rows(&mut out, &commands, "commands");
        out.push_str("```\n");
    }
    out
}

/// Words of names that one command is given: flags and names in turn, so that it has to be even.
const ARGUMENTS_MAX: usize = 200;

/// `DESCRIBE_CONFIGS` as `DescribeConfigs`.
fn pascal_case(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase()).collect()
}

/// As `kafka-acls.sh` takes it. Many names are read from plan.json, where the permission stands at `index`: a command that names but some of them
/// would be run as it is.
fn command(index: usize, permission: &Permission, server: &str, principal: &str) -> String {
    let operation = pascal_case(permission.operation.name());
    let mut text = format!("kafka-acls.sh --bootstrap-server {server} --add --allow-principal {} --operation {operation}", quoted(principal));
    let flag = match permission.resource_type {
        ResourceType::Cluster => {
            text.push_str(" --cluster");
            return text;
        }
        ResourceType::Topic => "--topic",
        ResourceType::Group => "--group",
        ResourceType::TransactionalId => "--transactional-id",
        ResourceType::DelegationToken => "--delegation-token",
        ResourceType::User => "--user-principal",
    };
    if permission.pattern_type == PatternType::Prefixed {
        text.push_str(" --resource-pattern-type prefixed");
    }
    if permission.names.len() > NAMES_SHOWN_MAX {
        return format!("jq -j '.permissions[{index}].names[] | \"{flag}\\u0000\\(.)\\u0000\"' plan.json | xargs -0 -n {ARGUMENTS_MAX} {text}");
    }
    for name in &permission.names {
        text.push_str(&format!(" {flag} {}", quoted(name)));
    }
    text
}

pub(super) fn groups(plan: &Plan) -> String {
    let mut out = String::from("\n## Consumer groups\n\n");
    if plan.groups.is_empty() {
        out.push_str("None is carried over.\n");
        return out;
    }
    let carried = plan.groups.iter().filter(|g| g.left_alone.is_empty());
    let (groups, offsets) = carried.fold((0, 0), |(n, o), g| (n + 1, o + g.partitions));
    let _ = writeln!(out, "{} and {} are carried over, number for number. The offsets are read anew at the cutover.", count(groups, "group"), count(offsets, "committed offset"));
    let alone: Vec<String> = plan.groups.iter().filter(|g| !g.left_alone.is_empty()).map(|g| format!("- {}: {}", g.group_id, g.left_alone)).collect();
    if !alone.is_empty() {
        out.push_str("\nLeft alone:\n\n");
        rows(&mut out, &alone, "groups");
    }
    let partly: Vec<String> = plan.groups.iter().filter(|g| !g.not_carried.is_empty()).map(|g| format!("- {}: {}", g.group_id, shortened(&g.not_carried))).collect();
    if !partly.is_empty() {
        out.push_str("\nNot carried over, since the topics are not selected:\n\n");
        rows(&mut out, &partly, "groups");
    }
    out
}

fn shortened(names: &[String]) -> String {
    match names.len() {
        0..=5 => names.join(", "),
        n => format!("{} and {} more", names[..5].join(", "), n - 5),
    }
}

pub(super) fn left_out(plan: &Plan) -> String {
    if plan.left_out.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n## Not selected\n\n");
    let lines: Vec<String> = plan.left_out.iter().map(|l| format!("- {} {}: {}", l.kind, l.name, l.reason)).collect();
    rows(&mut out, &lines, "names");
    out
}
