//! Transactions that hold back what may be copied: whose they are, since when, and whether they will end by themselves.

use super::limits::OVERDUE_GRACE_MS;
use super::partition::TopicPartition;
use super::planning::{duration, names};
use jiff::Timestamp;
use serde::Serialize;

/// Where a transaction is open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Place {
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Its first record there.
    pub start_offset: i64,
}

/// Whose a transaction is, as far as the brokers tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "known_as", rename_all = "snake_case")]
pub enum Owner {
    /// A transaction coordinator knows it.
    Listed {
        transactional_id: String,
        producer_id: i64,
        /// As the broker says it: `Ongoing`, `PrepareCommit`, `PrepareAbort`.
        state: String,
        timeout_ms: i32,
        /// Milliseconds since 1970, by the coordinator's clock.
        started_at_ms: i64,
    },
    /// A partition's leader has it open, and no coordinator knows it. Source: KIP-664.
    Unlisted {
        producer_id: i64,
        producer_epoch: i32,
        /// Of its last record, by the record's own time; milliseconds since 1970.
        last_timestamp_ms: i64,
    },
    /// The brokers do not tell.
    NotTold {
        /// Why, in words.
        reason: String,
    },
}

/// A transaction that is open on partitions that are to be copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenTransaction {
    #[serde(flatten)]
    pub owner: Owner,
    pub places: Vec<Place>,
}

impl OpenTransaction {
    /// The same with its places on one topic alone; None where it has none there.
    pub fn on_topic(&self, topic: &str) -> Option<Self> {
        let places: Vec<Place> = self.places.iter().filter(|p| *p.partition.topic == *topic).cloned().collect();
        (!places.is_empty()).then(|| Self { owner: self.owner.clone(), places })
    }

    /// For how long it has been open; None where nobody knows.
    pub fn age_ms(&self, now_ms: i64) -> Option<i64> {
        match &self.owner {
            Owner::Listed { started_at_ms, .. } => Some((now_ms - started_at_ms).max(0)),
            Owner::Unlisted { .. } | Owner::NotTold { .. } => None,
        }
    }

    /// Whether nothing will end it by itself: its own timeout has passed, or no coordinator is there to end it.
    pub fn hangs(&self, now_ms: i64) -> bool {
        match &self.owner {
            Owner::Listed { timeout_ms, .. } => {
                self.age_ms(now_ms).is_some_and(|age| age > i64::from(*timeout_ms).saturating_add(OVERDUE_GRACE_MS))
            }
            Owner::Unlisted { .. } => true,
            Owner::NotTold { .. } => false,
        }
    }

    /// Whether a freeze that may last so long is too short for it: nothing ends it, or it has been open for longer already.
    pub fn outlasts(&self, now_ms: i64, freeze_ms: u64) -> bool {
        self.hangs(now_ms) || self.age_ms(now_ms).is_some_and(|age| age.unsigned_abs() > freeze_ms)
    }

    /// Whose it is, where and since when, in words.
    pub fn describe(&self, now_ms: i64) -> String {
        let places: Vec<String> = self.places.iter().map(|p| format!("{} from offset {} on", p.partition, p.start_offset)).collect();
        let places = names(&places);
        match &self.owner {
            Owner::Listed { transactional_id, producer_id, state, timeout_ms, started_at_ms } => {
                let age = in_words(self.age_ms(now_ms).unwrap_or(0));
                let timeout = in_words(i64::from(*timeout_ms));
                let hanging = if self.hangs(now_ms) { "hanging " } else { "" };
                format!(
                    "{hanging}transaction of `{transactional_id}` (producer id {producer_id}, {state}), open for {age} since {}, its timeout is {timeout}: {places}",
                    time(*started_at_ms)
                )
            }
            Owner::Unlisted { producer_id, producer_epoch, last_timestamp_ms } => format!(
                "hanging transaction of producer id {producer_id} (epoch {producer_epoch}), whose last record is of {}, and which no transaction coordinator \
                 lists: {places}",
                time(*last_timestamp_ms)
            ),
            Owner::NotTold { reason } => format!("transaction of which cannot be told whose it is ({reason}): {places}"),
        }
    }

    /// What ends it.
    pub fn remedy(&self, now_ms: i64, bootstrap_servers: &str) -> String {
        let tool = format!("kafka-transactions.sh --bootstrap-server {bootstrap_servers}");
        match &self.owner {
            // Its records are committed; an abort would take them back.
            Owner::Listed { transactional_id, state, .. } if self.hangs(now_ms) && state == "PrepareCommit" => format!(
                "its commit is decided and its markers are missing: do not abort it, but look why its coordinator does not write them \
                 ({tool} describe --transactional-id {transactional_id})"
            ),
            Owner::Listed { .. } | Owner::Unlisted { .. } if self.hangs(now_ms) => {
                let abort = |p: &Place| {
                    format!("{tool} abort --topic {} --partition {} --start-offset {}", p.partition.topic, p.partition.partition, p.start_offset)
                };
                let check = match &self.owner {
                    Owner::Unlisted { .. } => ", and kferry's principal may describe every transactional id",
                    Owner::Listed { .. } | Owner::NotTold { .. } => "",
                };
                format!("abort it if its producer is dead{check}: {}", names(&self.places.iter().map(abort).collect::<Vec<_>>()))
            }
            Owner::Listed { transactional_id, started_at_ms, timeout_ms, .. } => format!(
                "let its producer end it, or stop that producer for good: its coordinator aborts it at {}, or as soon as a producer begins with \
                 transactional.id `{transactional_id}`",
                time(started_at_ms.saturating_add(i64::from(*timeout_ms)))
            ),
            Owner::Unlisted { .. } | Owner::NotTold { .. } => {
                "look for a transactional producer that writes to these partitions, and let it end its transaction".to_owned()
            }
        }
    }
}

fn in_words(ms: i64) -> String {
    duration(ms.max(0).unsigned_abs() / 1000)
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |t| format!("{t:.0}"))
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    pub fn place(topic: &str, partition: i32, start_offset: i64) -> Place {
        Place { partition: TopicPartition::new(topic, partition), start_offset }
    }

    /// Open for ten seconds, with a timeout of a minute.
    pub fn listed(topic: &str, now: &Timestamp) -> OpenTransaction {
        let owner = Owner::Listed {
            transactional_id: "billing-7".into(),
            producer_id: 41,
            state: "Ongoing".into(),
            timeout_ms: 60_000,
            started_at_ms: now.as_millisecond() - 10_000,
        };
        OpenTransaction { owner, places: vec![place(topic, 0, 5)] }
    }

    pub fn unlisted(topic: &str) -> OpenTransaction {
        let owner = Owner::Unlisted { producer_id: 42, producer_epoch: 3, last_timestamp_ms: 1_767_323_045_000 };
        OpenTransaction { owner, places: vec![place(topic, 1, 17)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: i64 = 1_767_323_035_000;

    fn now() -> Timestamp {
        Timestamp::from_millisecond(STARTED + 10_000).unwrap()
    }

    /// The sample in this state, so long after its start.
    fn in_state(state: &str, age_ms: i64) -> (OpenTransaction, i64) {
        let mut t = sample::listed("t", &now());
        if let Owner::Listed { state: s, .. } = &mut t.owner {
            *s = state.into();
        }
        (t, STARTED + age_ms)
    }

    #[test]
    fn it_hangs_beyond_its_own_timeout_or_without_a_coordinator() {
        let hangs = |age_ms| {
            let (t, now_ms) = in_state("Ongoing", age_ms);
            t.hangs(now_ms)
        };
        assert_eq!([10_000, 60_001, 90_000, 90_001].map(hangs), [false, false, false, true]);
        assert!(sample::unlisted("t").hangs(0));
        let not_told = OpenTransaction { owner: Owner::NotTold { reason: "old".into() }, places: vec![] };
        assert!(!not_told.hangs(i64::MAX));
    }

    #[test]
    fn it_outlasts_a_freeze_that_is_shorter_than_its_age() {
        let (t, now_ms) = in_state("Ongoing", 10_000);
        assert_eq!([9_999, 10_000, 60_000].map(|freeze_ms| t.outlasts(now_ms, freeze_ms)), [true, false, false]);
        assert!(sample::unlisted("t").outlasts(0, u64::MAX));
    }

    #[test]
    fn it_is_described_with_whom_since_when_and_where() {
        let (t, now_ms) = in_state("Ongoing", 10_000);
        let seen = "transaction of `billing-7` (producer id 41, Ongoing), open for 10 s since 2026-01-02T03:03:55Z, its timeout is 1 min: t-0 from offset 5 on";
        assert_eq!(t.describe(now_ms), seen);
        assert!(t.describe(STARTED + 90_001).starts_with("hanging transaction of `billing-7` (producer id 41, Ongoing), open for 1 min 30 s since"));
        let unlisted = sample::unlisted("t").describe(0);
        assert_eq!(
            unlisted,
            "hanging transaction of producer id 42 (epoch 3), whose last record is of 2026-01-02T03:04:05Z, and which no transaction coordinator lists: t-1 from offset 17 on"
        );
        let not_told = OpenTransaction { owner: Owner::NotTold { reason: "old".into() }, places: vec![sample::place("t", 2, 9)] };
        assert_eq!(not_told.describe(0), "transaction of which cannot be told whose it is (old): t-2 from offset 9 on");
    }

    #[test]
    fn the_remedy_never_takes_back_a_commit_nor_aborts_what_ends_by_itself() {
        let remedy = |state, age_ms| {
            let (t, now_ms) = in_state(state, age_ms);
            t.remedy(now_ms, "b:9092")
        };
        let abort = "kafka-transactions.sh --bootstrap-server b:9092 abort --topic t --partition 0 --start-offset 5";
        assert_eq!(remedy("Ongoing", 100_000), format!("abort it if its producer is dead: {abort}"));
        assert!(remedy("PrepareAbort", 100_000).ends_with(abort));
        let committing = remedy("PrepareCommit", 100_000);
        assert!(committing.contains("do not abort") && !committing.contains("abort --topic"), "{committing}");
        let young = remedy("Ongoing", 10_000);
        assert!(young.contains("at 2026-01-02T03:04:55Z") && !young.contains("abort --topic"), "{young}");
        assert!(sample::unlisted("t").remedy(0, "b:9092").ends_with("b:9092 abort --topic t --partition 1 --start-offset 17"));
    }

    #[test]
    fn a_topic_sees_its_own_places_only() {
        let mut t = sample::unlisted("t");
        t.places.push(sample::place("u", 0, 1));
        assert_eq!(t.on_topic("u").unwrap().places, [sample::place("u", 0, 1)]);
        assert_eq!(t.on_topic("v"), None);
    }
}
