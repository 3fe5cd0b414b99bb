//! kferry's permissions, tried once more before anybody is frozen: what was granted at the plan may be gone by the cutover.

use crate::domain::finding::Severity;
use crate::domain::permissions::{self, Missing};
use crate::domain::planning::names;
use crate::domain::selection::group_left_out;
use crate::driver::context::Context;
use crate::driver::survey::rights;
use crate::error::{Code, Error, Result};

/// Tries every permission that the cutover and what follows it need, with those for groups that the plan did not know.
///
/// What a cluster does not tell is named, and holds nothing up. **Errors**: KF-PERMISSION-MISSING naming them; the clusters'
/// unavailability.
pub async fn check(context: &Context) -> Result<()> {
    let (interrupt, clusters) = (&context.interrupt, &context.clusters);
    let mut groups = interrupt.or(clusters.source.list_groups()).await?;
    groups.retain(|g| group_left_out(&context.config.groups, &g.group_id).is_none());
    let groups: Vec<String> = groups.into_iter().map(|g| g.group_id).collect();
    let needed = permissions::needed_at_cutover(&context.migration()?.plan, &context.config, &groups);
    let tried = interrupt.or(async { Ok(rights::missing(Some(&clusters.source_cluster), Some(&clusters.target_cluster), &needed).await) }).await?;
    for finding in &tried.not_told {
        eprintln!("warning: not tried before the freeze: {}", finding.seen);
    }
    let missing: Vec<String> = tried.missing.iter().filter(|m| m.right.code().severity() == Severity::Blocker).map(in_words).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::new(Code::PermissionMissing, missing.join("; "))),
    }
}

fn in_words(missing: &Missing) -> String {
    let right = missing.right;
    format!("{}: {} on {} {} (to {})", right.side().name(), right.operation().name(), right.resource_type().name(), names(&missing.names), right.why())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permissions::Right;

    #[test]
    fn what_is_missing_is_named_with_its_cluster_and_purpose() {
        let missing = Missing { right: Right::TargetGroupRead, names: vec!["late".into()] };
        assert_eq!(in_words(&missing), "target: READ on GROUP late (to commit the groups' offsets and read them back)");
    }
}
