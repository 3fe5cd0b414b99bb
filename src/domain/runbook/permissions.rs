//! The runbook's permissions: what kferry has to be permitted, and the commands, or the policy, for whoever grants what is missing.

use super::tables::{cell, rows, shortened};
use super::{Paths, quoted};
use crate::config::model::{AuthMode, ClusterConfig, Config};
use crate::domain::acl::{ALLOW_EVERYONE, PatternType, ResourceType};
use crate::domain::iam_policy;
use crate::domain::limits::NAMES_SHOWN_MAX;
use crate::domain::permissions::{ClusterSide, Permission, Right};
use crate::domain::plan::Plan;
use crate::domain::planning::open_without_bindings;
use std::fmt::Write as _;

pub(super) fn render(plan: &Plan, config: &Config, paths: Paths) -> String {
    let mut out = String::from(
        "\n## What kferry has to be permitted\n\nNeither more nor less. READ and WRITE let describe, ALTER_CONFIGS lets read settings. What you grant, take back when the migration is finalized or rolled back. The names are those of this plan: where groups come up meanwhile, as `console-consumer-…` do, leave them out (`groups.exclude`), or grant those on groups by a prefix or `*`, after the warning below.\n\n| cluster | operation | on | for | in | permitted |\n|---|---|---|---|---|---|\n",
    );
    for p in &plan.permissions {
        let kind = p.resource_type.name();
        let on = match (p.pattern_type, &p.names[..]) {
            (PatternType::Prefixed, names) => format!("{kind} `{}*`", names.join("*`, `")),
            (PatternType::Literal, [name]) => format!("{kind} `{name}`"),
            (PatternType::Literal, names) => format!("{kind}, {} of them: {}", names.len(), shortened(names)),
        };
        let permitted = match &p.missing {
            None => "not tried".to_owned(),
            Some(missing) if missing.is_empty() => "yes".to_owned(),
            Some(missing) if missing.len() == p.names.len() => "**no**".to_owned(),
            Some(missing) => format!("**no** on {} of {}", missing.len(), p.names.len()),
        };
        let _ = writeln!(out, "| {} | {} | {} | {} | {} | {permitted} |", p.side.name(), p.operation.name(), cell(&on), p.why, p.phases);
    }
    for side in [ClusterSide::Source, ClusterSide::Target] {
        out.push_str(&of_cluster(plan, config, side, paths));
    }
    out
}

fn of_cluster(plan: &Plan, config: &Config, side: ClusterSide, paths: Paths) -> String {
    let (cluster, snapshot, msk, principal) = match side {
        ClusterSide::Source => (&config.source, Some(&plan.source), plan.source_msk.as_ref(), config.principal_on_source()),
        ClusterSide::Target => (&config.target, plan.target.as_ref(), plan.target_msk.as_ref(), config.principal_on_target()),
    };
    let name = side.name();
    if cluster.auth.mode == AuthMode::Iam {
        let policy = iam_policy::of_cluster(plan, side, cluster).and_then(|policy| serde_json::to_string_pretty(&policy).ok()).unwrap_or_default();
        return format!("\nOn the {name}, as the policy of the IAM role that kferry runs under:\n\n```json\n{policy}\n```\n");
    }
    if snapshot.is_some_and(|s| s.acls.is_none()) {
        return format!("\nThe {name} has no authorizer: nothing can or has to be granted there.\n");
    }
    let needed: Vec<(usize, &Permission)> = plan.permissions.iter().enumerate().filter(|(_, p)| p.side == side).collect();
    let untried: Vec<String> = needed.iter().filter(|(_, p)| p.missing.is_none()).map(|(_, p)| format!("{} on {}", p.operation.name(), p.resource_type.name())).collect();
    // Who may write control records as ClusterAction lets needs no Alter for it.
    let spared = |p: &Permission| p.right == Right::TargetClusterAlterForMarkers && plan.estimate.markers.write_txn_markers == Some(true);
    let missing: Vec<(usize, &Permission)> = needed.iter().copied().filter(|(_, p)| p.missing.as_ref().is_some_and(|names| !names.is_empty()) && !spared(p)).collect();
    let mut out = String::new();
    if untried.len() == needed.len() {
        let _ = writeln!(out, "\nOn the {name} nothing has been tried yet: plan again once it can be read, and this page has the commands for what is missing.");
        return out;
    }
    if !untried.is_empty() {
        let _ = writeln!(out, "\nOn the {name} these could not be tried, see KF-PRE-NOT-PROBED; plan again: {}.", untried.join(", "));
    }
    if missing.is_empty() {
        let _ = writeln!(out, "\nOn the {name} everything {}is permitted already: nothing has to be granted.", if untried.is_empty() { "that is needed " } else { "else " });
        return out;
    }
    let server = cluster.bootstrap_servers.first().map_or("HOST:9092", String::as_str);
    let tool = format!("kafka-acls.sh --bootstrap-server {server}{}", login(cluster));
    out.push_str(&warning(name, snapshot.and_then(|s| open_without_bindings(s, msk)), &tool));
    let _ = writeln!(out, "\nOn the {name}, as an administrator, for what is missing alone. `--remove --force` instead of `--add` takes it back.");
    if cluster.auth.mode != AuthMode::Plaintext {
        out.push_str("`admin.properties` is the client configuration of an administrator: `security.protocol`, `sasl.mechanism`, `sasl.jaas.config`, `ssl.truststore.location`.\n");
    }
    if principal.is_none() {
        let _ = writeln!(out, "kferry's principal is not known: the authorizer's log shows it; set `acl.{name}_principal` to it and plan again.");
    }
    let principal = principal.unwrap_or_else(|| "User:CN=<kferry as the brokers see it>".to_owned());
    let commands: Vec<String> = missing.iter().map(|(index, p)| command(*index, p, &tool, &principal, paths)).collect();
    if commands.iter().any(|c| c.starts_with("jq ")) {
        out.push_str("Long lists of names are read from the plan, which needs `jq`.\n");
    }
    out.push_str("\n```\n");
    rows(&mut out, &commands, "commands");
    out.push_str("```\n");
    out
}

fn login(cluster: &ClusterConfig) -> &'static str {
    if cluster.auth.mode == AuthMode::Plaintext { "" } else { " --command-config admin.properties" }
}

/// What a new binding may do to everybody else.
fn warning(name: &str, open: Option<bool>, tool: &str) -> String {
    let known = match open {
        Some(false) => return format!("\n`{ALLOW_EVERYONE}` is false on the {name}: a new binding shuts nobody out.\n"),
        Some(true) => format!("`{ALLOW_EVERYONE}` is **true** there:"),
        None => format!("Is `{ALLOW_EVERYONE}` true there? `grep allow.everyone server.properties` on a broker tells; on Amazon MSK it is true unless your configuration says otherwise. If so,"),
    };
    format!(
        "\n**Before you add a binding on the {name}.** {known} what has no binding is open to everybody, and **the first binding on a topic, a group, a transactional id or the cluster \
         shuts out everybody else**, on the cluster brokers too unless they are in `super.users`. Then run a command only if what it names has bindings for its present users already \
         (`{tool} --list --topic NAME`, or `--group`, `--transactional-id`, `--cluster`); kferry needs none where nothing has bindings.\n"
    )
}

/// Words of names that one command is given: flags and names in turn, so that it has to be even.
const ARGUMENTS_MAX: usize = 200;

/// `DESCRIBE_CONFIGS` as `DescribeConfigs`.
fn pascal_case(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase()).collect()
}

/// As `kafka-acls.sh` takes it, for the names on which it is missing. Many are read from plan.json, where the permission stands at `index`: a command that
/// names but some of them would be run as it is.
fn command(index: usize, permission: &Permission, tool: &str, principal: &str, paths: Paths) -> String {
    let names = permission.missing.as_deref().unwrap_or_default();
    let operation = pascal_case(permission.operation.name());
    let mut text = format!("{tool} --add --allow-principal {} --operation {operation}", quoted(principal));
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
    if names.len() > NAMES_SHOWN_MAX {
        return format!("jq -j '.permissions[{index}].missing[] | \"{flag}\\u0000\\(.)\\u0000\"' {} | xargs -0 -n {ARGUMENTS_MAX} {text}", quoted(&paths.plan_json()));
    }
    for name in names {
        text.push_str(&format!(" {flag} {}", quoted(name)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;
    use crate::domain::runbook::tests::PATHS;

    /// The plan of a kferry that may do everything but what is named, on both clusters.
    fn plan_without(missing: &[(Right, &[&str])]) -> Plan {
        let mut plan = fixture::plan();
        for p in &mut plan.permissions {
            p.missing = Some(missing.iter().filter(|(right, _)| *right == p.right).flat_map(|(_, names)| names.iter().map(|n| (*n).to_owned())).collect());
        }
        plan
    }

    fn commands(text: &str) -> Vec<&str> {
        text.lines().filter(|l| l.starts_with("kafka-acls.sh") || l.starts_with("jq ")).collect()
    }

    #[test]
    fn what_is_permitted_already_is_not_granted() {
        let text = render(&plan_without(&[]), &fixture::config(), PATHS);
        assert!(commands(&text).is_empty() && !text.contains("Before you add a binding"), "{text}");
        for side in ["source", "target"] {
            assert!(text.contains(&format!("On the {side} everything that is needed is permitted already: nothing has to be granted.")), "{text}");
        }
    }

    #[test]
    fn commands_are_for_what_is_missing_alone_below_a_warning() {
        let plan = plan_without(&[(Right::SourceTopicRead, &["payments"])]);
        let text = render(&plan, &fixture::config(), PATHS);
        assert_eq!(commands(&text), ["kafka-acls.sh --bootstrap-server source-1:9092 --add --allow-principal User:ANONYMOUS --operation Read --topic payments"]);
        let (before, _) = text.split_once("--add --allow-principal").unwrap();
        assert!(before.contains("**Before you add a binding on the source.** Is `allow.everyone.if.no.acl.found` true there?") && before.contains("shuts out everybody else"), "{text}");
        assert!(text.contains("| **no** on 1 of 2 |") && text.contains("On the target everything that is needed"), "{text}");
    }

    #[test]
    fn what_is_known_of_the_setting_is_said() {
        let text = |value: &str| {
            let mut plan = plan_without(&[(Right::SourceTopicRead, &["payments"])]);
            plan.source.broker_configs.insert(ALLOW_EVERYONE.to_owned(), value.to_owned());
            render(&plan, &fixture::config(), PATHS)
        };
        assert!(text("true").contains("on the source.** `allow.everyone.if.no.acl.found` is **true** there: what has no binding"));
        let closed = text("false");
        assert!(closed.contains("is false on the source: a new binding shuts nobody out") && !closed.contains("Before you add a binding"), "{closed}");
    }

    #[test]
    fn without_an_authorizer_nothing_is_granted_and_without_an_answer_nothing_is_said_to_be() {
        let mut plan = plan_without(&[(Right::TargetTopicWrite, &["orders"])]);
        plan.source.acls = None;
        let text = render(&plan, &fixture::config(), PATHS);
        assert!(text.contains("The source has no authorizer: nothing can or has to be granted there."), "{text}");
        assert!(commands(&text).iter().all(|c| c.contains("target-1:9092")), "{text}");

        let mut plan = fixture::plan();
        plan.target = None;
        let text = render(&plan, &fixture::config(), PATHS);
        assert!(commands(&text).is_empty() && text.contains("On the target nothing has been tried yet"), "{text}");

        let mut plan = plan_without(&[]);
        plan.permissions.iter_mut().find(|p| p.right == Right::SourceGroupDescribe).unwrap().missing = None;
        let text = render(&plan, &fixture::config(), PATHS);
        assert!(text.contains("On the source these could not be tried, see KF-PRE-NOT-PROBED; plan again: DESCRIBE on GROUP."), "{text}");
        assert!(text.contains("On the source everything else is permitted already"), "{text}");
    }

    #[test]
    fn an_administrator_who_has_to_log_in_has_a_file_for_it_and_a_principal_that_is_not_known_is_not_made_up() {
        let mut config = fixture::config();
        config.source.auth.mode = AuthMode::Mtls;
        let text = render(&plan_without(&[(Right::SourceClusterDescribe, &["kafka-cluster"])]), &config, PATHS);
        assert_eq!(
            commands(&text),
            ["kafka-acls.sh --bootstrap-server source-1:9092 --command-config admin.properties --add --allow-principal 'User:CN=<kferry as the brokers see it>' --operation Describe --cluster"]
        );
        assert!(text.contains("set `acl.source_principal` to it") && text.contains("`admin.properties` is the client configuration of an administrator"), "{text}");
        config.source_principal = Some("User:CN=kferry".to_owned());
        let text = render(&plan_without(&[(Right::SourceClusterDescribe, &["kafka-cluster"])]), &config, PATHS);
        assert!(text.contains("--allow-principal User:CN=kferry --operation") && !text.contains("is not known"), "{text}");
    }

    #[test]
    fn a_right_that_only_saves_time_is_not_asked_for_where_it_is_had_otherwise() {
        let mut plan = plan_without(&[]);
        let p = plan.permissions.iter_mut().find(|p| p.right == Right::TargetClusterAlter).unwrap();
        (p.right, p.missing) = (Right::TargetClusterAlterForMarkers, Some(vec!["kafka-cluster".to_owned()]));
        assert!(commands(&render(&plan, &fixture::config(), PATHS)).is_empty());
        plan.estimate.markers.write_txn_markers = Some(false);
        assert_eq!(commands(&render(&plan, &fixture::config(), PATHS)).len(), 1);
    }

    /// What is printed is run as it is, from the directory in which the operator stands.
    #[test]
    fn a_command_for_many_names_reads_them_from_the_plan() {
        let names: Vec<String> = (0..NAMES_SHOWN_MAX + 230).map(|n| format!("topic {n}")).collect();
        let mut plan = plan_without(&[]);
        let index = plan.permissions.iter().position(|p| p.right == Right::SourceTopicRead).unwrap();
        plan.permissions[index].missing = Some(names.clone());
        let text = render(&plan, &fixture::config(), PATHS);
        let command = commands(&text)[0];
        assert!(command.starts_with(&format!("jq -j '.permissions[{index}].missing[]")) && command.contains(" migration-plan/plan.json | xargs") && text.contains("needs `jq`"), "{command}");

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("migration-plan")).unwrap();
        std::fs::write(dir.path().join("migration-plan/plan.json"), serde_json::to_vec(&plan).unwrap()).unwrap();
        std::fs::write(dir.path().join("kafka-acls.sh"), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
        let shell = format!("chmod +x kafka-acls.sh; PATH=\"$PWD:$PATH\"; {command}");
        let ran = std::process::Command::new("sh").arg("-c").arg(&shell).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let named: Vec<&str> = said.lines().filter(|l| l.starts_with("topic ")).collect();
        assert_eq!(named, names, "{shell}\n{}", String::from_utf8_lossy(&ran.stderr));
    }

    #[test]
    fn where_iam_decides_the_permissions_are_a_policy() {
        let mut config = fixture::config();
        config.target.auth.mode = AuthMode::Iam;
        let text = render(&plan_without(&[(Right::SourceTopicRead, &["orders"]), (Right::TargetTopicRead, &["orders"])]), &config, PATHS);
        let (source, target) = text.split_once("On the target, as the policy").expect("a policy for the target");
        assert!(source.contains("kafka-acls.sh --bootstrap-server source-1:9092") && !target.contains("kafka-acls.sh"), "{text}");
        assert!(target.contains("\"kafka-cluster:AlterTopicDynamicConfiguration\"") && target.contains("/<CLUSTER_NAME>/<CLUSTER_UUID>/kferry-"), "{target}");
    }
}
