use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Checks, signs and stores the evidence bundle, and ends the migration
///
/// Refused while one of the five checks fails or was not run. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry finalize --config migration.yaml --journal-dir journal")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::finalize::run(&config, &args.migration)
}
