use super::flags;
use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};

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
    drive(&config, &args)
}

/// WIRE: `crate::driver::cutover_ack::run`.
fn drive(_config: &Config, _args: &Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "cutover-ack is not wired"))
}
