//! A migration's status as text for people.

use crate::driver::status::{CutoverStatus, FailureStatus, GroupStatus, PartitionStatus, Progress, Status};
use crate::machine::state::State;
use crate::telemetry::{bytes, count, duration};
use std::fmt::Write as _;

/// Partitions and groups that are shown; JSON has them all.
const ROWS_MAX: usize = 10;
/// Age of a running copy's numbers from which on it is told. **Units**: milliseconds.
const AGE_TOLD_MS: i64 = 10_000;

/// Everything an operator asks first, in the order of asking.
pub(super) fn render(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot err.
        let _ = writeln!(out, "{name:<10} {value}");
    };
    line("migration", status.migration_id.clone());
    line("state", format!("{} for {}, since {:.0}", status.state, duration(status.in_state_ms), status.entered_at));
    if let Some(pid) = status.running_pid {
        line("at work", format!("process {pid}"));
    }
    for reason in &status.waiting_because {
        line("waits", reason.clone());
    }
    if status.pending_effects > 0 {
        line("open", format!("changes that were begun and not seen to end: {}; the next run looks whether they took effect", status.pending_effects));
    }
    copied(status, &mut line);
    cutover(status, &mut line);
    groups(&status.groups, status.committed.is_some(), &mut line);
    if let Some(validation) = &status.validation {
        for check in &validation.checks {
            line("check", format!("{} {}: {}", check.check, word(&check.outcome), check.reason));
        }
        line("validation", format!("{} at {}", word(&validation.outcome), validation.validated_at));
    }
    // Until the copy is at its end, most of it still differs.
    if let Some(comparison) = status.comparison.as_ref().filter(|_| status.committed.is_some()) {
        comparison.notable.iter().take(ROWS_MAX).for_each(|difference| line("differs", difference.clone()));
    }
    if let Some(outcome) = &status.outcome {
        line("outcome", outcome.clone());
    }
    if let Some(bundle) = &status.bundle {
        line("bundle", bundle.clone());
    }
    if let Some(failure) = status.failures.first() {
        for text in failed(failure, status) {
            line(if text.starts_with('→') { "" } else { "failed" }, text);
        }
    }
    line("next", match (&status.next_command, status.running_pid) {
        (None, _) => "nothing is left to do".to_owned(),
        (Some(command), None) => command.clone(),
        (Some(command), Some(pid)) => format!("nothing while process {pid} is at work; should it end here, then {command}"),
    });
    out
}

/// An enum as its JSON spells it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn copied(status: &Status, line: &mut impl FnMut(&str, String)) {
    if status.state < State::Seed || status.state == State::RolledBack {
        return;
    }
    let Progress { records_done, records_total, bytes_done, lag_records, records_per_s, bytes_per_s, eta_ms } = &status.progress;
    let of = records_total.map_or(String::new(), |total| format!(" of {}", count(total)));
    // Between two checkpoints the copy is further than the journal says.
    let age_ms = status.checkpointed_at.map_or(0, |at| status.now.as_millisecond() - at.as_millisecond());
    let age = if status.running_pid.is_some() && age_ms > AGE_TOLD_MS { format!(", {} ago", duration(age_ms.unsigned_abs())) } else { String::new() };
    line("copied", format!("{}{of} offsets, {} read again and equal{age}", count(*records_done), bytes(*bytes_done)));
    if status.committed.is_some() {
        return;
    }
    line("lag", lag_records.map_or("not known".to_owned(), |lag| format!("{} offsets", count(lag))));
    if let (Some(records), Some(bytes_per_s)) = (records_per_s, bytes_per_s) {
        let eta = eta_ms.map_or(String::new(), |ms| format!(", ETA {}", duration(ms.next_multiple_of(1_000))));
        line("rate", format!("{} offsets/s, {}/s{eta}", count(*records), bytes(*bytes_per_s)));
    }
    let shown = |p: &&PartitionStatus| p.lag_records.is_some_and(|lag| lag > 0) || p.quarantine.is_some();
    let behind: Vec<&PartitionStatus> = status.partitions.iter().filter(shown).collect();
    for p in behind.iter().take(ROWS_MAX) {
        let lag = p.lag_records.map_or("lag not known".to_owned(), |lag| format!("{} behind", count(lag.unsigned_abs())));
        let offset = |o: Option<i64>| o.map_or("none".to_owned(), |o| count(o.unsigned_abs()));
        let quarantine = p.quarantine.as_ref().map_or(String::new(), |q| format!(", quarantined: {q}"));
        line("", format!("{}: {lag} (next {}, source's end {}, verified to {}){quarantine}", p.name(), offset(p.next_offset), offset(p.source_end), offset(p.verified_offset)));
    }
    if behind.len() > ROWS_MAX {
        line("", format!("and {} more; --output json lists them all", behind.len() - ROWS_MAX));
    }
}

fn cutover(status: &Status, line: &mut impl FnMut(&str, String)) {
    if let Some(CutoverStatus { attempt, expires_at, freeze_proven, sentinels_written, drained, group_offsets_committed, .. }) = &status.cutover {
        let mut steps = Vec::new();
        match expires_at {
            Some(at) => steps.push(format!("producers frozen until {at} at the latest")),
            None => steps.push("producers not frozen yet".to_owned()),
        }
        let reached = [
            (*freeze_proven, "freeze proven"),
            (*sentinels_written, "sentinels written"),
            (*drained, "drained"),
            (*group_offsets_committed, "group offsets committed"),
        ];
        steps.extend(reached.iter().filter(|(done, _)| *done).map(|(_, what)| (*what).to_owned()));
        line("cutover", format!("attempt {attempt} is open: {}", steps.join(", ")));
    }
    if let Some(committed) = &status.committed {
        let released = if committed.target_released { "the target is released" } else { "the target's settings and ACLs are not all in place yet; any later command sees to it" };
        line("cutover", format!("attempt {} committed at {}, producers frozen for {}; {released}", committed.attempt, committed.committed_at, duration(committed.freeze_ms)));
        if let Some(late) = committed.late_records.filter(|n| *n > 0) {
            line("late", format!("{} records had come to the source when the switch was acknowledged", count(late.unsigned_abs())));
        }
    }
}

fn groups(groups: &[GroupStatus], committed: bool, line: &mut impl FnMut(&str, String)) {
    let of = |outcome: &str| groups.iter().filter(|g| g.outcome == outcome).count();
    if committed && !groups.is_empty() {
        line("groups", format!("{} carried over, {} left alone", of("carried_over"), of("left_alone")));
        for g in groups.iter().filter(|g| g.outcome == "left_alone").take(ROWS_MAX) {
            line("", format!("{} is left alone: {}", g.group_id, g.reason));
        }
    }
    type Members = fn(&GroupStatus) -> Option<usize>;
    let sides: [(&str, Members); 2] = [("on source", |g| g.members_on_source), ("on target", |g| g.members_on_target)];
    for (name, members) in sides {
        let list: Vec<String> = groups.iter().filter_map(|g| Some((g, members(g).filter(|n| *n > 0)?))).map(|(g, n)| format!("{} ({n})", g.group_id)).collect();
        if !list.is_empty() {
            let more = if list.len() > ROWS_MAX { format!(" and {} more", list.len() - ROWS_MAX) } else { String::new() };
            line(name, format!("groups with members: {}{more}", list[..list.len().min(ROWS_MAX)].join(", ")));
        }
    }
}

fn failed(failure: &FailureStatus, status: &Status) -> [String; 2] {
    let ago_ms = (status.now.as_millisecond() - failure.at.as_millisecond()).max(0).unsigned_abs();
    [
        format!("{} ago, in {}: {}: {}", duration(ago_ms), failure.state, failure.code, failure.seen),
        format!("→ {} (kferry explain {})", failure.remedy, failure.code),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::status::tests_support::{committed, seeding};

    #[test]
    fn a_seed_that_moves() {
        insta::assert_snapshot!("status_seed", render(&seeding()));
    }

    #[test]
    fn after_the_cutover() {
        insta::assert_snapshot!("status_committed", render(&committed()));
    }
}
