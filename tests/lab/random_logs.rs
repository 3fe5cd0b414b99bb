//! Logs built by chance, many at once, each from one seed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::agent::{Agent, Judgement};

/// What is to be built: as many logs as wanted, in topics of one to twenty-four partitions.
#[derive(Clone, Debug)]
pub struct RandomLogs {
    /// Topics and transactional ids begin with it.
    pub prefix: String,
    pub seed: u64,
    pub logs: u32,
    /// The longest log gets as many bursts, the shortest one or none.
    pub waves: u32,
    pub replication: u32,
    /// One topic in three is compacted, or was: with holes, tombstones and aborted data that the cleaner has taken.
    pub compaction: bool,
    /// Fills these logs alone; the others stay empty. A log is the same with the others and without.
    pub only: Vec<u32>,
}

/// One of them, as it was built.
#[derive(Clone, Debug)]
pub struct RandomLog {
    pub topic: String,
    pub partition: i32,
    /// `create`, `append`, or what it was first and then.
    pub timestamp_type: String,
    /// `delete`, `compact`, `compact,delete` or `compact, then delete`.
    pub cleanup: String,
    pub log_start: i64,
    pub log_end: i64,
    /// Records, the trimmed ones too.
    pub committed: u64,
    pub aborted: u64,
    pub markers: u64,
    pub bytes: u64,
    /// All of it, the generator's parameters too.
    pub row: Value,
}

impl Agent {
    /// Builds them; each ends where its choices say, and nothing in them is open. The log of one seed is always the same, save for what was
    /// stamped by a clock.
    #[track_caller]
    pub fn random_logs(&self, bootstrap: &str, wanted: &RandomLogs) -> Vec<RandomLog> {
        let args = json!({"bootstrap": bootstrap, "prefix": wanted.prefix, "seed": wanted.seed, "logs": wanted.logs, "waves": wanted.waves,
            "replication": wanted.replication, "compaction": wanted.compaction, "only": wanted.only});
        let answer = self.call("random_logs", args);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_else(|| panic!("{name} of {row}")).to_owned();
        let number = |row: &Value, name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} of {row}"));
        let log = |row: &Value| RandomLog {
            topic: text(row, "topic"),
            partition: number(row, "partition") as i32,
            timestamp_type: text(row, "timestamp_type"),
            cleanup: text(row, "cleanup"),
            log_start: number(row, "log_start"),
            log_end: number(row, "log_end"),
            committed: number(row, "committed") as u64,
            aborted: number(row, "aborted") as u64,
            markers: number(row, "markers") as u64,
            bytes: number(row, "bytes") as u64,
            row: row.clone(),
        };
        answer["logs"].as_array().into_iter().flatten().map(log).collect()
    }
}

impl Judgement {
    /// The partitions in which the two sides differ.
    pub fn differing(&self) -> BTreeSet<(String, i32)> {
        let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let of_topic = |topic: &Value| {
            let name = topic["topic"].as_str().unwrap_or_default().to_owned();
            let differ = rows(&topic["partitions"]).into_iter().filter(|row| row["differences"] != 0);
            differ.map(|row| (name.clone(), row["partition"].as_i64().unwrap_or(-1) as i32)).collect::<Vec<_>>()
        };
        rows(&self.detail["topics"]).iter().flat_map(of_topic).collect()
    }
}
