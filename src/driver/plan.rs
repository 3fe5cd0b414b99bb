//! Writes a plan's files.

use crate::cli::findings::plan_json;
use crate::config::Config;
use crate::domain::access_map;
use crate::domain::aws_cli;
use crate::domain::cost;
use crate::domain::iam_policy;
use crate::domain::plan::Plan;
use crate::domain::runbook::{self, Paths};
use crate::driver::locating::as_described;
use crate::error::{Code, Error, Result};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file that a plan is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFile {
    Json,
    Runbook,
    AwsCli,
    Cost,
    /// Where the target goes by IAM.
    AccessMap,
    IamConcrete,
    IamTemplated,
}

impl PlanFile {
    pub fn name(self) -> &'static str {
        match self {
            PlanFile::Json => "plan.json",
            PlanFile::Runbook => "runbook.md",
            PlanFile::AwsCli => "aws-cli.sh",
            PlanFile::Cost => "cost-estimate.json",
            PlanFile::AccessMap => "access-map.json",
            PlanFile::IamConcrete => "iam-policy-concrete.json",
            PlanFile::IamTemplated => "iam-policy-templated.json",
        }
    }

    /// Whether it is to be run.
    fn is_program(self) -> bool {
        match self {
            PlanFile::AwsCli => true,
            PlanFile::Json | PlanFile::Runbook | PlanFile::Cost | PlanFile::AccessMap | PlanFile::IamConcrete | PlanFile::IamTemplated => false,
        }
    }

    fn text(self, plan: &Plan, config: &Config, paths: Paths) -> Result<String> {
        match self {
            PlanFile::Json => plan_json(plan).map_err(|e| Error::new(Code::Bug, format!("the plan cannot be written as JSON: {e}"))),
            PlanFile::Runbook => Ok(runbook::render(plan, config, paths)),
            PlanFile::AwsCli => Ok(aws_cli::render(plan, config)),
            PlanFile::Cost => {
                let estimate = serde_json::to_string_pretty(&cost::build(plan, config));
                estimate.map(|json| json + "\n").map_err(|e| Error::new(Code::Bug, format!("the estimate of costs cannot be written as JSON: {e}")))
            }
            PlanFile::AccessMap => {
                let bindings = plan.source.acls.as_deref().unwrap_or_default();
                let map = access_map::build(&plan.migration_id, config.target.cluster_arn.as_deref(), bindings);
                serde_json::to_string_pretty(&map).map(|json| json + "\n").map_err(|e| Error::new(Code::Bug, format!("the access map cannot be written as JSON: {e}")))
            }
            PlanFile::IamConcrete => {
                let policy = serde_json::to_string_pretty(&iam_policy::concrete(plan, config));
                policy.map(|json| json + "\n").map_err(|e| Error::new(Code::Bug, format!("the policy cannot be written as JSON: {e}")))
            }
            PlanFile::IamTemplated => Ok(iam_policy::TEMPLATE.to_owned()),
        }
    }
}

/// Fails where one of the files is there already; asked before anything is read, so that nobody waits for a refusal.
///
/// **Errors**: KF-USAGE.
pub fn refuse_to_overwrite(dir: &Path, files: &[PlanFile]) -> Result<()> {
    match files.iter().map(|file| dir.join(file.name())).find(|path| path.exists()) {
        Some(path) => Err(Error::new(Code::UsageInvalid, format!("{} exists and is not overwritten; --force replaces it", path.display()))),
        None => Ok(()),
    }
}

/// Writes the files into `dir`, which is made where it does not exist, and says where they lie.
///
/// **Errors**: KF-USAGE where a file cannot be written, or exists and `force` is not set.
pub fn write(plan: &Plan, config: &Config, paths: Paths, dir: &Path, files: &[PlanFile], force: bool) -> Result<Vec<PathBuf>> {
    if !force {
        refuse_to_overwrite(dir, files)?;
    }
    let config = &as_described(config, plan);
    let unwritable = |path: &Path, e: io::Error| Error::new(Code::UsageInvalid, format!("{}: {e}", path.display()));
    fs::create_dir_all(dir).map_err(|e| unwritable(dir, e))?;
    let mut written = Vec::with_capacity(files.len());
    for file in files {
        let path = dir.join(file.name());
        let text = file.text(plan, config, paths)?;
        replace(&path, text.as_bytes(), file.is_program()).map_err(|e| unwritable(&path, e))?;
        written.push(path);
    }
    Ok(written)
}

/// Puts a whole file in the place of whatever is there.
fn replace(path: &Path, bytes: &[u8], is_program: bool) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
    let runnable = |file: &File| if is_program { file.set_permissions(Permissions::from_mode(0o755)) } else { Ok(()) };
    let written = file.write_all(bytes).and_then(|()| runnable(&file)).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    const PATHS: Paths = Paths { config: "migration.yaml", journal_dir: "./journal", plan_dir: "migration-plan" };
    const BOTH: [PlanFile; 2] = [PlanFile::Json, PlanFile::Runbook];

    #[test]
    fn files_are_written_and_an_earlier_plan_is_replaced_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a/b");
        let (mut plan, config) = (fixture::plan(), fixture::config());
        let written = write(&plan, &config, PATHS, &dir, &BOTH, false).unwrap();
        assert_eq!(written, [dir.join("plan.json"), dir.join("runbook.md")]);
        let read: Plan = serde_json::from_slice(&fs::read(&written[0]).unwrap()).unwrap();
        assert_eq!(read, plan);

        plan.migration_id = "another".to_owned();
        fs::remove_file(&written[0]).unwrap();
        let refused = write(&plan, &config, PATHS, &dir, &BOTH, false).unwrap_err();
        assert_eq!(refused.code(), Code::UsageInvalid);
        assert!(!written[0].exists(), "one file of a refused plan is written");
        write(&plan, &config, PATHS, &dir, &BOTH, true).unwrap();
        assert!(fs::read_to_string(&written[1]).unwrap().starts_with("# Migration another"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing lies about");
        let script = write(&plan, &config, PATHS, &dir, &[PlanFile::AwsCli], false).unwrap();
        assert_eq!(fs::metadata(&script[0]).unwrap().permissions().mode() & 0o777, 0o755);
        let map = write(&plan, &config, PATHS, &dir, &[PlanFile::AccessMap], false).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&fs::read(&map[0]).unwrap()).unwrap();
        assert_eq!(read["principals"].as_array().map(Vec::len), Some(3), "{read}");
    }
}
