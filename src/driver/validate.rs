//! `validate`: gathers what the five checks compare, runs them, and journals what they found.

mod compacted;
mod inputs;

use super::context::{self, Context};
use super::release;
use crate::cli::{Output, flags, print, validation};
use crate::config::Config;
use crate::error::{Code, Error, Exit, Result};
use crate::machine::fact::Fact;
use crate::machine::state::State;
use crate::validation::report::{CheckResult, Outcome, ValidationReport};
use jiff::Timestamp;

/// Runs the command.
pub fn run(config: &Config, args: &flags::Migration, output: Output) -> Result<Exit> {
    context::block_on(async {
        let legal = |state| matches!(state, State::AwaitingClientSwitch | State::Validating);
        let mut context = Context::resume(config.clone(), args, "validate", legal).await?;
        let interrupt = context.interrupt.clone();
        let report = match interrupt.or(validate(&mut context)).await {
            Ok(report) => report,
            Err(error) => return Err(context.failed(error)),
        };
        match output {
            Output::Text => print(&validation::text(&report)),
            Output::Json => print(&serde_json::json!(report).to_string()),
        }
        let exit = match (report.outcome, output) {
            (Outcome::Passed, _) => Exit::Done,
            (Outcome::Warning, _) => Exit::Warning,
            // One document on standard output says it all.
            (Outcome::NotRun | Outcome::Failed, Output::Json) => return Ok(Exit::Check),
            (Outcome::NotRun | Outcome::Failed, Output::Text) => return Err(Error::new(Code::ValidationFailed, failing(&report.checks))),
        };
        if output == Output::Text {
            let next = if context.migration()?.state == State::Validating { "finalize" } else { "cutover-ack" };
            print(&format!("next: kferry {next} --config {} --journal-dir {}", args.config.display(), args.journal_dir.display()));
        }
        Ok(exit)
    })
}

async fn validate(context: &mut Context) -> Result<ValidationReport> {
    release::release_target(context).await?;
    let (checks, not_covered) = inputs::checks(context).await?;
    let outcome = ValidationReport::worst(&checks);
    let report = ValidationReport { validated_at: format!("{:.3}", Timestamp::now()), outcome, checks, not_covered };
    context.record(Fact::Validated { report: Box::new(report.clone()) })?;
    Ok(report)
}

fn failing(checks: &[CheckResult]) -> String {
    let failing = checks.iter().filter(|c| matches!(c.outcome, Outcome::NotRun | Outcome::Failed));
    failing.map(|c| format!("{}: {}", c.check, c.reason)).collect::<Vec<_>>().join("; ")
}
