//! `runbook.md`: one migration from the first command to the last, as this plan has it.

mod msk;
mod permissions;
mod steps;
mod tables;

use super::cost;
use super::finding::Severity;
use super::plan::{Estimate, Plan};
use super::planning::{bytes, controls_in_words, count, describe_cluster, duration, freeze_in_words, grouped, sampling_in_words, seed_in_words, NOT_EXAMINED};
use crate::config::model::Config;
use std::fmt::Write as _;

/// Paths as the operator types them.
#[derive(Clone, Copy, Debug)]
pub struct Paths<'a> {
    pub config: &'a str,
    pub journal_dir: &'a str,
    /// Where `plan.json` lies.
    pub plan_dir: &'a str,
}

impl Paths<'_> {
    fn plan_json(&self) -> String {
        format!("{}/plan.json", self.plan_dir.trim_end_matches('/'))
    }
}

/// A command that works on the migration's journal, as the operator types it.
pub fn command(name: &str, paths: Paths) -> String {
    format!("kferry {name} --config {} --journal-dir {}", quoted(paths.config), quoted(paths.journal_dir))
}

/// A path as a POSIX shell takes it.
pub fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !path.is_empty() && path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Renders the runbook. Everything in it comes from the plan and the configuration; what is not known is said to be unknown.
pub fn render(plan: &Plan, config: &Config, paths: Paths) -> String {
    let mut out = summary(plan, config);
    out.push_str(&before_you_begin(plan));
    out.push_str(&steps::render(plan, config, paths));
    out.push_str(&msk::clusters(plan));
    out.push_str(&tables::source_changes(plan));
    out.push_str(&tables::topics(plan));
    out.push_str(&tables::settings(plan));
    out.push_str(&tables::acls(plan, config));
    out.push_str(&tables::quotas(plan));
    out.push_str(&tables::differences(plan, config));
    out.push_str(&permissions::render(plan, config, paths));
    out.push_str(&tables::groups(plan));
    out.push_str(&tables::left_out(plan));
    out.push_str("\n## What kferry does not examine\n\n");
    for point in NOT_EXAMINED {
        let _ = writeln!(out, "- {point}");
    }
    out
}

fn summary(plan: &Plan, config: &Config) -> String {
    let e = &plan.estimate;
    let of = |(severity, noun)| count(plan.findings.iter().filter(|f| f.severity == severity).count(), noun);
    let mut out = format!("# Migration {}\n\nPlanned {} by kferry {}.\n\n| | |\n|---|---|\n", plan.migration_id, plan.created_at, plan.kferry_version);
    let target = plan.target.as_ref().map_or("not read yet; what depends on it is missing from this page".to_owned(), describe_cluster);
    let rows = [
        ("source", describe_cluster(&plan.source)),
        ("target", target),
        ("topics", format!("{}, with {} partitions, at most {} records, {}", plan.topics.len(), e.partitions, grouped(e.records_max), bytes(e.size_bytes))),
        ("offsets", format!("identical: every record at its own offset; {} prefix fillers", grouped(e.prefix_fillers))),
        ("control records", controls_in_words(&e.markers)),
        ("groups", format!("{}, of them {} left alone", plan.groups.len(), plan.groups.iter().filter(|g| !g.left_alone.is_empty()).count())),
        ("seed", seed_in_words(e)),
        ("freeze of producers", freeze(e, config)),
        ("sampled", e.sampling.as_ref().map_or("not told".to_owned(), sampling_in_words)),
        ("cost", cost::build(plan, config).in_words()),
        ("findings", [(Severity::Blocker, "blocker"), (Severity::Warning, "warning"), (Severity::Information, "note")].map(of).join(", ")),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    let _ = writeln!(out, "\nThe seed's time is an estimate: {}.", e.basis);
    out
}

fn freeze(e: &Estimate, config: &Config) -> String {
    let most = format!("at most {} in each attempt", duration(config.cutover.max_producer_freeze_ms.div_ceil(1000)));
    let too_long = e.freeze_ms.is_some_and(|ms| ms > config.cutover.max_producer_freeze_ms);
    let warning = if too_long { ". **That is longer than it may last: raise `cutover.max_producer_freeze`, or move fewer partitions and groups at once**" } else { "" };
    freeze_in_words(e).map_or(most.clone(), |words| format!("{words}; {most}{warning}"))
}

fn before_you_begin(plan: &Plan) -> String {
    let mut out = String::from("\n## Before you begin\n\n");
    let urgent: Vec<_> = plan.findings.iter().filter(|f| f.severity != Severity::Information).collect();
    if urgent.is_empty() {
        out.push_str("Nothing was found that blocks the migration or needs a decision.\n");
        return out;
    }
    out.push_str("| | code | subject | seen | what to do |\n|---|---|---|---|---|\n");
    for f in urgent.iter().take(super::limits::ROWS_SHOWN_MAX) {
        let severity = if f.severity == Severity::Blocker { "**blocker**" } else { "warning" };
        let _ = writeln!(out, "| {severity} | {} | {} | {} | {} |", f.code.as_str(), tables::cell(&f.subject), tables::cell(&f.seen), tables::cell(&f.remedy));
    }
    if urgent.len() > super::limits::ROWS_SHOWN_MAX {
        let _ = writeln!(out, "\n{} more are in `plan.json`.", urgent.len() - super::limits::ROWS_SHOWN_MAX);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::FreezeMode;
    use crate::domain::planning::fixture;

    pub(super) const PATHS: Paths = Paths { config: "migration.yaml", journal_dir: "./journal", plan_dir: "migration-plan" };

    #[test]
    fn the_runbook_of_a_representative_plan() {
        let mut plan = fixture::plan();
        plan.kferry_version = "VERSION".into();
        insta::assert_snapshot!("runbook", render(&plan, &fixture::config(), PATHS));
    }

    #[test]
    fn of_many_topics_those_that_are_not_ordinary_stand_first() {
        let mut plan = fixture::plan();
        let mut ordinary = plan.topics[0].clone();
        (ordinary.unknown_configs, ordinary.left_out_configs) = Default::default();
        plan.topics = (0..300).map(|n| crate::domain::plan::TopicPlan { name: format!("plain-{n:03}"), ..ordinary.clone() }).collect();
        plan.topics[299].partitions[0].size_bytes = Some(900_000_000_000);
        plan.topics[150].partitions[0].prefix_fillers = 7;
        let text = render(&plan, &fixture::config(), PATHS);
        let table: Vec<&str> = text.lines().skip_while(|l| *l != "## Topics").filter(|l| l.starts_with("| plain-")).take(2).collect();
        assert!(table[0].starts_with("| plain-150 |") && table[1].starts_with("| plain-299 |"), "{table:?}");
        assert!(text.contains("Of 300 topics, 1 take more than") && text.contains("250 more topics are in `plan.json`"));
    }

    #[test]
    fn a_freeze_that_will_not_do_is_said() {
        let mut plan = fixture::plan();
        assert!(!render(&plan, &fixture::config(), PATHS).contains("longer than it may last"));
        plan.estimate.freeze_ms = Some(fixture::config().cutover.max_producer_freeze_ms + 1);
        let text = render(&plan, &fixture::config(), PATHS);
        assert!(text.contains("about 1 min 1 s: 500 ms for the logs") && text.contains("raise `cutover.max_producer_freeze`"), "{text}");
    }

    #[test]
    fn a_plan_with_blockers_says_no_go_and_a_webhook_is_named_without_its_address() {
        let mut plan = fixture::plan();
        plan.findings.insert(0, crate::domain::finding::Finding::new(crate::domain::finding::FindingCode::OldFormat, "a|b", "message sets below v2"));
        let mut config = fixture::config();
        config.cutover.freeze = FreezeMode::Webhook;
        config.cutover.producer_freeze_webhook = Some(crate::config::model::Secret::new("https://hooks.example/secret-token"));
        let text = render(&plan, &config, PATHS);
        assert!(text.contains("| **blocker** | KF-PRE-OLD-FORMAT | a\\|b |"));
        assert!(text.contains("`execute` refuses to begin: 1 blocker"));
        assert!(text.contains("webhook") && !text.contains("secret-token"));
    }

    #[test]
    fn long_lists_are_counted() {
        let mut plan = fixture::plan();
        let topic = plan.topics[0].clone();
        plan.topics = (0..60).map(|n| crate::domain::plan::TopicPlan { name: format!("t{n:02}"), ..topic.clone() }).collect();
        let text = render(&plan, &fixture::config(), PATHS);
        assert!(text.contains("| t49 |") && !text.contains("| t50 |"));
        assert!(text.contains("10 more topics"));
    }

    #[test]
    fn without_a_target_the_runbook_says_what_is_missing() {
        let mut plan = fixture::plan();
        plan.target = None;
        assert!(render(&plan, &fixture::config(), PATHS).contains("| target | not read yet"));
    }
}
