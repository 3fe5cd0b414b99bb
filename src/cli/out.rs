//! What commands write to standard output.

use crate::error::{Code, Error, Result};
use std::io::{self, Write};

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// Writes to standard output. A reader that has gone away is no error.
///
/// **Errors**: KF-USAGE where it cannot be written, for example to a full disk.
pub fn emit(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(Code::UsageInvalid, format!("standard output: {e}"))),
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON and a line feed.
///
/// **Errors**: those of [`emit`].
pub fn emit_json(value: &serde_json::Value) -> Result<()> {
    emit(&format!("{value:#}\n"))
}
