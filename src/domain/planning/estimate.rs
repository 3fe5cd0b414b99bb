//! How long seed and freeze will take, by what the clusters say and what was observed of them.

use super::report::{bytes, count, duration, grouped};
use super::{PlanInput, markers};
use crate::domain::limits;
use crate::domain::plan::{Estimate, FreezeEstimate, Sampling, TopicPlan};

/// Bytes per second that the copy is expected to make, and why.
struct Rate {
    bytes_per_second: u64,
    reason: String,
}

pub(super) fn estimate(input: &PlanInput, topics: &[TopicPlan]) -> Estimate {
    let partitions: Vec<_> = topics.iter().flat_map(|t| &t.partitions).collect();
    let records_max = partitions.iter().map(|p| (p.log_end - p.log_start).max(0)).sum();
    let size_bytes = topics.iter().map(TopicPlan::size_bytes).fold(0, i64::saturating_add);
    let unsized_partitions = partitions.iter().filter(|p| p.size_bytes.is_none()).count();
    let prefix_fillers: i64 = partitions.iter().map(|p| p.prefix_fillers).sum();

    let rate = rate(input);
    let bytes_ms = u64::try_from(size_bytes).unwrap_or(0).saturating_mul(1000) / rate.bytes_per_second;
    let fillers_ms = u64::try_from(prefix_fillers).unwrap_or(0).saturating_mul(1000) / limits::PREFIX_FILLERS_PER_SECOND;
    let markers = markers::estimate(topics, input.write_txn_markers);
    let setup_ms = partitions.len() as u64 * limits::PARTITION_SETUP_MS;
    let mut basis = format!(
        "{} at {}/s ({}); {} prefix fillers at {} a second; {} ms for each of {} partitions",
        bytes(size_bytes),
        per_second(rate.bytes_per_second),
        rate.reason,
        grouped(prefix_fillers),
        per_thousands(limits::PREFIX_FILLERS_PER_SECOND),
        limits::PARTITION_SETUP_MS,
        partitions.len(),
    );
    if markers::records(&markers) > 0 {
        basis.push_str(&format!("; {}", markers::basis(&markers)));
    }
    if unsized_partitions > 0 {
        basis.push_str(&format!("; {unsized_partitions} partitions whose size is not known are counted as empty"));
    }
    let seed_seconds = (bytes_ms + fillers_ms + setup_ms).div_ceil(1000) + markers::seconds(&markers);
    let freeze = freeze(input, partitions.len(), &rate);
    Estimate {
        partitions: partitions.len(),
        records_max,
        size_bytes,
        prefix_fillers,
        seed_seconds,
        catch_up_seconds: input.written.and_then(|written| catch_up_seconds(seed_seconds, written.bytes_per_second(), rate.bytes_per_second)),
        written: input.written,
        markers,
        freeze_ms: Some(freeze.total_ms()),
        freeze: Some(freeze),
        sampling: input.sampling,
        basis,
    }
}

fn per_second(rate: u64) -> String {
    bytes(i64::try_from(rate).unwrap_or(i64::MAX))
}

fn per_thousands(n: u64) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}

fn rate(input: &PlanInput) -> Rate {
    let assumed = limits::ASSUMED_BYTES_PER_SECOND;
    let (bytes_per_second, reason) = match (input.config.seed.rate_limit, input.source_bytes_per_second) {
        (Some(limit), Some(observed)) if limit < observed.min(assumed) => (limit.max(1), format!("seed.rate_limit; the source was read at {}/s", per_second(observed))),
        (Some(limit), None) if limit < assumed => (limit.max(1), "seed.rate_limit".to_owned()),
        (_, Some(observed)) if observed < assumed => (observed.max(1), "as the source was read for this plan".to_owned()),
        (_, Some(observed)) => (assumed, format!("assumed of the target and the store, which are not written to; the source was read at {}/s", per_second(observed))),
        (_, None) => (assumed, "assumed, not measured on these clusters".to_owned()),
    };
    Rate { bytes_per_second, reason }
}

/// What is written while the copy seeds, and what is written while that is copied, and so on: a geometric series. None where it never ends.
fn catch_up_seconds(seed_seconds: u64, written: u64, copied: u64) -> Option<u64> {
    let spare = copied.checked_sub(written).filter(|spare| *spare > 0)?;
    u64::try_from((u128::from(seed_seconds) * u128::from(written)).div_ceil(u128::from(spare))).ok()
}

/// From the freeze to the commit: the logs have to stand still, then come the sentinels, the drain and the groups' offsets.
fn freeze(input: &PlanInput, partitions: usize, rate: &Rate) -> FreezeEstimate {
    let last_second = input.written.map_or(0, |written| written.bytes_per_second());
    FreezeEstimate {
        settle_ms: input.config.cutover.freeze_settle_window_ms,
        steps_ms: limits::FREEZE_STEPS_MS,
        partitions_ms: partitions as u64 * limits::FREEZE_PARTITION_MS,
        drain_ms: last_second.saturating_mul(1000) / rate.bytes_per_second,
        groups_ms: input.source.groups.len() as u64 * limits::FREEZE_GROUP_MS,
    }
}

/// How long the seed will take, and the catching-up after it.
pub(crate) fn seed_in_words(e: &Estimate) -> String {
    let seed = format!("about {}", duration(e.seed_seconds));
    let Some(written) = &e.written else {
        return format!("{seed}; how fast producers write was not observed, so that the time to catch up with them is not in it");
    };
    let window = format!("as seen over {}.{} s", written.window_ms / 1000, written.window_ms % 1000 / 100);
    let mut rate = format!("{} records/s, {}/s", per_thousands(written.records_per_second()), per_second(written.bytes_per_second()));
    if written.unsized_records > 0 {
        rate.push_str(&format!(" (without the bytes of {} of {} records, whose size no sample tells)", per_thousands(written.unsized_records), per_thousands(written.records)));
    }
    match (written.records, e.catch_up_seconds) {
        (0, _) => format!("{seed}; producers wrote nothing, {window}"),
        (_, Some(seconds)) => format!("{seed}, then {} to catch up with producers at {rate}, {window}", duration(seconds)),
        (_, None) => format!("{seed}; then the copy does not catch up: producers write {rate}, {window}, which is faster than it is expected to be"),
    }
}

/// How long producers will wait, and what for; None in plans from before it was told.
pub(crate) fn freeze_in_words(e: &Estimate) -> Option<String> {
    let FreezeEstimate { settle_ms, steps_ms, partitions_ms, drain_ms, groups_ms } = e.freeze?;
    let drain = match e.written {
        Some(_) => format!("{drain_ms} ms drain"),
        None => "drain not estimated".to_owned(),
    };
    Some(format!(
        "about {}: {settle_ms} ms for the logs to stand still, {steps_ms} ms for the steps, {partitions_ms} ms for {}, {drain}, {groups_ms} ms for the groups' offsets; what stops your producers takes its own time besides",
        milliseconds(e.freeze_ms.unwrap_or(0)),
        count(e.partitions, "partition"),
    ))
}

/// A short time in the unit in which it is read; a long one in seconds.
pub(crate) fn milliseconds(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { duration(ms.div_ceil(1000)) }
}

/// How much was looked at.
pub(crate) fn sampling_in_words(sampling: &Sampling) -> String {
    let bounds = format!("at most {} and {} are read", per_second(sampling.bytes_max), duration(sampling.elapsed_ms_max / 1000));
    format!(
        "{} of {} partitions with records, at {} places, {} read{}",
        per_thousands(sampling.partitions),
        per_thousands(sampling.partitions_with_records),
        per_thousands(sampling.places),
        per_second(sampling.bytes),
        if sampling.cut_short { format!("; cut short, since {bounds}") } else { String::new() }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Written;

    fn with(written: Option<(u64, u64, u64)>, catch_up_seconds: Option<u64>) -> Estimate {
        let written = written.map(|(records, bytes, window_ms)| Written { records, bytes, unsized_records: 0, window_ms });
        Estimate { seed_seconds: 100, written, catch_up_seconds, ..Estimate::default() }
    }

    #[test]
    fn catching_up_takes_what_was_written_meanwhile_and_never_ends_behind_faster_producers() {
        assert_eq!(catch_up_seconds(100, 0, 10), Some(0));
        // Half as fast: 50 s for what came in 100, 25 s for what came in those, and so on.
        assert_eq!(catch_up_seconds(100, 5, 10), Some(100));
        assert_eq!(catch_up_seconds(100, 9, 10), Some(900));
        assert_eq!((catch_up_seconds(100, 10, 10), catch_up_seconds(100, 11, 10)), (None, None));
    }

    #[test]
    fn the_seeds_words_say_what_was_seen_of_producers() {
        assert!(seed_in_words(&with(None, None)).contains("was not observed"));
        assert_eq!(seed_in_words(&with(Some((0, 0, 1_250)), Some(0))), "about 1 min 40 s; producers wrote nothing, as seen over 1.2 s");
        assert_eq!(
            seed_in_words(&with(Some((3_000, 600_000, 1_500)), Some(7))),
            "about 1 min 40 s, then 7 s to catch up with producers at 2,000 records/s, 400.0 kB/s, as seen over 1.5 s"
        );
        assert!(seed_in_words(&with(Some((3_000, 600_000, 1_500)), None)).contains("does not catch up"));
    }

    #[test]
    fn the_freezes_parts_are_its_sum() {
        let freeze = FreezeEstimate { settle_ms: 500, steps_ms: 400, partitions_ms: 30, drain_ms: 2, groups_ms: 1 };
        let mut e = with(Some((1, 1, 1_000)), None);
        (e.freeze, e.freeze_ms, e.partitions) = (Some(freeze), Some(freeze.total_ms()), 15);
        let words = freeze_in_words(&e).unwrap();
        assert!(words.starts_with("about 933 ms: 500 ms for the logs to stand still, 400 ms for the steps, 30 ms for 15 partitions, 2 ms drain, 1 ms for the groups' offsets"), "{words}");
        e.written = None;
        assert!(freeze_in_words(&e).unwrap().contains("drain not estimated"));
        assert_eq!(freeze_in_words(&with(None, None)), None);
    }

    #[test]
    fn what_was_not_looked_at_is_told_with_the_bound() {
        let mut sampling = Sampling { partitions: 10, partitions_with_records: 10_000, places: 20, bytes: 1_000_000, bytes_max: 2_000_000, elapsed_ms_max: 60_000, ..Sampling::default() };
        assert_eq!(sampling_in_words(&sampling), "10 of 10,000 partitions with records, at 20 places, 1.0 MB read");
        sampling.cut_short = true;
        assert!(sampling_in_words(&sampling).ends_with("; cut short, since at most 2.0 MB and 1 min are read"));
    }
}
