//! How a cluster is run and who uses it, as far as its brokers show: what precheck looks at beyond a snapshot.

use std::collections::{BTreeMap, BTreeSet};

/// How a cluster is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Practice {
    /// Settings of brokers that were changed at run time, by name, with the brokers that tell so. A cluster in ZooKeeper mode keeps them there, in no file.
    pub dynamic_settings: BTreeMap<String, BTreeSet<i32>>,
    /// Secret settings that are set; brokers hide their values, not that they have one.
    pub secrets_set: BTreeSet<String>,
    /// Log directories of each broker.
    pub log_dirs: BTreeMap<i32, usize>,
    /// Free bytes of each broker's volumes, from brokers of 3.3 on. Source: KIP-827.
    pub free_bytes: BTreeMap<i32, i64>,
    /// Replicas of each broker, internal topics included.
    pub replicas: BTreeMap<i32, usize>,
    /// Partitions of all topics.
    pub partitions: usize,
    /// Of them, those that are not led by their first replica.
    pub not_preferred: usize,
    /// Brokers that hold replicas and are not there.
    pub absent: BTreeSet<i32>,
    /// Ids of the KRaft quorum's voters; None with ZooKeeper, or where they are not told.
    pub voters: Option<BTreeSet<i32>>,
    /// Finalized level of each feature, with the highest that every broker supports.
    pub features: BTreeMap<String, (i16, i16)>,
    /// Brokers that say of themselves that they take part in a migration from ZooKeeper. Source: KIP-866.
    pub migrating: BTreeSet<i32>,
    /// What could not be read, in words.
    pub not_read: Vec<String>,
}

/// Who writes to the source and reads from it, beyond its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// How long the partitions were watched, in milliseconds.
    pub watched_ms: u64,
    /// Producer ids that the leaders of the selected partitions remember.
    pub producer_ids: usize,
    /// Partitions that grew meanwhile.
    pub growing: Vec<String>,
    /// Of them, those where no producer that the brokers can name had written.
    pub unnamed: Vec<String>,
    pub ties: Vec<Tie>,
    /// Groups with a member that speaks the first version of the consumers' protocol, as clients from before 2.4 do.
    pub first_protocol: Vec<String>,
    /// What could not be read, in words.
    pub not_read: Vec<String>,
}

/// A transactional id that wrote to topics that are selected and to others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tie {
    pub transactional_id: String,
    pub selected: BTreeSet<String>,
    pub others: BTreeSet<String>,
}
