//! Text for people: what precheck found, most urgent first.

use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::limits::ROWS_SHOWN_MAX;
use crate::domain::plan::Plan;
use crate::domain::planning::{controls_in_words, count, describe_cluster};
use std::fmt::Write as _;

/// Whether text is set off by colours; the caller knows whether a terminal is there and what `NO_COLOR` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Ansi,
}

impl Colour {
    fn paint(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Blocker => "31",
            Severity::Warning => "33",
            Severity::Information => "36",
        };
        match self {
            Colour::Plain => text.to_owned(),
            Colour::Ansi => format!("\u{1b}[1;{code}m{text}\u{1b}[0m"),
        }
    }
}

/// Whether standard output is a terminal where colours are welcome (`NO_COLOR`, see no-color.org).
#[cfg(feature = "kafka")]
pub fn colour() -> Colour {
    use std::io::IsTerminal;
    let unwelcome = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    if std::io::stdout().is_terminal() && !unwelcome { Colour::Ansi } else { Colour::Plain }
}

/// The whole of `precheck`'s text: both clusters, then findings, blockers first, then the verdict.
pub fn precheck(plan: &Plan, colour: Colour) -> String {
    let mut out = format!("precheck of migration {}\n", plan.migration_id);
    let _ = writeln!(out, "  source  {}", describe_cluster(&plan.source));
    let _ = writeln!(out, "  target  {}", plan.target.as_ref().map_or("not read".to_owned(), describe_cluster));
    let (topics, partitions) = (count(plan.topics.len(), "topic"), count(plan.estimate.partitions, "partition"));
    let _ = writeln!(out, "  selected: {topics}, {partitions}, {}", count(plan.groups.len(), "group"));
    let controls = &plan.estimate.markers;
    if controls.markers_estimated > 0 || controls.holes_estimated > 0 {
        let _ = writeln!(out, "  control records: {}", controls_in_words(controls));
    }
    if let Some(in_place) = plan.findings.iter().find(|f| f.code == FindingCode::InPlace) {
        let _ = writeln!(out, "  before you copy: {}\n    → {} (runbooks/errors/{}.md)", in_place.seen, in_place.remedy, in_place.code.as_str());
    }
    out.push('\n');
    // What stands above is not said twice.
    let rest: Vec<Finding> = plan.findings.iter().filter(|f| f.code != FindingCode::InPlace).cloned().collect();
    out.push_str(&findings(&rest, colour));
    out.push_str(&verdict(&plan.findings));
    out
}

/// Findings by severity and code, each code with its subjects, the remedy and the page that explains it.
pub fn findings(findings: &[Finding], colour: Colour) -> String {
    let mut out = String::new();
    for severity in [Severity::Blocker, Severity::Warning, Severity::Information] {
        let mut codes: Vec<FindingCode> = Vec::new();
        for f in findings.iter().filter(|f| f.severity == severity) {
            if !codes.contains(&f.code) {
                codes.push(f.code);
            }
        }
        for code in codes {
            let of_code: Vec<&Finding> = findings.iter().filter(|f| f.severity == severity && f.code == code).collect();
            let _ = writeln!(out, "{}  {}  {}", colour.paint(severity, label(severity)), code.as_str(), code.title());
            for f in of_code.iter().take(ROWS_SHOWN_MAX) {
                let subject = if f.subject.is_empty() { String::new() } else { format!("{}: ", f.subject) };
                // The points that were not examined are a list of their own.
                let seen = if code == FindingCode::NotProbed { f.seen.replace("; ", "\n    ") } else { f.seen.clone() };
                let _ = writeln!(out, "    {subject}{seen}");
            }
            if of_code.len() > ROWS_SHOWN_MAX {
                let _ = writeln!(out, "    and {} more; --output json lists them all", of_code.len() - ROWS_SHOWN_MAX);
            }
            let _ = writeln!(out, "    → {} (runbooks/errors/{}.md)", of_code.first().map_or(code.remedy(), |f| f.remedy.as_str()), code.as_str());
        }
    }
    out
}

fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker => "BLOCKER",
        Severity::Warning => "warning",
        Severity::Information => "note   ",
    }
}

/// How many findings there are of each severity.
pub fn counts(findings: &[Finding]) -> String {
    let of = |severity, noun| count(findings.iter().filter(|f| f.severity == severity).count(), noun);
    format!("{}, {}, {}", of(Severity::Blocker, "blocker"), of(Severity::Warning, "warning"), of(Severity::Information, "note"))
}

/// Whether `execute` may begin.
pub fn verdict(findings: &[Finding]) -> String {
    let words = match findings.iter().any(|f| f.severity == Severity::Blocker) {
        false => "nothing forbids `execute`",
        true => "`execute` refuses to begin until the blockers are resolved",
    };
    format!("\n{}: {words}\n", counts(findings))
}

/// `plan.json`: the plan, pretty-printed, with its version as the first member.
pub fn plan_json(plan: &Plan) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(plan).map(|json| json + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    #[test]
    fn precheck_of_a_healthy_pair() {
        insta::assert_snapshot!("precheck", precheck(&fixture::plan(), Colour::Plain));
    }

    #[test]
    fn blockers_come_first_each_with_remedy_and_page() {
        let blocker = |n: usize| Finding::new(FindingCode::OldFormat, format!("topic-{n}"), "message sets below v2");
        let mut list = vec![Finding::new(FindingCode::DiskRoom, "", "1 GB")];
        list.extend((0..ROWS_SHOWN_MAX + 2).map(blocker));
        let text = findings(&list, Colour::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "BLOCKER  KF-PRE-OLD-FORMAT  the topic holds message sets of format v0 or v1");
        assert_eq!(lines[1], "    topic-0: message sets below v2");
        assert_eq!(lines[ROWS_SHOWN_MAX + 1], "    and 2 more; --output json lists them all");
        assert!(lines[ROWS_SHOWN_MAX + 2].ends_with("(runbooks/errors/KF-PRE-OLD-FORMAT.md)"));
        assert!(verdict(&list).contains("52 blockers, 0 warnings, 1 note: `execute` refuses"));
    }

    #[test]
    fn colours_are_only_where_they_are_asked_for() {
        let list = [Finding::new(FindingCode::NoTopics, "", "0 topics")];
        assert!(!findings(&list, Colour::Plain).contains('\u{1b}'));
        assert!(findings(&list, Colour::Ansi).starts_with("\u{1b}[1;31mBLOCKER\u{1b}[0m"));
    }

    #[test]
    fn plan_json_begins_with_its_version() {
        assert!(plan_json(&fixture::plan()).unwrap().starts_with("{\n  \"version\": 1,"));
    }
}
