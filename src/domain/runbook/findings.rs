//! What the plan has found: what to decide before it begins, notes, what nobody has looked at, and the applications that move in an order.

use super::mapped;
use super::tables::{cell, rows};
use crate::domain::acl::ALLOW_EVERYONE;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::plan::Plan;
use crate::domain::planning::{NOT_EXAMINED, not_examined as points};
use std::fmt::Write as _;

/// Of what was seen, one line: the whole stands in plan.json.
///
/// **Units**: characters.
const SEEN_SHOWN_MAX: usize = 160;

pub(super) fn before_you_begin(plan: &Plan) -> String {
    let mut out = String::from("\n## Before you begin\n\n");
    if let Some(found) = plan.findings.iter().find(|f| f.code == FindingCode::InPlace) {
        let verdict = found.seen.split("; ").next().unwrap_or_default();
        let _ = writeln!(out, "Is a copy needed at all? {verdict} ({}; its conditions are in `plan.json`).\n", found.code.as_str());
    }
    let urgent: Vec<&Finding> = plan.findings.iter().filter(|f| f.severity != Severity::Information).collect();
    if urgent.is_empty() {
        out.push_str("Nothing was found that blocks the migration or needs a decision.\n");
    } else {
        out.push_str("| | code | subject | seen | what to do |\n|---|---|---|---|---|\n");
        let row = |f: &&Finding| {
            let severity = if f.severity == Severity::Blocker { "**blocker**" } else { "warning" };
            format!("| {severity} | {} | {} | {} | {} |", f.code.as_str(), cell(&f.subject), cell(&f.seen), cell(&f.remedy))
        };
        rows(&mut out, &urgent.iter().map(row).collect::<Vec<_>>(), "findings");
    }
    out.push_str(&notes(plan));
    out
}

/// One line for each code: what is said of many topics alike is counted.
fn notes(plan: &Plan) -> String {
    // These two have a place of their own.
    let is_note = |f: &&Finding| f.severity == Severity::Information && !matches!(f.code, FindingCode::NotProbed | FindingCode::InPlace);
    let mut by_code: Vec<(FindingCode, Vec<&Finding>)> = Vec::new();
    for found in plan.findings.iter().filter(is_note) {
        match by_code.iter_mut().find(|(code, _)| *code == found.code) {
            Some((_, same)) => same.push(found),
            None => by_code.push((found.code, vec![found])),
        }
    }
    if by_code.is_empty() {
        return String::new();
    }
    let mut out = String::from("\nNotes: nothing has to be decided, `plan.json` has the whole, and each code has a page in `runbooks/errors/`.\n\n| code | subject | seen |\n|---|---|---|\n");
    for (code, found) in by_code {
        let (subject, seen) = match found[..] {
            [one] => (one.subject.clone(), shortened(&one.seen)),
            _ => (format!("{} and {} more", found[0].subject, found.len() - 1), code.title().to_owned()),
        };
        let _ = writeln!(out, "| {} | {} | {} |", code.as_str(), cell(&subject), cell(&seen));
    }
    out
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SEEN_SHOWN_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} …", text[..end].rsplit_once(' ').map_or(&text[..end], |(words, _)| words).trim_end_matches([',', ';'])),
    }
}

/// What keeps its own state in Kafka, as far as it was seen.
fn applications(plan: &Plan) -> impl Iterator<Item = &Finding> {
    // In the order in which they start on the target.
    [FindingCode::SchemaRegistry, FindingCode::Streams, FindingCode::Connect].into_iter().flat_map(|code| plan.findings.iter().filter(move |f| f.code == code))
}

/// What stops with the producers, beside them.
pub(super) fn stopped_at_the_freeze(plan: &Plan) -> Vec<String> {
    let line = |found: &Finding| {
        let what = match found.code {
            FindingCode::SchemaRegistry => "make the schema registry read-only",
            FindingCode::Streams => "stop every instance of the Kafka Streams applications",
            _ => "stop the Kafka Connect workers, since source connectors write",
        };
        format!("With the producers, {what}: {}.", found.seen)
    };
    let mut lines: Vec<String> = applications(plan).map(line).collect();
    if let Some(active) = plan.findings.iter().find(|f| f.code == FindingCode::ActiveGroups) {
        lines.push(format!("Groups that had members when this was planned; those that stop with the producers read nothing twice: {}.", active.seen));
    }
    lines
}

/// What starts on the target before other producers do, in this order.
pub(super) fn started_on_the_target(plan: &Plan) -> Vec<String> {
    let line = |found: &Finding| {
        match found.code {
            FindingCode::SchemaRegistry => "the schema registry, pointed at the target",
            FindingCode::Streams if mapped(plan).is_empty() => "the Kafka Streams applications, with the same `application.id`",
            FindingCode::Streams => "the Kafka Streams applications, with the same `application.id`, and without the `state.dir` of those whose topics are mapped",
            _ => "the Kafka Connect workers, with the same `group.id` and internal topics",
        }
        .to_owned()
    };
    let mut order: Vec<String> = applications(plan).map(line).collect();
    let mut lines = Vec::new();
    if !order.is_empty() {
        order.push("the other producers".to_owned());
        let numbered: Vec<String> = order.iter().enumerate().map(|(n, what)| format!("{}) {what}", n + 1)).collect();
        lines.push(format!("Start in this order: {}.", numbered.join("; ")));
    }
    let instances = plan.findings.iter().filter(|f| f.code == FindingCode::StaticMembers);
    lines.extend(instances.map(|f| format!("Static members: start each instance at the target only after it has stopped at the source ({}: {}).", f.subject, f.seen)));
    lines
}

/// What the plan could not look at, and what kferry never does, with how to.
pub(super) fn not_examined(plan: &Plan) -> String {
    let mut out = String::from("\n## What was not examined\n\nOf these clusters (KF-PRE-NOT-PROBED):\n\n");
    let constant = points();
    let here: Vec<String> = plan.findings.iter().filter(|f| f.code == FindingCode::NotProbed && f.seen != constant).map(|f| line(f)).collect();
    if here.is_empty() {
        out.push_str("- nothing\n");
    }
    rows(&mut out, &here, "points");
    out.push_str("\nOf no cluster; these are yours:\n\n");
    for (point, look) in NOT_EXAMINED {
        let _ = writeln!(out, "- {point}. Look: {look}");
    }
    out
}

fn line(found: &Finding) -> String {
    let subject = if found.subject.is_empty() { String::new() } else { format!("{}: ", found.subject) };
    let look = if found.seen.contains(ALLOW_EVERYONE) { ". Look: `grep allow.everyone server.properties` on a broker of each, with KRaft on a controller too; not set means false, on Amazon MSK true" } else { "" };
    format!("- {subject}{}{look}", found.seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    fn plan_with(found: &[(FindingCode, &str, &str)]) -> Plan {
        let mut plan = fixture::plan();
        plan.findings = found.iter().map(|(code, subject, seen)| Finding::new(*code, *subject, *seen)).collect();
        plan
    }

    #[test]
    fn a_note_has_one_line_however_often_and_however_long_it_is() {
        let long = "word ".repeat(100);
        let plan = plan_with(&[(FindingCode::Compacted, "a", "seen"), (FindingCode::KraftOperations, "source", &long), (FindingCode::Compacted, "b|c", "seen")]);
        let text = before_you_begin(&plan);
        let table: Vec<&str> = text.lines().filter(|l| l.starts_with("| KF-")).collect();
        assert_eq!(table.len(), 2, "{text}");
        assert_eq!(table[0], format!("| KF-PRE-COMPACTED | a and 1 more | {} |", FindingCode::Compacted.title()));
        assert!(table[1].ends_with("word … |") && table[1].len() < 220, "{text}");
        assert!(text.contains("Nothing was found that blocks"));
    }

    #[test]
    fn whether_a_copy_is_needed_is_said_first() {
        let text = before_you_begin(&plan_with(&[(FindingCode::InPlace, "source", "The conversion applies to this cluster; yes: one; not seen: two")]));
        assert!(text.starts_with("\n## Before you begin\n\nIs a copy needed at all? The conversion applies to this cluster (KF-PRE-IN-PLACE;"), "{text}");
        assert!(!text.contains("Notes"), "{text}");
    }

    #[test]
    fn applications_stop_with_the_producers_and_start_in_their_order() {
        let plan = plan_with(&[(FindingCode::Connect, "source", "groups of workers: w"), (FindingCode::Streams, "source", "1 application: s"), (FindingCode::SchemaRegistry, "source", "_schemas (selected)"), (FindingCode::StaticMembers, "audit", "2 static members")]);
        let stopped = stopped_at_the_freeze(&plan);
        assert_eq!(stopped[0], "With the producers, make the schema registry read-only: _schemas (selected).");
        assert_eq!(stopped.len(), 3);
        let started = started_on_the_target(&plan);
        let [order, members] = &started[..] else { panic!("{started:?}") };
        let places: Vec<usize> = ["1) the schema", "2) the Kafka Streams", "3) the Kafka Connect", "4) the other producers"].iter().map(|what| order.find(what).expect(what)).collect();
        assert!(places.is_sorted() && members.contains("audit: 2 static members"), "{started:?}");
        assert!(stopped_at_the_freeze(&plan_with(&[])).is_empty() && started_on_the_target(&plan_with(&[])).is_empty());
    }

    #[test]
    fn what_was_not_examined_is_whole_and_says_where_to_look() {
        let everyone = format!("{ALLOW_EVERYONE} is not shown by both clusters' brokers: compare it by hand");
        let plan = plan_with(&[(FindingCode::NotProbed, "target", "SCRAM users cannot be read there"), (FindingCode::NotProbed, "", &everyone), (FindingCode::NotProbed, "", &points())]);
        let text = not_examined(&plan);
        assert!(text.contains("- target: SCRAM users cannot be read there\n") && text.contains("compare it by hand. Look: `grep allow.everyone"), "{text}");
        assert_eq!(text.matches(NOT_EXAMINED[0].0).count(), 1, "{text}");
        assert_eq!(text.matches("Look: ").count(), 1 + NOT_EXAMINED.len());
        assert!(not_examined(&plan_with(&[])).contains("- nothing\n"));
    }
}
