//! Child processes that never outlive this one, and ports that nobody else takes meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The children that have not been waited for, by pid: only those may be signalled.
static CHILDREN: Mutex<BTreeMap<u32, ()>> = Mutex::new(BTreeMap::new());

/// A running child with its log.
///
/// A shell beside it holds the reading end of a pipe whose writing end is ours alone: when we are gone, even by SIGKILL,
/// it reads the end of file and kills the child.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    watchdog: Option<Child>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with both output streams in the file `log` (appended).
    pub fn start(name: &str, log: &Path, command: &mut Command) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap_or_else(|e| panic!("log {}: {e}", log.display()));
        let err = out.try_clone().expect("a log's descriptor can be duplicated");
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Self::spawn(name, log, command)
    }

    /// Starts `command` with the streams as it has them.
    pub fn spawn(name: &str, log: &Path, command: &mut Command) -> Self {
        let mut children = CHILDREN.lock().unwrap();
        // A group of its own: an interrupt from the terminal is ours to handle, not the child's.
        let child = command.process_group(0).spawn().unwrap_or_else(|e| panic!("start {name} ({:?}): {e}", command.get_program()));
        children.insert(child.id(), ());
        drop(children);
        let watchdog = Command::new("sh")
            .args(["-c", "read _; kill -9 $1 2>/dev/null", "sh", &child.id().to_string()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("start the watchdog of {name}: {e}"));
        Self { name: name.into(), log: log.into(), child, watchdog: Some(watchdog), status: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let mut children = CHILDREN.lock().unwrap();
            // The watchdog goes before the child is reaped: it must never kill another process of the same number.
            if exited(self.child.id()) {
                if let Some(mut watchdog) = self.watchdog.take() {
                    let _ = watchdog.kill();
                    let _ = watchdog.wait();
                }
                self.status = self.child.wait().ok();
                children.remove(&self.child.id());
            }
        }
        self.status
    }

    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, signal: i32) {
        if self.status().is_none() {
            // SAFETY: the child has not been reaped, so the number is still its own.
            unsafe { libc::kill(self.child.id() as i32, signal) };
        }
    }

    /// Waits for its end, at most so long.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait(Duration::from_secs(10));
    }

    /// SIGTERM, then SIGKILL for who does not go in time.
    pub fn stop(&mut self, timeout: Duration) {
        self.signal(libc::SIGTERM);
        if self.wait(timeout).is_none() {
            self.kill();
        }
    }

    /// The last lines of its log, for a message.
    pub fn log_tail(&self) -> String {
        tail(&self.log, 30)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a child of ours has ended; it stays to be reaped.
fn exited(pid: u32) -> bool {
    // SAFETY: `siginfo_t` is plain data and the call writes nothing else.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let answer = libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        answer == 0 && info.si_pid() == pid as i32
    }
}

/// Kills every child that still runs: for the end of the process, where nothing is dropped.
pub(super) fn kill_all() {
    let children = CHILDREN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for pid in children.keys() {
        // SAFETY: only children that have not been reaped are listed.
        unsafe { libc::kill(*pid as i32, libc::SIGKILL) };
    }
    for pid in children.keys() {
        // SAFETY: as above; the status is not asked for.
        unsafe { libc::waitpid(*pid as i32, std::ptr::null_mut(), 0) };
    }
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    format!("--- {} (last {lines} lines)\n{}\n---", path.display(), all[all.len().saturating_sub(lines)..].join("\n"))
}

/// A loopback port that is free now and that no other lab on this machine is given while this process lives.
///
/// It lies below the range from which the system takes ports for outgoing connections, so it is still free when a broker
/// that was killed comes back.
pub fn free_port() -> u16 {
    static HELD: Mutex<(u16, Vec<File>)> = Mutex::new((0, Vec::new()));
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let directory = std::env::temp_dir().join("kferry-lab-ports");
    std::fs::create_dir_all(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut held = HELD.lock().unwrap();
    if held.1.is_empty() {
        held.0 = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    }
    for _ in 0..COUNT {
        let port = FIRST + held.0;
        held.0 = (held.0 + 1) % COUNT;
        let Ok(lock) = File::options().create(true).append(true).open(directory.join(port.to_string())) else { continue };
        // SAFETY: the descriptor is open for the length of the call.
        let locked = unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0;
        if locked && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            held.1.push(lock);
            return port;
        }
    }
    panic!("no free loopback port between {FIRST} and {}", FIRST + COUNT);
}
