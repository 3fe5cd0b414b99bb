//! Reads a journal that another process goes on writing, each line once.

use super::FILE_NAME;
use super::chain::{self, Chain, End};
use super::entry::Entry;
use super::writer::unreadable;
use crate::error::Result;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A reader that remembers how far it has come.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    chain: Chain,
    length_bytes: u64,
    /// The last entry's line feed was not there yet.
    unterminated: bool,
}

impl Follower {
    /// Begins at the first entry of the journal in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join(FILE_NAME), chain: Chain::default(), length_bytes: 0, unterminated: false }
    }

    /// What has been written since the last call; an entry that is being written is left for the next.
    ///
    /// **Errors**: KF-JOURNAL-MISSING, KF-JOURNAL-CORRUPT, KF-JOURNAL-UNWRITABLE where permissions are missing.
    pub fn read_new(&mut self) -> Result<Vec<Entry>> {
        let failed = |e| unreadable(&self.path, &e);
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.length_bytes)).map_err(failed)?;
        let mut file = BufReader::new(file);
        if self.unterminated && file.fill_buf().map_err(failed)?.first() == Some(&b'\n') {
            file.consume(1);
            self.length_bytes += 1;
            self.unterminated = false;
        }
        let mut entries = Vec::new();
        let scan = chain::scan_from(self.chain.clone(), file, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        self.chain = scan.chain;
        self.length_bytes += scan.length_bytes;
        self.unterminated = match scan.end {
            End::Unterminated => true,
            End::Whole | End::Torn { .. } => self.unterminated && entries.is_empty(),
        };
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::journal::Journal;
    use crate::machine::sample;
    use std::io::Write;

    #[test]
    fn each_entry_is_read_once_while_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path());
        assert_eq!(follower.read_new().unwrap_err().code(), Code::JournalMissing);
        let entries = sample::entries(sample::journey());
        let path = dir.path().join(FILE_NAME);
        let mut file = File::create(&path).unwrap();
        let mut read = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            // A line comes in two halves, now and then without its line feed.
            let (first, second) = entry.line().split_at(entry.line().len() / 2);
            file.write_all(first.as_bytes()).unwrap();
            assert!(follower.read_new().unwrap().is_empty());
            file.write_all(second.as_bytes()).unwrap();
            if index % 2 == 0 {
                read.extend(follower.read_new().unwrap());
                assert_eq!(read.len(), index + 1);
            }
            file.write_all(b"\n").unwrap();
            read.extend(follower.read_new().unwrap());
            assert!(follower.read_new().unwrap().is_empty());
        }
        assert_eq!(read, entries);
        assert_eq!(Journal::read(dir.path()).unwrap(), entries);
    }
}
