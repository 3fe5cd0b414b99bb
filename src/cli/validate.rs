use super::{Output, flags};
use crate::config;
use crate::error::{Exit, Result};

/// Runs the five checks over both clusters, as often as wanted
///
/// Ends with exit code 4 where a check fails. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry validate --config migration.yaml --journal-dir journal\n  kferry validate --config migration.yaml --journal-dir journal --output json > checks.json")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
    /// How the checks are printed
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::validate::run(&config, &args.migration, args.output)
}
