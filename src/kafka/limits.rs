//! Bounds of everything that waits, repeats or buffers while speaking to Kafka.

use std::time::Duration;

/// Opening a TCP connection to one address, and the handshake on it, each. A broker on another continent needs well under a second.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// From handing a request over to its whole answer, where the caller says nothing. Source: `request.timeout.ms` of Kafka's own clients.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for cluster metadata, which another broker can answer as well when this one hangs.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(8);

/// The same for ListOffsets, which is quick, and which is asked when a leader hangs: the next one should be asked soon.
pub const LIST_OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a connection looks for requests whose time is over.
pub const TIMEOUT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// What a broker has sent before it ended a connection is read for so long after a write has met the end.
pub const LAST_WORDS: Duration = Duration::from_millis(200);

/// A broker refuses to begin a login within a second of the last one. Source: `KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS`.
pub const LOGIN_INTERVAL_MIN: Duration = Duration::from_millis(1_100);

/// A renewing login waits behind all that is in flight, each of which has a time of its own to be answered in.
pub const RENEWAL_TIMEOUT: Duration = Duration::from_secs(90);

/// Messages of one login; SCRAM needs three.
pub const LOGIN_MESSAGES_MAX: usize = 8;

/// The largest answer that is believed to be one, in bytes: far above any sensible `fetch.max.bytes`, and below what an
/// HTTP server's greeting would be as a length.
pub const FRAME_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Requests are gathered into one write up to so many bytes; a larger request is written alone, so that few are in doubt
/// when a connection breaks.
pub const WRITE_GATHER_BYTES_MAX: usize = 64 * 1024;

/// The read buffer in front of a connection, in bytes: several small answers per system call. Larger reads pass it by.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Two refreshes of a cluster's metadata lie at least so far apart.
pub const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How long a first contact with a cluster is tried.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long an administrative call is repeated against errors that pass by themselves, where the caller says nothing.
/// Longer than a controller's failover under default settings (KRaft: about 10 s; ZooKeeper session: 18 s).
pub const ADMIN_PATIENCE: Duration = Duration::from_secs(60);

/// The first pause between two attempts; it doubles up to `BACKOFF_MAX`.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest pause between two attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Partitions in one request to their leader, for calls whose work per partition is small.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 2_000;

/// Groups or transactional ids in one request to their coordinator.
pub const GROUPS_PER_REQUEST_MAX: usize = 200;

/// Topics in one DescribeConfigs request; each answers with some 40 settings.
pub const CONFIGS_PER_REQUEST_MAX: usize = 200;

/// Partitions and settings that one CreateTopics request creates at most. KRaft refuses more than 10,000 records in one
/// operation. Source: `QuorumController.MAX_RECORDS_PER_USER_OP`.
pub const CREATIONS_PER_REQUEST_MAX: usize = 4_000;

/// ACL bindings in one request.
pub const ACLS_PER_REQUEST_MAX: usize = 500;

/// Entities whose quotas are set in one request; each may be several records of a controller's operation, as with topics.
pub const QUOTAS_PER_REQUEST_MAX: usize = 500;

/// Offsets of one group in one OffsetCommit: they are appended as one batch, which `max.message.bytes` limits (1 MB by default).
pub const OFFSETS_PER_COMMIT_MAX: usize = 1_000;

/// Connections to one coordinator over which commits are spread.
pub const COMMIT_LANES: usize = 8;

/// Groups that are committed over one connection before the others get their turn.
pub const COMMITS_PER_TURN_MAX: usize = 10;

/// What a broker is told to give up after, within requests that carry a timeout of their own.
pub const BROKER_TIMEOUT: Duration = Duration::from_secs(25);

/// A snapshot goes on without what it cannot read of a partition within this time, and says so.
pub const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the coordinator keeps a sentinel's transaction open before it aborts it by itself.
pub const SENTINEL_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The shortest time for which a transaction of ours may stay open.
pub const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_millis(500);

/// Pause between two looks at the log ends while markers are on their way: they land within 20–100 ms when all is well.
pub const MARKER_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Bytes that one request for samples may bring: a survey holds one answer per broker at a time.
pub const SAMPLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Partitions in one request for samples.
pub const SAMPLES_PER_REQUEST_MAX: usize = 200;

/// Bytes of one fetch that is after a single batch: the answer holds at least the first batch whole, however large.
pub const FETCH_BATCH_BYTES_MAX: i32 = 16 * 1024 * 1024;

/// The witness reads partitions in chunks of so many at a time.
pub const WITNESS_PARTITIONS_MAX: usize = 64;

/// Bytes that a broker gives the witness of one partition at a time: a sample wants one record. A larger batch comes whole, alone.
pub const WITNESS_PARTITION_BYTES_MAX: usize = 64 * 1024;

/// Bytes that a broker gives the witness in one answer, beside the one batch that may be larger.
pub const WITNESS_FETCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Records that the witness reads past to its next sample, rather than ask for that one's place.
pub const WITNESS_SKIP_RECORDS_MAX: i64 = 200;

/// How long the witness waits for anything to arrive from a cluster before it gives up.
pub const WITNESS_PATIENCE: Duration = Duration::from_secs(30);

/// How long the witness waits for its first token: as long as the chain of AWS's credentials takes, and something.
pub const WITNESS_TOKEN_WAIT: Duration = Duration::from_secs(70);

/// How long precheck waits for the witness to be let in.
pub const WITNESS_GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// How long one sampling of a cluster may take in all, however slowly records arrive.
pub const WITNESS_SAMPLING_MAX: Duration = Duration::from_secs(600);


/// Bytes of one answer where a whole log is read once more, and how long a broker may wait for data, which is there.
pub const DECIDED_BYTES_MAX: usize = 4 * 1024 * 1024;
pub const DECIDED_WAIT_MS: i32 = 100;
