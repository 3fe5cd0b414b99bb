//! Bounds of the data plane, each with its unit and reason.

/// Appends of one partition on their way at once. Brokers remember the last five batches of a producer (KIP-98).
pub const IN_FLIGHT_APPENDS_MAX: usize = 5;

/// Batches whose records take less than this are merged with their neighbours, so that a topic of one-record batches
/// does not cost a request per record.
pub const TINY_BATCH_BYTES: usize = 4 * 1024;

/// Decoded size up to which tiny batches are merged. Producers' default `batch.size` is 16 KiB; larger pays off up to
/// about this size.
pub const MERGED_BATCH_BYTES: usize = 128 * 1024;

/// Filler records in one batch; measured: larger ones are slower (runbooks/decisions).
pub const FILLERS_PER_BATCH: i32 = 100_000;

/// Fillers after which those below are deleted, so that the short-lived log stays small.
pub const FILLERS_PER_DELETE: i64 = 20_000_000;

/// Control records that one append asks for; measured: one request carries them at some 50,000 a second.
pub const CONTROLS_PER_APPEND: i64 = 500;

/// How long aborted data waits for the control record behind it to be ready. Longer than a segment takes to the store; data of one transaction that does not
/// fit into memory has to go ahead without.
pub const ABORTED_HOLD_MS: i64 = 3_000;

/// Answers without records, and the milliseconds between the first and the last of them, after which offsets below the last stable offset are taken
/// to have none.
pub const EMPTY_ANSWERS: u32 = 3;
pub const EMPTY_ANSWERS_MS: u64 = 1_000;

/// Records' age beyond which a broker may have forgotten a producer's sequence, where the broker does not tell its
/// `producer.id.expiration.ms`: that defaults to one day and goes by the records' timestamps.
pub const SEQUENCE_MEMORY_MS: i64 = 12 * 3600 * 1000;

/// Leaves of one partition that may wait to be compared with the target (56 bytes each), before fetching pauses.
pub const UNPROVEN_LEAVES_MAX: usize = 20_000;
