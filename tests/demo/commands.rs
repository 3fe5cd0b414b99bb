//! Runs `kferry` as its users do, and shows what it prints.

use crate::lab::kferry::binary;
use crate::lab::process::Process;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command that takes longer is stuck.
const RUN: Duration = Duration::from_secs(300);

pub struct Commands {
    binary: PathBuf,
    work: PathBuf,
}

impl Commands {
    pub fn new(work: &Path) -> Self {
        Self { binary: binary(), work: work.into() }
    }

    /// Runs a command of the migration, which has to do what it is there for.
    pub fn migrate(&self, command: &str) {
        self.run(&[command, "--config", "kferry.yaml", "--journal-dir", "journal"], &[0]);
    }

    /// Runs one command in the work directory; another exit code than these ends the demo.
    pub fn run(&self, args: &[&str], expected: &[i32]) {
        println!("\n$ kferry {}", args.join(" "));
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(&self.work);
        // The trial is recorded here and not where it counts.
        command.env("XDG_STATE_HOME", self.work.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut process = Process::spawn("kferry", Path::new("its output above"), &mut command);
        let stdout = show(process.child().stdout.take());
        let stderr = show(process.child().stderr.take());
        let status = process.wait(RUN);
        drop(process);
        let _ = (stdout.join(), stderr.join());
        let code = status.unwrap_or_else(|| panic!("`kferry {}` is still running after {RUN:?}", args.join(" "))).code();
        println!("  [exit code {}, {:.1} s]", code.map_or("none".into(), |c| c.to_string()), started.elapsed().as_secs_f32());
        assert!(code.is_some_and(|c| expected.contains(&c)), "`kferry {}` was expected to end with {expected:?}", args.join(" "));
    }
}

/// Prints lines as they come.
fn show(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in stream.into_iter().flat_map(|s| BufReader::new(s).lines()).map_while(Result::ok) {
            println!("  {line}");
        }
    })
}
