//! Results on standard output, errors on standard error, and the process's exit code.

use super::Output;
use crate::error::{Code, Error, Exit, Retry, page};
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;

/// Writes text and a line feed to standard output; a reader that has gone away (`| head`) is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

pub(super) fn exit_code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

/// Renders an error: what was seen, what to do next, where to read more.
pub(super) fn error(error: &Error, output: Output) {
    match output {
        Output::Text => eprint!("{}", text(error.code(), error.seen())),
        Output::Json => print(&serde_json::json!(object(error)).to_string()),
    }
}

/// Renders what clap has to say: help on standard output, a mistake on standard error with exit code 2.
pub(super) fn usage(usage: &clap::Error, output: Output) -> ExitCode {
    #[cfg(not(feature = "kafka"))]
    if let Some(refusal) = super::offline::refusal(usage) {
        error(&refusal, output);
        return exit_code(refusal.code().exit());
    }
    if usage.use_stderr() && output == Output::Json {
        let words = usage.to_string();
        // The first paragraph; what follows is the usage in full.
        let seen: Vec<&str> = words.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        error(&Error::new(Code::UsageInvalid, seen.join(" ").trim_start_matches("error: ")), output);
        return exit_code(Exit::Usage);
    }
    // Nothing is left to do where the terminal is gone.
    let _ = usage.print();
    exit_code(if usage.use_stderr() { Exit::Usage } else { Exit::Done })
}

/// The three lines under which every error is shown.
pub(super) fn text(code: Code, seen: &str) -> String {
    format!("error[{code}]: {seen}\n  next: {}\n  see: kferry explain {code}\n", code.remedy(), code = code.as_str())
}

/// What every command prints on standard output where it fails under `--output json`; `config/schemas/error.json` describes it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ErrorOutput<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ErrorObject<'a> {
    /// Stable, and never reused.
    code: &'static str,
    /// What was observed.
    seen: &'a str,
    /// What to do next.
    remedy: &'static str,
    /// `transient`: the same command may succeed later; `after_fix`: something has to be changed first; `never`.
    retry: &'static str,
    /// The command's own.
    exit_code: u8,
    /// The page that explains it, below kferry's repository.
    page: String,
}

pub(super) fn object(error: &Error) -> ErrorOutput<'_> {
    let code = error.code();
    ErrorOutput {
        error: ErrorObject {
            code: code.as_str(),
            seen: error.seen(),
            remedy: code.remedy(),
            retry: match code.retry() {
                Retry::Transient => "transient",
                Retry::AfterFix => "after_fix",
                Retry::Never => "never",
            },
            exit_code: code.exit() as u8,
            page: page(code.as_str()),
        },
    }
}
