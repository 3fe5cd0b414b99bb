use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};
use std::path::PathBuf;

/// Reads both clusters and writes the migration's plan; changes nothing
///
/// A target that does not exist yet is accepted; what cannot be known without it is marked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The directory that the files are written to; made where it does not exist
    #[arg(long, value_name = "DIR", default_value = "migration-plan")]
    pub out_dir: PathBuf,
    /// The migration's id; derived from both clusters' ids and the prefix unless given here or in the configuration
    #[arg(long, value_name = "ID")]
    pub migration_id: Option<String>,
    /// Replaces the files of an earlier plan
    #[arg(long)]
    pub force: bool,
}

/// The files that a plan is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// plan.json
    Json,
    /// runbook.md
    Runbook,
    /// aws-cli.sh
    AwsCli,
    /// iam-policy-templated.json and iam-policy-concrete.json
    IamPolicy,
    /// cost-estimate.json
    Cost,
    /// Every file
    #[default]
    All,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.config)?;
    drive(&config, &args)
}

/// WIRE: `crate::driver::plan::run`.
fn drive(_config: &Config, _args: &Args) -> Result<Exit> {
    Err(Error::new(Code::Bug, "plan is not wired"))
}
