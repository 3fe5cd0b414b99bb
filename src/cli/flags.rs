//! Flags that several commands share.

use std::ffi::OsString;

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// The flags of every command that works on one migration's journal.
#[cfg(feature = "kafka")]
#[derive(clap::Args, Debug)]
pub struct Migration {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: std::path::PathBuf,
    /// The directory of the migration's journal
    #[arg(long, value_name = "DIR")]
    pub journal_dir: std::path::PathBuf,
}

/// Finds `--output json` without parsing, so that usage errors and every command's errors are rendered alike.
pub(super) fn output_of(arguments: &[OsString]) -> Output {
    let words = || arguments.iter().filter_map(|a| a.to_str()).take_while(|a| *a != "--");
    let separate = words().zip(words().skip(1)).any(|(flag, value)| flag == "--output" && value == "json");
    if separate || words().any(|word| word == "--output=json") { Output::Json } else { Output::Text }
}
