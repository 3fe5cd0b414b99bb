//! Bounds of everything that waits, repeats or buffers while speaking to Kafka.

use std::time::Duration;

/// Opening a TCP connection to one address, and the handshake on it, each. A broker on another continent needs well under a second.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// From handing a request over to its whole answer, where the caller says nothing. Source: `request.timeout.ms` of Kafka's own clients.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for cluster metadata, which another broker can answer as well when this one hangs.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(8);

/// How often a connection looks for requests whose time is over.
pub const TIMEOUT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

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
