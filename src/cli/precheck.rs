use super::findings::{self, Colour, colour};
use super::{Output, print};
use crate::config;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::topology::{ClusterSnapshot, MetadataMode};
use crate::driver::context::{Interrupt, block_on};
use crate::driver::survey::{self, Precheck};
use crate::error::{Code, Error, Exit, Result, page};
use crate::telemetry::steps::Steps;
use serde::Serialize;
use std::path::PathBuf;

/// Reports blockers, warnings and information about both clusters; changes nothing
///
/// It costs the source what a plan costs (`kferry plan --help`). `kferry explain CODE` has each finding's page.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry precheck --config migration.yaml\n  kferry precheck --config migration.yaml --output json > findings.json")]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.config)?;
    let found = block_on(async { Interrupt::listen()?.or(survey::precheck(&config, &Steps::start())).await })?;
    print(match args.output {
        Output::Text => text(&found, colour()),
        Output::Json => serde_json::to_string(&output(&found)).map_err(|e| Error::new(Code::Bug, format!("the findings cannot be printed: {e}")))?,
    }
    .trim_end());
    Ok(exit(found.findings()))
}

/// The worst finding's exit code.
fn exit(findings: &[Finding]) -> Exit {
    match findings.iter().map(|f| f.severity).max() {
        Some(Severity::Blocker) => Exit::Check,
        Some(Severity::Warning) => Exit::Warning,
        Some(Severity::Information) | None => Exit::Done,
    }
}

fn text(found: &Precheck, colour: Colour) -> String {
    match found {
        Precheck::Planned(plan) => findings::precheck(plan, colour),
        Precheck::Unplanned(list) => {
            format!("precheck: the source cannot be read; besides it only the target's reachability, both stores, the signing key and the configuration were examined\n\n{}{}", findings::findings(list, colour), findings::verdict(list))
        }
    }
}

/// What `precheck --output json` prints; `config/schemas/precheck.json` describes it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PrecheckOutput<'a> {
    /// None where the source could not be read.
    migration_id: Option<&'a str>,
    /// The command's own: 0, 3 where there are warnings, 4 where there are blockers.
    exit_code: u8,
    counts: Counts,
    /// None where the source could not be read.
    source: Option<ClusterOutput<'a>>,
    /// None where the target could not be read.
    target: Option<ClusterOutput<'a>>,
    /// What would be copied; None where the source could not be read.
    selected: Option<Selected>,
    /// Blockers first.
    findings: Vec<FindingOutput<'a>>,
}

/// Findings by severity.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Counts {
    blockers: usize,
    warnings: usize,
    informations: usize,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ClusterOutput<'a> {
    cluster_id: &'a str,
    metadata_mode: MetadataMode,
    version: &'a str,
    brokers: usize,
}

/// The plan's estimate in short; plan.json has all of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Selected {
    topics: usize,
    partitions: usize,
    groups: usize,
    records_max: i64,
    size_bytes: i64,
    markers_estimated: i64,
    holes_estimated: i64,
    runs_estimated: i64,
    sampled_offsets: u64,
    seconds_by_transactions: u64,
    seconds_by_write_txn_markers: u64,
    write_txn_markers: Option<bool>,
    seed_seconds: u64,
    freeze_ms: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FindingOutput<'a> {
    code: FindingCode,
    severity: Severity,
    /// A topic, a group, a cluster; empty where it concerns the whole.
    subject: &'a str,
    title: &'a str,
    seen: &'a str,
    /// Why it matters, from its page.
    why: String,
    remedy: &'a str,
    /// The page that explains it, below kferry's repository.
    page: String,
}

fn output(found: &Precheck) -> PrecheckOutput<'_> {
    let list = found.findings();
    let of = |severity| list.iter().filter(|f| f.severity == severity).count();
    let plan = match found {
        Precheck::Planned(plan) => Some(plan),
        Precheck::Unplanned(_) => None,
    };
    PrecheckOutput {
        migration_id: plan.map(|p| p.migration_id.as_str()),
        exit_code: exit(list) as u8,
        counts: Counts { blockers: of(Severity::Blocker), warnings: of(Severity::Warning), informations: of(Severity::Information) },
        source: plan.map(|p| describe(&p.source)),
        target: plan.and_then(|p| p.target.as_ref()).map(describe),
        selected: plan.map(|p| {
            let (e, m) = (&p.estimate, &p.estimate.markers);
            Selected {
                topics: p.topics.len(),
                partitions: e.partitions,
                groups: p.groups.len(),
                records_max: e.records_max,
                size_bytes: e.size_bytes,
                markers_estimated: m.markers_estimated,
                holes_estimated: m.holes_estimated,
                runs_estimated: m.runs_estimated,
                sampled_offsets: m.sampled_offsets,
                seconds_by_transactions: m.seconds_by_transactions,
                seconds_by_write_txn_markers: m.seconds_by_write_txn_markers,
                write_txn_markers: m.write_txn_markers,
                seed_seconds: e.seed_seconds,
                freeze_ms: e.freeze_ms,
            }
        }),
        findings: list.iter().map(described).collect(),
    }
}

fn described(finding: &Finding) -> FindingOutput<'_> {
    let Finding { code, severity, subject, seen, remedy } = finding;
    FindingOutput { code: *code, severity: *severity, subject, title: code.title(), seen, why: code.why(), remedy, page: page(code.as_str()) }
}

fn describe(cluster: &ClusterSnapshot) -> ClusterOutput<'_> {
    ClusterOutput { cluster_id: &cluster.cluster_id, metadata_mode: cluster.metadata_mode, version: &cluster.version, brokers: cluster.brokers.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::{fixture, source_unreachable};
    use serde_json::{Value, json};

    fn json(found: &Precheck) -> Value {
        serde_json::to_value(output(found)).unwrap()
    }

    #[test]
    fn the_worst_finding_decides() {
        let of = |codes: &[FindingCode]| exit(&codes.iter().map(|c| Finding::new(*c, "", "")).collect::<Vec<_>>());
        assert_eq!(of(&[]), Exit::Done);
        assert_eq!(of(&[FindingCode::DiskRoom]), Exit::Done);
        assert_eq!(of(&[FindingCode::TopicDrift, FindingCode::DiskRoom]), Exit::Warning);
        assert_eq!(of(&[FindingCode::DiskRoom, FindingCode::NoTopics]), Exit::Check);
    }

    #[test]
    fn json_holds_every_finding_with_its_page() {
        let plan = fixture::plan();
        let count = plan.findings.len();
        let value = json(&Precheck::Planned(Box::new(plan)));
        assert_eq!(value["findings"].as_array().map(Vec::len), Some(count));
        assert_eq!(value["findings"][0]["page"], format!("runbooks/errors/{}.md", value["findings"][0]["code"].as_str().unwrap()));
        assert!(value["findings"].as_array().unwrap().iter().all(|f| f["why"].as_str().is_some_and(|why| why.len() > 40)));
        assert_eq!(value["selected"]["partitions"], 5);
        assert_eq!((&value["selected"]["holes_estimated"], &value["selected"]["write_txn_markers"]), (&json!(0), &json!(true)));
    }

    #[test]
    fn a_source_that_cannot_be_read_is_a_finding() {
        let found = Precheck::Unplanned(vec![source_unreachable(&Error::new(Code::SourceUnavailable, "connection refused"))]);
        assert_eq!((json(&found)["exit_code"].as_u64(), json(&found)["source"].is_null()), (Some(4), true));
        assert!(text(&found, Colour::Plain).contains("KF-PRE-SOURCE-UNREACHABLE"));
    }
}
