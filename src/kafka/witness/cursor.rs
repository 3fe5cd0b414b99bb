//! Which offsets of one partition are read next: pure, so that it can be tried without a broker.

use crate::domain::offset::{OffsetMap, TargetOffset};
use crate::kafka::limits::WITNESS_SKIP_RECORDS_MAX;
use std::ops::Range;

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    ReadOn,
    StartAt(i64),
    Done,
}

/// Goes through the places of one partition where a record is wanted: at each, the first record from there on.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Ascending, within the range; the last is the range's last offset.
    places: Vec<i64>,
    /// Index of the place that is looked for.
    next: usize,
    end: i64,
    kept: Vec<i64>,
    expired: u64,
    /// Set once the last places turn out to carry no record: the last record before them is looked for.
    tail: Option<Tail>,
}

/// A search backwards, in windows that double: `probe..upper` is read, and from `upper` on nothing is there.
#[derive(Clone, Copy, Debug)]
struct Tail {
    lower: i64,
    upper: i64,
    width: i64,
    found: Option<i64>,
}

impl Tail {
    fn probe(&self) -> i64 {
        (self.upper - self.width).max(self.lower)
    }
}

impl Cursor {
    pub fn new(range: Range<i64>, records: usize, map: Option<&OffsetMap>) -> Self {
        let here = |place: i64| map.map_or(place, |map| map.invert(TargetOffset(place)).0);
        let places: Vec<i64> = places(&range, records).into_iter().map(here).collect();
        let end = places.last().map_or(range.end, |last| last + 1);
        Self { places, next: 0, end, kept: Vec::new(), expired: 0, tail: None }
    }

    /// Where to begin; none where nothing is wanted.
    pub fn start(&self) -> Option<i64> {
        self.places.first().copied()
    }

    /// Whether the record is wanted, and how to go on.
    pub fn on_record(&mut self, offset: i64) -> (bool, Then) {
        if let Some(tail) = &mut self.tail {
            if offset < tail.probe() {
                return (false, Then::ReadOn);
            }
            if offset >= tail.upper {
                return (false, self.on_end());
            }
            tail.found = Some(offset);
            let then = if offset + 1 == tail.upper { self.on_end() } else { Then::ReadOn };
            return (true, then);
        }
        if offset >= self.end {
            return (false, self.on_end());
        }
        match self.places.get(self.next) {
            Some(place) if offset < *place => return (false, Then::ReadOn),
            Some(_) => {}
            None => return (false, Then::Done),
        }
        self.kept.push(offset);
        self.next += self.places[self.next..].partition_point(|place| *place <= offset);
        let then = match self.places.get(self.next) {
            Some(place) if place - offset <= WITNESS_SKIP_RECORDS_MAX => Then::ReadOn,
            Some(place) => Then::StartAt(*place),
            None => Then::Done,
        };
        (true, then)
    }

    /// The log has no record from the present place on.
    pub fn on_end(&mut self) -> Then {
        match &mut self.tail {
            None => {
                let Some(place) = self.places.get(self.next) else { return Then::Done };
                let lower = self.kept.last().map_or(self.places[0], |last| last + 1);
                self.tail = Some(Tail { lower, upper: *place, width: 1, found: None });
            }
            Some(Tail { found: Some(offset), .. }) => {
                self.kept.push(*offset);
                return Then::Done;
            }
            Some(tail) => {
                tail.upper = tail.probe();
                tail.width *= 2;
            }
        }
        match self.tail {
            Some(tail) if tail.lower < tail.upper => Then::StartAt(tail.probe()),
            _ => Then::Done,
        }
    }

    /// The log does not hold the place that was asked for: it starts later by now, or it ends before it.
    pub fn on_out_of_range(&mut self, log_start: i64) -> Then {
        if let Some(tail) = &mut self.tail {
            tail.lower = tail.lower.max(log_start);
            return if tail.probe() < tail.upper { Then::StartAt(tail.probe()) } else { Then::Done };
        }
        let gone = self.places[self.next..].partition_point(|place| *place < log_start);
        if gone == 0 {
            return self.on_end();
        }
        self.expired += gone as u64;
        self.next += gone;
        self.places.get(self.next).map_or(Then::Done, |place| Then::StartAt(*place))
    }

    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Whether a record that was handed over belongs to the sample: of a search backwards only the last does.
    pub fn keeps(&self, offset: i64) -> bool {
        self.kept.contains(&offset)
    }
}

/// The first offset, the last one, and the others evenly between them; all where there are no more than wanted.
fn places(range: &Range<i64>, records: usize) -> Vec<i64> {
    let span = range.end.saturating_sub(range.start);
    if span <= 0 || records == 0 {
        return Vec::new();
    }
    let wanted = i64::try_from(records).unwrap_or(i64::MAX).min(span);
    if wanted == 1 {
        return vec![range.end - 1];
    }
    let step = |n: i64| (i128::from(span - 1) * i128::from(n) / i128::from(wanted - 1)) as i64;
    (0..wanted).map(|n| range.start + step(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a log that has records at these offsets, and answers those that the sample holds and how many were delivered.
    fn read(log: &[i64], log_start: i64, range: Range<i64>, records: usize) -> (Vec<i64>, usize, u64) {
        let mut cursor = Cursor::new(range, records, None);
        let (mut handed, mut delivered) = (Vec::new(), 0);
        let Some(mut at) = cursor.start() else { return (Vec::new(), 0, 0) };
        for _ in 0..10_000 {
            let then = if at < log_start {
                cursor.on_out_of_range(log_start)
            } else {
                let mut then = Then::ReadOn;
                for offset in log.iter().filter(|offset| **offset >= at) {
                    delivered += 1;
                    let (kept, next) = cursor.on_record(*offset);
                    if kept {
                        handed.push(*offset);
                    }
                    then = next;
                    if then != Then::ReadOn {
                        break;
                    }
                }
                if then == Then::ReadOn { cursor.on_end() } else { then }
            };
            match then {
                Then::StartAt(offset) => at = offset,
                Then::Done => {
                    handed.retain(|offset| cursor.keeps(*offset));
                    return (handed, delivered, cursor.expired());
                }
                Then::ReadOn => unreachable!("the log has ended"),
            }
        }
        panic!("it does not come to an end");
    }

    #[test]
    fn first_last_and_evenly_between() {
        assert_eq!(places(&(100..1101), 5), [100, 350, 600, 850, 1100]);
        assert_eq!(places(&(7..10), 20), [7, 8, 9]);
        assert_eq!(places(&(7..10), 1), [9]);
        assert!(places(&(7..7), 20).is_empty() && places(&(9..7), 20).is_empty() && places(&(7..10), 0).is_empty());
        let whole: Vec<i64> = (100..1101).collect();
        assert_eq!(read(&whole, 0, 100..1101, 5).0, [100, 350, 600, 850, 1100]);
    }

    #[test]
    fn the_last_record_before_control_records_is_found() {
        let log: Vec<i64> = (0..1000).collect();
        assert_eq!(read(&log, 0, 0..1001, 3).0, [0, 500, 999]);
        assert_eq!(read(&log, 0, 0..1050, 3).0, [0, 524, 999]);
        let (sample, delivered, _) = read(&log, 0, 0..100_000, 3);
        assert_eq!(sample, [0, 999]);
        assert!(delivered < 100_000, "{delivered}");
        assert_eq!(read(&[], 0, 0..5, 3).0, [] as [i64; 0]);
        assert_eq!(read(&[3], 0, 0..9, 2).0, [3]);
    }

    #[test]
    fn what_has_expired_is_counted_and_left_out() {
        let log: Vec<i64> = (600..1000).collect();
        assert_eq!(read(&log, 600, 0..1000, 5), (vec![749, 999], 2, 3));
        assert_eq!(read(&[], 1000, 0..1000, 5), (vec![], 0, 5));
    }

    #[test]
    fn nothing_beyond_the_range_is_sampled() {
        let log: Vec<i64> = (0..2000).collect();
        assert_eq!(read(&log, 0, 10..20, 2).0, [10, 19]);
        assert_eq!(read(&[5, 25], 0, 10..20, 4).0, [] as [i64; 0]);
    }

    proptest! {
        #[test]
        fn it_ends_within_the_range_and_holds_the_first_and_the_last_record(
            log in prop::collection::btree_set(0i64..3000, 0..200), start in 0i64..3000, length in 0i64..3000, records in 1usize..30
        ) {
            let log: Vec<i64> = log.into_iter().collect();
            let range = start..start + length;
            let (sample, _, _) = read(&log, 0, range.clone(), records);
            let inside: Vec<i64> = log.iter().copied().filter(|o| range.contains(o)).collect();
            prop_assert!(sample.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(sample.iter().all(|o| inside.contains(o)));
            prop_assert!(sample.len() <= records);
            if records > 1 {
                prop_assert_eq!(sample.first(), inside.first());
                prop_assert_eq!(sample.last(), inside.last());
            }
        }
    }
}
