use super::{Output, print};
use crate::config::{self, Config};
use crate::error::{Code, Error, Exit, Result};
use serde_json::json;
use std::path::PathBuf;

/// Checks a configuration file and prints what takes effect; no cluster is contacted
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry config check --config migration.yaml\n  kferry config schema > kferry.schema.json")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Says everything that is wrong with a file, or what takes effect
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How the result is printed
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Prints the file's shape as JSON Schema, for editors
    Schema,
}

pub fn run(args: Args) -> Result<Exit> {
    match args.action {
        Action::Schema => print(config::SCHEMA.trim_end()),
        Action::Check { config: path, output } => {
            let config = config::load(&path)?;
            print(&match output {
                Output::Text => text(&path.display().to_string(), &config)?,
                Output::Json => json!({ "valid": true, "sha256": config.digest(), "effective": config.effective() }).to_string(),
            });
        }
    }
    Ok(Exit::Done)
}

fn text(name: &str, config: &Config) -> Result<String> {
    let effective = serde_saphyr::to_string(&config.effective())
        .map_err(|e| Error::new(Code::Bug, format!("the effective configuration cannot be printed: {e}")))?;
    Ok(format!("{name} is valid. In effect, credentials left out (sha256 {}):\n\n{}", config.digest(), effective.trim_end()))
}
