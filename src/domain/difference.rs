//! What a migration changes of access and settings on the target, line by line, as it is shown before it is done.

use super::acl::DriftPolicy;
use super::plan::{Plan, TopicPlan};
use crate::config::model::Config;

/// Every change, and everything of the target's own that stays: `+` is added, `-` removed, `~` changed, `=` kept, `!` refused.
pub fn lines(plan: &Plan, config: &Config) -> Vec<String> {
    let mut lines = acl_lines(plan, config.on_acl_drift);
    lines.extend(quota_lines(plan, config.on_quota_drift));
    lines.extend(plan.topics.iter().flat_map(|topic| topic_lines(topic, config.on_config_drift)));
    lines
}

/// What becomes of something that only the target has.
fn fate(policy: DriftPolicy) -> (char, &'static str) {
    match policy {
        DriftPolicy::Merge => ('=', "only on the target, kept"),
        DriftPolicy::Replace => ('-', "only on the target, removed; a rollback puts it back"),
        DriftPolicy::Refuse => ('!', "only on the target, refused"),
    }
}

fn acl_lines(plan: &Plan, policy: DriftPolicy) -> Vec<String> {
    let Some(diff) = &plan.acls else { return Vec::new() };
    let (sign, words) = fate(policy);
    let own = diff.own.iter().map(|b| format!("+ {b} (kferry's own, first in and last out)"));
    let create = diff.create.iter().map(|b| format!("+ {b}"));
    let withheld = diff.withheld.iter().map(|b| format!("+ {b} (after the commit)"));
    let target_only = diff.target_only.iter().map(|b| format!("{sign} {b} ({words})"));
    own.chain(create).chain(withheld).chain(target_only).collect()
}

fn quota_lines(plan: &Plan, policy: DriftPolicy) -> Vec<String> {
    let Some(diff) = &plan.quotas else { return Vec::new() };
    let (sign, words) = fate(policy);
    let mut lines = Vec::new();
    for (quotas, when) in [(&diff.set, ""), (&diff.withheld, " (after the commit)")] {
        for quota in quotas {
            for (key, value) in &quota.values {
                let drift = diff.drift.iter().find(|d| d.entity == quota.entity && d.key == *key);
                lines.push(match (drift, policy) {
                    (None, _) => format!("+ quota of {}: {key} {value}{when}", quota.entity),
                    (Some(d), DriftPolicy::Merge | DriftPolicy::Replace) => format!("~ quota of {}: {key} {} becomes {value}{when}", quota.entity, d.target),
                    (Some(d), DriftPolicy::Refuse) => format!("! quota of {}: {key} {} would become {value}", quota.entity, d.target),
                });
            }
        }
    }
    lines.extend(diff.drift.iter().filter(|d| d.source.is_none()).map(|d| format!("{sign} quota of {}: {} {} ({words})", d.entity, d.key, d.target)));
    lines
}

fn topic_lines(topic: &TopicPlan, policy: DriftPolicy) -> Vec<String> {
    let line = |(key, has): (&String, &crate::domain::topology::ConfigValue)| {
        let seen = has.value.as_deref().unwrap_or("(not shown)");
        let name = &topic.name;
        match (policy, topic.configs.get(key).map(String::as_str)) {
            (DriftPolicy::Refuse, _) => format!("! topic {name}: {key}={seen} differs"),
            (_, Some(value)) if value == seen => format!("= topic {name}: {key}={seen} (only on the target, kept)"),
            (_, Some(value)) => format!("~ topic {name}: {key}={seen} becomes {value} (after the commit)"),
            (_, None) => format!("- topic {name}: {key}={seen} gives way to the target's default (after the commit)"),
        }
    };
    topic.drift.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::acl::Operation;
    use crate::domain::planning::fixture::{self, binding};
    use crate::domain::quota::tests::quota;
    use crate::domain::quota::QuotaDiff;
    use crate::domain::topology::{ConfigSource, ConfigValue};

    #[test]
    fn every_change_is_shown_and_what_becomes_of_the_targets_own() {
        let (mut plan, mut config) = (fixture::plan(), fixture::config());
        plan.topics.truncate(1);
        let topic = &mut plan.topics[0];
        let value = |v: &str| ConfigValue { value: Some(v.to_owned()), source: ConfigSource::Topic };
        topic.drift = [("flush.ms".to_owned(), value("9")), ("retention.ms".to_owned(), value("5")), ("segment.ms".to_owned(), value("7"))].into();
        topic.configs = [("flush.ms".to_owned(), "9".to_owned()), ("retention.ms".to_owned(), "6".to_owned())].into();
        let acls = plan.acls.as_mut().unwrap();
        acls.own = vec![binding("User:kferry", "orders", Operation::Write)];
        acls.target_only = vec![binding("User:other", "orders", Operation::Read)];
        let source = [quota("user=alice", &[("producer_byte_rate", 5.0), ("consumer_byte_rate", 6.0)]), quota("user=", &[("producer_byte_rate", 7.0)])];
        let target = [quota("user=alice", &[("producer_byte_rate", 4.0)]), quota("user=bob", &[("producer_byte_rate", 3.0)])];
        plan.quotas = Some(QuotaDiff::between(&source, &target, |e| *e == source[1].entity));
        let mut text = String::new();
        for policy in [DriftPolicy::Merge, DriftPolicy::Replace, DriftPolicy::Refuse] {
            (config.on_acl_drift, config.on_quota_drift, config.on_config_drift) = (policy, policy, policy);
            text.push_str(&format!("{policy:?}\n{}\n", lines(&plan, &config).join("\n")));
        }
        insta::assert_snapshot!("difference", text);
    }
}
