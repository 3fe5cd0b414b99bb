use super::*;
use crate::domain::offset::{Mark, SourceOffset, TargetOffset, encode_marks};
use crate::machine::fact::{CopyCounts, MappedPartition, TakenPartition};
use crate::machine::sample::{self, checkpoint, cutover_report, facts, frozen, grant, partition, planned, validation_report, way};
use proptest::prelude::*;

fn at(seq: u64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seq as i64).unwrap()
}

fn step(migration: &mut Option<Migration>, fact: &Fact) -> Result<()> {
    let seq = migration.as_ref().map_or(0, |m| m.last_seq) + 1;
    Migration::step(migration, seq, at(seq), fact)
}

fn folded(facts: impl IntoIterator<Item = Fact>) -> Migration {
    let mut migration = None;
    for fact in facts {
        step(&mut migration, &fact).unwrap();
    }
    migration.unwrap()
}

/// The migration as it stands at the end of `state`, just before the fact that leaves it.
fn in_state(state: State) -> Migration {
    let mut migration = Some(folded([planned()]));
    for (present, facts) in way() {
        let last = if present == state && !state.terminal() { facts.len() - 1 } else { facts.len() };
        for fact in &facts[..last] {
            step(&mut migration, fact).unwrap();
        }
        if present == state {
            break;
        }
    }
    let migration = migration.unwrap();
    assert_eq!(migration.state, state);
    migration
}

#[test]
fn planned_knows_its_plan_and_grant() {
    let migration = in_state(State::Planned);
    assert_eq!((migration.id(), &*migration.plan), ("m-0123456789", &sample::plan()));
    assert_eq!((migration.plan_sha256.clone(), migration.config_sha256.clone()), (sample::plan().sha256().to_string(), "c0".repeat(32)));
    assert_eq!(migration.grant, Some(grant()));
    assert_eq!((migration.entered_at(), migration.last_at, migration.last_seq), (at(1), at(2), 2));
}

#[test]
fn precheck_knows_what_it_found() {
    let migration = in_state(State::Precheck);
    assert_eq!(migration.precheck, Some(PrecheckCounts { blockers: 0, warnings: 1, informations: 2 }));
    assert_eq!((migration.entered_at(), migration.last_at), (at(3), at(4)));
}

#[test]
fn topology_copy_knows_what_it_created() {
    let migration = in_state(State::TopologyCopy);
    assert_eq!(migration.footprint.topics_created.iter().collect::<Vec<_>>(), ["orders"]);
    assert_eq!((migration.footprint.pending.len(), migration.footprint.next_effect_id()), (0, 2));
}

#[test]
fn seed_knows_how_far_each_partition_is() {
    let migration = in_state(State::Seed);
    assert_eq!(migration.seed_attempt, 1);
    assert_eq!(migration.seed, Some(SeedTotals { records: 7, bytes: 700, elapsed_ms: 10 }));
    assert_eq!(migration.checkpoint(&partition(0)).unwrap().next_offset, 15);
    let progress = &migration.partitions[&partition(0)];
    assert_eq!((progress.take, progress.producer_id), (1, Some(17)));
    assert_eq!(migration.checkpoint(&partition(7)), None);
}

#[test]
fn tail_and_drain_ready_keep_the_latest_checkpoint_of_each_partition() {
    for state in [State::Tail, State::DrainReady] {
        let migration = in_state(state);
        let offsets: Vec<_> = migration.checkpoints().map(|c| c.next_offset).collect();
        assert_eq!(offsets, [20, 12]);
    }
}

#[test]
fn cutover_knows_its_steps() {
    let migration = in_state(State::Cutover);
    let cutover = migration.cutover.clone().unwrap();
    assert_eq!((cutover.attempt, cutover.expires_at.as_deref(), cutover.sentinel_producer_id), (1, Some("later"), Some(4711)));
    assert_eq!((cutover.freeze_proven, cutover.drained, cutover.group_offsets_committed), (true, true, true));
    assert_eq!(cutover.frozen, frozen());
    assert_eq!((migration.cutover_attempt, migration.cutover_report), (1, None));
}

#[test]
fn awaiting_client_switch_knows_the_report_and_the_release() {
    let migration = in_state(State::AwaitingClientSwitch);
    assert_eq!(migration.cutover_report, Some(cutover_report()));
    assert!(migration.target_released);
    assert_eq!(migration.late_records, None);
}

#[test]
fn validating_knows_the_acknowledgement_and_the_report() {
    let migration = in_state(State::Validating);
    assert_eq!((migration.late_records, migration.validation), (Some(3), Some(validation_report())));
}

#[test]
fn finalized_knows_outcome_bundle_and_its_way() {
    let migration = in_state(State::Finalized);
    assert_eq!(migration.outcome.as_deref(), Some("PASSED"));
    assert_eq!(migration.bundle.map(|b| b.key_id).as_deref(), Some("i"));
    let way: Vec<_> = migration.history.iter().map(|s| s.state).collect();
    assert_eq!(way, &State::ALL[..10]);
}

#[test]
fn rolled_back_is_reached_from_every_state_that_may_be_left_so() {
    let rolled_back = Fact::RolledBack { topics_deleted: 1, bindings_deleted: 0 };
    for state in State::ALL.into_iter().filter(|s| *s != State::RolledBack) {
        let mut migration = in_state(state);
        let may = !matches!(state, State::Cutover | State::Validating | State::Finalized);
        assert_eq!(migration.apply(99, at(99), &rolled_back).is_ok(), may, "{state}");
        assert_eq!(migration.state, if may { State::RolledBack } else { state });
    }
}

#[test]
fn an_abandoned_cutover_is_back_in_tail_with_nothing_of_it_open() {
    let mut migration = Some(in_state(State::Cutover));
    let effects = [
        Effect::WriteSentinels { attempt: 1, transactional_id: "t".into(), partitions: 2 },
        Effect::ThawProducers { attempt: 1, reason: "deadline".into() },
    ];
    for (id, effect) in (10..).zip(effects) {
        step(&mut migration, &Fact::EffectIntended { id, effect }).unwrap();
    }
    let abandoned = Fact::CutoverAbandoned { attempt: 1, code: "KF-FREEZE-DEADLINE".into(), seen: "late".into(), thawed: false };
    step(&mut migration, &abandoned).unwrap();
    let mut migration = migration.unwrap();
    assert_eq!((migration.state, migration.cutover_attempt, &migration.cutover), (State::Tail, 1, &None));
    assert_eq!(migration.footprint.pending.keys().collect::<Vec<_>>(), [&11], "only the thaw is still to be done");
    let failure = migration.failures.last().unwrap();
    assert_eq!((failure.state, failure.code.as_str(), failure.remedy.as_str()), (State::Cutover, "KF-FREEZE-DEADLINE", Code::FreezeDeadline.remedy()));
    migration.apply(90, at(90), &Fact::DrainReadyReached { lag_records: 0 }).unwrap();
    assert!(migration.apply(91, at(91), &Fact::CutoverStarted { attempt: 1, left_behind: vec![] }).is_err(), "an attempt's number is used once");
    migration.apply(91, at(91), &Fact::CutoverStarted { attempt: 2, left_behind: vec![] }).unwrap();
    assert_eq!(migration.cutover.map(|c| (c.attempt, c.frozen.len(), c.drained)), Some((2, 0, false)));
}

#[test]
fn a_quarantine_ends_when_its_topic_was_created_anew() {
    let mut migration = Some(in_state(State::Seed));
    let other = PartitionCheckpoint { partition: TopicPartition::new("other", 0), ..checkpoint(0, 20) };
    step(&mut migration, &Fact::CopyCheckpointed { partitions: vec![other.clone()] }).unwrap();
    step(&mut migration, &Fact::PartitionQuarantined { partition: partition(1), code: "KF-COPY-QUARANTINED".into(), seen: "12".into() }).unwrap();
    step(&mut migration, &Fact::EffectIntended { id: 5, effect: Effect::RecreateTopic { topic: "orders".into(), reason: "r".into() } }).unwrap();
    let present = migration.clone().unwrap();
    assert_eq!(present.quarantined().map(|(p, _)| p.clone()).collect::<Vec<_>>(), [partition(1)]);
    assert_eq!(present.footprint.pending.len(), 1);
    step(&mut migration, &Fact::EffectCompleted { id: 5, outcome: "done".into() }).unwrap();
    let migration = migration.unwrap();
    assert_eq!(migration.quarantined().count(), 0);
    assert_eq!(migration.partitions[&partition(0)], PartitionProgress { take: 1, ..Default::default() }, "the sibling is refilled too");
    assert_eq!(migration.checkpoints().collect::<Vec<_>>(), [&other]);
}

#[test]
fn what_a_mapped_partition_has_stored_beyond_the_targets_end_is_nothing_to_the_next_take() {
    let taken = |take, next_offset| Fact::PartitionsTaken { producer_id: 17, partitions: vec![TakenPartition { partition: partition(0), take, next_offset }] };
    let checkpoint = checkpoint(0, 20);
    let mut mapped = Some(in_state(State::Seed));
    let marks = vec![MappedPartition { partition: partition(0), marks: encode_marks(&[Mark { source: SourceOffset(10), target: TargetOffset(0) }]).unwrap() }];
    for fact in [Fact::CopyCheckpointed { partitions: vec![checkpoint.clone()] }, taken(2, 4)] {
        step(&mut mapped, &fact).unwrap();
    }
    assert_eq!(mapped.as_ref().unwrap().checkpoint(&partition(0)).unwrap().stored_offset, 20, "identical offsets hold the same records whoever stored them");
    // The target's log ended at 4, and then at 8: what the store has from 4 on are other records.
    for fact in [Fact::OffsetsMapped { partitions: marks }, taken(3, 4), taken(4, 8)] {
        step(&mut mapped, &fact).unwrap();
    }
    assert_eq!(mapped.unwrap().checkpoint(&partition(0)).unwrap().stored_offset, 4);
}

#[test]
fn facts_that_contradict_what_went_before_are_refused() {
    let intended = |id| Fact::EffectIntended { id, effect: Effect::NotifyCommitted { attempt: 1 } };
    let completed = |id| Fact::EffectCompleted { id, outcome: String::new() };
    let mut seed = in_state(State::Seed);
    let refused = |id| Fact::EffectRefused { id, seen: String::new() };
    for fact in [completed(1), completed(7), refused(7), intended(1), Fact::TargetReleased { topics: 0, bindings: 0 }, Fact::Drained { attempt: 1 }, planned()] {
        let before = seed.clone();
        assert_eq!(seed.apply(9, at(9), &fact).unwrap_err().code(), Code::StateIllegal, "{fact:?}");
        assert_eq!(seed, before);
    }
    seed.apply(9, at(9), &intended(2)).unwrap();
    seed.apply(10, at(10), &refused(2)).unwrap();
    assert!(seed.check(&completed(2)).is_err(), "what was refused does not complete");
    assert!(in_state(State::Cutover).check(&Fact::Drained { attempt: 2 }).is_err());
    assert!(Migration::begin(1, at(1), &Fact::PrecheckStarted).is_err());
}

#[test]
fn a_cutover_is_committed_only_with_every_proof() {
    let (_, steps) = way().into_iter().find(|(state, _)| *state == State::Cutover).unwrap();
    let committed = steps.last().unwrap();
    for (missing, needed) in [(0, "the freeze is proven"), (1, "the freeze is proven"), (2, "the sentinels are written"), (3, "the drain is done")] {
        let mut migration = Some(in_state(State::DrainReady));
        step(&mut migration, &Fact::CutoverStarted { attempt: 1, left_behind: vec![] }).unwrap();
        for (_, fact) in steps[..4].iter().enumerate().filter(|(i, _)| *i != missing) {
            step(&mut migration, fact).unwrap();
        }
        let error = migration.unwrap().check(committed).unwrap_err();
        assert!(error.seen().ends_with(needed), "{error}");
    }
    let foreign = Fact::CutoverCommitted { report: Box::new(CutoverReport { attempt: 2, ..cutover_report() }) };
    assert!(in_state(State::Cutover).check(&foreign).is_err());
}

#[test]
fn only_what_passed_validation_is_finalized() {
    let finalized = Fact::Finalized { outcome: "PASSED".into() };
    for (outcome, may) in [(Outcome::Passed, true), (Outcome::Warning, true), (Outcome::NotRun, false), (Outcome::Failed, false)] {
        let mut migration = in_state(State::Validating);
        let report = ValidationReport { outcome, ..validation_report() };
        migration.apply(90, at(90), &Fact::Validated { report: Box::new(report) }).unwrap();
        assert_eq!(migration.check(&finalized).is_ok(), may, "{outcome:?}");
    }
    let mut unvalidated = in_state(State::Validating);
    unvalidated.validation = None;
    assert!(unvalidated.check(&finalized).is_err());
}

/// The sample facts, fitted to where the migration stands so that more of them are legal.
fn fitted(migration: &Migration, fact: Fact, number: u64) -> Fact {
    let attempt = migration.cutover_attempt;
    match fact {
        Fact::CutoverStarted { .. } => Fact::CutoverStarted { attempt: attempt + 1, left_behind: vec![] },
        Fact::ProducersFrozen { expires_at, .. } => Fact::ProducersFrozen { attempt, expires_at },
        Fact::FreezeProven { settle_ms, producers_seen, .. } => Fact::FreezeProven { attempt, settle_ms, producers_seen },
        Fact::SentinelsWritten { producer_id, partitions, .. } => Fact::SentinelsWritten { attempt, producer_id, partitions },
        Fact::Drained { .. } => Fact::Drained { attempt },
        Fact::CutoverAbandoned { code, seen, thawed, .. } => Fact::CutoverAbandoned { attempt, code, seen, thawed },
        Fact::CutoverCommitted { mut report } => {
            report.attempt = attempt;
            Fact::CutoverCommitted { report }
        }
        Fact::CopyCheckpointed { partitions } => {
            let counts = CopyCounts { records: number, ..Default::default() };
            Fact::CopyCheckpointed { partitions: partitions.into_iter().map(|p| PartitionCheckpoint { counts, ..p }).collect() }
        }
        Fact::EffectIntended { effect, .. } => Fact::EffectIntended { id: migration.footprint.next_effect_id() + number % 3, effect },
        Fact::EffectCompleted { outcome, .. } => {
            let ids: Vec<_> = migration.footprint.pending.keys().collect();
            let id = if ids.is_empty() { 0 } else { *ids[number as usize % ids.len()] };
            Fact::EffectCompleted { id, outcome }
        }
        Fact::EffectRefused { seen, .. } => {
            let ids: Vec<_> = migration.footprint.pending.keys().collect();
            let id = if ids.is_empty() { 0 } else { *ids[number as usize % ids.len()] };
            Fact::EffectRefused { id, seen }
        }
        other => other,
    }
}

/// A journal of legal facts, chosen by `numbers`.
fn walk(numbers: &[u64]) -> Vec<Fact> {
    let (facts, mut walked, mut migration) = (facts(), vec![planned()], folded([planned()]));
    for &number in numbers {
        let legal: Vec<Fact> = facts.iter().map(|f| fitted(&migration, f.clone(), number)).filter(|f| migration.check(f).is_ok()).collect();
        // Facts that move the machine are few among many: half of the choices are theirs.
        let (moving, staying): (Vec<_>, Vec<_>) = legal.into_iter().partition(|f| matches!(migration.state.after(f), Ok(Some(_))));
        let choice = if number % 2 == 0 && !moving.is_empty() { moving } else { staying };
        let fact = choice[(number / 2) as usize % choice.len()].clone();
        migration.apply(migration.last_seq + 1, at(migration.last_seq + 1), &fact).unwrap();
        walked.push(fact);
    }
    walked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn folding_a_prefix_and_then_the_rest_is_folding_the_whole(numbers in prop::collection::vec(0u64..1000, 0..80), cut in 0usize..80) {
        let facts = walk(&numbers);
        let whole = folded(facts.clone());
        let cut = cut.min(facts.len());
        let mut resumed = (cut > 0).then(|| folded(facts[..cut].to_vec()));
        for fact in &facts[cut..] {
            step(&mut resumed, fact).unwrap();
        }
        prop_assert_eq!(resumed.as_ref(), Some(&whole));
        prop_assert_eq!(whole.history.last().map(|s| s.state), Some(whole.state));
        prop_assert_eq!(whole.last_seq, facts.len() as u64);
    }

    #[test]
    fn a_refused_fact_changes_nothing(numbers in prop::collection::vec(0u64..1000, 0..60)) {
        let migration = folded(walk(&numbers));
        for fact in facts() {
            let mut tried = migration.clone();
            match (migration.check(&fact), tried.apply(migration.last_seq + 1, at(99), &fact)) {
                (Ok(state), Ok(())) => prop_assert_eq!(tried.state, state),
                (Err(_), Err(_)) => prop_assert_eq!(&tried, &migration),
                (check, apply) => prop_assert!(false, "{check:?} but {apply:?}"),
            }
        }
    }
}
