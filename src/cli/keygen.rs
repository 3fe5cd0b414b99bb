use crate::error::{Code, Error, Exit, Result};

/// Creates a signing key for the evidence
#[derive(clap::Args, Debug)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "keygen is not wired"))
}
