//! The judge of compacted topics, of which two clusters keep the same truth in different records.

use std::collections::{BTreeMap, BTreeSet};

use super::agent::{Agent, Record};

type Place = (i32, i64);
type Key<'a> = (i32, &'a [u8]);

/// Where two sides of a compacted topic differ in more than how far each has been cleaned.
///
/// The latest value of every key is the same; a record that both have at an offset is the same in every field; a record that
/// only one has is one that cleaning takes away: its key has a later record, or it deletes its key.
pub fn differences_by_key(source: &[Record], target: &[Record]) -> Vec<String> {
    let mut differences = Vec::new();
    let (last_of_source, last_of_target) = (last(source), last(target));
    for key in last_of_source.keys().chain(last_of_target.keys()).collect::<BTreeSet<_>>() {
        let value = |side: &BTreeMap<Key<'_>, &Record>| side.get(key).and_then(|record| record.value.clone());
        if value(&last_of_source) != value(&last_of_target) {
            differences.push(format!("partition {}, key {}: the latest values differ", key.0, String::from_utf8_lossy(key.1)));
        }
    }
    let at = |side: &[Record]| -> BTreeMap<Place, String> { side.iter().map(|r| ((r.partition, r.offset), r.digest.clone())).collect() };
    let (at_source, at_target) = (at(source), at(target));
    for record in source {
        let place = (record.partition, record.offset);
        if at_target.get(&place).is_some_and(|digest| *digest != record.digest) {
            differences.push(format!("{place:?}: the records differ"));
        }
    }
    for (side, records, other) in [("source", source, &at_target), ("target", target, &at_source)] {
        for record in records.iter().filter(|r| !other.contains_key(&(r.partition, r.offset))) {
            let later = |last: &BTreeMap<Key<'_>, &Record>| key(record).and_then(|k| last.get(&k)).is_some_and(|r| r.offset > record.offset);
            let deletes = record.key.is_some() && record.value.is_none();
            if !deletes && !later(&last_of_source) && !later(&last_of_target) {
                differences.push(format!("({}, {}): only at the {side}, though nothing supersedes it", record.partition, record.offset));
            }
        }
    }
    differences
}

fn key(record: &Record) -> Option<Key<'_>> {
    Some((record.partition, record.key.as_deref()?))
}

fn last(records: &[Record]) -> BTreeMap<Key<'_>, &Record> {
    let mut last: BTreeMap<Key<'_>, &Record> = BTreeMap::new();
    for record in records {
        let Some(key) = key(record) else { continue };
        if last.get(&key).is_none_or(|before| before.offset < record.offset) {
            last.insert(key, record);
        }
    }
    last
}

impl Agent {
    /// Panics unless every key has the same latest value on both sides, wherever it lies.
    #[track_caller]
    pub fn expect_same_latest<S: AsRef<str>>(&self, source: &str, target: &str, topics: &[S]) {
        for topic in topics.iter().map(S::as_ref) {
            let sides = [source, target].map(|side| self.read(side, topic, true));
            // A key whose record deletes it may be gone.
            let latest = |records| -> BTreeMap<(i32, Vec<u8>), Vec<u8>> {
                last(records).into_iter().filter_map(|((partition, key), record)| Some(((partition, key.to_vec()), record.value.clone()?))).collect()
            };
            let [of_source, of_target] = [latest(&sides[0]), latest(&sides[1])];
            assert!(!of_source.is_empty() && of_source == of_target, "{topic}: {} and {} keys", of_source.len(), of_target.len());
        }
    }

    /// Panics unless both clusters hold the same in these compacted topics, and their logs end at the same offsets.
    #[track_caller]
    pub fn expect_same_by_key<S: AsRef<str>>(&self, source: &str, target: &str, topics: &[S]) {
        let (of_source, of_target) = (self.offsets(source), self.offsets(target));
        for topic in topics.iter().map(S::as_ref) {
            let ends = |all: &BTreeMap<(String, i32), super::Span>| -> BTreeMap<i32, i64> {
                all.iter().filter(|((name, _), _)| name == topic).map(|((_, partition), span)| (*partition, span.log_end)).collect()
            };
            assert_eq!(ends(&of_source), ends(&of_target), "{topic}: the ends of the logs");
            for read_committed in [false, true] {
                let differences = differences_by_key(&self.read(source, topic, read_committed), &self.read(target, topic, read_committed));
                assert!(differences.is_empty(), "{topic}, read_committed {read_committed}: {differences:#?}");
            }
        }
    }
}
