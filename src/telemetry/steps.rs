//! What a command does that reads clusters for a while: one live line on a terminal, nothing in a pipe.

use super::terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// How often the time behind a step is renewed.
const TICK: Duration = Duration::from_millis(250);

/// Shows a command's present step on standard error until it is dropped; only where a person watches.
pub struct Steps(Option<ProgressBar>);

impl Steps {
    pub fn start() -> Self {
        let line = terminal::is_live().then(|| {
            let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            line.set_style(style);
            // Its time goes on while a broker keeps us waiting.
            line.enable_steady_tick(TICK);
            line
        });
        terminal::set_live(line.clone());
        Self(line)
    }

    /// Says what is done now.
    pub fn at(&self, step: &str) {
        tracing::debug!(step, "next step");
        if let Some(line) = &self.0 {
            line.set_message(step.to_owned());
        }
    }

    /// The same with how much of it is done.
    pub fn counted(&self, step: &str, done: u64, what: &str) {
        if let Some(line) = &self.0 {
            line.set_message(format!("{step}: {} {what}", super::count(done)));
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        terminal::set_live(None);
        if let Some(line) = &self.0 {
            line.finish_and_clear();
        }
    }
}
