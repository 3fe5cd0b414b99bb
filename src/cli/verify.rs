use crate::error::{Code, Error, Exit, Result};

/// Verifies an evidence bundle offline
#[derive(clap::Args, Debug)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "verify is not wired"))
}
