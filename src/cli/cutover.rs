use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Freezes the producers, proves it, drains what is left, moves the groups' offsets and commits
///
/// Ends in AWAITING_CLIENT_SWITCH; whatever fails before the commit lets the producers go on at the source and ends in TAIL. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry cutover --config migration.yaml --journal-dir journal")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::cutover::run(&config, &args.migration)
}
