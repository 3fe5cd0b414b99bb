//! `cutover-ack`: the operator says that clients have switched, and the source's logs must not contradict, or the operator
//! accepts what they hold besides.

use super::context::{self, Context};
use super::{cutover, late_writes, release};
use crate::cli::{flags, print};
use crate::config::Config;
use crate::domain::limits::NAMES_SHOWN_MAX;
use crate::error::{Exit, Result};
use crate::machine::fact::{Fact, LateRange};
use crate::machine::state::State;

/// Runs the command.
pub fn run(config: &Config, args: &flags::Migration, accepted: Option<u64>) -> Result<Exit> {
    context::block_on(async {
        let mut context = Context::resume(config.clone(), args, "cutover-ack", |state| {
            // Late records may come, and be accepted, as long as the evidence is not sealed.
            state == State::AwaitingClientSwitch || (state == State::Validating && accepted.is_some())
        })
        .await?;
        let interrupt = context.interrupt.clone();
        if let Err(error) = interrupt.or(acknowledge(&mut context, accepted)).await {
            return Err(context.failed(error));
        }
        let (config, journal) = (args.config.display(), args.journal_dir.display());
        let late = context.migration()?.late_accepted.len();
        let said = match late {
            0 => "nothing was written to the source since the cutover".to_owned(),
            _ => format!("what was written to {late} partitions of the source since the cutover stays there"),
        };
        print(&format!("validating: {said}\nnext: kferry validate --config {config} --journal-dir {journal}"));
        Ok(Exit::Done)
    })
}

async fn acknowledge(context: &mut Context, accepted: Option<u64>) -> Result<()> {
    if let Some(stated) = accepted {
        late_writes::accept(context, stated).await?;
    }
    release::release_target(context).await?;
    for remark in late_writes::refuse(context).await? {
        print(&format!("warning: {remark}"));
    }
    match cutover::groups::with_members_on_source(context).await {
        Ok(members) if members.is_empty() => {}
        Ok(members) => print(&format!("warning: {}", still_there(&members))),
        Err(error) => print(&format!("warning: whether groups have members on the source still could not be told: {}", error.seen())),
    }
    let migration = context.migration()?;
    if migration.state == State::Validating {
        return Ok(());
    }
    let late_records = migration.late_accepted.values().map(LateRange::offsets).sum();
    context.record(Fact::ClientSwitchAcknowledged { late_records }).map(drop)
}

fn still_there(groups: &[String]) -> String {
    let named = groups.iter().take(NAMES_SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = groups.len().saturating_sub(NAMES_SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("groups with members on the source still: {named}{more}; they see no record that is written from now on until they read at the target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_and_the_rest_counted() {
        let groups: Vec<String> = (0..23).map(|n| format!("g{n}")).collect();
        assert!(still_there(&groups[..2]).starts_with("groups with members on the source still: g0, g1; "));
        assert!(still_there(&groups).contains("g19 and 3 more;"));
    }
}
