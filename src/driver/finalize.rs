//! `finalize`: last looks, then the evidence: built, signed, stored, receipted, and the migration ends.

mod archive;
mod progress;

use super::context::{self, Context};
use super::copier::leaves;
use super::{acls, late_writes, pending_leaves, release};
use crate::cli::{flags, print, validation};
use crate::config::Config;
use crate::domain::leaf_file;
use crate::domain::selection::{group_left_out, topic_left_out};
use crate::error::{Code, Error, Exit, Result};
use crate::evidence::bundle::{Bundle, Extra, sign};
use crate::evidence::comparison::Comparison;
use crate::evidence::{key, verify};
use crate::machine::fact::{Effect, Fact};
use crate::machine::fold::Migration;
use crate::machine::state::State;
use crate::telemetry;
use crate::validation::report::Outcome;
use archive::{Archive, Stored};
use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use progress::{Staged, Standing};
use std::path::Path;

/// Differences between plan and outcome that are printed.
const DIFFERENCES_SHOWN_MAX: usize = 10;

/// Runs the command.
pub fn run(config: &Config, args: &flags::Migration) -> Result<Exit> {
    context::block_on(async {
        let mut context = Context::resume(config.clone(), args, "finalize", |state| state == State::Validating).await?;
        // What can be told without asking anybody is refused without a trace in the journal.
        let outcome = ready(context.migration()?, config.evidence.observation_hold_ms, Timestamp::now())?;
        let key_path = config.evidence.signing_key_path.as_deref().ok_or_else(|| Error::new(Code::KeyInvalid, "evidence.signing_key_path is not set"))?;
        let key = key::read_signing_key(key_path)?;
        let interrupt = context.interrupt.clone();
        match interrupt.or(finalize(&mut context, &key, outcome)).await {
            Ok((stored, archive)) => {
                report(&stored, &archive, outcome, key_path, args);
                print(&differences(&Comparison::of(context.migration()?)));
                Ok(if outcome == Outcome::Warning { Exit::Warning } else { Exit::Done })
            }
            Err(error) => Err(context.failed(error)),
        }
    })
}

/// The last validation's outcome, if it lets the migration end and the observation hold is over.
fn ready(migration: &Migration, hold_ms: u64, now: Timestamp) -> Result<Outcome> {
    let outcome = match &migration.validation {
        None => return Err(Error::new(Code::ValidationFailed, "no validation was run; run `kferry validate` first")),
        Some(report) => match report.outcome {
            Outcome::Passed | Outcome::Warning => report.outcome,
            failed @ (Outcome::NotRun | Outcome::Failed) => {
                let seen = format!("the last validation, at {}, ended as {}", report.validated_at, validation::spelled(failed));
                return Err(Error::new(Code::ValidationFailed, seen));
            }
        },
    };
    let observed_ms = u64::try_from(now.as_millisecond() - migration.entered_at().as_millisecond()).unwrap_or(0);
    if observed_ms < hold_ms {
        let seen = format!(
            "clients were acknowledged to have switched {} ago; the observation hold of {} has {} left",
            telemetry::duration(observed_ms),
            telemetry::duration(hold_ms),
            telemetry::duration(hold_ms - observed_ms)
        );
        return Err(Error::new(Code::StateIllegal, seen));
    }
    Ok(outcome)
}

async fn finalize(context: &mut Context, key: &SigningKey, outcome: Outcome) -> Result<(Stored, Archive)> {
    release::release_target(context).await?;
    let remarks = late_writes::refuse(context).await?;
    for remark in &remarks {
        print(&format!("warning: {remark}"));
    }
    let archive = Archive::open(context).await?;
    let entries = context.journal.entries()?;
    let (id, staged) = match progress::standing(&entries) {
        Standing::Stored => return conclude(context, archive, outcome).await,
        Standing::Intended { id, key: object_key } => match archive.staged(&object_key, &entries, key) {
            Some(staged) => (id, staged),
            // Nothing names what may lie under that key, so it is nobody's evidence.
            None => {
                context.complete(id, "given up: its bundle is not at hand any more, a new one is made")?;
                stage(context, &archive, key, remarks).await?
            }
        },
        Standing::Begin => stage(context, &archive, key, remarks).await?,
    };
    let retain_until = archive.retain_until(context, id)?;
    let receipt = archive.put(&staged.object_key, &staged.envelope, retain_until).await?;
    context.record(Fact::BundleStored {
        key: staged.object_key,
        version_id: receipt.version_id,
        sha256: staged.sha256,
        key_id: key::key_id(&key.verifying_key()),
    })?;
    conclude(context, archive, outcome).await
}

/// Observes both clusters once more, builds the bundle of everything journaled so far, and writes it down before it is sent.
async fn stage(context: &mut Context, archive: &Archive, key: &SigningKey, remarks: Vec<String>) -> Result<(u64, Staged)> {
    observe(context).await?;
    store_leaves(context).await?;
    let entries = context.journal.entries()?;
    let migration = context.migration()?;
    let leaves = Some(context.store.location(&leaf_file::root(migration.id())));
    let bundle = Bundle::build(&entries, migration, Extra { created_at: Timestamp::now(), leaves, not_covered: remarks });
    let envelope = sign(&bundle.to_bytes(), key);
    // What an auditor would refuse is not stored.
    verify::verify(&envelope, &key.verifying_key())?;
    let staged = Staged::new(&bundle, envelope);
    archive.keep(&archive.bundle_file(), &staged.envelope)?;
    let id = context.intend(Effect::UploadBundle { key: staged.object_key.clone() })?;
    Ok((id, staged))
}

/// Puts into the store what a run that was killed after the commit has left beside the journal.
async fn store_leaves(context: &Context) -> Result<()> {
    let on_wait = |why: &str| tracing::warn!(why, "leaves wait for the object store");
    for (partition, file) in pending_leaves::read(context.journal.dir())? {
        leaves::put(context.store.as_ref(), context.migration()?.id(), &partition, &file, &on_wait).await?;
    }
    pending_leaves::write(context.journal.dir(), &[])
}

async fn observe(context: &mut Context) -> Result<()> {
    let config = context.config.clone();
    let topics = |name: &str| topic_left_out(&config.topics, name, false).is_none();
    let groups = |id: &str| group_left_out(&config.groups, id).is_none();
    let (source, target) =
        futures::try_join!(context.clusters.source.snapshot(topics, groups), context.clusters.target.snapshot(topics, groups))?;
    context.record(Fact::ClusterObserved { cluster: "source".to_owned(), snapshot: Box::new(source) })?;
    context.record(Fact::ClusterObserved { cluster: "target".to_owned(), snapshot: Box::new(target) }).map(drop)
}

/// From the journaled bundle to the end: every step is the same when it is done again.
async fn conclude(context: &mut Context, archive: Archive, outcome: Outcome) -> Result<(Stored, Archive)> {
    let stored = archive.stored(context)?;
    if let Some(id) = stored.open_effect {
        context.complete(id, "stored")?;
    }
    archive.keep_stored(&stored).await?;
    archive.put(&stored.receipt_key, &stored.receipt, stored.retain_until).await?;
    archive.keep(&archive.receipt_file(), &stored.receipt)?;
    acls::delete_own_acls(context).await?;
    context.record(Fact::Finalized { outcome: validation::spelled(outcome).to_owned() })?;
    Ok((stored, archive))
}

fn report(stored: &Stored, archive: &Archive, outcome: Outcome, key_path: &Path, args: &flags::Migration) {
    let version = stored.version_id.as_ref().map_or(String::new(), |id| format!(", version {id}"));
    let retained = stored.retain_until.map_or(String::new(), |until| format!(", nobody deletes it before {until:.0}"));
    print(&format!(
        "finalized: {}\nbundle   {}{version}{retained}\n         SHA-256 {}\nreceipt  {}\ncopies   {}\n         {}\nverify it, here or anywhere: kferry verify {} --public-key {} --journal {}",
        validation::spelled(outcome),
        archive.location(&stored.key),
        stored.sha256,
        archive.location(&stored.receipt_key),
        archive.bundle_file().display(),
        archive.receipt_file().display(),
        archive.bundle_file().display(),
        key::public_path(key_path).display(),
        args.journal_dir.join(crate::journal::FILE_NAME).display(),
    ));
}

/// What turned out otherwise than the plan said, by much.
fn differences(comparison: &Comparison) -> String {
    let notable = &comparison.notable;
    if notable.is_empty() {
        return "as planned: nothing differs notably from the prediction".to_owned();
    }
    let more = notable.len().saturating_sub(DIFFERENCES_SHOWN_MAX);
    let rest = if more > 0 { format!("\n         and {more} more; the bundle and status --output json have them all") } else { String::new() };
    format!("differs  {}{rest}", notable.iter().take(DIFFERENCES_SHOWN_MAX).cloned().collect::<Vec<_>>().join("\n         "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample::{self, entries, planned, validation_report};
    use crate::validation::report::ValidationReport;

    fn validating(outcome: Option<Outcome>) -> Migration {
        let before = |(state, _): &(State, Vec<Fact>)| *state < State::Validating;
        let mut facts: Vec<Fact> = std::iter::once(planned()).chain(sample::way().into_iter().filter(before).flat_map(|(_, facts)| facts)).collect();
        facts.extend(outcome.map(|outcome| Fact::Validated { report: Box::new(ValidationReport { outcome, ..validation_report() }) }));
        Migration::fold(&entries(facts)).unwrap()
    }

    #[test]
    fn only_what_passed_is_finalized() {
        for (outcome, may) in [(Outcome::Passed, true), (Outcome::Warning, true), (Outcome::NotRun, false), (Outcome::Failed, false)] {
            let ready = ready(&validating(Some(outcome)), 0, Timestamp::MAX);
            assert_eq!(ready.as_ref().ok(), may.then_some(&outcome), "{ready:?}");
        }
        let error = ready(&validating(None), 0, Timestamp::MAX).unwrap_err();
        assert_eq!(error.code(), Code::ValidationFailed);
    }

    #[test]
    fn differences_from_the_plan_are_told_and_the_many_counted() {
        let mut comparison = Comparison::of(&validating(None));
        comparison.notable.clear();
        assert_eq!(differences(&comparison), "as planned: nothing differs notably from the prediction");
        comparison.notable = (0..12).map(|n| format!("line {n}")).collect();
        let text = differences(&comparison);
        assert!(text.starts_with("differs  line 0\n         line 1\n") && text.contains("line 9\n") && !text.contains("line 10"), "{text}");
        assert!(text.ends_with("and 2 more; the bundle and status --output json have them all"), "{text}");
    }

    #[test]
    fn the_hold_has_to_be_over() {
        let migration = validating(Some(Outcome::Passed));
        let after = |ms: i64| Timestamp::from_millisecond(migration.entered_at().as_millisecond() + ms).unwrap();
        let error = ready(&migration, 60_000, after(59_000)).unwrap_err();
        assert_eq!((error.code(), error.seen()), (Code::StateIllegal, "clients were acknowledged to have switched 59s ago; the observation hold of 1m has 1s left"));
        assert!(ready(&migration, 60_000, after(60_000)).is_ok());
        assert!(ready(&migration, 1, after(-5)).is_err(), "a clock that went back does not end the hold");
    }
}
