//! Bounds of the driver, each with its unit and reason.

use std::time::Duration;

/// How often the journal takes the copier's progress: a twentieth of the time that a run has taken so far, within these
/// bounds. What was copied since is read again after a crash. A checkpoint takes about 2 kB for each partition that has moved,
/// and the journal becomes part of the evidence: every five seconds for days would make gigabytes of it.
pub const CHECKPOINT_SHARE: u32 = 20;
pub const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_secs(5);
pub const CHECKPOINT_INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Offsets of a partition that may wait to be read again when a freeze begins, which ends only when they are: a moment's work.
pub const UNPROVEN_OFFSETS_MAX: i64 = 10_000;

/// How long a run that ends waits for what is under way; a later run takes up what did not get through.
pub const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// The same after the commit, when no later run copies: what is not in the store by then is listed as not covered.
pub const LAST_SEGMENTS_PATIENCE: Duration = Duration::from_secs(300);

/// How long a command that ends waits until the uploads that it has given up are taken back.
pub const GIVEN_UP_PATIENCE: Duration = Duration::from_secs(3);

/// Pause between two looks at a transaction of an earlier run that is being decided.
pub const DECISION_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long the target's last stable offsets may take to reach its ends once all is copied.
pub const LAST_STABLE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a coordinator may be away that would know of an open transaction; longer than one moves to another broker.
pub const UNLISTED_PATIENCE: Duration = Duration::from_secs(60);

/// How often a phase looks at the copier's progress at the latest.
pub const STATUS_INTERVAL: Duration = Duration::from_millis(250);

/// Partitions, groups or topics that one message names before it only counts.
pub const PARTITIONS_NAMED_MAX: usize = 5;

/// How often a cluster that is not healthy is looked at again, and how often the reason is told.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
pub const HEALTH_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Pause between two looks at the source's log ends while the freeze is being proven.
pub const FREEZE_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Pause between two looks at the transactions that have to end before a freeze begins, and how often they are told.
pub const TRANSACTIONS_LOOK_INTERVAL: Duration = Duration::from_millis(500);
pub const TRANSACTIONS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// The part of the freeze that is kept back for the commit and the notice of it: a tenth, within these bounds.
pub const COMMIT_RESERVE_MIN: Duration = Duration::from_millis(500);
pub const COMMIT_RESERVE_MAX: Duration = Duration::from_secs(5);

/// How long a change that the target has taken is looked for until it shows. A KRaft broker replays the controller's log
/// within a fraction of a second; one that has just come back takes longer.
pub const READ_BACK_PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two such looks.
pub const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

/// How long the source is asked for a group's offsets while an open transaction is about to commit some (KIP-447), or while
/// its coordinator moves, which takes 8 to 14 s. It is spent within the freeze.
pub const GROUP_OFFSETS_PATIENCE: Duration = Duration::from_secs(15);

/// Leaf files that `prove` reads ahead, 800 kB each: enough that a store far away does not make it wait for each.
pub const LEAF_FILES_AHEAD: usize = 8;

/// Compacted partitions that are compared by key at once; each holds an answer and a decoded batch of either log.
pub const COMPACTED_AT_ONCE: usize = 4;
/// Answers without records in a row after which a log is taken to hold nothing up to its end.
pub const EMPTY_ANSWERS_MAX: u32 = 3;
/// What `delete.retention.ms` is where neither the target nor the plan says it: Kafka's default.
pub const DELETE_RETENTION_MS: i64 = 86_400_000;

/// How long the marks of offset maps are gathered before they are journaled, outside of a cutover: an entry costs an fsync, and some 100 bytes for each partition.
pub const MARKS_INTERVAL: Duration = Duration::from_secs(1);
