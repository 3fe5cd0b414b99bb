//! Bounds of planning and of what is said about it, each with its unit and its reason.

/// Offsets before a partition's log start that fillers may take. 10¹⁰ take about eight minutes and 8 GB of short-lived
/// log per replica at the measured 21–25 million offsets per second and connection; beyond that a plan should not begin by itself.
pub const PREFIX_FILLERS_MAX: i64 = 10_000_000_000;

/// Fillers per second of one connection, the lower end of what was measured, rounded down.
pub const PREFIX_FILLERS_PER_SECOND: u64 = 20_000_000;

/// Bytes of log that one filler leaves until DeleteRecords has removed it, in thousandths (82 kB per 100,000 with zstd).
pub const PREFIX_FILLER_MILLIBYTES: i64 = 820;

/// Control records per second and partition that empty transactions write, one after another: the lower end of what was measured.
pub const CONTROLS_PER_SECOND_BY_TRANSACTIONS: u64 = 50;

/// The same over all partitions together, since one transaction carries what is due in many.
pub const CONTROLS_PER_SECOND_BY_TRANSACTIONS_MAX: u64 = 1_300;

/// Control records per second that WriteTxnMarkers writes where many are due at once: the lower end of what was measured.
pub const CONTROLS_PER_SECOND_BY_REQUESTS: u64 = 30_000;

/// Runs of records per second and partition where a WriteTxnMarkers request stands between any two, which is two round trips each: measured.
pub const RUNS_PER_SECOND_BY_REQUESTS: u64 = 500;

/// The same over all partitions together: the lower end of what was measured.
pub const RUNS_PER_SECOND_BY_REQUESTS_MAX: u64 = 10_000;

/// Bytes that one control record takes in a log: a batch's header and one record of 17 bytes.
pub const CONTROL_RECORD_BYTES: i64 = 78;

/// Control records that nobody needs a permission for: 20 s on one partition by empty transactions.
pub const CONTROLS_HANDFUL: i64 = 1_000;

/// Seconds that a topic's control records may take. A working day is over by then, and what the source compacts meanwhile makes the copy less and less
/// of what it was planned as.
pub const CONTROLS_SECONDS_MAX: u64 = 6 * 3600;

/// Control records of one partition: 39 GB of log that holds nothing, on each replica, which its brokers read again after an unclean stop.
pub const CONTROLS_PER_PARTITION_MAX: i64 = 500_000_000;

/// Offsets below which a sample speaks for nothing but itself: one marker or one record between two large batches is no pattern.
pub const SAMPLE_OFFSETS_MIN: u64 = 16;

/// Milliseconds past its own timeout before a transaction counts as one that its coordinator does not end. Coordinators look
/// for those every 10 s (`transaction.abort.timed.out.transaction.cleanup.interval.ms`), and clocks differ.
pub const OVERDUE_GRACE_MS: i64 = 30_000;

/// Bytes per second that an estimate assumes where no rate limit is lower. Deliberately modest: brokers on the same two
/// cores gave five times as much without an object store, and networks, replication and the store differ.
pub const ASSUMED_BYTES_PER_SECOND: u64 = 100_000_000;

/// Milliseconds that one partition is assumed to cost beside its bytes: a segment and a manifest of its own in the store, leader, producer id, first fetch.
/// Measured: 45 partitions a second, which the store's requests decide.
pub const PARTITION_SETUP_MS: u64 = 25;

/// Milliseconds of a freeze beside its settle window, in all steps together, for each partition and for each group: the sentinels' transaction, the drain,
/// the last look at the source, the commit's way to the store. Measured on loopback; a distant store adds its round trips.
pub const FREEZE_STEPS_MS: u64 = 300;
pub const FREEZE_PARTITION_MS: u64 = 2;
pub const FREEZE_GROUP_MS: u64 = 8;

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

/// Rows of one finding's code in text, and subjects in a row that stands for several of which the same was seen.
pub const ROWS_OF_FINDING_MAX: usize = 10;
pub const SUBJECTS_SHOWN_MAX: usize = 5;

/// Lines that one check of the validation report names; a report is read by people and lies in the journal.
pub const DETAILS_MAX: usize = 200;

/// Runs of all offset maps of one migration: each takes some 50 bytes of memory, 5 of the journal and 70 of the bundle.
pub const MAP_RUNS_MAX: i64 = 5_000_000;

/// Replicas of one broker beyond which precheck warns: what managed services allow their large brokers.
pub const REPLICAS_PER_BROKER_MAX: usize = 4_000;

/// Per cent of partitions that may be led by another than their first replica before precheck says so. Source: `leader.imbalance.per.broker.percentage`.
pub const NOT_PREFERRED_PERCENT_MAX: usize = 10;

/// Per cent of the target's free room that a copy may take before precheck warns: a volume that is nearly full is filled by whatever comes next.
pub const FREE_ROOM_PERCENT_MAX: i64 = 80;
