use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Undoes what the journal says that kferry created on the target
///
/// Refused where it could lose a record: after the cutover, once the target has taken writes. The licence under which the migration began is enough.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry rollback --config migration.yaml --journal-dir journal")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::rollback::run(&config, &args.migration)
}
