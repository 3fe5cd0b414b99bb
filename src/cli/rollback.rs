use super::flags;
use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};

/// Undoes what the journal says that kferry created on the target
///
/// Refused where it could lose a record: after the cutover, once the target has taken writes. The licence under which the migration began is enough.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    drive(&config, &args)
}

/// WIRE: `crate::driver::rollback::run`.
fn drive(_config: &Config, _args: &Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "rollback is not wired"))
}
