//! Text for people: what precheck found, most urgent first.

use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::limits::{ROWS_OF_FINDING_MAX, SUBJECTS_SHOWN_MAX};
use crate::domain::plan::Plan;
use crate::domain::planning::{controls_in_words, count, describe_cluster};
use std::collections::BTreeMap;
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

/// The whole of `precheck`'s text: both clusters, whether they are needed at all, then findings, blockers first, then the verdict.
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
    out.push('\n');
    // Whether a copy is wanted at all comes before what may stand in its way.
    let (in_place, rest): (Vec<Finding>, Vec<Finding>) = plan.findings.iter().cloned().partition(|f| f.code == FindingCode::InPlace);
    if !in_place.is_empty() {
        out.push_str("before you copy\n");
        out.push_str(&findings(&in_place, colour));
        out.push('\n');
    }
    out.push_str(&findings(&rest, colour));
    out.push_str(&verdict(&plan.findings));
    out
}

/// Findings by severity and code, each code with what was seen and of whom, why it matters, the remedy and the command that explains it.
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
            let rows = alike(&of_code);
            for row in rows.iter().take(ROWS_OF_FINDING_MAX) {
                let subjects = subjects(&row.subjects);
                let seen = if code.is_list() { row.seen.replace("; ", "\n    ") } else { row.seen.to_owned() };
                let _ = writeln!(out, "    {subjects}{seen}");
            }
            let rest: usize = rows.iter().skip(ROWS_OF_FINDING_MAX).map(|row| row.subjects.len()).sum();
            if rest > 0 {
                let _ = writeln!(out, "    and {rest} more; --output json lists them all");
            }
            let _ = writeln!(out, "    why: {}", code.why());
            let mut remedies: Vec<&str> = Vec::new();
            for f in &of_code {
                if !remedies.contains(&f.remedy.as_str()) {
                    remedies.push(&f.remedy);
                }
            }
            for (index, remedy) in remedies.iter().take(ROWS_OF_FINDING_MAX).enumerate() {
                let page = if index == 0 { format!(" (kferry explain {})", code.as_str()) } else { String::new() };
                let _ = writeln!(out, "    → {remedy}{page}");
            }
        }
    }
    out
}

/// Whatever the same was seen of.
struct Row<'a> {
    seen: &'a str,
    subjects: Vec<&'a str>,
}

/// Findings of which the same was seen are one row, so that 500 topics alike do not bury the one that is not.
fn alike<'a>(findings: &[&'a Finding]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        let at = *index.entry(&finding.seen).or_insert_with(|| {
            rows.push(Row { seen: &finding.seen, subjects: Vec::new() });
            rows.len() - 1
        });
        rows[at].subjects.push(&finding.subject);
    }
    rows
}

/// The first few subjects, and how many there are.
fn subjects(all: &[&str]) -> String {
    let named: Vec<&str> = all.iter().copied().filter(|s| !s.is_empty()).collect();
    let first = named.iter().take(SUBJECTS_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    match named.len() {
        0 => String::new(),
        n if n > SUBJECTS_SHOWN_MAX => format!("{first} and {} more ({n} in all): ", n - SUBJECTS_SHOWN_MAX),
        _ => format!("{first}: "),
    }
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
    fn blockers_come_first_each_with_its_reason_its_remedy_and_its_page() {
        let blocker = |n: usize| Finding::new(FindingCode::OldFormat, format!("topic-{n}"), format!("{n} of its own"));
        let mut list = vec![Finding::new(FindingCode::DiskRoom, "", "1 GB")];
        list.extend((0..ROWS_OF_FINDING_MAX + 2).map(blocker));
        let text = findings(&list, Colour::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "BLOCKER  KF-PRE-OLD-FORMAT  the topic holds message sets of format v0 or v1");
        assert_eq!(lines[1], "    topic-0: 0 of its own");
        assert_eq!(lines[ROWS_OF_FINDING_MAX + 1], "    and 2 more; --output json lists them all");
        assert_eq!(lines[ROWS_OF_FINDING_MAX + 2], format!("    why: {}", FindingCode::OldFormat.why()));
        assert!(lines[ROWS_OF_FINDING_MAX + 3].ends_with("(kferry explain KF-PRE-OLD-FORMAT)"));
        assert!(verdict(&list).contains(&format!("{} blockers, 0 warnings, 1 note: `execute` refuses", ROWS_OF_FINDING_MAX + 2)));
    }

    #[test]
    fn five_hundred_topics_alike_are_one_row_and_the_one_that_is_not_is_seen() {
        let alike = |n: usize| Finding::new(FindingCode::UnknownConfig, format!("topic-{n}"), "message.format.version=2.8-IV1");
        let mut list: Vec<Finding> = (0..500).map(alike).collect();
        list.insert(250, Finding::new(FindingCode::UnknownConfig, "odd", "file.delete.delay.ms=1"));
        let text = findings(&list, Colour::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "    topic-0, topic-1, topic-2, topic-3, topic-4 and 495 more (500 in all): message.format.version=2.8-IV1");
        assert_eq!((lines[2], lines.len()), ("    odd: file.delete.delay.ms=1", 5), "{text}");
    }

    #[test]
    fn remedies_that_differ_are_all_said() {
        let mut list = vec![Finding::new(FindingCode::OpenTransactions, "a", "one"), Finding::new(FindingCode::OpenTransactions, "b", "two")];
        list[1].remedy = "abort it".to_owned();
        let text = findings(&list, Colour::Plain);
        assert!(text.contains(&format!("→ {} (kferry explain", list[0].remedy)) && text.ends_with("    → abort it\n"), "{text}");
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
