//! Tells the drift of a compacted topic from damage, by key: what lies on one side alone is fine only where the other side has a later record of
//! the same key, or cleaning explains that it has none.
//!
//! Both logs are read side by side in the order of their offsets. Only what still waits for a later record is remembered, so memory follows the
//! difference between the two logs and not their size. That each key's latest value is equal follows: were it not, its latest record would differ, or lie
//! on one side alone with nothing later of its key on the other.

use super::report::{CheckResult, Outcome};
use crate::domain::digest::Digest;
use crate::domain::partition::TopicPartition;
use crate::domain::planning::{count, grouped};
use std::collections::HashMap;

/// Keys of one partition that may wait for a later record: some 100 MB.
pub const WAITING_KEYS_MAX: usize = 1_000_000;

/// Bytes of one partition that are read of either log.
pub const PARTITION_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Places of one partition that are named.
const NAMED_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Target,
}

/// Bytes of a key's digest that are kept: enough for any number of keys.
pub type KeyDigest = [u8; 16];

/// One record that a `read_committed` consumer sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    /// None is a record without a key, which cleaning drops.
    pub key: Option<KeyDigest>,
    /// Over offset, time, key, value and headers.
    pub digest: Digest,
    pub tombstone: bool,
    /// A tombstone whose batch says since when cleaning may drop it, and that time has come (KIP-534).
    pub horizon_passed: bool,
}

/// What decides whether cleaning can have removed something from the target, where it begins with the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetCleaning {
    /// The topic's `delete.retention.ms` has passed since the commit.
    pub tombstones_expire: bool,
    /// Clients have written to the partition since the commit.
    pub written_since: bool,
}

/// A key whose latest record so far lies on one side alone.
#[derive(Clone, Debug)]
struct Waiting {
    side: Side,
    /// The latest such record.
    offset: i64,
    records: u64,
    tombstone: bool,
    horizon_passed: bool,
}

/// What became of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyDrift {
    pub partition: Option<TopicPartition>,
    /// Records on both sides, equal.
    pub equal: u64,
    /// Records on one side alone of which the other has a later one.
    pub superseded_on_source: u64,
    pub superseded_on_target: u64,
    /// Keys whose last record is a tombstone that one side has dropped by now, with what it had deleted.
    pub tombstones: u64,
    /// Records without a key on one side alone.
    pub keyless: u64,
    /// What cleaning does not explain, at most so many by name.
    pub damaged: u64,
    pub damage: Vec<String>,
    /// Records on the source alone of keys that clients may have deleted on the target since.
    pub undecided: u64,
    /// Why not all of it was compared; None where all was.
    pub not_covered: Option<String>,
}

/// Compares one partition, record by record.
pub struct Comparing {
    drift: KeyDrift,
    waiting: HashMap<KeyDigest, Waiting>,
    waiting_max: usize,
}

impl Comparing {
    pub fn new(partition: TopicPartition) -> Self {
        Self { drift: KeyDrift { partition: Some(partition), ..KeyDrift::default() }, waiting: HashMap::new(), waiting_max: WAITING_KEYS_MAX }
    }

    /// Whether something waits for a later record of its key.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether more keys wait than may be remembered.
    pub fn is_full(&self) -> bool {
        self.waiting.len() > self.waiting_max
    }

    /// Both sides have a record at the same offset.
    pub fn both(&mut self, source: &Seen, target: &Seen) {
        match source.digest == target.digest {
            true => self.drift.equal += 1,
            false => self.damaged(source.offset, "the records on both sides differ"),
        }
        self.later(Side::Source, source);
        self.later(Side::Target, target);
    }

    /// A record of one side of which the other has nothing at this offset.
    pub fn alone(&mut self, side: Side, seen: &Seen) {
        let Some(key) = seen.key else {
            self.drift.keyless += 1;
            return;
        };
        self.later(side, seen);
        let waiting = self.waiting.entry(key).or_insert(Waiting { side, offset: seen.offset, records: 0, tombstone: false, horizon_passed: false });
        (waiting.offset, waiting.tombstone, waiting.horizon_passed) = (seen.offset, seen.tombstone, seen.horizon_passed);
        waiting.records += 1;
    }

    /// A record that only says that its side has something later of its key: what the other side had alone before is superseded.
    pub fn later(&mut self, side: Side, seen: &Seen) {
        let Some(key) = seen.key.filter(|_| !self.waiting.is_empty()) else { return };
        if self.waiting.get(&key).is_none_or(|waiting| waiting.side == side) {
            return;
        }
        if let Some(waiting) = self.waiting.remove(&key) {
            match waiting.side {
                // It lay on the target alone: the source has dropped it.
                Side::Target => self.drift.superseded_on_source += waiting.records,
                Side::Source => self.drift.superseded_on_target += waiting.records,
            }
        }
    }

    fn damaged(&mut self, offset: i64, what: &str) {
        self.drift.damaged += 1;
        if self.drift.damage.len() < NAMED_MAX
            && let Some(partition) = &self.drift.partition
        {
            self.drift.damage.push(format!("{partition} at {offset}: {what}"));
        }
    }

    /// Judges what still waits. Both logs start at `log_start` by now at the latest: what lies below has expired.
    pub fn end(mut self, log_start: i64, cleaning: TargetCleaning, not_covered: Option<String>) -> KeyDrift {
        let mut waiting: Vec<Waiting> = self.waiting.drain().map(|(_, waiting)| waiting).filter(|waiting| waiting.offset >= log_start).collect();
        waiting.sort_by_key(|waiting| waiting.offset);
        // Of what was not read to its end, nothing that waits can be judged.
        let judged = if not_covered.is_some() { Vec::new() } else { waiting };
        for Waiting { side, offset, records, tombstone, horizon_passed } in judged {
            match side {
                // Its key was deleted, and the source has dropped the tombstone too.
                Side::Target if tombstone => self.drift.tombstones += 1,
                Side::Target => self.damaged(offset, "the target has a record, and the source has nothing later of its key"),
                Side::Source if tombstone && (horizon_passed || cleaning.tombstones_expire) => self.drift.tombstones += 1,
                // A client may have deleted the key, and that tombstone may be gone as well.
                Side::Source if cleaning.written_since && cleaning.tombstones_expire => self.drift.undecided += records,
                Side::Source => self.damaged(offset, "the source has a record, and the target has neither that nor anything later of its key"),
            }
        }
        self.drift.not_covered = not_covered;
        self.drift
    }
}

/// Adds what the comparison by key has found to the check that stands for all records.
///
/// Damage fails it; what could not be compared or decided is a warning that says so.
pub fn added_to(mut check: CheckResult, partitions: &[KeyDrift]) -> CheckResult {
    if partitions.is_empty() {
        return check;
    }
    let sum = |number: fn(&KeyDrift) -> u64| partitions.iter().map(number).sum::<u64>();
    let (equal, damaged, undecided) = (sum(|p| p.equal), sum(|p| p.damaged), sum(|p| p.undecided));
    let shown = |n: u64| grouped(i64::try_from(n).unwrap_or(i64::MAX));
    let mut parts = vec![format!("by key in {}: {} records on both sides are equal", count(partitions.len(), "compacted partition"), shown(equal))];
    let drift = [
        (sum(|p| p.superseded_on_source), "that only the target still has are superseded on the source"),
        (sum(|p| p.superseded_on_target), "that only the source still has are superseded on the target"),
        (sum(|p| p.tombstones), "deleted keys have lost their tombstone on one side"),
        (sum(|p| p.keyless), "without a key were cleaned away on one side"),
        (damaged, "are missing or differ where cleaning does not explain it"),
        (undecided, "of the source may have been deleted by clients of the target, which cannot be told any more"),
    ];
    parts.extend(drift.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", shown(n))));
    let uncovered: Vec<String> = partitions.iter().filter_map(|p| Some(format!("{}: not compared by key to the end: {}", p.partition.as_ref()?, p.not_covered.as_ref()?))).collect();
    if !uncovered.is_empty() {
        parts.push(format!("{} not compared by key to the end", count(uncovered.len(), "partition")));
    }
    let found = match (damaged, undecided == 0 && uncovered.is_empty()) {
        (0, true) => Outcome::Passed,
        (0, false) => Outcome::Warning,
        _ => Outcome::Failed,
    };
    // What was not compared by digest or sample either stays what it is.
    let outcome = check.outcome.max(found);
    let mut details: Vec<String> = partitions.iter().flat_map(|p| p.damage.clone()).chain(uncovered).collect();
    details.append(&mut check.details);
    let reason = format!("{}; {}", check.reason, parts.join(", "));
    CheckResult::new(&check.check, outcome, reason, check.compared + equal + damaged, check.differing + damaged, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: TargetCleaning = TargetCleaning { tombstones_expire: false, written_since: true };
    const LONG_AGO: TargetCleaning = TargetCleaning { tombstones_expire: true, written_since: true };

    fn seen(offset: i64, key: u8) -> Seen {
        Seen { offset, key: Some([key; 16]), digest: Digest::of([key, offset as u8]), tombstone: false, horizon_passed: false }
    }

    fn tombstone(offset: i64, key: u8) -> Seen {
        Seen { tombstone: true, ..seen(offset, key) }
    }

    /// Both logs in the order of their offsets, by the driver's own rule.
    fn compared(source: &[Seen], target: &[Seen], cleaning: TargetCleaning) -> KeyDrift {
        let mut comparing = Comparing::new(TopicPartition::new("t", 0));
        for offset in 0..100 {
            let at = |log: &[Seen]| log.iter().find(|seen| seen.offset == offset).cloned();
            match (at(source), at(target)) {
                (Some(source), Some(target)) => comparing.both(&source, &target),
                (Some(source), None) => comparing.alone(Side::Source, &source),
                (None, Some(target)) => comparing.alone(Side::Target, &target),
                (None, None) => {}
            }
        }
        comparing.end(0, cleaning, None)
    }

    #[test]
    fn what_a_later_record_of_its_key_explains_is_drift() {
        let drift = compared(&[seen(1, 1), seen(5, 2)], &[seen(0, 1), seen(1, 1), seen(2, 2), seen(3, 2), seen(5, 2)], HELD);
        assert_eq!((drift.equal, drift.superseded_on_source, drift.damaged), (2, 3, 0), "{drift:?}");
        let drift = compared(&[seen(0, 1), seen(1, 1), seen(2, 1)], &[seen(2, 1)], HELD);
        assert_eq!((drift.equal, drift.superseded_on_target, drift.damaged), (1, 2, 0), "{drift:?}");
        // Each side has dropped what it knew to be superseded.
        let drift = compared(&[seen(0, 1), seen(9, 1)], &[seen(4, 1), seen(9, 1)], HELD);
        assert_eq!((drift.superseded_on_source, drift.superseded_on_target, drift.damaged), (1, 1, 0), "{drift:?}");
    }

    #[test]
    fn what_nothing_explains_is_damage_with_its_place() {
        let cases: [(&[Seen], &[Seen], &str); 4] = [
            (&[seen(0, 1), seen(7, 2)], &[seen(0, 1)], "t-0 at 7: the source has a record"),
            (&[seen(0, 1)], &[seen(0, 1), seen(7, 2)], "t-0 at 7: the target has a record"),
            // An earlier one of the same key is no explanation.
            (&[seen(0, 2), seen(7, 2)], &[seen(0, 2)], "t-0 at 7: the source has a record"),
            (&[seen(7, 2)], &[Seen { digest: Digest::of(b"other"), ..seen(7, 2) }], "t-0 at 7: the records on both sides differ"),
        ];
        for (source, target, line) in cases {
            let drift = compared(source, target, HELD);
            assert_eq!(drift.damaged, 1, "{drift:?}");
            assert!(drift.damage[0].starts_with(line), "{drift:?}");
        }
    }

    #[test]
    fn tombstones_go_in_the_end_and_records_without_a_key_at_once() {
        let deleted = [seen(0, 1), tombstone(1, 1)];
        let drift = compared(&[], &deleted, HELD);
        assert_eq!((drift.tombstones, drift.damaged), (1, 0), "the source has dropped it: {drift:?}");
        assert_eq!(compared(&deleted, &[], HELD).damaged, 1, "the target may not have dropped it yet");
        assert_eq!(compared(&deleted, &[], LONG_AGO).tombstones, 1);
        let due = [seen(0, 1), Seen { horizon_passed: true, ..tombstone(1, 1) }];
        assert_eq!(compared(&due, &[], HELD).tombstones, 1);
        let keyless = [Seen { key: None, ..seen(3, 1) }];
        assert_eq!((compared(&keyless, &[], HELD).keyless, compared(&[], &keyless, HELD).keyless), (1, 1));
    }

    #[test]
    fn what_clients_may_have_deleted_is_not_decided() {
        let drift = compared(&[seen(3, 1), seen(4, 1)], &[], LONG_AGO);
        assert_eq!((drift.undecided, drift.damaged), (2, 0));
        let drift = compared(&[seen(3, 1)], &[], TargetCleaning { written_since: false, ..LONG_AGO });
        assert_eq!((drift.undecided, drift.damaged), (0, 1), "nobody else has written");
        assert_eq!(compared(&[], &[seen(3, 1)], LONG_AGO).damaged, 1, "clients of the target add nothing below the cutover's end");
    }

    #[test]
    fn what_expired_or_was_not_read_is_not_judged() {
        let begin = || {
            let mut comparing = Comparing::new(TopicPartition::new("t", 0));
            comparing.alone(Side::Target, &seen(3, 1));
            comparing
        };
        assert_eq!(begin().end(4, HELD, None).damaged, 0);
        assert_eq!(begin().end(3, HELD, None).damaged, 1);
        assert_eq!(begin().end(0, HELD, Some("too many".into())).damaged, 0);
        let mut comparing = Comparing { waiting_max: 2, ..begin() };
        comparing.alone(Side::Source, &seen(5, 2));
        assert!(!comparing.is_full());
        comparing.alone(Side::Source, &seen(6, 3));
        assert!(comparing.is_full());
    }

    #[test]
    fn the_check_says_it_with_numbers() {
        let passed = || CheckResult::new("spot_check_records", Outcome::Passed, "7 samples".into(), 7, 0, vec![]);
        assert_eq!(added_to(passed(), &[]), passed());
        let drift = compared(&[seen(1, 1)], &[seen(0, 1), seen(1, 1)], HELD);
        let check = added_to(passed(), std::slice::from_ref(&drift));
        assert_eq!((check.outcome, check.compared, check.differing), (Outcome::Passed, 8, 0));
        assert_eq!(check.reason, "7 samples; by key in 1 compacted partition: 1 records on both sides are equal, 1 that only the target still has are superseded on the source");
        let damage = compared(&[seen(7, 1)], &[], HELD);
        let check = added_to(passed(), &[drift.clone(), damage]);
        assert_eq!((check.outcome, check.differing), (Outcome::Failed, 1));
        assert_eq!(check.details, ["t-0 at 7: the source has a record, and the target has neither that nor anything later of its key"]);
        let cut = KeyDrift { not_covered: Some("17 GB".into()), ..drift };
        let check = added_to(passed(), &[cut]);
        assert_eq!((check.outcome, check.details), (Outcome::Warning, vec!["t-0: not compared by key to the end: 17 GB".to_owned()]));
        let undecided = compared(&[seen(7, 1)], &[], LONG_AGO);
        assert_eq!(added_to(passed(), &[undecided]).outcome, Outcome::Warning);
        let not_run = CheckResult::new("spot_check_records", Outcome::NotRun, "no".into(), 0, 0, vec![]);
        assert_eq!(added_to(not_run, &[compared(&[], &[], HELD)]).outcome, Outcome::NotRun);
    }
}
