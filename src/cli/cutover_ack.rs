use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Confirms that the clients have switched to the target
///
/// Refused while producers still write to the source. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::cutover_ack::run(&config, &args.migration)
}
