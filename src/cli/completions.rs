use crate::error::{Exit, Result};
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a completion script for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry completions bash > ~/.local/share/bash-completion/completions/kferry\n  kferry completions zsh > ~/.zfunc/_kferry")]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: Args) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "kferry", &mut script);
    super::print(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
