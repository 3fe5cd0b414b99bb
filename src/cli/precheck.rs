use super::Output;
use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};
use std::path::PathBuf;

/// Reports blockers, warnings and information about both clusters; changes nothing
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.config)?;
    drive(&config, &args)
}

/// WIRE: `crate::driver::precheck::run`.
fn drive(_config: &Config, _args: &Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "precheck is not wired"))
}
