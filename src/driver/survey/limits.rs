//! Bounds of a survey, each with its unit and reason.

use std::time::Duration;

/// How long a question is repeated whose answer a survey can do without.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Bytes of samples in all, however many partitions there are: 2,000 places at the usual size of an answer, a second or two of reading.
pub const SAMPLES_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The time after which no further place is looked at. Brokers that are slow to answer should not keep a plan for long.
pub const SAMPLING_TIME_MAX: Duration = Duration::from_secs(60);

/// Places that are looked at at once: their answers lie in memory together, at most 64 MB.
pub const SAMPLES_AT_ONCE_MAX: usize = 1_000;

/// Places between a log's start and its end.
pub const SAMPLES_BETWEEN: i64 = 6;

/// Offsets without a record in a row that are counted by themselves instead of taken for a pattern: at least so many, and at least a share of the log
/// that few of them can have.
pub const LONG_HOLE_MIN: i64 = 1_000;
pub const LONG_HOLES_MAX: i64 = 16;

/// Bytes of one partition in an answer: a few batches of usual size.
pub const SAMPLE_BYTES: usize = 64 * 1024;

/// Bytes of a batch from which on its records are measured one by one: below it every target takes it.
pub const LARGE_BATCH_BYTES: usize = 32 * 1024;

/// What is asked for next where a batch is larger than that, before the largest batch that a topic lets in.
pub const LARGER_SAMPLES: [usize; 2] = [256 * 1024, 1024 * 1024];

/// Bytes in all that come besides because batches are larger than `SAMPLE_BYTES`.
pub const LARGE_SAMPLES_BYTES: usize = 128 * 1024 * 1024;

/// Offsets before a control record that are looked at for the data that it may mark.
pub const BEFORE_CONTROL: [i64; 2] = [1, 1_000];

/// How far a KRaft voter may be behind the leader, in milliseconds. Source: `controller.quorum.fetch.timeout.ms`, 2 s by
/// default, after which it would no longer count as following.
pub const VOTER_LAG_MS: i64 = 5_000;

/// How long both stores together may take to show what they can.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(60);

/// Partitions, the largest ones, that are read to see how fast the source hands out its logs.
pub const RATE_PARTITIONS: usize = 32;

/// Bytes of each of them in one round.
pub const RATE_FETCH_BYTES: usize = 1024 * 1024;

/// Rounds at most, each at another place of the logs.
pub const RATE_ROUNDS: i64 = 16;

/// The time after which it has been seen, and the bytes: a plan is a matter of seconds.
pub const RATE_TIME: Duration = Duration::from_secs(1);
pub const RATE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes below which round trips, not bytes, would be measured.
pub const RATE_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// Bytes for each offset of a log from which on a log of which there is no sample does not tell how large its records are: what was deleted before its
/// start may still lie in its files, as in repartition topics.
pub const UNSAMPLED_RECORD_BYTES_MAX: i64 = 4 * 1024;

/// The time between two looks at the log ends below which they say too little of how fast producers write; it is waited for.
pub const WRITTEN_WINDOW_MIN: Duration = Duration::from_millis(500);
