use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Confirms that the clients have switched to the target
///
/// Refused while producers still write to the source. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry cutover-ack --config migration.yaml --journal-dir journal")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
    /// Accept that so many offsets, written to the source after the cutover, are not on the target
    ///
    /// Refused where it is another number by now. What was accepted is journaled, and the evidence lists it.
    #[arg(long, value_name = "OFFSETS")]
    pub accept_late_writes: Option<u64>,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::cutover_ack::run(&config, &args.migration, args.accept_late_writes)
}
