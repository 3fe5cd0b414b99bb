use super::{Output, flags};
use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};

/// Says where the migration stands, why it waits, and the next command to type
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub migration: flags::Migration,
    /// Goes on showing it until interrupted
    #[arg(long)]
    pub watch: bool,
    /// How it is printed; with --watch, json is one object per line
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    drive(&config, &args)
}

/// WIRE: `crate::driver::status::run`.
fn drive(_config: &Config, _args: &Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "status is not wired"))
}
