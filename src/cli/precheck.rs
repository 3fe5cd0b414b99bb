use super::findings::{self, Colour, colour};
use super::{Output, print};
use crate::config;
use crate::domain::finding::{Finding, Severity};
use crate::domain::topology::ClusterSnapshot;
use crate::driver::context::{Interrupt, block_on};
use crate::driver::survey::{self, Precheck};
use crate::error::{Exit, Result};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Reports blockers, warnings and information about both clusters; changes nothing
#[derive(clap::Args, Debug)]
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
    let found = block_on(async { Interrupt::listen()?.or(survey::precheck(&config)).await })?;
    print(match args.output {
        Output::Text => text(&found, colour()),
        Output::Json => json(&found).to_string(),
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
            format!("precheck: the source cannot be read, so that nothing else was examined\n\n{}{}", findings::findings(list, colour), findings::verdict(list))
        }
    }
}

fn json(found: &Precheck) -> Value {
    let list = found.findings();
    let of = |severity| list.iter().filter(|f| f.severity == severity).count();
    let counts = json!({ "blockers": of(Severity::Blocker), "warnings": of(Severity::Warning), "informations": of(Severity::Information) });
    let findings: Vec<Value> = list
        .iter()
        .map(|f| {
            json!({
                "code": f.code, "severity": f.severity, "subject": f.subject, "title": f.code.title(), "seen": f.seen,
                "why": f.code.why(), "remedy": f.remedy, "page": format!("runbooks/errors/{}.md", f.code.as_str()),
            })
        })
        .collect();
    let plan = match found {
        Precheck::Planned(plan) => Some(plan),
        Precheck::Unplanned(_) => None,
    };
    json!({
        "migration_id": plan.map(|p| &p.migration_id),
        "exit_code": exit(list) as u8,
        "counts": counts,
        "source": plan.map(|p| describe(&p.source)),
        "target": plan.and_then(|p| p.target.as_ref()).map(describe),
        "selected": plan.map(|p| json!({
            "topics": p.topics.len(), "partitions": p.estimate.partitions, "groups": p.groups.len(),
            "records_max": p.estimate.records_max, "size_bytes": p.estimate.size_bytes,
            "markers_estimated": p.estimate.markers.markers_estimated, "holes_estimated": p.estimate.markers.holes_estimated,
            "runs_estimated": p.estimate.markers.runs_estimated, "sampled_offsets": p.estimate.markers.sampled_offsets,
            "seconds_by_transactions": p.estimate.markers.seconds_by_transactions,
            "seconds_by_write_txn_markers": p.estimate.markers.seconds_by_write_txn_markers,
            "write_txn_markers": p.estimate.markers.write_txn_markers, "seed_seconds": p.estimate.seed_seconds,
        })),
        "findings": findings,
    })
}

fn describe(cluster: &ClusterSnapshot) -> Value {
    json!({ "cluster_id": cluster.cluster_id, "metadata_mode": cluster.metadata_mode, "version": cluster.version, "brokers": cluster.brokers.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::FindingCode;
    use crate::error::{Code, Error};
    use crate::domain::planning::{fixture, source_unreachable};

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
