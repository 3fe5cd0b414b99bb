use super::print;
use crate::error::{Exit, Result};

/// Prints the JSON Schema of what kferry writes for other programs to read
///
/// The schemas lie in `config/schemas/` too. A member that is added does not change the version of a document; one that goes, or means something
/// else, does. `kferry config schema` prints that of the configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry schema plan > plan.schema.json\n  kferry schema status")]
pub struct Args {
    /// The document
    #[arg(value_enum)]
    document: Document,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Document {
    /// plan.json
    Plan,
    /// precheck --output json
    Precheck,
    /// status --output json
    Status,
    /// validate --output json
    Validate,
    /// verify --output json
    Verify,
    /// What any command prints under --output json where it fails
    Error,
}

impl Document {
    pub(super) fn schema(self) -> &'static str {
        match self {
            Document::Plan => include_str!("../../config/schemas/plan.json"),
            Document::Precheck => include_str!("../../config/schemas/precheck.json"),
            Document::Status => include_str!("../../config/schemas/status.json"),
            Document::Validate => include_str!("../../config/schemas/validate.json"),
            Document::Verify => include_str!("../../config/schemas/verify.json"),
            Document::Error => include_str!("../../config/schemas/error.json"),
        }
    }
}

pub fn run(args: Args) -> Result<Exit> {
    print(args.document.schema().trim_end());
    Ok(Exit::Done)
}

// The types of some documents are in the full build alone.
#[cfg(all(test, feature = "kafka"))]
mod tests;
