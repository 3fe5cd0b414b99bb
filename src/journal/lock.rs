//! The lock that makes one process the journal's writer.

use crate::error::{Code, Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
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
    let mut pid = String::new();
    let holder = match file.take(PID_BYTES_MAX).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    Error::new(Code::JournalLocked, format!("{holder} holds {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
