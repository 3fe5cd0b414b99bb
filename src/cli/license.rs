use crate::error::{Code, Error, Exit, Result};

/// Shows the licence in force
#[derive(clap::Args, Debug)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "license is not wired"))
}
