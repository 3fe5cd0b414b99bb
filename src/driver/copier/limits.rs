//! Bounds of the copier, each with its unit and reason.

use std::time::Duration;

/// Bytes that one fetch may bring: large enough that its cost per request vanishes, small beside the budget.
pub const FETCH_BYTES_MAX: usize = 8 << 20;
/// Bytes that a fetch of partitions that are caught up may bring: it is held for a while and usually brings little.
pub const POLL_BYTES_MAX: usize = 1 << 20;
/// Bytes of one partition in a fetch, so that several partitions share one.
pub const FETCH_PARTITION_BYTES_MAX: usize = 2 << 20;
/// Partitions in one fetch of data that is there already.
pub const FETCH_PARTITIONS_MAX: usize = 64;
/// Fetches under way at one broker, each on its own connection: a broker answers one request of a connection at a time.
pub const FETCHES_PER_BROKER: usize = 2;
/// How long a broker holds a fetch of partitions that are caught up.
pub const FETCH_WAIT: Duration = Duration::from_millis(250);
/// The same where there is something to copy. What lies on the broker's disk comes at once; for what tiered storage has moved away, brokers before 3.8 take this as their time to get it.
/// **Source**: KIP-1018.
pub const FETCH_BEHIND_WAIT: Duration = Duration::from_millis(2_000);
/// Silence after which a fetch is given up.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes around one partition's batch in a produce request: lengths and counts.
pub const PRODUCE_PARTITION_BYTES: usize = 16;
/// Produce requests under way on one connection.
pub const PRODUCES_PER_LANE: usize = 4;
/// Produce connections to one broker; a partition keeps to one.
pub const LANES_PER_BROKER: usize = 2;
/// What the broker may take for replication, and how long its answer is waited for.
pub const PRODUCE_BROKER_TIMEOUT: Duration = Duration::from_secs(15);
pub const PRODUCE_TIMEOUT: Duration = Duration::from_secs(25);

/// Segments on their way to the store at once.
pub const STORES_MAX: usize = 4;
/// Leaves in one file: 800 kB, so that one proof does not read much more than it needs.
pub const LEAVES_PER_FILE: usize = 16_384;
/// How often leaves go to the store that make no whole file.
pub const LEAVES_INTERVAL: Duration = Duration::from_secs(60);
/// Leaves of all partitions that may wait for that: what waits is written beside the journal with each checkpoint (49 bytes each).
pub const LEAVES_HELD_MAX: usize = 1 << 17;
/// Leaves of all partitions that the store may lack before fetching pauses (56 bytes each).
pub const LEAVES_UNSTORED_MAX: usize = 1 << 20;
/// Leaf files on their way to the store at once.
pub const LEAF_STORES_MAX: usize = 8;
/// Age at which an open segment is stored while TAIL goes on.
pub const SEGMENT_AGE_MS_MAX: u64 = 10_000;

/// Pause of a partition after a request that may pass by itself.
pub const PARTITION_BACKOFF: Duration = Duration::from_millis(200);
/// Least time between two looks at a cluster's metadata.
pub const REFRESH_PAUSE: Duration = Duration::from_millis(300);
/// How often the loop looks at the clock.
pub const TICK: Duration = Duration::from_millis(25);
/// How often progress is published.
pub const STATUS_PAUSE: Duration = Duration::from_millis(100);

/// Readings of the log end that have to agree after a lost acknowledgement, and the pause between two: at least
/// 600 ms in all (measured: one reading is not enough), longer where the broker may have forgotten our sequence.
pub const PROBE_READINGS: usize = 5;
pub const PROBE_PAUSE: Duration = Duration::from_millis(160);
pub const PROBE_PAUSE_OLD_RECORDS: Duration = Duration::from_millis(500);

/// How long one reading is tried before its failure is told; the readings go on.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// Failures of the same kind, in time, after which the operator is told what is waited for.
pub const WAIT_WORTH_TELLING: Duration = Duration::from_secs(2);

/// Between attempts at a broker that does not let us in: each is a login, and too many lock an account.
pub const NOT_LET_IN_PAUSE: Duration = Duration::from_secs(5);

/// How long a cluster that let us in before may keep us out before the run ends with its reason: credentials are read once for each run.
pub const NOT_LET_IN_PATIENCE: Duration = Duration::from_secs(60);

/// Empty answers about one partition, in time, after which the operator is told: brokers may read history from elsewhere first.
pub const STARVED_WORTH_TELLING: Duration = Duration::from_secs(10);
