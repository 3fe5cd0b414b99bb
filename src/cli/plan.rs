use super::findings::{Colour, colour, counts, findings};
use super::print;
use crate::config::model::{AuthMode, Config};
use crate::config;
use crate::domain::finding::{Finding, Severity};
use crate::domain::limits::ROWS_SHOWN_MAX;
use crate::domain::plan::Plan;
use crate::domain::planning::{blockers, bytes, controls_in_words, controls_of_topic_in_words, count, describe_cluster, freeze_in_words, grouped, sampling_in_words, seed_in_words};
use crate::domain::runbook::{Paths, quoted};
use crate::driver::context::{Interrupt, block_on};
use crate::driver::plan::{self, PlanFile};
use crate::driver::survey;
use crate::error::{Exit, Result};
use crate::telemetry::steps::Steps;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Reads both clusters and writes the migration's plan; changes nothing
///
/// A target that does not exist yet is accepted; what cannot be known without it is marked. The exit code is 0 once the files are written, whatever was found.
///
/// What it costs the source: its metadata, samples of the logs (at most about 256 MiB, no new ones after 60 s), and its largest logs as fast as they are handed out, for about a second (at most
/// about 96 MiB, which seed.rate_limit does not hold back). Permissions are tried by requests that cannot take effect; a cluster's authorizer log shows them as denied where they are, and some
/// name what nobody has (`__kferry_may_i_commit`, `nobodys-…`). README.md has numbers.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry plan --config migration.yaml\n  kferry plan --config migration.yaml --format json --out-dir plan-again --force")]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The directory that the files are written to; made where it does not exist
    #[arg(long, value_name = "DIR", default_value = "migration-plan")]
    pub out_dir: PathBuf,
    /// The migration's id; derived from both clusters' ids and the prefix unless given here or in the configuration. `execute` knows it from
    /// the configuration alone: write it there (`migration_id`) before
    #[arg(long, value_name = "ID")]
    pub migration_id: Option<String>,
    /// Replaces the files of an earlier plan
    #[arg(long)]
    pub force: bool,
}

/// The files that a plan is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// plan.json
    Json,
    /// runbook.md
    Runbook,
    /// aws-cli.sh, and the policy that it attaches
    AwsCli,
    /// iam-policy-templated.json and iam-policy-concrete.json
    IamPolicy,
    /// cost-estimate.json
    Cost,
    /// Every file
    #[default]
    All,
}

/// Every file; the last one only where the target goes by IAM, since Kafka's ACLs decide elsewhere.
const WRITTEN: [PlanFile; 7] =
    [PlanFile::Json, PlanFile::Runbook, PlanFile::Cost, PlanFile::AwsCli, PlanFile::IamConcrete, PlanFile::IamTemplated, PlanFile::AccessMap];

/// Where the journal lies in the runbook's commands: `plan` has no journal, and an example is easier to change than a gap.
const JOURNAL_DIR: &str = "./journal";

impl Format {
    fn files(self, config: &Config) -> &'static [PlanFile] {
        match self {
            Format::Json => &WRITTEN[..1],
            Format::Runbook => &WRITTEN[1..2],
            Format::Cost => &WRITTEN[2..3],
            // The script attaches the policy that lies beside it.
            Format::AwsCli => &WRITTEN[3..5],
            Format::IamPolicy => &WRITTEN[4..6],
            Format::All if config.target.auth.mode == AuthMode::Iam => &WRITTEN,
            Format::All => &WRITTEN[..6],
        }
    }
}

pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.config)?;
    let files = args.format.files(&config);
    if !args.force {
        plan::refuse_to_overwrite(&args.out_dir, files)?;
    }
    let made = block_on(async { Interrupt::listen()?.or(survey::survey(&config, args.migration_id.clone(), &Steps::start())).await })?;
    let paths = Paths { config: &args.config.to_string_lossy(), journal_dir: JOURNAL_DIR, plan_dir: &args.out_dir.to_string_lossy() };
    let written = plan::write(&made, &config, paths, &args.out_dir, files, args.force)?;
    print(summary(&made, &written, paths, colour()).trim_end());
    Ok(Exit::Done)
}

/// What was planned, what stands against it, where the files lie, and what to type next.
fn summary(plan: &Plan, written: &[PathBuf], paths: Paths, colour: Colour) -> String {
    let e = &plan.estimate;
    let mut out = format!("plan of migration {}\n", plan.migration_id);
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot err.
        let _ = writeln!(out, "  {name:<8} {value}");
    };
    line("source", describe_cluster(&plan.source));
    line("target", plan.target.as_ref().map_or("not read; what depends on it is not in this plan".to_owned(), describe_cluster));
    let size = format!("at most {} records, {}", grouped(e.records_max), bytes(e.size_bytes));
    line("topics", format!("{} with {}, {size}", count(plan.topics.len(), "topic"), count(e.partitions, "partition")));
    line("groups", format!("{}, of them {} left alone", plan.groups.len(), plan.groups.iter().filter(|g| !g.left_alone.is_empty()).count()));
    if !plan.left_out.is_empty() {
        line("left out", format!("{} of the source, with their reasons in the plan", count(plan.left_out.len(), "topic or group").replace("topic or groups", "topics and groups")));
    }
    if e.markers.markers_estimated > 0 || e.markers.holes_estimated > 0 {
        line("controls", controls_in_words(&e.markers));
        for t in plan.topics.iter().filter(|t| t.markers_estimated > 0 || t.holes_estimated > 0).take(ROWS_SHOWN_MAX) {
            line("", format!("{}: {}", t.name, controls_of_topic_in_words(t)));
        }
    }
    line("seed", seed_in_words(e));
    line("", e.basis.clone());
    if let Some(freeze) = freeze_in_words(e) {
        line("freeze", freeze);
    }
    if let Some(sampling) = &e.sampling {
        line("sampled", sampling_in_words(sampling));
    }
    line("findings", counts(&plan.findings));
    let urgent: Vec<Finding> = plan.findings.iter().filter(|f| f.severity != Severity::Information).cloned().collect();
    if !urgent.is_empty() {
        out.push('\n');
        out.push_str(&findings(&urgent, colour));
    }
    out.push('\n');
    for path in written {
        let _ = writeln!(out, "written: {}", path.display());
    }
    let _ = match blockers(plan).len() {
        0 => writeln!(out, "next: kferry precheck --config {}", quoted(paths.config)),
        _ => writeln!(out, "next: resolve the blockers, then kferry precheck --config {}", quoted(paths.config)),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::MarkerEstimate;
    use crate::domain::planning::fixture;

    #[test]
    fn the_summary_of_a_healthy_plan() {
        let paths = Paths { config: "migration.yaml", journal_dir: JOURNAL_DIR, plan_dir: "out" };
        let written = ["out/plan.json".into(), "out/runbook.md".into()];
        insta::assert_snapshot!("plan_summary", summary(&fixture::plan(), &written, paths, Colour::Plain));
    }

    #[test]
    fn the_summary_states_the_control_records_by_topic_and_in_total() {
        let mut plan = fixture::plan();
        let orders = &mut plan.topics[0];
        (orders.markers_estimated, orders.holes_estimated, orders.sampled_offsets) = (1_234, 5_000, 600);
        let partition = &mut orders.partitions[0];
        (partition.markers_estimated, partition.holes_estimated, partition.runs_estimated) = (1_234, 5_000, 400);
        plan.estimate.markers = MarkerEstimate {
            markers_estimated: 1_234,
            holes_estimated: 5_000,
            runs_estimated: 400,
            sampled_offsets: 1_000,
            seconds_by_transactions: 125,
            seconds_by_write_txn_markers: 4,
            write_txn_markers: None,
        };
        let text = summary(&plan, &[], Paths { config: "c", journal_dir: JOURNAL_DIR, plan_dir: "out" }, Colour::Plain);
        let lines: Vec<&str> = text.lines().skip_while(|l| !l.contains("controls")).take(2).collect();
        let of = |sampled| {
            format!(
                "about 1,234 markers and 5,000 offsets without a record, before 400 runs of records, estimated from a sample of {sampled} offsets: \
                 2 min 5 s by empty transactions, 4 s by WriteTxnMarkers"
            )
        };
        assert_eq!(lines, [format!("  controls {}", of("1,000")), format!("           orders: {}", of("600"))]);
    }

    #[test]
    fn each_format_has_its_files() {
        let mut config = fixture::config();
        let policies = [PlanFile::IamConcrete, PlanFile::IamTemplated];
        assert_eq!(Format::Json.files(&config), [PlanFile::Json]);
        assert_eq!(Format::Runbook.files(&config), [PlanFile::Runbook]);
        assert_eq!(Format::Cost.files(&config), [PlanFile::Cost]);
        assert_eq!(Format::AwsCli.files(&config), [PlanFile::AwsCli, PlanFile::IamConcrete]);
        assert_eq!(Format::IamPolicy.files(&config), policies);
        assert!(!Format::All.files(&config).contains(&PlanFile::AccessMap) && Format::All.files(&config).len() == 6);
        config.target.auth.mode = AuthMode::Iam;
        let all: std::collections::BTreeSet<&str> = Format::All.files(&config).iter().map(|file| file.name()).collect();
        assert_eq!(all.len(), 7, "{all:?}");
    }
}
