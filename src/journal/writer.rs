//! Opens, appends to and reads a journal directory.

use super::chain::{self, Chain, End};
use super::entry::Entry;
use super::lock::{Lock, Writer};
use super::{FILE_NAME, crash};
use crate::error::{Code, Error, Result};
use crate::machine::fact::Fact;
use crate::machine::fold::Migration;
use crate::machine::state::State;
use jiff::Timestamp;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The one writer of a journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length_bytes: u64,
    chain: Chain,
    migration: Option<Migration>,
    /// Set by the first write that fails: what lies on the disk is not known any more.
    poisoned: bool,
    _lock: Lock,
}

impl Journal {
    /// Opens the journal in `dir`, creating both where they are missing, and becomes its writer.
    ///
    /// The whole chain is verified. A torn end is cut off with a warning.
    ///
    /// **Errors**: KF-JOURNAL-LOCKED, KF-JOURNAL-CORRUPT, KF-JOURNAL-UNWRITABLE.
    pub fn open(dir: &Path) -> Result<Self> {
        create_dir(dir).map_err(|e| unwritable(dir, &e))?;
        let lock = Lock::take(dir)?;
        let path = dir.join(FILE_NAME);
        let mut file = open_file(dir, &path).map_err(|e| unwritable(&path, &e))?;
        let mut migration = None;
        let scan = chain::scan(BufReader::new(&file), |entry| {
            Migration::step(&mut migration, entry.seq, entry.at, &entry.fact)
                .map_err(|e| Error::new(Code::JournalCorrupt, format!("journal line {}: {}", entry.seq, e.seen())))
        })?;
        let mut length_bytes = scan.length_bytes;
        match scan.end {
            End::Whole => {}
            End::Unterminated => {
                file.write_all(b"\n").map_err(|e| unwritable(&path, &e))?;
                length_bytes += 1;
            }
            End::Torn { bytes } => {
                tracing::warn!(entry = scan.chain.entries() + 1, bytes, "an append was cut short by a crash; its remains are removed from the journal");
                file.set_len(length_bytes).map_err(|e| unwritable(&path, &e))?;
            }
        }
        // What was read may still lie in the page cache only, if the last writer's fsync did not succeed.
        file.sync_all().map_err(|e| unwritable(&path, &e))?;
        Ok(Self { path, file, length_bytes, chain: scan.chain, migration, poisoned: false, _lock: lock })
    }

    /// Like [`Journal::open`], for commands that go on with a migration and never begin one.
    ///
    /// **Errors**: KF-JOURNAL-MISSING where there is no journal, and those of [`Journal::open`].
    pub fn open_existing(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        match path.metadata() {
            Ok(_) => Self::open(dir),
            Err(e) => Err(unreadable(&path, &e)),
        }
    }

    /// Appends `fact` and returns its entry's number once it is durable.
    ///
    /// A fact that may not happen in the present state is refused and nothing is written. The first fact is
    /// [`Fact::MigrationPlanned`].
    ///
    /// **Errors**: KF-STATE-ILLEGAL; KF-JOURNAL-UNWRITABLE, after which nothing more can be appended: whether the entry
    /// is on the disk is found out by opening the journal again.
    pub fn append(&mut self, fact: &Fact, now: Timestamp) -> Result<u64> {
        if self.poisoned {
            let seen = format!("{}: an earlier write did not succeed", self.path.display());
            return Err(Error::new(Code::JournalUnwritable, seen));
        }
        let seq = self.chain.entries() + 1;
        match &self.migration {
            Some(migration) => drop(migration.check(fact)?),
            None => check_first(fact)?,
        }
        let entry = Entry::seal(seq, now, self.chain.head(), fact).map_err(|e| Error::new(Code::Bug, format!("entry {seq}: {e}")))?;
        crash::before(seq);
        if let Err(e) = self.write(&entry) {
            self.poisoned = true;
            // At best the file ends where it did; the next open settles it in any case.
            let cut = self.file.set_len(self.length_bytes);
            tracing::error!(entry = seq, cut = cut.is_ok(), error = %e, "the journal cannot be written");
            return Err(unwritable(&self.path, &e));
        }
        crash::after(seq);
        self.length_bytes += entry.line().len() as u64 + 1;
        self.chain.advance(&entry);
        Migration::step(&mut self.migration, seq, entry.at, fact)?;
        Ok(seq)
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if crash::tears(entry.seq) {
            self.file.write_all(&entry.line().as_bytes()[..entry.line().len() / 2])?;
            self.file.sync_data()?;
            crash::kill();
        }
        self.file.write_all(format!("{}\n", entry.line()).as_bytes())?;
        self.file.sync_data()
    }

    /// The migration as the journal's facts tell it; None while there are none.
    pub fn migration(&self) -> Option<&Migration> {
        self.migration.as_ref()
    }

    /// The state that the journal's facts lead to; None while there are none.
    pub fn state(&self) -> Option<State> {
        self.migration.as_ref().map(|m| m.state)
    }

    /// How many entries the journal holds, and the last one's hash.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Every entry, read again from the disk.
    ///
    /// **Errors**: those of [`Journal::read`].
    pub fn entries(&self) -> Result<Vec<Entry>> {
        Self::read_file(&self.path)
    }

    /// The journal's directory.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Reads a journal that another process may be writing. Nothing is changed; an entry that is being written is left out.
    ///
    /// **Errors**: KF-JOURNAL-MISSING, KF-JOURNAL-CORRUPT, KF-JOURNAL-UNWRITABLE where permissions are missing.
    pub fn read(dir: &Path) -> Result<Vec<Entry>> {
        Self::read_file(&dir.join(FILE_NAME))
    }

    /// Who writes the journal in `dir` at present; the lock is not touched.
    pub fn writer(dir: &Path) -> Writer {
        super::lock::writer(dir)
    }

    /// Reads a journal's file wherever it lies, as [`Journal::read`] does.
    pub fn read_file(path: &Path) -> Result<Vec<Entry>> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let mut entries = Vec::new();
        chain::scan(BufReader::new(file), |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }
}

/// A journal begins with a plan, under the digest that an auditor will compute.
fn check_first(fact: &Fact) -> Result<()> {
    match fact {
        Fact::MigrationPlanned { plan, plan_sha256, .. } if plan.sha256().to_string() == *plan_sha256 => Ok(()),
        Fact::MigrationPlanned { plan_sha256, .. } => Err(Error::new(Code::Bug, format!("the plan's digest is not {plan_sha256}"))),
        other => Err(Error::new(Code::StateIllegal, format!("{} may not happen as a journal's first fact", other.name()))),
    }
}

fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Opens the file for appending; where it is created, its name is made durable too.
fn open_file(dir: &Path, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let file = options.create_new(true).open(path)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        }
        opened => opened,
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::JournalUnwritable, format!("{}: {error}", path.display()))
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::JournalMissing } else { Code::JournalUnwritable };
    Error::new(code, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
