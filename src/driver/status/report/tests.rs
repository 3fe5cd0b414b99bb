use super::*;
use crate::domain::planning::fixture;
use crate::domain::transaction::sample as transaction;
use crate::error::Code;
use crate::machine::fact::{Effect, Fact};
use crate::machine::sample;

const PATHS: Paths = Paths { config: "migration.yaml", journal_dir: "my journal", plan_dir: "my journal" };

/// The facts' status, `after_s` seconds after the last of them.
fn status(facts: Vec<Fact>, look: Look, writer: Writer, after_s: i64) -> Status {
    let entries = sample::entries(facts);
    let migration = Migration::fold(&entries).unwrap();
    let mut throughput = Throughput::default();
    entries.iter().for_each(|e| throughput.absorb(e.at, &e.fact));
    let now = Timestamp::from_millisecond(migration.last_at.as_millisecond() + after_s * 1_000).unwrap();
    Status::of(Facts { config: &fixture::config(), migration: &migration, throughput: &throughput, look: &look, writer, paths: PATHS, now })
}

/// A journey up to and with the first fact of this name.
fn until(name: &str) -> Vec<Fact> {
    let journey = sample::journey();
    let end = journey.iter().position(|f| f.name() == name).unwrap();
    journey[..=end].to_vec()
}

fn look(ends: [i64; 2]) -> Look {
    let ends = [0, 1].map(|p| (sample::partition(p), ends[p as usize])).into();
    let source = SideLook { ends, members: Some([("shop".to_owned(), 2)].into()), ..SideLook::default() };
    let target = SideLook { members: Some(BTreeMap::new()), ..SideLook::default() };
    Look { source: Some(source), target: Some(target) }
}

/// SEED with two checkpoints, five seconds apart from one another by their numbers.
pub(crate) fn seeding() -> Status {
    let mut facts = until("copy_checkpointed");
    facts.push(Fact::CopyCheckpointed { partitions: vec![sample::checkpoint(0, 2_015), sample::checkpoint(1, 1_012)] });
    facts.push(Fact::AttemptFailed { code: Code::StoreUnavailable.as_str().into(), seen: "no answer".into(), remedy: Code::StoreUnavailable.remedy().into() });
    status(facts, look([5_000, 1_012]), Writer::Process(4711), 3)
}

pub(crate) fn committed() -> Status {
    status(until("target_released"), look([21, 24]), Writer::Nobody, 90)
}

#[test]
fn lag_rate_and_time_left_come_from_checkpoints_and_the_sources_ends() {
    let s = seeding();
    assert_eq!((s.state, s.running_pid), (State::Seed, Some(4711)));
    assert_eq!(s.partitions.iter().map(|p| (p.name(), p.lag_records)).collect::<Vec<_>>(), [("orders-0".into(), Some(2_985)), ("orders-1".into(), Some(0))]);
    let p = &s.progress;
    assert_eq!((p.records_done, p.records_total, p.lag_records), (2_005 + 1_002, Some(2_005 + 1_002 + 2_985), Some(2_985)));
    // 3,007 offsets in the two seconds since the partitions were taken.
    assert_eq!((p.records_per_s, p.eta_ms), (Some(1_503), Some(2_985 * 1_000 / 1_503)));
    assert_eq!(s.failures[0].code, "KF-STORE-UNAVAILABLE");
    assert_eq!(s.waiting_because, Vec::<String>::new());
    assert_eq!(s.next_command.as_deref(), Some("kferry execute --config migration.yaml --journal-dir 'my journal'"));
}

#[test]
fn a_source_that_cannot_be_read_leaves_the_lag_unknown_and_says_so() {
    let source = SideLook { error: Some("no broker answers within 2 s".into()), ..SideLook::default() };
    let s = status(until("copy_checkpointed"), Look { source: Some(source), target: None }, Writer::Nobody, 0);
    assert_eq!((s.progress.lag_records, s.progress.records_total, s.partitions[0].lag_records), (None, None, None));
    assert_eq!(s.waiting_because, ["the source cannot be read: no broker answers within 2 s", "no kferry process is at work on this journal"]);
    assert_eq!(s.groups[0].members_on_source, None);
}

#[test]
fn partitions_not_begun_lag_by_their_whole_log() {
    let s = status(until("seed_started"), look([20, 1_010]), Writer::Nobody, 0);
    assert_eq!(s.partitions.iter().map(|p| (p.partition.partition, p.next_offset, p.lag_records)).collect::<Vec<_>>(), [(1, None, Some(1_000)), (0, None, Some(10))]);
    assert_eq!(s.progress.records_total, Some(1_010));
}

#[test]
fn after_the_commit_what_comes_to_the_source_is_late_and_clients_there_are_named() {
    let s = committed();
    assert_eq!(s.partitions.iter().map(|p| (p.partition.partition, p.lag_records, p.late_records)).collect::<Vec<_>>(), [(1, None, Some(3)), (0, None, Some(0))]);
    assert_eq!(s.progress.lag_records, None);
    assert_eq!(s.groups.iter().map(|g| (g.group_id.as_str(), g.outcome, g.members_on_source)).collect::<Vec<_>>(), [("shop", "carried_over", Some(2)), ("share", "left_alone", Some(0))]);
    assert_eq!(
        s.waiting_because,
        [
            "for you to move the clients to the target, and to acknowledge that they have moved",
            "3 records were written to the source after the cutover: orders-1",
        ]
    );
    assert!(s.committed.unwrap().target_released);
    assert!(s.next_command.unwrap().starts_with("kferry cutover-ack "));
}

#[test]
fn an_open_cutover_shows_its_steps() {
    let s = status(until("sentinels_written"), look([21, 21]), Writer::Process(7), 1);
    let c = s.cutover.unwrap();
    assert_eq!((c.attempt, c.expires_at.as_deref(), c.freeze_proven, c.sentinels_written, c.drained), (1, Some("later"), true, true, false));
    assert!(status(until("cutover_committed"), Look::default(), Writer::Nobody, 1).cutover.is_none());
}

#[test]
fn the_next_command_is_the_one_that_goes_on() {
    let next = |name: &str| status(until(name), Look::default(), Writer::Nobody, 0).next_command.map(|c| c.split(' ').nth(1).unwrap_or_default().to_owned());
    for (fact, command) in [
        ("migration_planned", "execute"),
        ("topology_copied", "execute"),
        ("tail_started", "execute"),
        ("drain_ready_reached", "cutover"),
        ("cutover_started", "cutover"),
        ("cutover_committed", "cutover-ack"),
        ("client_switch_acknowledged", "validate"),
        ("validated", "finalize"),
        ("finalized", "finalize"),
        ("bundle_stored", "verify"),
    ] {
        assert_eq!(next(fact).as_deref(), Some(command), "{fact}");
    }
    let rolled_back = until("topology_copied").into_iter().chain([Fact::RolledBack { topics_deleted: 1, bindings_deleted: 0 }]).collect();
    assert_eq!(status(rolled_back, Look::default(), Writer::Nobody, 0).next_command, None);
}

#[test]
fn transactions_that_outlast_a_freeze_are_reasons_and_young_ones_are_only_listed() {
    let now = sample::entries(until("drain_ready_reached")).last().unwrap().at;
    let mut seen = look([20, 20]);
    seen.source.as_mut().unwrap().open_transactions = Some(vec![transaction::unlisted("orders"), transaction::listed("orders", &now)]);
    // The configured freeze is a minute; the second one is ten seconds old at first.
    let at = |after_s| status(until("drain_ready_reached"), seen.clone(), Writer::Nobody, after_s);
    let reasons = |after_s| at(after_s).waiting_because.iter().filter(|r| r.starts_with("`cutover` does not freeze")).cloned().collect::<Vec<_>>();
    let first = reasons(0);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].contains("producer id 42") && first[0].contains("abort --topic orders --partition 1 --start-offset 17"), "{first:?}");
    assert_eq!(reasons(51).len(), 2);
    let open = at(0).open_transactions.unwrap();
    assert_eq!(open.iter().map(|t| (t.hanging, t.outlasts_freeze)).collect::<Vec<_>>(), [(true, true), (false, false)]);
    let json = serde_json::to_value(&open[0]).unwrap();
    assert_eq!((&json["known_as"], &json["producer_id"], &json["places"][0]["topic"]), (&"unlisted".into(), &42.into(), &"orders".into()));
}

#[test]
fn troubles_quarantine_and_silence_are_reasons() {
    let mut facts = until("copy_checkpointed");
    facts.push(Fact::PartitionQuarantined { partition: sample::partition(1), code: "KF-COPY-QUARANTINED".into(), seen: "offset 7 instead of 5".into() });
    facts.push(Fact::EffectIntended { id: 99, effect: Effect::RecreateTopic { topic: "elsewhere".into(), reason: "x".into() } });
    let mut seen = look([20, 20]);
    seen.target.as_mut().unwrap().troubles = (0..7).map(|p| format!("orders-{p} is under-replicated")).collect();
    let s = status(facts, seen, Writer::Process(9), 31);
    assert_eq!(s.pending_effects, 1);
    assert!(s.partitions[0].quarantine.as_ref().unwrap().contains("offset 7"), "the quarantined one comes first");
    assert_eq!(s.waiting_because.len(), 3, "{:?}", s.waiting_because);
    assert!(s.waiting_because[0].contains("orders-1 (KF-COPY-QUARANTINED)"));
    assert!(s.waiting_because[1].starts_with("on the target, orders-0 is under-replicated") && s.waiting_because[1].ends_with("and 2 more"));
    assert!(s.waiting_because[2].contains("process 9 has journaled nothing for 31s"));
}
