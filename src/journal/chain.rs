//! Checks that lines follow each other, and reads a whole journal's file.

use super::entry::Entry;
use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};
use std::io::{self, BufRead};

/// The end of a chain of entries, against which the next line is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    entries: u64,
    head: Digest,
}

impl Default for Chain {
    fn default() -> Self {
        Self { entries: 0, head: Digest::ZERO }
    }
}

impl Chain {
    /// How many entries there are; the last one's `seq`.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The last entry's hash.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Reads the next line and checks its hash, its number and its link to the line before.
    ///
    /// **Errors**: KF-JOURNAL-CORRUPT, naming the line.
    pub fn follow(&mut self, line: &str) -> Result<Entry> {
        let number = self.entries + 1;
        let corrupt = |seen: String| Error::new(Code::JournalCorrupt, format!("journal line {number}: {seen}"));
        let entry = Entry::parse(line).map_err(|e| corrupt(e.to_string()))?;
        if entry.seq != number {
            let what = if entry.seq > number { "is missing" } else { "was expected" };
            return Err(corrupt(format!("it holds entry {}, entry {number} {what}", entry.seq)));
        }
        if entry.prev != self.head {
            return Err(corrupt(format!("it follows {}, but the line before is {}", entry.prev, self.head)));
        }
        self.advance(&entry);
        Ok(entry)
    }

    pub(super) fn advance(&mut self, entry: &Entry) {
        self.entries = entry.seq;
        self.head = entry.hash;
    }
}

/// How a journal's file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a line feed, or empty.
    Whole,
    /// With a whole entry whose line feed did not get written; it counts.
    Unterminated,
    /// With the remains of an append that a crash cut short.
    Torn { bytes: u64 },
}

/// What reading a journal's file gave.
pub(super) struct Scan {
    pub chain: Chain,
    /// Length of what holds, without a torn end.
    pub length_bytes: u64,
    pub end: End,
}

/// Reads a journal's file line by line, hands each entry over, and stops at the first thing that does not hold.
///
/// The last line counts as torn where it has no line feed, or holds a NUL, which JSON never does: a file system may
/// bring back blocks that were allocated but not written as zeros. A last line that is whole and does not hold is
/// damage like any other.
///
/// **Errors**: KF-JOURNAL-CORRUPT, and what `each` returns.
pub(super) fn scan(file: impl BufRead, each: impl FnMut(Entry) -> Result<()>) -> Result<Scan> {
    scan_from(Chain::default(), file, each)
}

/// The same for what follows a chain that was read before; the length is that of what is read now.
pub(super) fn scan_from(chain: Chain, mut file: impl BufRead, mut each: impl FnMut(Entry) -> Result<()>) -> Result<Scan> {
    let mut scan = Scan { chain, length_bytes: 0, end: End::Whole };
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = file.read_until(b'\n', &mut line).map_err(|e| unreadable(&scan, &e))? as u64;
        if bytes == 0 {
            return Ok(scan);
        }
        let last = file.fill_buf().map_err(|e| unreadable(&scan, &e))?.is_empty();
        let terminated = line.last() == Some(&b'\n');
        let text = std::str::from_utf8(if terminated { &line[..line.len() - 1] } else { &line });
        let entry = match text {
            Ok(text) => scan.chain.follow(text),
            Err(e) => {
                let seen = format!("journal line {}: it is not UTF-8 ({e})", scan.chain.entries + 1);
                Err(Error::new(Code::JournalCorrupt, seen))
            }
        };
        match entry {
            Ok(entry) => {
                each(entry)?;
                scan.length_bytes += bytes;
                scan.end = if terminated { End::Whole } else { End::Unterminated };
            }
            Err(_) if last && (!terminated || line.contains(&0)) => {
                scan.end = End::Torn { bytes };
                return Ok(scan);
            }
            Err(e) => return Err(e),
        }
    }
}

fn unreadable(scan: &Scan, error: &io::Error) -> Error {
    Error::new(Code::JournalCorrupt, format!("journal line {} cannot be read: {error}", scan.chain.entries + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fact::Fact;
    use jiff::Timestamp;

    fn lines(count: u32) -> Vec<String> {
        let mut chain = Chain::default();
        (1..=count)
            .map(|attempt| {
                let fact = Fact::SeedStarted { attempt };
                let entry = Entry::seal(chain.entries + 1, Timestamp::UNIX_EPOCH, chain.head, &fact).unwrap();
                chain.advance(&entry);
                entry.line().to_owned()
            })
            .collect()
    }

    fn read(text: &[u8]) -> Result<(u64, End)> {
        let mut read = 0;
        let scan = scan(text, |_| {
            read += 1;
            Ok(())
        })?;
        assert_eq!(read, scan.chain.entries());
        Ok((read, scan.end))
    }

    fn file(lines: &[String]) -> String {
        lines.iter().map(|l| format!("{l}\n")).collect()
    }

    #[test]
    fn a_whole_file_holds() {
        assert_eq!(read(file(&lines(5)).as_bytes()).unwrap(), (5, End::Whole));
        assert_eq!(read(b"").unwrap(), (0, End::Whole));
    }

    #[test]
    fn a_removed_line_is_named() {
        for removed in 0..4 {
            let mut lines = lines(5);
            lines.remove(removed);
            let error = read(file(&lines).as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::JournalCorrupt);
            let expected = format!("journal line {0}: it holds entry {1}, entry {0} is missing", removed + 1, removed + 2);
            assert_eq!(error.seen(), expected);
        }
    }

    #[test]
    fn lines_that_changed_places_or_stand_twice_are_named() {
        let mut swapped = lines(5);
        swapped.swap(2, 3);
        assert!(read(file(&swapped).as_bytes()).unwrap_err().seen().starts_with("journal line 3: it holds entry 4"));
        let mut doubled = lines(5);
        doubled.insert(2, doubled[1].clone());
        assert!(read(file(&doubled).as_bytes()).unwrap_err().seen().starts_with("journal line 3: it holds entry 2"));
    }

    #[test]
    fn a_line_of_another_chain_is_named() {
        let mut lines = lines(3);
        let stranger = Entry::seal(3, Timestamp::UNIX_EPOCH, Digest::of("another"), &Fact::TailStarted).unwrap();
        lines[2] = stranger.line().to_owned();
        assert!(read(file(&lines).as_bytes()).unwrap_err().seen().starts_with("journal line 3: it follows"));
    }

    #[test]
    fn every_cut_of_the_last_line_is_a_torn_end() {
        let lines = lines(3);
        let (whole, last) = (file(&lines[..2]), &lines[2]);
        for cut in 1..last.len() {
            let text = format!("{whole}{}", &last[..cut]);
            assert_eq!(read(text.as_bytes()).unwrap(), (2, End::Torn { bytes: cut as u64 }), "cut at {cut}");
        }
        assert_eq!(read(format!("{whole}{last}").as_bytes()).unwrap(), (3, End::Unterminated));
    }

    #[test]
    fn zeros_at_the_end_are_torn_and_in_the_middle_are_damage() {
        let lines = lines(3);
        let mut zeroed = lines.clone();
        zeroed[2].replace_range(10..50, &"\0".repeat(40));
        assert!(matches!(read(file(&zeroed).as_bytes()).unwrap(), (2, End::Torn { .. })));
        let mut zeroed = lines;
        zeroed[1].replace_range(10..50, &"\0".repeat(40));
        assert!(read(file(&zeroed).as_bytes()).unwrap_err().seen().starts_with("journal line 2:"));
    }

    #[test]
    fn a_last_line_that_is_whole_but_altered_is_damage() {
        let mut lines = lines(3);
        lines[2] = lines[2].replace("\"attempt\":3", "\"attempt\":4");
        assert!(read(file(&lines).as_bytes()).unwrap_err().seen().starts_with("journal line 3: its hash is"));
        lines[2] = "not an entry".to_owned();
        assert_eq!(read(file(&lines).as_bytes()).unwrap_err().seen(), "journal line 3: it does not end in a hash");
    }
}
