//! Bounds of planning and of what is said about it, each with its unit and its reason.

/// Offsets before a partition's log start that fillers may take. 10¹⁰ take about eight minutes and 8 GB of short-lived
/// log per replica at the measured 21–25 million offsets per second and connection; beyond that a plan should not begin by itself.
pub const PREFIX_FILLERS_MAX: i64 = 10_000_000_000;

/// Fillers per second of one connection, the lower end of what was measured, rounded down.
pub const PREFIX_FILLERS_PER_SECOND: u64 = 20_000_000;

/// Bytes of log that one filler leaves until DeleteRecords has removed it, in thousandths (82 kB per 100,000 with zstd).
pub const PREFIX_FILLER_MILLIBYTES: i64 = 820;

/// Markers per second and partition that empty transactions write, one after another: the lower end of what was measured.
pub const MARKERS_PER_SECOND_BY_TRANSACTIONS: u64 = 50;

/// The same over all partitions together, since one transaction carries the due markers of many.
pub const MARKERS_PER_SECOND_BY_TRANSACTIONS_MAX: u64 = 1_300;

/// Markers per second that WriteTxnMarkers writes, over all partitions: the lower end of what was measured.
pub const MARKERS_PER_SECOND_BY_REQUESTS: u64 = 10_000;

/// Milliseconds past its own timeout before a transaction counts as one that its coordinator does not end. Coordinators look
/// for those every 10 s (`transaction.abort.timed.out.transaction.cleanup.interval.ms`), and clocks differ.
pub const OVERDUE_GRACE_MS: i64 = 30_000;

/// Bytes per second that an estimate assumes where no rate limit is lower. Deliberately modest: brokers on the same two
/// cores gave five times as much without an object store, and networks, replication and the store differ.
pub const ASSUMED_BYTES_PER_SECOND: u64 = 100_000_000;

/// Milliseconds that taking up one partition is assumed to cost (leader, producer id, first fetch).
pub const PARTITION_SETUP_MS: u64 = 50;

/// Bytes above the largest batch that the target's limit is raised to while copying, for batches that are encoded anew.
pub const MESSAGE_HEADROOM_BYTES: i64 = 64 * 1024;

/// Bytes below which the limit on a batch is never set while copying: Kafka's own default, which a batch of 100,000
/// fillers needs even on a topic with a smaller limit of its own.
pub const MESSAGE_FLOOR_BYTES: i64 = 1_048_588;

/// Milliseconds of retention below which records may expire between two looks at a partition, whatever the estimate says.
pub const RETENTION_MIN_MS: i64 = 3_600_000;

/// How many times the estimated seed time a topic's retention should last.
pub const RETENTION_SEED_FACTOR: u64 = 4;

/// Milliseconds ahead of the clock from which a record counts as dated in the future: the default of
/// `message.timestamp.after.max.ms` from Kafka 4.0 on.
pub const FUTURE_TIMESTAMP_MS: i64 = 3_600_000;

/// Names listed in one sentence before the rest is only counted.
pub const NAMES_SHOWN_MAX: usize = 20;

/// Rows of one list in text meant for people before the rest is only counted.
pub const ROWS_SHOWN_MAX: usize = 50;

/// Lines that one check of the validation report names; a report is read by people and lies in the journal.
pub const DETAILS_MAX: usize = 200;
