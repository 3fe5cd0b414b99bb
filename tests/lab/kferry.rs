//! The `kferry` binary as its users run it.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::process::Process;
use super::workdir::WorkDir;

const RUN: Duration = Duration::from_secs(600);

/// A way to run `kferry`: working directory and environment, the same for every call.
pub struct Kferry {
    binary: PathBuf,
    cwd: PathBuf,
    env: Vec<(String, String)>,
    runs: AtomicU32,
    logs: WorkDir,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub command: String,
    /// Nothing where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".into(), |code| format!("code {code}"));
        write!(f, "`{}` ended with {code} after {:.1?}\n--- stdout\n{}\n--- stderr\n{}\n---", self.command, self.took, self.stdout, self.stderr)
    }
}

impl Outcome {
    /// Panics with everything it printed unless it ended with this code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected code {code}, but {self}");
        self
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// What it printed as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {self}"))
    }
}

impl Kferry {
    pub fn new(cwd: &Path) -> Self {
        Self { binary: binary(), cwd: cwd.into(), env: Vec::new(), runs: AtomicU32::new(0), logs: WorkDir::new("kferry") }
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.into(), value.to_string()));
        self
    }

    pub fn envs(mut self, all: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(all);
        self
    }

    /// Another binary than the one built with the tests.
    pub fn with_binary(mut self, binary: &Path) -> Self {
        self.binary = binary.into();
        self
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Runs to the end, at most ten minutes.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.spawn(args).wait(RUN)
    }

    /// Runs to the end with this on its standard input.
    #[track_caller]
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Outcome {
        let mut running = self.spawn_with(args, Stdio::piped());
        let mut stdin = running.process.take_stdin().expect("standard input is piped");
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        running.wait(RUN)
    }

    pub fn spawn(&self, args: &[&str]) -> Running {
        self.spawn_with(args, Stdio::null())
    }

    /// Runs to the end with a terminal as its standard output and standard error; answers what came to the screen.
    #[track_caller]
    pub fn run_on_terminal(&self, args: &[&str]) -> String {
        let (mut screen, terminal) = open_terminal();
        let shared = || Stdio::from(terminal.try_clone().unwrap());
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(&self.cwd).envs(self.env.iter().cloned()).stdin(Stdio::null()).stdout(shared()).stderr(shared());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.binary.display()));
        // The screen's end comes when nobody holds the terminal any more: neither the command, nor what it was started from, nor this.
        drop(command);
        drop(terminal);
        let mut seen = Vec::new();
        // An error is how Linux tells that end.
        let _ = std::io::Read::read_to_end(&mut screen, &mut seen);
        child.wait().unwrap();
        String::from_utf8_lossy(&seen).into_owned()
    }

    fn spawn_with(&self, args: &[&str], stdin: Stdio) -> Running {
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let name = args.first().copied().unwrap_or("none");
        let file = |stream: &str| {
            let path = self.logs.path().join(format!("{number:03}-{name}.{stream}"));
            (File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())), path)
        };
        let ((out, stdout), (err, stderr)) = (file("stdout"), file("stderr"));
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(&self.cwd).envs(self.env.iter().cloned()).stdin(stdin).stdout(out).stderr(err);
        let process = Process::spawn(&format!("kferry {name}"), &stderr, &mut command);
        Running { command: format!("kferry {}", args.join(" ")), process, stdout, stderr, started: Instant::now() }
    }
}

/// A run that goes on; it is killed when dropped.
pub struct Running {
    command: String,
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    pub fn interrupt(&mut self) {
        self.process.signal(libc::SIGINT);
    }

    pub fn terminate(&mut self) {
        self.process.signal(libc::SIGTERM);
    }

    /// SIGKILL; answers what it had printed.
    pub fn kill(mut self) -> Outcome {
        self.process.kill();
        self.outcome()
    }

    /// What it has printed so far, standard output and standard error.
    pub fn printed(&self) -> (String, String) {
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        (read(&self.stdout), read(&self.stderr))
    }

    /// Waits for its end; one that does not end in time is killed and that is a panic.
    #[track_caller]
    pub fn wait(mut self, timeout: Duration) -> Outcome {
        if self.process.wait(timeout).is_none() {
            self.process.kill();
            panic!("still running after {timeout:?}: {}", self.outcome());
        }
        self.outcome()
    }

    /// Waits until a condition on what it has printed holds; its end, or the timeout, before that is a panic.
    #[track_caller]
    pub fn wait_until(&mut self, timeout: Duration, mut holds: impl FnMut(&str, &str) -> bool) {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = !self.process.is_running();
            let (stdout, stderr) = self.printed();
            if holds(&stdout, &stderr) {
                return;
            }
            assert!(!ended, "it ended before the condition held: {}", self.outcome());
            assert!(Instant::now() < deadline, "the condition does not hold after {timeout:?}: {}", self.outcome());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// User and system CPU time and the peak resident set so far, from `/proc`; nothing once it has ended.
    pub fn usage(&self) -> Option<(Duration, u64)> {
        usage(self.pid())
    }

    fn outcome(&mut self) -> Outcome {
        let (stdout, stderr) = self.printed();
        let code = self.process.status().and_then(|status| status.code());
        Outcome { command: self.command.clone(), code, stdout, stderr, took: self.started.elapsed() }
    }
}

/// A pseudo-terminal of 120 columns: what shows on its screen, and what a process writes to.
fn open_terminal() -> (File, File) {
    use std::os::fd::FromRawFd as _;
    let (mut screen, mut terminal) = (-1, -1);
    let size = libc::winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: both descriptors are written by a call that succeeds, and belong to nobody else.
    unsafe {
        let opened = libc::openpty(&mut screen, &mut terminal, std::ptr::null_mut(), std::ptr::null(), &size);
        assert_eq!(opened, 0, "no pseudo-terminal: {}", std::io::Error::last_os_error());
        for descriptor in [screen, terminal] {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (File::from_raw_fd(screen), File::from_raw_fd(terminal))
    }
}

/// CPU time and peak resident bytes of a process.
pub fn usage(pid: u32) -> Option<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // SAFETY: asks for a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
    Some((Duration::from_millis(ticks * 1_000 / per_second), peak * 1_024))
}

/// The binary that was built along with this test, or `KFERRY_BIN`, or one beside this program.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KFERRY_BIN") {
        return path.into();
    }
    if let Some(path) = option_env!("CARGO_BIN_EXE_kferry") {
        return path.into();
    }
    let here = std::env::current_exe().expect("this program knows its path");
    here.ancestors()
        .skip(1)
        .take(3)
        .map(|directory| directory.join("kferry"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no kferry binary beside {}; set KFERRY_BIN", here.display()))
}
