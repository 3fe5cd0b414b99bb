//! `runbook.md`: one migration from the first command to the last, as this plan has it.

mod findings;
mod msk;
mod permissions;
mod steps;
mod tables;

use super::cost;
use super::finding::Severity;
use super::plan::{Estimate, OffsetMode, Plan};
use super::planning::{bytes, controls_in_words, count, describe_cluster, duration, freeze_in_words, grouped, id_by_configuration, names, sampling_in_words, seed_in_words};
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
    out.push_str(&about_the_id(plan, config, paths));
    out.push_str(&findings::before_you_begin(plan));
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
    out.push_str(&findings::not_examined(plan));
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
        ("offsets", offsets(plan)),
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

/// The topics whose records get other offsets.
fn mapped(plan: &Plan) -> Vec<&str> {
    plan.topics.iter().filter(|t| t.mode == OffsetMode::Mapped).map(|t| t.name.as_str()).collect()
}

fn offsets(plan: &Plan) -> String {
    let fillers = format!("{} prefix fillers", grouped(plan.estimate.prefix_fillers));
    match &mapped(plan)[..] {
        [] => format!("identical: every record at its own offset; {fillers}"),
        mapped => format!(
            "identical for {}; **mapped for {}, whose records get other offsets: {}**; {fillers}",
            count(plan.topics.len() - mapped.len(), "topic"),
            count(mapped.len(), "topic"),
            tables::cell(&names(mapped))
        ),
    }
}

/// What has to be known of the migration's id before anything is granted under it.
fn about_the_id(plan: &Plan, config: &Config, paths: Paths) -> String {
    let id = &plan.migration_id;
    if *id != id_by_configuration(config, &plan.source, plan.target.as_ref()) {
        return format!("\n**First write `migration_id: {id}` under `kferry:` in `{}`**: `precheck` and `execute` read it only there, and without it the transactional ids and the folders in the stores are others.\n", paths.config);
    }
    if plan.target.is_none() && config.migration_id.is_none() {
        return "\n**The id changes once the target can be read**, and with it the transactional ids and the folders in the stores that stand below. Grant nothing by this page: plan again then, or set `migration_id` in the configuration now.\n".to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::FreezeMode;
    use crate::domain::finding::{Finding, FindingCode};
    use crate::domain::planning::fixture;

    pub(super) const PATHS: Paths = Paths { config: "migration.yaml", journal_dir: "./journal", plan_dir: "migration-plan" };

    #[test]
    fn the_runbook_of_a_representative_plan() {
        let mut plan = fixture::plan();
        plan.permissions.iter_mut().for_each(|p| p.missing = Some(Vec::new()));
        plan.permissions[2].missing = Some(vec!["payments".to_owned()]);
        plan.findings.push(Finding::new(FindingCode::Streams, "source", "1 application: billing (1 topic of its own: billing-totals-changelog)"));
        plan.findings.push(Finding::new(FindingCode::StaticMembers, "audit", "2 static members"));
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
        plan.findings.insert(0, Finding::new(FindingCode::OldFormat, "a|b", "message sets below v2"));
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
        plan.migration_id = id_by_configuration(&fixture::config(), &plan.source, None);
        let text = render(&plan, &fixture::config(), PATHS);
        assert!(text.contains("| target | not read yet") && text.contains("**The id changes once the target can be read**"), "{text}");
        let config = Config { migration_id: Some("mine".to_owned()), ..fixture::config() };
        plan.migration_id = "mine".to_owned();
        assert!(!render(&plan, &config, PATHS).contains("The id changes"));
    }

    #[test]
    fn an_id_that_the_configuration_does_not_give_has_to_be_written_there() {
        let mut plan = fixture::plan();
        assert!(!render(&plan, &fixture::config(), PATHS).contains("First write"));
        plan.migration_id = "mine".to_owned();
        assert!(render(&plan, &fixture::config(), PATHS).contains("**First write `migration_id: mine` under `kferry:` in `migration.yaml`**"));
    }

    #[test]
    fn mapped_topics_are_not_said_to_keep_their_offsets() {
        let mut plan = fixture::plan();
        let plain = render(&plan, &fixture::config(), PATHS);
        assert!(!plain.to_lowercase().contains("mapped topics (") && plain.contains("| offsets | identical: every record"));
        let topic = plan.topics.iter_mut().find(|t| t.name == "payments").unwrap();
        topic.mode = OffsetMode::Mapped;
        let text = render(&plan, &fixture::config(), PATHS);
        for said in [
            "| offsets | identical for 1 topic; **mapped for 1 topic, whose records get other offsets: payments**;",
            "| payments | created | mapped |",
            "| orders | created | identical |",
            "of mapped topics the committed records alone, one behind the other",
            "On mapped topics (payments)",
            "number for number; on mapped topics translated by the journaled map",
        ] {
            assert!(text.contains(said), "{said} is not in {text}");
        }
    }

    #[test]
    fn the_way_back_and_what_has_to_be_there_depend_on_the_configuration_and_on_what_was_found() {
        let mut plan = fixture::plan();
        let mut config = fixture::config();
        let text = render(&plan, &config, PATHS);
        assert!(text.contains("as above, and **start the producers at the source again yourself**") && !text.contains("access-map.json` are attached") && !text.contains("their logs go on"), "{text}");
        config.cutover.freeze = FreezeMode::Webhook;
        config.target.auth.mode = crate::config::model::AuthMode::Iam;
        plan.topics[0].action = crate::domain::plan::TopicAction::Adopt;
        plan.findings.push(Finding::new(FindingCode::ScramUsers, "target", "alice"));
        let text = render(&plan, &config, PATHS);
        for said in ["From `committed` on your receiver may start", "your receiver is told `thaw`", "access-map.json` are attached", "KF-PRE-SCRAM-USERS names", "their logs go on at the offset reached"] {
            assert!(text.contains(said), "{said} is not in {text}");
        }
    }

    /// The comparison with an approved plan is run as it is printed: what producers add is no difference, another decision is one.
    #[test]
    fn plans_are_compared_by_what_is_decided() {
        let plan = fixture::plan();
        let text = render(&plan, &fixture::config(), PATHS);
        let lines: Vec<&str> = text.lines().map(str::trim_start).skip_while(|l| !l.starts_with("decided=")).take(2).collect();
        let dir = tempfile::tempdir().unwrap();
        let written = |name: &str, plan: &Plan| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("plan.json"), serde_json::to_vec(plan).unwrap()).unwrap();
        };
        let differ = |again: &Plan| {
            written("migration-plan", &plan);
            written("plan-again", again);
            let ran = std::process::Command::new("sh").arg("-c").arg(lines.join("\n")).current_dir(dir.path()).output().unwrap();
            assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
            String::from_utf8(ran.stdout).unwrap()
        };
        let mut again = plan.clone();
        again.created_at = "later".to_owned();
        again.topics[0].partitions[0].log_end += 1_000;
        again.estimate.seed_seconds += 9;
        assert_eq!(differ(&again), "");
        again.topics[0].replication_factor = 1;
        assert!(differ(&again).contains("replication_factor"));
    }
}
