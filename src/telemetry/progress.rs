//! Progress of a running command: one live line on a terminal, plain lines in a pipe.

use super::line::{Schedule, text};
use super::rate::{Observation, RateWindow, Snapshot};
use super::terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::Instant;

/// Shows a command's progress on standard error until it is dropped.
pub struct Progress {
    started: Instant,
    window: RateWindow,
    schedule: Schedule,
    last: Option<Snapshot>,
    /// Whether `last` has been printed as a plain line.
    last_is_printed: bool,
    live: Option<ProgressBar>,
}

impl Progress {
    /// Starts showing; a terminal gets a live line, a pipe plain lines.
    pub fn start() -> Self {
        let live = terminal::is_live().then(live_line);
        terminal::set_live(live.clone());
        Self { started: Instant::now(), window: RateWindow::default(), schedule: Schedule::default(), last: None, last_is_printed: false, live }
    }

    /// Shows one observation; meant to be called about once a second, and whenever the state changes.
    pub fn update(&mut self, seen: Observation) -> &Snapshot {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let snapshot = self.window.snapshot(now_ms, seen);
        self.last_is_printed = self.live.is_none() && self.schedule.due(now_ms, &snapshot);
        match &self.live {
            Some(line) => {
                // What a state came to stays on the screen.
                if let Some(last) = self.last.as_ref().filter(|last| last.state != snapshot.state) {
                    line.println(text(last));
                }
                line.set_message(text(&snapshot));
                line.tick();
            }
            None if self.last_is_printed => plain(&snapshot),
            None => {}
        }
        self.last.insert(snapshot)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        terminal::set_live(None);
        if let Some(line) = &self.live {
            line.finish_and_clear();
        }
        // The last numbers stay, on a screen and in a log alike.
        if let Some(last) = self.last.as_ref().filter(|_| !self.last_is_printed) {
            plain(last);
        }
    }
}

fn live_line() -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // Without a ticker of its own: a spinner that turns while nothing happens would lie.
    let style = ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    line.set_style(style);
    line
}

fn plain(snapshot: &Snapshot) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    // Nobody is left to tell where standard error is gone; the work goes on.
    let _ = writeln!(std::io::stderr().lock(), "{now} {}", text(snapshot));
}
