//! Topic parity: the target's topics are what was planned, and nothing is left of the settings that stood there while copying.

use super::report::{CheckResult, Outcome};
use crate::domain::config_diff::same_value;
use crate::domain::plan::TopicPlan;
use crate::domain::topology::{ClusterSnapshot, ConfigSource, TopicSnapshot};

/// The check's name in reports.
pub const NAME: &str = "topic_parity";

/// Compares each planned topic with the target as it is after the release: partitions, replicas, settings.
///
/// What is missing, differs or was left behind fails. What was added on the target since (partitions, replicas, settings that
/// were not planned) is its operator's doing and a warning.
pub fn check(topics: &[TopicPlan], target: &ClusterSnapshot) -> CheckResult {
    if topics.is_empty() {
        return CheckResult::new(NAME, Outcome::NotRun, "no topic was planned, so none was compared".to_owned(), 0, 0, Vec::new());
    }
    let (mut failures, mut remarks, mut differing, mut settings) = (Vec::new(), Vec::new(), 0, 0);
    for plan in topics {
        let before = failures.len();
        match target.topic(&plan.name) {
            None => failures.push(format!("{}: it does not exist on the target", plan.name)),
            Some(topic) => {
                shape(plan, topic, &mut failures, &mut remarks);
                settings_of(plan, topic, &mut failures, &mut remarks);
                settings += plan.configs.len();
            }
        }
        differing += u64::from(failures.len() > before);
    }
    let compared = topics.len() as u64;
    let (outcome, reason) = match (differing, remarks.len()) {
        (0, 0) => (Outcome::Passed, format!("{compared} topics with {settings} settings are as planned")),
        (0, n) => (Outcome::Warning, format!("{compared} topics have all that was planned, and {n} things were added on the target")),
        (n, _) => (Outcome::Failed, format!("{n} of {compared} topics are not as planned")),
    };
    failures.extend(remarks);
    CheckResult::new(NAME, outcome, reason, compared, differing, failures)
}

fn shape(plan: &TopicPlan, topic: &TopicSnapshot, failures: &mut Vec<String>, remarks: &mut Vec<String>) {
    let (planned, seen) = (plan.partitions.len(), topic.partitions.len());
    if seen < planned {
        failures.push(format!("{}: {seen} partitions, {planned} planned", plan.name));
    } else if seen > planned {
        remarks.push(format!("{}: {seen} partitions, {planned} planned", plan.name));
    }
    let wanted = usize::try_from(plan.replication_factor).unwrap_or(0);
    for p in &topic.partitions {
        let line = || format!("{}-{}: {} replicas, {wanted} planned", plan.name, p.partition, p.replicas.len());
        if p.replicas.len() < wanted {
            failures.push(line());
        } else if p.replicas.len() > wanted {
            remarks.push(line());
        }
    }
}

fn settings_of(plan: &TopicPlan, topic: &TopicSnapshot, failures: &mut Vec<String>, remarks: &mut Vec<String>) {
    for (key, wanted) in &plan.configs {
        let seen = topic.config(key);
        if seen.is_some_and(|v| same_value(key, v, wanted)) {
            continue;
        }
        let left_behind = seen.is_some_and(|v| plan.overrides.get(key).is_some_and(|o| same_value(key, v, o)));
        let note = if left_behind { ", left from the copy" } else { "" };
        failures.push(format!("{}: {key} is {}{note}, {wanted} planned", plan.name, seen.unwrap_or("not shown")));
    }
    for (key, setting) in topic.configs.iter().filter(|(key, c)| c.source == ConfigSource::Topic && !plan.configs.contains_key(*key)) {
        let value = setting.value.as_deref().unwrap_or("not shown");
        match plan.overrides.get(key) {
            Some(ours) if same_value(key, ours, value) => failures.push(format!("{}: {key} is {value}, left from the copy", plan.name)),
            _ => remarks.push(format!("{}: {key} is {value}, which was not planned", plan.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    /// The target after a release that did what was planned.
    fn released(plan: &crate::domain::plan::Plan) -> ClusterSnapshot {
        let mut target = fixture::target();
        for t in &plan.topics {
            let own: Vec<(&str, &str)> = t.configs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let logs: Vec<(i64, i64)> = t.partitions.iter().map(|p| (p.log_start, p.log_end)).collect();
            target.topics.push(fixture::topic(&t.name, (4, 1), t.replication_factor.into(), &logs, &own));
        }
        target
    }

    fn after(change: impl FnOnce(&mut TopicSnapshot)) -> CheckResult {
        let plan = fixture::plan();
        let mut target = released(&plan);
        change(target.topics.iter_mut().find(|t| t.name == "payments").unwrap());
        check(&plan.topics, &target)
    }

    fn set(topic: &mut TopicSnapshot, key: &str, value: &str) {
        let own = fixture::topic("x", (4, 1), 1, &[], &[(key, value)]);
        topic.configs.insert(key.to_owned(), own.configs[key].clone());
    }

    #[test]
    fn as_planned_passes() {
        let result = after(|_| ());
        assert_eq!((result.outcome, result.compared, result.differing), (Outcome::Passed, 2, 0), "{result:?}");
        assert_eq!(result.reason, "2 topics with 4 settings are as planned");
    }

    #[test]
    fn nothing_compared_is_not_run() {
        assert_eq!(check(&[], &fixture::target()).outcome, Outcome::NotRun);
    }

    #[test]
    fn what_is_missing_or_differs_fails() {
        type Case = (fn(&mut TopicSnapshot), &'static str);
        let cases: [Case; 5] = [
            (|t| t.name = "renamed".into(), "payments: it does not exist on the target"),
            (|t| drop(t.partitions.pop()), "payments: 1 partitions, 2 planned"),
            (|t| t.partitions[1].replicas.truncate(2), "payments-1: 2 replicas, 3 planned"),
            (|t| set(t, "retention.ms", "7"), "payments: retention.ms is 7, 86400000 planned"),
            (|t| drop(t.configs.remove("retention.ms")), "payments: retention.ms is not shown, 86400000 planned"),
        ];
        for (change, detail) in cases {
            let result = after(change);
            assert_eq!((result.outcome, result.differing, result.details), (Outcome::Failed, 1, vec![detail.to_owned()]));
        }
    }

    #[test]
    fn what_is_left_from_the_copy_fails() {
        let result = after(|t| {
            set(t, "retention.ms", "-1");
            set(t, "retention.bytes", "-1");
        });
        assert_eq!(
            (result.outcome, result.details),
            (
                Outcome::Failed,
                vec!["payments: retention.ms is -1, left from the copy, 86400000 planned".to_owned(), "payments: retention.bytes is -1, left from the copy".to_owned()]
            )
        );
    }

    #[test]
    fn what_was_added_on_the_target_is_a_warning() {
        let result = after(|t| {
            set(t, "retention.bytes", "5");
            t.partitions.push(t.partitions[0].clone());
            t.partitions[0].replicas.push(9);
        });
        assert_eq!((result.outcome, result.differing, result.details.len()), (Outcome::Warning, 0, 3), "{result:?}");
    }
}
