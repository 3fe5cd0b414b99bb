//! What precheck finds about the two stores.

use super::StoreProbe;
use crate::config::model::Config;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::store_cause::StoreCause;

pub(super) fn findings(
    config: &Config,
    backup: Option<&StoreProbe>,
    evidence: Option<&StoreProbe>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, probe) in [
        ("backup", backup),
        ("evidence", evidence),
    ] {
        match probe {
            None => found.push(Finding::new(
                FindingCode::NotProbed,
                name,
                format!("the {name} store was not tried"),
            )),
            Some(probe) => of_probe(name, probe, &mut found),
        }
    }
    if let Some(retention) = backup.and_then(|probe| probe.default_retention.as_ref()) {
        let seen = format!(
            "every object that is put there is locked ({retention}), of the segments too: nobody can delete them before"
        );
        found.push(Finding::new(FindingCode::StoreRetention, "backup", seen));
    }
    if let Some(probe) = evidence {
        of_evidence(probe, config.evidence.object_lock, &mut found);
    }
    found
}

fn of_probe(name: &str, probe: &StoreProbe, found: &mut Vec<Finding>) {
    found.extend(probe.failures.iter().map(|failure| {
        Finding::new(
            failure.cause.finding(),
            name,
            format!("{}: {}", probe.location, failure.seen),
        )
    }));
    found.extend(probe.unseen.iter().map(|seen| {
        Finding::new(
            FindingCode::StoreSettingsUnseen,
            name,
            format!("{}: {seen}", probe.location),
        )
    }));
}

/// What the upload of a probe was begun with tells most; where it says nothing, the bucket's configuration does.
fn of_evidence(probe: &StoreProbe, locked: bool, found: &mut Vec<Finding>) {
    let said = probe
        .failures
        .iter()
        .any(|failure| failure.cause == StoreCause::ObjectLockMissing);
    // Something else has to be mended first, and then this is asked again.
    let hidden = probe
        .failures
        .iter()
        .any(|failure| failure.cause != StoreCause::ObjectLockMissing);
    if locked && !said && !hidden && probe.object_lock == Some(false) {
        let seen = format!(
            "evidence.object_lock is true, and {} has none",
            probe.location
        );
        found.push(Finding::new(
            FindingCode::ObjectLockMissing,
            "evidence",
            seen,
        ));
    }
    if !locked && probe.versioning == Some(false) {
        let seen = format!(
            "{}: evidence.object_lock is false, and the bucket's versioning is off",
            probe.location
        );
        found.push(Finding::new(FindingCode::StoreVersions, "evidence", seen));
    }
}
