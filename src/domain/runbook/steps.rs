//! The runbook's steps: command, what happens, how long, go or no-go, the way back.

use super::{Paths, command, findings, mapped, quoted};
use crate::config::model::{AuthMode, Config, FreezeMode, StoreConfig};
use crate::domain::finding::FindingCode;
use crate::domain::plan::Plan;
use crate::domain::planning::{blockers, duration, grouped, milliseconds, names};
use std::fmt::Write as _;

/// One step, in the order in which an operator meets it.
struct Step {
    title: &'static str,
    command: String,
    happens: Vec<String>,
    takes: String,
    /// All of these.
    go: Vec<String>,
    back: String,
}

pub(super) fn render(plan: &Plan, config: &Config, paths: Paths) -> String {
    let mut out = String::from(
        "\n## The steps\n\nEvery command can be run again; it goes on where it was. Exit code 0 says done, 3 done with a warning; any other says that the step is not done. At any time:\n\n",
    );
    let _ = writeln!(out, "```\n{}\n```", command("status", paths));
    for (n, step) in steps(plan, config, paths).into_iter().enumerate() {
        let _ = writeln!(out, "\n### {}. {}\n\n```\n{}\n```\n", n + 1, step.title, step.command);
        for line in step.happens {
            let _ = writeln!(out, "- {line}");
        }
        let go = match &step.go[..] {
            [one] => format!(" {one}."),
            several => format!("\n\n{}", several.iter().map(|point| format!("- {point}")).collect::<Vec<_>>().join("\n")),
        };
        let _ = writeln!(out, "\n**Takes**: {}.\n\n**Go on when**:{go}\n\n**Way back**: {}.", step.takes, step.back);
    }
    out
}

fn target_servers(config: &Config) -> String {
    match config.target.bootstrap_servers.join(",") {
        servers if servers.is_empty() => "the target".to_owned(),
        servers => format!("`{servers}`"),
    }
}

fn store(config: &StoreConfig) -> String {
    match config {
        StoreConfig::S3 { bucket, prefix, .. } => format!("`s3://{bucket}/{prefix}`"),
        StoreConfig::Directory { path } => format!("`{}`", path.display()),
    }
}

fn steps(plan: &Plan, config: &Config, paths: Paths) -> Vec<Step> {
    vec![check(plan, paths), copy(plan, config, paths), cutover(plan, config, paths), switch(plan, config, paths), validate(paths), finalize(plan, config, paths)]
}

/// Of a plan, what does not change while producers write; for jq.
const DECIDED: &str = "{migration_id, topics: [.topics[] | {name, action, mode, replication_factor, configs}], groups: [.groups[] | {group_id, left_alone}], acls, quotas, scram_secrets}";

fn check(plan: &Plan, paths: Paths) -> Step {
    let go = match blockers(plan).len() {
        0 => "no blocker is left (exit code 4 says that there is one), and you accept the warnings".to_owned(),
        n => format!("no blocker is left. As planned, `execute` refuses to begin: {n} blocker{}", if n == 1 { "" } else { "s" }),
    };
    let approved = paths.plan_json();
    Step {
        title: "Check",
        command: format!("kferry precheck --config {}", quoted(paths.config)),
        happens: vec![
            "Reads both clusters and tries both stores. No topic, group, ACL or record is changed.".to_owned(),
            format!(
                "The next step does not read `{approved}`: `execute` plans anew, refuses to begin on a blocker, and writes its own plan to `{}/plan.json`. Where an approved plan counts, plan again just \
                 before and compare what is decided; nothing printed means that it is the same:\n\n  ```\n  kferry plan --config {} --out-dir plan-again\n  decided='{DECIDED}'\n  \
                 jq -S \"$decided\" {} > approved.json; jq -S \"$decided\" plan-again/plan.json | diff approved.json -\n  ```",
                paths.journal_dir.trim_end_matches('/'),
                quoted(paths.config),
                quoted(&approved)
            ),
        ],
        takes: "seconds to minutes".to_owned(),
        go: vec![go],
        back: "nothing to undo".to_owned(),
    }
}

fn copy(plan: &Plan, config: &Config, paths: Paths) -> Step {
    let created = plan.topics.iter().filter(|t| t.action == crate::domain::plan::TopicAction::Create).count();
    let adopted = plan.topics.len() - created;
    let c = &config.cutover;
    Step {
        title: "Copy",
        command: command("execute", paths),
        happens: vec![
            "PLANNED, PRECHECK: the plan is journaled, and the licence or trial that it runs under; a blocker ends the command.".to_owned(),
            format!("TOPOLOGY_COPY: {created} topics are created and {adopted} empty ones adopted, and the ACLs that let nobody write."),
            format!(
                "SEED: offsets below the log starts are taken by {} fillers and deleted again; every batch goes to {} and then to the target at its own offset{}, \
                 and is read again from the target.",
                grouped(plan.estimate.prefix_fillers),
                store(&config.backup),
                if mapped(plan).is_empty() { "" } else { " (of mapped topics the committed records alone, one behind the other)" }
            ),
            "TAIL: the same stream goes on with what producers add.".to_owned(),
            format!(
                "DRAIN_READY: no partition has been more than {} records behind for {}; the command ends. Nothing is copied until the next command, which catches up first.",
                c.drain_max_partition_lag,
                duration(c.drain_stable_window_ms.div_ceil(1000))
            ),
        ],
        takes: match plan.estimate.catch_up_seconds {
            Some(0) => format!("SEED about {} by the estimate above, TAIL and DRAIN_READY together little more than {}", duration(plan.estimate.seed_seconds), duration(c.drain_stable_window_ms.div_ceil(1000))),
            Some(seconds) => format!("SEED about {}, TAIL about {} and the {} of DRAIN_READY, by the estimate above", duration(plan.estimate.seed_seconds), duration(seconds), duration(c.drain_stable_window_ms.div_ceil(1000))),
            None => format!("SEED about {} by the estimate above; TAIL depends on how fast producers write", duration(plan.estimate.seed_seconds)),
        },
        go: before_the_freeze(plan, config),
        back: format!(
            "`{}` deletes the topics, ACLs and quotas that kferry made on the target, and puts back what it changed there.{} The source was only read; objects stay in the store",
            command("rollback", paths),
            if adopted == 0 { "" } else { " Topics that were there before stay, emptied, and their logs go on at the offset reached." }
        ),
    }
}

/// What makes a cutover fail or hurt where it is not so.
fn before_the_freeze(plan: &Plan, config: &Config) -> Vec<String> {
    let found = |code| plan.findings.iter().any(|f| f.code == code);
    let mut go = vec![
        format!("`status` says drain_ready, and shows no transaction that has been open for longer than {}", duration(config.cutover.max_producer_freeze_ms.div_ceil(1000))),
        "the target has no offline or under-replicated partition (`kafka-topics.sh --describe --under-replicated-partitions` prints none)".to_owned(),
        "the people who can stop the producers, and what the next step stops with them, are there; so is who may call it off, by name".to_owned(),
    ];
    if config.target.auth.mode == AuthMode::Iam {
        go.push("the policies of `access-map.json` are attached to the clients' IAM identities".to_owned());
    }
    if found(FindingCode::ScramUsers) {
        go.push("the users that KF-PRE-SCRAM-USERS names are on the target".to_owned());
    }
    go
}

fn cutover(plan: &Plan, config: &Config, paths: Paths) -> Step {
    let c = &config.cutover;
    let deadline = duration(c.max_producer_freeze_ms.div_ceil(1000));
    let freeze = match c.freeze {
        FreezeMode::Manual => "you are asked, on a terminal, to stop every producer and to type the confirmation; without a terminal it is refused".to_owned(),
        FreezeMode::Webhook => {
            "the configured webhook is called with `freeze` and the time at which its receiver has to thaw by itself; later with `committed`, or with `thaw`".to_owned()
        }
        FreezeMode::Acl => "this version does not have the mode acl".to_owned(),
    };
    let (told, wait, thaw) = match c.freeze {
        FreezeMode::Webhook => ("From `committed` on your receiver may start producers at the target", "have it wait", "your receiver lets the producers go on at the source"),
        FreezeMode::Manual | FreezeMode::Acl => ("From here on producers may start at the target", "have them wait", "**start the producers at the source again yourself**"),
    };
    let mut happens = vec![
            "The copy catches up with the source, before anything is frozen.".to_owned(),
            format!("Transactions that are open on the source are waited for; one that has been open for longer than {deadline}, or that hangs, is named and ends the command."),
            "Consumers may go on reading at the source. What one commits there after the group offsets were read is not carried over, \
             and it reads those records again at the target; whom that would hurt should stop first."
                .to_owned(),
            format!("Freeze: {freeze}."),
            format!(
                "Proof of the freeze: log ends stand still for {} ms and no transaction is open. Producers that still write are named where the brokers can name them.",
                c.freeze_settle_window_ms
            ),
            format!("Sentinels: one control record in each of {} partitions on the source, and at the same offset on the target{}. No consumer sees them.", plan.estimate.partitions, if mapped(plan).is_empty() { "" } else { " (not of mapped topics)" }),
            "Drain to the end; group offsets are committed on the target; the commit is journaled. From here the target is the cluster of record.".to_owned(),
            "Topics get their own settings, and the withheld ACLs are created.".to_owned(),
            format!("{told}, and the first record that is written there closes the way back by `rollback`. If you want to look at the target first, {wait}."),
        ];
    // Beside what stops the producers.
    let place = happens.iter().position(|line| line.starts_with("Freeze: ")).map_or(happens.len(), |freeze| freeze + 1);
    happens.splice(place..place, findings::stopped_at_the_freeze(plan));
    Step {
        title: "Cut over",
        command: command("cutover", paths),
        happens,
        takes: format!("the catching-up, then a freeze {}. If the commit is not reached by then, producers go on at the source and the migration is back in TAIL", expected_freeze(plan, &deadline)),
        go: vec![
            "`status` says awaiting_client_switch: the cutover stands, whatever the exit code, and **no producer may start at the source**. Exit code 3 says that somebody has to see to what is named".to_owned(),
            "if `status` says tail, the cutover did not happen: start the producers at the source again if you stopped them by hand, and try again later".to_owned(),
        ],
        back: format!("before the commit: as above, and {thaw}; sentinels that were already written stay on the source, unseen. After the commit: see the next step"),
    }
}

fn expected_freeze(plan: &Plan, deadline: &str) -> String {
    match plan.estimate.freeze_ms {
        Some(ms) => format!("of about {} as estimated above, and of {deadline} at most", milliseconds(ms)),
        None => format!("of at most {deadline}"),
    }
}

fn switch(plan: &Plan, config: &Config, paths: Paths) -> Step {
    let moved = mapped(plan);
    let mut happens = vec![format!("Before you type it: point producers and consumers to {}, with the same group ids.", target_servers(config))];
    happens.extend(findings::started_on_the_target(plan));
    happens.push(format!("Consumers go on at the offsets that they had at the source at the cutover{}.", if moved.is_empty() { "" } else { ", on mapped topics at what these are translated to" }));
    if !moved.is_empty() {
        happens.push(format!(
            "On mapped topics ({}): whoever keeps offsets outside of Kafka (Flink, Spark, sinks) translates them or begins anew, and Kafka Streams deletes `state.dir` first. The runs stand in `{}/journal.jsonl` as `offsets_mapped`, and after `finalize` in the bundle as `offset_map`.",
            names(&moved),
            paths.journal_dir.trim_end_matches('/')
        ));
    }
    happens.push("The command looks at the source again: records that were written there after the freeze are named and block it.".to_owned());
    Step {
        title: "Switch the clients",
        command: command("cutover-ack", paths),
        happens,
        takes: "as long as your deployments take".to_owned(),
        go: vec!["every client runs against the target, and `status` says validating".to_owned()],
        back: format!(
            "`{}`, as long as nothing was written to the target since the commit; otherwise it is refused, since it would lose records. Then start producers and consumers at the source{}",
            command("rollback", paths),
            if config.cutover.freeze == FreezeMode::Webhook { "; your receiver is told `thaw`" } else { " by hand" }
        ),
    }
}

fn validate(paths: Paths) -> Step {
    Step {
        title: "Validate",
        command: command("validate", paths),
        happens: vec![
            "Five checks: topic parity; counts and offsets; spot-check records; sentinel presence; consumer group reconciliation.".to_owned(),
            "Each is PASSED, WARNING, FAILED or NOT_RUN, with numbers. FAILED and NOT_RUN block the next step.".to_owned(),
        ],
        takes: "minutes; it can be run as often as wanted".to_owned(),
        go: vec!["no check is FAILED or NOT_RUN, and each WARNING is understood".to_owned()],
        back: "none by kferry: the target has taken writes. Mend what a check names and validate again".to_owned(),
    }
}

fn finalize(plan: &Plan, config: &Config, paths: Paths) -> Step {
    let hold = match config.evidence.observation_hold_ms {
        0 => String::new(),
        ms => format!("not before {} after the acknowledgement; then ", duration(ms.div_ceil(1000))),
    };
    let bundle = format!("{}/{}.dsse.json", paths.journal_dir.trim_end_matches('/'), plan.migration_id);
    let key = config.evidence.signing_key_path.as_ref().map_or("KEY.pub".to_owned(), |path| format!("{}.pub", path.display()));
    Step {
        title: "Finalize",
        command: format!("{}\nkferry verify {} --public-key {}", command("finalize", paths), quoted(&bundle), quoted(&key)),
        happens: vec![
            format!("The evidence is signed and stored under {}.", store(&config.evidence.store)),
            "`verify` needs no cluster and no licence. An auditor fetches the bundle from there, and gets the public key from you by another way.".to_owned(),
        ],
        takes: format!("{hold}minutes"),
        go: vec!["`verify` says that the bundle holds. Keep the source until you no longer need it: kferry never deletes anything there".to_owned()],
        back: "none; the migration is over".to_owned(),
    }
}
