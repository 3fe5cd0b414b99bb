//! The lock that makes one process the journal's writer.

use crate::error::{Code, Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const FILE_NAME: &str = "lock";

/// The longest pid is ten digits; more is not read.
const PID_BYTES_MAX: u64 = 32;

/// Holds the lock on a journal directory; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock at once or not at all, and writes the pid into its file.
    ///
    /// **Errors**: KF-JOURNAL-LOCKED with the holder's pid, KF-JOURNAL-UNWRITABLE.
    pub fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let unwritable = |e| Error::new(Code::JournalUnwritable, format!("{}: {e}", path.display()));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&path, &mut file)),
            Err(TryLockError::Error(e)) => return Err(unwritable(e)),
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unwritable)?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a process that is being started at this moment holds a copy of the descriptor until
        // it becomes another program. Where unlocking does not succeed, closing follows.
        let _ = self.file.unlock();
    }
}

fn held(path: &Path, file: &mut File) -> Error {
    let holder = match pid_in(file) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::new(Code::JournalLocked, format!("{holder} holds {}", path.display()))
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut pid = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}

/// Who writes a journal at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Nobody,
    Process(u32),
    /// This system does not tell.
    Unknown,
}

/// Asks the kernel who holds the lock, without touching it: a lock that a mere reader tried to take, if only for a
/// moment, could make a writer that begins at that moment give up.
pub(super) fn writer(dir: &Path) -> Writer {
    let Ok(mut file) = File::open(dir.join(FILE_NAME)) else { return Writer::Nobody };
    let (Ok(metadata), Ok(locks)) = (file.metadata(), std::fs::read_to_string("/proc/locks")) else { return Writer::Unknown };
    match (holds(&locks, metadata.ino()), pid_in(&mut file)) {
        (false, _) => Writer::Nobody,
        (true, Some(pid)) => Writer::Process(pid),
        (true, None) => Writer::Unknown,
    }
}

/// Whether an exclusive `flock` on this inode is among the kernel's locks. Source: proc_locks(5).
fn holds(locks: &str, inode: u64) -> bool {
    locks.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let kind = (fields.next(), fields.next(), fields.next());
        let place = fields.nth(1);
        kind == (Some("FLOCK"), Some("ADVISORY"), Some("WRITE")) && place.and_then(|p| p.rsplit(':').next()?.parse().ok()) == Some(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_is_seen_without_touching_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writer(dir.path()), Writer::Nobody);
        let lock = Lock::take(dir.path()).unwrap();
        if Path::new("/proc/locks").exists() {
            assert_eq!(writer(dir.path()), Writer::Process(std::process::id()));
        }
        drop(lock);
        assert_ne!(writer(dir.path()), Writer::Process(std::process::id()));
        let locks = "1: POSIX  ADVISORY  WRITE 9 08:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 9 00:2f:78 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 10 00:2f:79 0 EOF\n";
        assert!(holds(locks, 78) && !holds(locks, 77) && !holds(locks, 79) && !holds(locks, 8));
    }

    #[test]
    fn a_lock_is_given_back_though_a_copy_of_its_descriptor_lives_on() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let _copy = lock.file.try_clone().unwrap();
        assert_eq!(Lock::take(dir.path()).unwrap_err().code(), Code::JournalLocked);
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }
}
