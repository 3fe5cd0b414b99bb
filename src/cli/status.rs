use super::{Output, flags, print, status_text};
use crate::config::{self, Config};
use crate::domain::runbook::Paths;
use crate::driver::context::{Interrupt, block_on};
use crate::driver::status::Observer;
use crate::error::{Code, Error, Exit, Result};
use std::io::IsTerminal;
use std::time::Duration;

/// Says where the migration stands, why it waits, and the next command to type
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry status --config migration.yaml --journal-dir journal --watch\n  kferry status --config migration.yaml --journal-dir journal --output json | jq .next_command")]
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

/// How often a watched status is renewed.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Puts the cursor home and clears what was there.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    block_on(show(&config, &args))
}

/// Shows the status once, or until a signal comes; that ends a watch with 130, as every interrupted command.
async fn show(config: &Config, args: &Args) -> Result<Exit> {
    let mut interrupt = Interrupt::listen()?;
    let journal_dir = &args.migration.journal_dir.to_string_lossy();
    let paths = Paths { config: &args.migration.config.to_string_lossy(), journal_dir, plan_dir: journal_dir };
    let mut observer = Observer::new(config, &args.migration.journal_dir);
    let live = args.watch && std::io::stdout().is_terminal();
    loop {
        let status = match observer.observe(&interrupt, paths).await {
            Err(error) if args.watch && error.code() == Code::Interrupted => return Ok(Exit::Interrupted),
            observed => observed?,
        };
        match args.output {
            Output::Json => {
                print(&serde_json::to_string(&status).map_err(|e| Error::new(Code::Bug, format!("the status cannot be printed: {e}")))?);
            }
            Output::Text if live => print(&format!("{CLEAR}{}", status_text::render(&status).trim_end())),
            Output::Text if args.watch => print(&status_text::render(&status)),
            Output::Text => print(status_text::render(&status).trim_end()),
        }
        if !args.watch {
            return Ok(Exit::Done);
        }
        tokio::select! {
            _ = interrupt.wait() => return Ok(Exit::Interrupted),
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
}
