use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Copies topics, settings, ACLs and records until the migration is ready for its cutover, then halts
///
/// Run again, it goes on where it was. The source is only read. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry execute --config migration.yaml --journal-dir journal")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::execute::run(&config, &args.migration)
}
