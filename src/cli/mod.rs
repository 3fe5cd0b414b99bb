//! The command line: one file per command, whose doc comment is its help.

mod completions;
mod config;
mod explain;
pub mod findings;
pub mod flags;
mod keygen;
mod license;
mod out;
mod panic;
mod man;
mod render;
mod schema;
mod verify;

#[cfg(feature = "kafka")]
mod cutover;
#[cfg(feature = "kafka")]
mod cutover_ack;
#[cfg(feature = "kafka")]
mod execute;
#[cfg(feature = "kafka")]
mod finalize;
#[cfg(feature = "kafka")]
mod plan;
#[cfg(feature = "kafka")]
mod precheck;
#[cfg(feature = "kafka")]
mod prove;
#[cfg(feature = "kafka")]
mod rollback;
#[cfg(feature = "kafka")]
mod status;
#[cfg(feature = "kafka")]
mod status_text;
#[cfg(feature = "kafka")]
mod validate;
#[cfg(feature = "kafka")]
pub mod validation;

#[cfg(not(feature = "kafka"))]
mod offline;

#[cfg(test)]
mod tests;

pub use flags::Output;
pub use render::print;

use crate::error::{Code, Error, Exit, Result};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Moves a Kafka cluster that cannot be converted in place onto a new one, record for record, and proves it.
#[derive(Parser)]
#[command(name = "kferry", version, disable_help_subcommand = true, max_term_width = 120, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    entry: Entry,
}

/// Mirrors `Exit`; a test holds the two together.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 ended in a warning, 4 a check failed or a blocker was found, 5 licence,
6 configuration, 7 not legal in this state, 8 source, 9 target, 10 object store unavailable, 70 a bug, 130 interrupted.
Logs: KFERRY_LOG=info (or debug, kferry=trace, …) on standard error.";

#[derive(Subcommand)]
enum Entry {
    #[command(flatten)]
    Command(Command),
    /// The same commands by their longer name: `kferry migrate msk-kraft COMMAND`.
    #[command(hide = true)]
    Migrate {
        #[command(subcommand)]
        kind: Migrate,
    },
}

#[derive(Subcommand)]
enum Migrate {
    /// The same commands by their longer name.
    MskKraft {
        #[command(subcommand)]
        command: Command,
    },
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "kafka")]
    Plan(plan::Args),
    #[cfg(feature = "kafka")]
    Precheck(precheck::Args),
    #[cfg(feature = "kafka")]
    Execute(execute::Args),
    #[cfg(feature = "kafka")]
    Status(status::Args),
    #[cfg(feature = "kafka")]
    Cutover(cutover::Args),
    #[cfg(feature = "kafka")]
    CutoverAck(cutover_ack::Args),
    #[cfg(feature = "kafka")]
    Validate(validate::Args),
    #[cfg(feature = "kafka")]
    Finalize(finalize::Args),
    #[cfg(feature = "kafka")]
    Rollback(rollback::Args),
    #[cfg(feature = "kafka")]
    Prove(prove::Args),
    Explain(explain::Args),
    Verify(verify::Args),
    Keygen(keygen::Args),
    License(license::Args),
    Config(config::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    fn run(self) -> Result<Exit> {
        match self {
            #[cfg(feature = "kafka")]
            Command::Plan(args) => plan::run(args),
            #[cfg(feature = "kafka")]
            Command::Precheck(args) => precheck::run(args),
            #[cfg(feature = "kafka")]
            Command::Execute(args) => execute::run(args),
            #[cfg(feature = "kafka")]
            Command::Status(args) => status::run(args),
            #[cfg(feature = "kafka")]
            Command::Cutover(args) => cutover::run(args),
            #[cfg(feature = "kafka")]
            Command::CutoverAck(args) => cutover_ack::run(args),
            #[cfg(feature = "kafka")]
            Command::Validate(args) => validate::run(args),
            #[cfg(feature = "kafka")]
            Command::Finalize(args) => finalize::run(args),
            #[cfg(feature = "kafka")]
            Command::Rollback(args) => rollback::run(args),
            #[cfg(feature = "kafka")]
            Command::Prove(args) => prove::run(args),
            Command::Explain(args) => explain::run(args),
            Command::Verify(args) => verify::run(args),
            Command::Keygen(args) => keygen::run(args),
            Command::License(args) => license::run(args),
            Command::Config(args) => config::run(args),
            Command::Schema(args) => schema::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

/// Parses the command line, runs the command and says what became of it.
pub fn main() -> ExitCode {
    panic::install();
    crate::telemetry::init();
    let arguments: Vec<_> = std::env::args_os().collect();
    let output = flags::output_of(&arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(usage) => return render::usage(&usage, output),
    };
    let command = match cli.entry {
        Entry::Command(command) | Entry::Migrate { kind: Migrate::MskKraft { command } } => command,
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command.run())) {
        Ok(Ok(exit)) => render::exit_code(exit),
        Ok(Err(error)) => {
            render::error(&error, output);
            render::exit_code(error.code().exit())
        }
        // The hook has said on standard error what happened.
        Err(_) => {
            if output == Output::Json {
                render::error(&Error::new(Code::Bug, "kferry panicked; standard error says where"), output);
            }
            render::exit_code(Exit::Bug)
        }
    }
}
