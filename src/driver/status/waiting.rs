//! Why a migration does not go on by itself, as far as the journal and the clusters tell.

use super::report::{Facts, PartitionStatus};
use super::throughput::millis;
use crate::domain::transaction::OpenTransaction;
use crate::driver::limits::PARTITIONS_NAMED_MAX;
use crate::journal::Writer;
use crate::machine::state::State;
use crate::telemetry::{count, duration};

/// Silence of a running copy that is behind, after which it is said; more where checkpoints lie further apart. **Units**: milliseconds.
const SILENCE_MS: i64 = 30_000;

/// The reasons, most telling first; empty where it goes on.
pub(super) fn reasons(facts: &Facts, partitions: &[PartitionStatus]) -> Vec<String> {
    let mut reasons = Vec::new();
    quarantines(facts, &mut reasons);
    troubles(facts, &mut reasons);
    transactions(facts, &mut reasons);
    process(facts, partitions, &mut reasons);
    state(facts, partitions, &mut reasons);
    reasons
}

fn quarantines(facts: &Facts, reasons: &mut Vec<String>) {
    let list: Vec<String> = facts.migration.quarantined().map(|(p, q)| format!("{p} ({})", q.code)).collect();
    if !list.is_empty() {
        reasons.push(format!("topics of {} have to be created anew and refilled, which the next run does", some(&list)));
    }
}

fn troubles(facts: &Facts, reasons: &mut Vec<String>) {
    for (name, side) in [("source", &facts.look.source), ("target", &facts.look.target)] {
        let Some(side) = side else { continue };
        if let Some(error) = &side.error {
            reasons.push(format!("the {name} cannot be read: {error}"));
        }
        if !side.troubles.is_empty() {
            reasons.push(format!("on the {name}, {}", some(&side.troubles)));
        }
    }
}

/// Transactions that a freeze would be in vain with; those that end by themselves in time keep nobody waiting.
fn transactions(facts: &Facts, reasons: &mut Vec<String>) {
    let (now_ms, freeze_ms) = (facts.now.as_millisecond(), facts.config.cutover.max_producer_freeze_ms);
    let open = facts.look.source.iter().filter_map(|s| s.open_transactions.as_ref()).flatten();
    let servers = facts.source_servers();
    let list: Vec<&OpenTransaction> = open.filter(|t| t.outlasts(now_ms, freeze_ms)).collect();
    for t in list.iter().take(PARTITIONS_NAMED_MAX) {
        reasons.push(format!("`cutover` does not freeze producers while this is open: {}; {}", t.describe(now_ms), t.remedy(now_ms, &servers)));
    }
    if list.len() > PARTITIONS_NAMED_MAX {
        reasons.push(format!("{} more transactions are open for as long", list.len() - PARTITIONS_NAMED_MAX));
    }
}

/// Whether anybody works on it.
fn process(facts: &Facts, partitions: &[PartitionStatus], reasons: &mut Vec<String>) {
    let works = !matches!(facts.migration.state, State::DrainReady | State::AwaitingClientSwitch | State::Validating | State::Finalized | State::RolledBack);
    match facts.writer {
        Writer::Nobody if works => reasons.push("no kferry process is at work on this journal".to_owned()),
        Writer::Process(pid) if works && partitions.iter().any(|p| p.lag_records.is_some_and(|lag| lag > 0)) => {
            let silent_ms = millis(facts.now, facts.throughput.last_at().unwrap_or(facts.migration.last_at).max(facts.migration.last_at));
            if silent_ms > SILENCE_MS.max(facts.throughput.pause_max_ms()) {
                reasons.push(format!("process {pid} has journaled nothing for {}; it says on its own terminal what it waits for", duration(silent_ms.unsigned_abs())));
            }
        }
        Writer::Nobody | Writer::Process(_) | Writer::Unknown => {}
    }
}

fn state(facts: &Facts, partitions: &[PartitionStatus], reasons: &mut Vec<String>) {
    let lag_max = facts.config.cutover.drain_max_partition_lag;
    match facts.migration.state {
        State::Tail => {
            let behind: Vec<String> =
                partitions.iter().filter(|p| p.lag_records.is_some_and(|lag| lag > lag_max)).map(PartitionStatus::name).collect();
            if !behind.is_empty() {
                reasons.push(format!("more than {lag_max} records behind the source: {}", some(&behind)));
            }
        }
        State::DrainReady => reasons.push("for you to cut over; nothing is copied until then, and `cutover` catches up first".to_owned()),
        State::AwaitingClientSwitch => reasons.push("for you to move the clients to the target, and to acknowledge that they have moved".to_owned()),
        State::Validating => {
            let hold_ms = i64::try_from(facts.config.evidence.observation_hold_ms).unwrap_or(i64::MAX);
            let left_ms = hold_ms.saturating_sub(millis(facts.now, facts.migration.entered_at()));
            if left_ms > 0 {
                reasons.push(format!("the observation hold ends in {}", duration(left_ms.unsigned_abs())));
            }
        }
        State::Planned | State::Precheck | State::TopologyCopy | State::Seed | State::Cutover | State::Finalized | State::RolledBack => {}
    }
    let late: i64 = partitions.iter().filter_map(|p| p.late_records).sum();
    if late > 0 {
        let list: Vec<String> = partitions.iter().filter(|p| p.late_records.is_some_and(|n| n > 0)).map(PartitionStatus::name).collect();
        reasons.push(format!("{} records were written to the source after the cutover: {}", count(late.unsigned_abs()), some(&list)));
    }
}

/// The first few, and how many more there are.
fn some(list: &[String]) -> String {
    let shown = list.iter().take(PARTITIONS_NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(PARTITIONS_NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
