//! The journal: hash-chained JSON Lines, each durable before the next step is taken.
//!
//! `DIR/journal.jsonl` holds one entry per line, `seq` counting from 1:
//!
//! ```json
//! {"seq":1,"at":"2026-01-02T03:04:05.678Z","prev":"000…000","fact":{"fact":"precheck_started"},"hash":"…"}
//! ```
//!
//! `hash` is the SHA-256 of the line without its last member, exactly as written: cut `,"hash":"…"` before the closing
//! brace, no line feed. `prev` is the `hash` of the line before, or 64 zeros. So standard tools can check a line:
//! `sed -n 3p journal.jsonl | sed -E 's/,"hash":"[0-9a-f]{64}"\}$/}/' | tr -d '\n' | sha256sum`.
//!
//! One process writes (`DIR/lock`); anybody reads. Only a torn end is ever removed, and only by the writer; anything
//! else that does not hold stops everything.

mod chain;
mod crash;
mod entry;
mod follower;
mod lock;
mod writer;

pub use chain::Chain;
pub use entry::Entry;
pub use follower::Follower;
pub use lock::Writer;
pub use writer::Journal;

/// The journal's file in its directory.
pub const FILE_NAME: &str = "journal.jsonl";
