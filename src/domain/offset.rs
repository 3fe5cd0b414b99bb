//! Offsets of the two logs, which meet only in the offset map.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! offset {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

offset!(SourceOffset, "An offset in the source's log.");
offset!(TargetOffset, "An offset in the target's log.");

/// One run of records that keep their distance: `source_base + i` is `target_base + i` for `i` in `0..count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub source_base: SourceOffset,
    pub target_base: TargetOffset,
    pub count: i64,
}

/// Where a run begins: from there on source and target keep this distance, until the next mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub source: SourceOffset,
    pub target: TargetOffset,
}

/// Why marks do not make a map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    #[error("the run from {0:?} does not follow the one before it: both offsets ascend, and the source leaves out at least nothing")]
    OutOfOrder(Mark),
    #[error("the encoded runs cannot be read: {0}")]
    Malformed(&'static str),
}

/// Translates one partition's offsets by runs. Identity is one run.
///
/// The last run has no end of its own: it goes on as far as the log does. Memory grows with runs, not with records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetMap {
    /// Ascending in both offsets and without overlap; adjoining in the target's.
    runs: Vec<Run>,
}

impl OffsetMap {
    /// The map of a copy that keeps offsets, over the source's `log_start..log_end`.
    pub fn identity(log_start: SourceOffset, log_end: SourceOffset) -> Self {
        Self {
            runs: vec![Run {
                source_base: log_start,
                target_base: TargetOffset(log_start.0),
                count: (log_end.0 - log_start.0).max(0),
            }],
        }
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether a run may begin there.
    pub fn takes(&self, mark: Mark) -> bool {
        self.kept_before(mark).is_ok()
    }

    /// How many runs stay when one begins there.
    fn kept_before(&self, mark: Mark) -> Result<usize, MapError> {
        // The first stays: it says where the source's log began.
        let from_the_first = self.runs.first().is_some_and(|first| first.target_base == mark.target);
        let kept = self.runs.partition_point(|run| run.target_base < mark.target).max(usize::from(from_the_first));
        match self.runs[..kept].last() {
            Some(last) if mark.source.0 - last.source_base.0 < mark.target.0 - last.target_base.0 => Err(MapError::OutOfOrder(mark)),
            Some(_) | None => Ok(kept),
        }
    }

    /// Notes that a run begins. What was noted of the target's offsets from there on is superseded: it was never produced.
    ///
    /// **Errors:** a mark that does not follow what remains before it.
    pub fn mark(&mut self, mark: Mark) -> Result<(), MapError> {
        let kept = self.kept_before(mark)?;
        self.runs.truncate(kept);
        if let Some(last) = self.runs.last_mut() {
            if last.source_base == mark.source {
                return Ok(());
            }
            last.count = mark.target.0 - last.target_base.0;
        }
        self.runs.push(Run { source_base: mark.source, target_base: mark.target, count: 0 });
        Ok(())
    }

    /// Forgets the runs that begin beyond the target's log end: they were noted and never produced.
    pub fn truncate(&mut self, target_end: TargetOffset) {
        let kept = self.runs.partition_point(|run| run.target_base <= target_end);
        if kept < self.runs.len() {
            self.runs.truncate(kept);
            self.runs.iter_mut().last().into_iter().for_each(|last| last.count = 0);
        }
    }

    /// The map of a log that ends there: its last run ends too.
    pub fn closed(&self, target_end: TargetOffset) -> Self {
        let mut closed = self.clone();
        closed.truncate(target_end);
        if let Some(last) = closed.runs.last_mut() {
            last.count = target_end.0 - last.target_base.0;
        }
        closed
    }

    /// Translates a committed offset, that is the offset of the next record to read.
    ///
    /// A commit in a hole goes to the next surviving record, one at the end to the end. What lies before the first run or beyond the last keeps
    /// its distance to it, so that `auto.offset.reset` acts on the target as on the source; but nothing lies below 0, where a target that begins
    /// there has its first record.
    pub fn translate(&self, committed: SourceOffset) -> TargetOffset {
        let Some(first) = self.runs.first() else { return TargetOffset(committed.0) };
        if committed < first.source_base {
            let kept = first.target_base.0 - (first.source_base.0 - committed.0);
            return TargetOffset(kept.max(0));
        }
        let index = self.runs.partition_point(|r| r.source_base <= committed) - 1;
        let run = self.runs[index];
        let distance = committed.0 - run.source_base.0;
        match self.runs.get(index + 1) {
            Some(next) if distance >= run.count => next.target_base,
            _ => TargetOffset(run.target_base.0 + distance),
        }
    }

    /// The source's offset of the target's record, or of the next one at the target's end.
    pub fn invert(&self, target: TargetOffset) -> SourceOffset {
        match self.runs[..self.runs.partition_point(|r| r.target_base <= target)].last().or(self.runs.first()) {
            None => SourceOffset(target.0),
            Some(run) => SourceOffset(run.source_base.0 + (target.0 - run.target_base.0)),
        }
    }
}

/// Writes marks as they stand in the journal: the first by its two offsets, each further one by the target's records since the one before
/// it and the source's offsets without a record there; all as LEB128, in base64. Marks ascend in both offsets.
///
/// **Errors:** marks that do not ascend, or that are not offsets.
pub fn encode_marks(marks: &[Mark]) -> Result<String, MapError> {
    let mut bytes = Vec::with_capacity(4 * marks.len() + 16);
    let mut before: Option<Mark> = None;
    for mark in marks {
        let (first, second) = match before {
            None => (mark.source.0, mark.target.0),
            Some(before) => {
                let count = mark.target.0 - before.target.0;
                (count, mark.source.0 - before.source.0 - count)
            }
        };
        if first < 0 || second < 0 {
            return Err(MapError::OutOfOrder(*mark));
        }
        write_varint(&mut bytes, first.unsigned_abs());
        write_varint(&mut bytes, second.unsigned_abs());
        before = Some(*mark);
    }
    Ok(STANDARD_NO_PAD.encode(bytes))
}

/// Reads what [`encode_marks`] has written.
///
/// **Errors:** anything else.
pub fn decode_marks(text: &str) -> Result<Vec<Mark>, MapError> {
    let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| MapError::Malformed("not base64"))?;
    let mut rest = &bytes[..];
    let mut marks: Vec<Mark> = Vec::new();
    while !rest.is_empty() {
        let (first, second) = (read_varint(&mut rest)?, read_varint(&mut rest)?);
        let added = |to: i64, offsets: i64| to.checked_add(offsets).ok_or(MapError::Malformed("offsets beyond 63 bits"));
        let mark = match marks.last() {
            None => Mark { source: SourceOffset(first), target: TargetOffset(second) },
            Some(before) => {
                Mark { source: SourceOffset(added(added(before.source.0, first)?, second)?), target: TargetOffset(added(before.target.0, first)?) }
            }
        };
        marks.push(mark);
    }
    Ok(marks)
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> Result<i64, MapError> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(MapError::Malformed("cut short"))?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return i64::try_from(value).map_err(|_| MapError::Malformed("offsets beyond 63 bits"));
        }
    }
    Err(MapError::Malformed("offsets beyond 63 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identity_keeps_every_offset_also_outside_the_log() {
        let map = OffsetMap::identity(SourceOffset(100), SourceOffset(200));
        for offset in [0, 99, 100, 150, 200, 250] {
            assert_eq!(map.translate(SourceOffset(offset)), TargetOffset(offset));
            assert_eq!(map.invert(TargetOffset(offset)), SourceOffset(offset));
        }
    }

    fn at(source: i64, target: i64) -> Mark {
        Mark { source: SourceOffset(source), target: TargetOffset(target) }
    }

    fn map(marks: &[Mark]) -> OffsetMap {
        let mut map = OffsetMap::default();
        marks.iter().for_each(|mark| map.mark(*mark).unwrap());
        map
    }

    #[test]
    fn a_run_that_was_never_produced_is_superseded() {
        let mut seen = map(&[at(100, 0), at(150, 40), at(170, 55)]);
        seen.mark(at(160, 45)).unwrap();
        assert_eq!(seen, map(&[at(100, 0), at(150, 40), at(160, 45)]));
        seen.truncate(TargetOffset(44));
        assert_eq!(seen, map(&[at(100, 0), at(150, 40)]));
        assert_eq!(seen.mark(at(151, 42)), Err(MapError::OutOfOrder(at(151, 42))), "two records cannot come from one offset");
        assert_eq!(seen.closed(TargetOffset(50)).runs().last().unwrap().count, 10);
    }

    #[test]
    fn before_the_first_record_nothing_is_below_zero() {
        let seen = map(&[at(100, 0), at(120, 10)]);
        assert_eq!(seen.translate(SourceOffset(30)), TargetOffset(0));
        assert_eq!([90, 30].map(|offset| map(&[at(100, 60)]).translate(SourceOffset(offset)).0), [50, 0]);
    }

    #[test]
    fn what_was_not_written_by_us_is_refused() {
        assert_eq!(decode_marks("*"), Err(MapError::Malformed("not base64")));
        let cut = STANDARD_NO_PAD.encode([5, 0x80]);
        assert_eq!(decode_marks(&cut), Err(MapError::Malformed("cut short")));
        let large = STANDARD_NO_PAD.encode([0xff; 12]);
        assert_eq!(decode_marks(&large), Err(MapError::Malformed("offsets beyond 63 bits")));
        assert!(encode_marks(&[at(5, 5), at(6, 8)]).is_err() && encode_marks(&[at(-1, 0)]).is_err());
    }

    /// A source's log: from its start on, which offsets carry a record that is copied.
    fn logs() -> impl Strategy<Value = (i64, Vec<bool>)> {
        (0i64..200, prop::collection::vec(prop::bool::weighted(0.7), 0..120))
    }

    /// The map as the copy makes it, and the source's offset of each target record.
    fn copied(log_start: i64, log: &[bool], target_start: i64) -> (OffsetMap, Vec<i64>) {
        let (mut map, mut records) = (map(&[at(log_start, target_start)]), Vec::new());
        for (index, carries) in log.iter().enumerate() {
            let (source, target) = (log_start + index as i64, target_start + records.len() as i64);
            if *carries {
                if map.translate(SourceOffset(source)) != TargetOffset(target) {
                    map.mark(at(source, target)).unwrap();
                }
                records.push(source);
            }
        }
        map.mark(at(log_start + log.len() as i64, target_start + records.len() as i64)).unwrap();
        (map, records)
    }

    proptest! {
        /// Each committed offset goes to the first record that is not below it: nothing that was not read is skipped, nothing that was read comes again.
        #[test]
        fn commits_go_to_the_next_record((log_start, log) in logs(), target_start in 0i64..50) {
            let (map, records) = copied(log_start, &log, target_start);
            for committed in log_start..=log_start + log.len() as i64 {
                let next = records.iter().position(|source| *source >= committed).unwrap_or(records.len()) as i64;
                prop_assert_eq!(map.translate(SourceOffset(committed)), TargetOffset(target_start + next), "committed {}", committed);
            }
            for (index, source) in records.iter().enumerate() {
                prop_assert_eq!(map.invert(TargetOffset(target_start + index as i64)), SourceOffset(*source));
            }
            prop_assert_eq!(map.translate(SourceOffset(log_start + log.len() as i64 + 7)), TargetOffset(target_start + records.len() as i64 + 7));
            let total: i64 = map.closed(TargetOffset(target_start + records.len() as i64)).runs().iter().map(|run| run.count).sum();
            prop_assert_eq!(total, records.len() as i64);
            prop_assert!(map.runs().len() <= 2 + log.windows(2).filter(|pair| pair[0] != pair[1]).count(), "memory goes by runs");
        }

        #[test]
        fn translation_is_monotone((log_start, log) in logs(), a in 0i64..500, b in 0i64..500) {
            let (map, _) = copied(log_start, &log, 3);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(map.translate(SourceOffset(low)) <= map.translate(SourceOffset(high)));
        }

        #[test]
        fn marks_are_read_as_they_were_written((log_start, log) in logs(), target_start in 0i64..1 << 40) {
            let (map, _) = copied(log_start, &log, target_start);
            let marks: Vec<Mark> = map.runs().iter().map(|run| Mark { source: run.source_base, target: run.target_base }).collect();
            let text = encode_marks(&marks).unwrap();
            prop_assert_eq!(decode_marks(&text).unwrap(), marks);
        }
    }
}
