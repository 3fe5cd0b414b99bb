//! Directories of what is running: removed in the end, kept with their logs when a scenario fails.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

static NEXT: AtomicU32 = AtomicU32::new(0);
static PANICKED: AtomicBool = AtomicBool::new(false);
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
const STALE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory that lives as long as its owner, and longer if something panics or `KFERRY_LAB_KEEP` is set.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    pub fn new(name: &str) -> Self {
        static PREPARE: Once = Once::new();
        let root = root();
        PREPARE.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                PANICKED.store(true, Ordering::SeqCst);
                previous(info);
            }));
            // Statics are never dropped: what they own is cleared away here.
            // SAFETY: `at_exit` is an `extern "C"` function without arguments that lives as long as the process.
            unsafe { libc::atexit(at_exit) };
            sweep(&root);
        });
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = root.join(format!("{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("lab directory {}: {e}", path.display()));
        LIVE.lock().unwrap().push(path.clone());
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes and names a directory below this one.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("lab directory {}: {e}", path.display()));
        path
    }

    /// Writes a file below this directory and names it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("lab file {}: {e}", path.display()));
        path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Ok(mut live) = LIVE.lock() {
            live.retain(|path| *path != self.path);
        }
        finish(&self.path, std::thread::panicking());
    }
}

fn root() -> PathBuf {
    std::env::var_os("KFERRY_LAB_DIR").map_or_else(|| std::env::temp_dir().join("kferry-lab"), PathBuf::from)
}

fn finish(path: &Path, failed: bool) {
    if failed || std::env::var_os("KFERRY_LAB_KEEP").is_some_and(|value| !value.is_empty()) {
        eprintln!("lab: kept {}", path.display());
    } else {
        let _ = std::fs::remove_dir_all(path);
    }
}

extern "C" fn at_exit() {
    super::process::kill_all();
    let failed = PANICKED.load(Ordering::SeqCst);
    for path in std::mem::take(&mut *LIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)) {
        finish(&path, failed);
    }
}

/// Removes what runs that are long over have kept.
fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let old = entry.metadata().and_then(|m| m.modified()).is_ok_and(|t| t.elapsed().is_ok_and(|age| age > STALE_AFTER));
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.split_once('-')).and_then(|(pid, _)| pid.parse::<u32>().ok());
        let dead = owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if old && dead {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
