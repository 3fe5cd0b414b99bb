use super::flags;
use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};

/// Runs the five checks over both clusters, as often as wanted
///
/// Ends with exit code 4 where a check fails. Needs a licence, or the trial.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    drive(&config, &args)
}

/// WIRE: `crate::driver::validate::run`.
fn drive(_config: &Config, _args: &Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "validate is not wired"))
}
