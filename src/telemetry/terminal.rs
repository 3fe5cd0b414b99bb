//! Standard error, shared by the logs and the live status line.

use std::io::{self, IsTerminal, Write};

/// Whether a person watches standard error on a terminal that can move its cursor.
pub(super) fn is_live() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether colours are welcome (`NO_COLOR`, see no-color.org).
pub(super) fn has_colour() -> bool {
    is_live() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(feature = "kafka")]
static LIVE: std::sync::Mutex<Option<indicatif::ProgressBar>> = std::sync::Mutex::new(None);

/// Names the status line that has to give way when something else is written; None when there is none any more.
#[cfg(feature = "kafka")]
pub(super) fn set_live(line: Option<indicatif::ProgressBar>) {
    *LIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = line;
}

/// Writes to standard error without tearing the live status line.
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "kafka")]
        {
            let line = LIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            if let Some(line) = line {
                return line.suspend(|| io::stderr().lock().write(buffer));
            }
        }
        io::stderr().lock().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
