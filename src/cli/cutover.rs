use super::flags;
use crate::config;
use crate::error::{Exit, Result};

/// Freezes the producers, proves it, drains what is left, moves the groups' offsets and commits
///
/// Ends in AWAITING_CLIENT_SWITCH; whatever fails before the commit lets the producers go on at the source and ends in TAIL. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry cutover --config migration.yaml --journal-dir journal\n  kferry cutover --config migration.yaml --journal-dir journal --leave-behind scratch")]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
    /// Leave this topic on the source, which came there after the plan was made
    ///
    /// The plan knows nothing of it: it is not copied, its producers are not told of the freeze, and the evidence lists it as not covered. May be given several times.
    #[arg(long, value_name = "TOPIC")]
    pub leave_behind: Vec<String>,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    crate::driver::cutover::run(&config, &args.migration, &args.leave_behind)
}
