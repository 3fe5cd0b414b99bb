//! The runbook's lists: what happens to each topic, setting, binding and group.

use super::mapped;
use crate::config::model::{AuthMode, Config};
use crate::domain::difference;
use crate::domain::limits::ROWS_SHOWN_MAX;
use crate::domain::plan::{OffsetMode, Plan, TopicAction, TopicPlan};
use crate::domain::planning::{bytes, count, grouped};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Text that stays within one cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Rows under a heading; beyond the limit the rest is counted.
pub(super) fn rows(out: &mut String, rows: &[String], noun: &str) {
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
    let mut out = String::from("\n## Topics\n\n| topic | on the target | offsets | partitions | records at most | size | replicas | prefix fillers | markers, about | offsets without a record, about |\n|---|---|---|---|---|---|---|---|---|---|\n");
    let row = |t: &TopicPlan| {
        let action = match t.action {
            TopicAction::Create => "created",
            TopicAction::Adopt => "adopted, it exists and is empty",
        };
        let offsets = match t.mode {
            OffsetMode::Identical => "identical",
            OffsetMode::Mapped => "mapped",
        };
        let records: i64 = t.partitions.iter().map(|p| p.log_end - p.log_start).sum();
        let size = t.size_bytes();
        let fillers: i64 = t.partitions.iter().map(|p| p.prefix_fillers).sum();
        let replicas = match (t.source_replication_factor, t.replication_factor) {
            (s, r) if s == r => r.to_string(),
            (s, r) => format!("{r} (source {s})"),
        };
        format!("| {} | {action} | {offsets} | {} | {} | {} | {replicas} | {} | {} | {} |", cell(&t.name), t.partitions.len(), grouped(records), bytes(size), grouped(fillers), grouped(t.markers_estimated), grouped(t.holes_estimated))
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

pub(super) fn groups(plan: &Plan) -> String {
    let mut out = String::from("\n## Consumer groups\n\n");
    if plan.groups.is_empty() {
        out.push_str("None is carried over.\n");
        return out;
    }
    let carried = plan.groups.iter().filter(|g| g.left_alone.is_empty());
    let (groups, offsets) = carried.fold((0, 0), |(n, o), g| (n + 1, o + g.partitions));
    let translated = if mapped(plan).is_empty() { "" } else { "; on mapped topics translated by the journaled map" };
    let _ = writeln!(out, "{} and {} are carried over, number for number{translated}. The offsets are read anew at the cutover.", count(groups, "group"), count(offsets, "committed offset"));
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

pub(super) fn shortened(names: &[String]) -> String {
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
