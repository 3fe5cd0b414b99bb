//! Text for people: what the five checks found.

use crate::domain::limits::ROWS_SHOWN_MAX;
use crate::validation::report::{CheckResult, Outcome, ValidationReport};
use std::fmt::Write as _;

/// The outcome as the journal spells it.
pub fn spelled(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "PASSED",
        Outcome::Warning => "WARNING",
        Outcome::NotRun => "NOT_RUN",
        Outcome::Failed => "FAILED",
    }
}

/// Each check with its outcome, numbers and reason, then what none of them covers.
pub fn text(report: &ValidationReport) -> String {
    let mut out = format!("validation: {}, at {}\n", spelled(report.outcome), report.validated_at);
    for check in &report.checks {
        let CheckResult { check, outcome, reason, compared, differing, details } = check;
        let _ = writeln!(out, "{:<8} {check}: {reason} (compared: {compared}, differing: {differing})", spelled(*outcome));
        rows(&mut out, details);
    }
    out.push_str(if report.not_covered.is_empty() { "not covered: nothing is listed\n" } else { "not covered:\n" });
    rows(&mut out, &report.not_covered);
    out.trim_end().to_owned()
}

fn rows(out: &mut String, rows: &[String]) {
    for row in rows.iter().take(ROWS_SHOWN_MAX) {
        let _ = writeln!(out, "         - {row}");
    }
    if rows.len() > ROWS_SHOWN_MAX {
        let _ = writeln!(out, "         and {} more; --output json lists them all", rows.len() - ROWS_SHOWN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample::validation_report;

    #[test]
    fn every_check_is_shown_with_its_numbers() {
        let mut report = validation_report();
        report.checks.truncate(2);
        report.checks[1] = CheckResult { outcome: Outcome::Failed, differing: 1, details: vec!["orders-1: one is missing".into()], ..report.checks[1].clone() };
        report.outcome = Outcome::Failed;
        insta::assert_snapshot!(text(&report), @r"
        validation: FAILED, at 2026-01-02T05:00:00.000Z
        PASSED   topic_parity: 2 of 2 agree (compared: 2, differing: 0)
        FAILED   counts_and_offsets: 2 of 2 agree (compared: 2, differing: 1)
                 - orders-1: one is missing
        not covered:
                 - tiered segments
        ");
        report.not_covered.clear();
        assert!(text(&report).ends_with("not covered: nothing is listed"));
    }
}
