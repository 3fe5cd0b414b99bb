//! One line of the journal: how it is written and how it is read.

use crate::domain::digest::Digest;
use crate::machine::fact::Fact;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One durable fact with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1, without gaps; it is the line's number too.
    pub seq: u64,
    /// When the fact was journaled, by the writer's clock, in whole milliseconds.
    pub at: Timestamp,
    /// The hash of the entry before, or [`Digest::ZERO`].
    pub prev: Digest,
    pub fact: Fact,
    pub hash: Digest,
    line: String,
}

/// What the hash covers, in this order.
#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    at: String,
    prev: Digest,
    fact: &'a Fact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedBody {
    seq: u64,
    at: Timestamp,
    prev: Digest,
    fact: Fact,
}

const HASH_MEMBER: &str = r#","hash":""#;
const HASH_END: &str = "\"}";
const HASH_DIGITS: usize = 64;

/// Why a line is not an entry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it does not end in a hash")]
    NoHash,
    #[error("its hash is {written} but its content hashes to {computed}")]
    Hash { written: Digest, computed: Digest },
    #[error("its hash holds but this version of kferry cannot read it: {0}")]
    Unknown(String),
}

impl Entry {
    /// Writes `fact` as the entry that follows the one whose hash is `prev`.
    ///
    /// **Errors**: only what the serialiser says, which is a defect.
    pub(crate) fn seal(seq: u64, at: Timestamp, prev: Digest, fact: &Fact) -> serde_json::Result<Self> {
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        let mut line = serde_json::to_string(&Body { seq, at: format!("{at:.3}"), prev, fact })?;
        let hash = Digest::of(&line);
        line.pop();
        line.push_str(HASH_MEMBER);
        line.push_str(&hash.to_string());
        line.push_str(HASH_END);
        Ok(Self { seq, at, prev, fact: fact.clone(), hash, line })
    }

    /// Reads a line (without its line feed) and checks its own hash. Its place in the chain is [`super::Chain`]'s to check.
    pub(super) fn parse(line: &str) -> Result<Self, Malformed> {
        let (start, written) = split_hash(line).ok_or(Malformed::NoHash)?;
        let body = format!("{start}}}");
        let computed = Digest::of(&body);
        if computed != written {
            return Err(Malformed::Hash { written, computed });
        }
        let OwnedBody { seq, at, prev, fact } = serde_json::from_str(&body).map_err(|e| Malformed::Unknown(e.to_string()))?;
        Ok(Self { seq, at, prev, fact, hash: computed, line: line.to_owned() })
    }

    /// The line as it stands in the file, without its line feed.
    pub fn line(&self) -> &str {
        &self.line
    }
}

/// Splits a line into what stands before the hash member, and the hash.
fn split_hash(line: &str) -> Option<(&str, Digest)> {
    let rest = line.strip_suffix(HASH_END)?;
    let digits_at = rest.len().checked_sub(HASH_DIGITS)?;
    let hash = rest.get(digits_at..)?.parse().ok()?;
    Some((rest.get(..digits_at)?.strip_suffix(HASH_MEMBER)?, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-01-02T03:04:05.6789Z".parse().unwrap()
    }

    #[test]
    fn a_line_is_frozen() {
        let entry = Entry::seal(7, at(), Digest::ZERO, &Fact::TailStarted).unwrap();
        let body = concat!(
            r#"{"seq":7,"at":"2026-01-02T03:04:05.678Z","#,
            r#""prev":"0000000000000000000000000000000000000000000000000000000000000000","fact":{"fact":"tail_started"}}"#
        );
        assert_eq!(entry.line(), format!(r#"{},"hash":"{}"}}"#, &body[..body.len() - 1], Digest::of(body)));
    }

    #[test]
    fn a_whole_second_is_written_with_its_milliseconds() {
        let entry = Entry::seal(1, "2026-01-02T03:04:05Z".parse().unwrap(), Digest::ZERO, &Fact::TailStarted).unwrap();
        assert!(entry.line().contains(r#""at":"2026-01-02T03:04:05.000Z""#), "{}", entry.line());
    }

    #[test]
    fn what_is_sealed_is_read_back() {
        let entry = Entry::seal(7, at(), Digest::of("x"), &Fact::SeedStarted { attempt: 2 }).unwrap();
        assert_eq!(Entry::parse(entry.line()), Ok(entry));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let line = Entry::seal(7, at(), Digest::ZERO, &Fact::SeedStarted { attempt: 2 }).unwrap().line().to_owned();
        for position in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[position] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Entry::parse(&changed).is_err(), "byte {position} of {line}");
        }
    }

    #[test]
    fn an_entry_of_another_version_is_told_from_a_damaged_one() {
        let body = format!(r#"{{"seq":1,"at":"2026-01-02T03:04:05.678Z","prev":"{}","fact":{{"fact":"moon_landed"}}}}"#, Digest::ZERO);
        let line = format!(r#"{},"hash":"{}"}}"#, &body[..body.len() - 1], Digest::of(&body));
        assert!(matches!(Entry::parse(&line), Err(Malformed::Unknown(_))));
    }
}
