//! What is open before a freeze has to end before it: a transaction that outlasts the freeze would make it a freeze in vain.
//!
//! A transaction that begins meanwhile is let be; its producer ends it like any other, or is stopped and found by the proof of the freeze.

use crate::config::Config;
use crate::domain::partition::TopicPartition;
use crate::domain::transaction::{OpenTransaction, Place};
use crate::driver::limits::{PARTITIONS_NAMED_MAX, TRANSACTIONS_LOOK_INTERVAL, TRANSACTIONS_TOLD_EVERY};
use crate::driver::open_transactions;
use crate::error::{Code, Error, Result};
use crate::kafka::source::Source;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Waits until every transaction has ended that is open now on these partitions.
///
/// **Errors**: KF-TRANSACTION-OPEN for one that has been open for longer than a freeze may last, or that hangs.
pub async fn ended(source: &Source, partitions: &[TopicPartition], config: &Config) -> Result<()> {
    let freeze_ms = config.cutover.max_producer_freeze_ms;
    let begun = Instant::now();
    let mut first = None::<BTreeSet<Place>>;
    let mut told = Instant::now();
    loop {
        let open = open_transactions::look(source, partitions).await?;
        let places = || open.iter().flat_map(|t| t.places.iter().cloned()).collect();
        let first = first.get_or_insert_with(places);
        let now_ms = Timestamp::now().as_millisecond();
        match judge(&open, first, now_ms, begun.elapsed(), freeze_ms) {
            Verdict::Clear => return Ok(()),
            Verdict::Refuse(lasting) => {
                let servers = config.source.bootstrap_servers.join(",");
                let named = |t: &&OpenTransaction| format!("{}; {}", t.describe(now_ms), t.remedy(now_ms, &servers));
                let list: Vec<String> = lasting.iter().take(PARTITIONS_NAMED_MAX).map(named).collect();
                let more = lasting.len().saturating_sub(PARTITIONS_NAMED_MAX);
                let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                let seen = format!("producers are not frozen, since the freeze of {freeze_ms} ms would be too short for: {}{more}", list.join("; "));
                return Err(Error::new(Code::TransactionOpen, seen));
            }
            Verdict::Wait(on) => {
                if told.elapsed() >= TRANSACTIONS_TOLD_EVERY {
                    let named = |t: &&OpenTransaction| t.describe(now_ms);
                    let list: Vec<String> = on.iter().take(PARTITIONS_NAMED_MAX).map(named).collect();
                    eprintln!("waiting, before producers are frozen, for the end of: {}", list.join("; "));
                    told = Instant::now();
                }
            }
        }
        tokio::time::sleep(TRANSACTIONS_LOOK_INTERVAL).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    Clear,
    Wait(Vec<&'a OpenTransaction>),
    Refuse(Vec<&'a OpenTransaction>),
}

/// Decides after so long a wait; `first` is where transactions were open at its beginning.
///
/// What a coordinator knows is refused as soon as it is too old. Of any other the age is not known, and a principal that may
/// not describe a transactional id sees it as nobody's: it is refused once it has been watched for as long as a freeze may last.
fn judge<'a>(open: &'a [OpenTransaction], first: &BTreeSet<Place>, now_ms: i64, waited: Duration, freeze_ms: u64) -> Verdict<'a> {
    let from_the_first = |t: &&OpenTransaction| t.places.iter().any(|p| first.contains(p));
    let watched = waited >= Duration::from_millis(freeze_ms);
    let lasting = |t: &&OpenTransaction| match t.age_ms(now_ms) {
        Some(_) => t.outlasts(now_ms, freeze_ms),
        None => watched && from_the_first(t),
    };
    let refused: Vec<&OpenTransaction> = open.iter().filter(lasting).collect();
    if !refused.is_empty() {
        return Verdict::Refuse(refused);
    }
    let awaited: Vec<&OpenTransaction> = open.iter().filter(from_the_first).collect();
    if awaited.is_empty() { Verdict::Clear } else { Verdict::Wait(awaited) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::transaction::sample;

    const FREEZE_MS: u64 = 30_000;

    fn first(open: &[OpenTransaction]) -> BTreeSet<Place> {
        open.iter().flat_map(|t| t.places.iter().cloned()).collect()
    }

    #[test]
    fn a_young_one_is_waited_for_and_an_old_one_refused_at_once() {
        let begun: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let open = [sample::listed("t", &begun)];
        // Ten seconds old at its first look.
        let at = |later_ms: i64| judge(&open, &first(&open), begun.as_millisecond() + later_ms, Duration::ZERO, FREEZE_MS);
        assert!(matches!(at(0), Verdict::Wait(on) if on.len() == 1));
        assert!(matches!(at(20_000), Verdict::Wait(_)));
        assert!(matches!(at(20_001), Verdict::Refuse(_)));
        assert_eq!(judge(&[], &first(&open), 0, Duration::ZERO, FREEZE_MS), Verdict::Clear);
    }

    #[test]
    fn one_that_began_meanwhile_is_let_be() {
        let begun: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let open = [sample::listed("t", &begun)];
        let earlier = BTreeSet::from([sample::place("t", 0, 4)]);
        assert_eq!(judge(&open, &earlier, begun.as_millisecond(), Duration::ZERO, FREEZE_MS), Verdict::Clear);
    }

    #[test]
    fn what_nobody_lists_is_refused_once_it_has_been_watched() {
        let open = [sample::unlisted("t")];
        let after = |ms| judge(&open, &first(&open), 0, Duration::from_millis(ms), FREEZE_MS);
        assert!(matches!(after(29_999), Verdict::Wait(_)));
        assert!(matches!(after(30_000), Verdict::Refuse(list) if list.len() == 1));
        assert_eq!(judge(&open, &BTreeSet::new(), 0, Duration::from_secs(60), FREEZE_MS), Verdict::Clear, "it began meanwhile");
    }
}
