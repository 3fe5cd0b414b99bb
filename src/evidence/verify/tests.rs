use super::*;
use crate::evidence::bundle::sign;
use crate::evidence::key::key_id;
use crate::machine::fact::Fact;
use crate::machine::sample::{self, checkpoint, entries, journey};
use crate::validation::report::Outcome;
use ed25519_dalek::SigningKey;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn built(facts: Vec<Fact>) -> Bundle {
    let entries = entries(facts);
    let migration = Migration::fold(&entries).unwrap();
    let extra = Extra { created_at: "2026-01-02T06:00:00Z".parse().unwrap(), leaves: None, not_covered: vec!["the weather".into()] };
    Bundle::build(&entries, &migration, extra)
}

fn bundle() -> Bundle {
    built(journey())
}

fn verified(bundle: &Bundle) -> Result<Verified<Bundle>> {
    verify(&sign(&bundle.to_bytes(), &key()), &key().verifying_key())
}

/// Signs a bundle that was changed and expects exactly this refusal: the signature holds, what is inside does not.
fn refused(change: impl FnOnce(&mut Bundle)) -> String {
    let mut bundle = bundle();
    let before = bundle.clone();
    change(&mut bundle);
    assert!(bundle != before, "the change changes nothing");
    let error = verified(&bundle).unwrap_err();
    assert_eq!(error.code(), Code::BundleInvalid);
    error.seen().to_owned()
}

#[test]
fn a_bundle_verifies_and_says_who_signed_it() {
    let verified = verified(&bundle()).unwrap();
    assert_eq!(*verified, bundle());
    assert_eq!(verified.key_id(), key_id(&key().verifying_key()));
    assert_eq!(verified.file_name(), "m-0123456789.dsse.json");
}

#[test]
fn the_parts_are_what_the_migration_was() {
    let bundle = bundle();
    assert_eq!((bundle.source_cluster_id.as_str(), bundle.target_cluster_id.as_deref()), ("source-cluster", Some("target-cluster")));
    assert_eq!(bundle.journal.len(), journey().len());
    assert_eq!(bundle.states.last().map(|s| s.state), Some(State::Finalized));
    let statistics = &bundle.statistics;
    assert_eq!((statistics.total.records, statistics.seed.map(|s| s.records), statistics.tail.records), (22, Some(7), 15));
    assert_eq!(serde_json::to_value(&bundle.offset_map[1]).unwrap().to_string(), r#"{"topic":"orders","partition":1,"runs":[{"source_base":10,"target_base":10,"count":11}]}"#);
    assert_eq!(bundle.roots.iter().map(|r| (r.from_offset, r.verified_offset, r.source.leaves)).collect::<Vec<_>>(), [(10, 21, 11), (10, 21, 11)]);
    assert_eq!(
        bundle.not_covered,
        [
            "topic orders: setting message.format.version=3.0-IV1 is unknown to the target and left out",
            "group share: offsets not carried over: a share group",
            "tiered segments",
            "the weather",
        ]
    );
}

#[test]
fn what_was_not_read_again_or_has_expired_is_not_covered() {
    let mut facts = journey();
    facts.truncate(13);
    let mut partial = checkpoint(0, 20);
    partial.verified_offset = 15;
    partial.counts.expired_offsets = 3;
    facts.push(Fact::CopyCheckpointed { partitions: vec![partial] });
    let lines = built(facts).not_covered;
    for line in [
        "orders-0: offsets 15..20 were not read again from the target",
        "orders-0: 3 offsets expired on the source before they could be copied and compared",
        "validation: the five checks have not run",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line} is not among {lines:#?}");
    }
    let planned = built(vec![sample::planned()]).not_covered;
    assert!(planned.iter().any(|l| l == "orders-1: nothing of it is checkpointed"), "{planned:#?}");
}

#[test]
fn every_prefix_of_a_migration_makes_a_bundle_that_verifies() {
    let facts = journey();
    for length in 1..=facts.len() {
        verified(&built(facts[..length].to_vec())).unwrap();
    }
}

#[test]
fn another_key_is_named_with_both_ids() {
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    let error = verify(&sign(&bundle().to_bytes(), &key()), &other).unwrap_err();
    assert_eq!(error.code(), Code::BundleInvalid);
    let (signed_with, given) = (key_id(&key().verifying_key()), key_id(&other));
    assert_eq!(error.seen(), format!("key mismatch: it is signed with key {signed_with}, the key given is {given}"));
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_in_the_payload_it_is_the_signature() {
    let envelope = sign(&bundle().to_bytes(), &key());
    let payload_at = r#"{"payload":""#.len();
    let payload_end = envelope.iter().skip(payload_at).position(|&b| b == b'"').unwrap() + payload_at;
    let (mut signature, mut other) = (0, 0);
    for position in (0..envelope.len() - 1).filter(|p| !(payload_at..payload_end).contains(p) || p % 97 == 0) {
        let mut flipped = envelope.clone();
        flipped[position] ^= 1 << (position % 7);
        let error = verify(&flipped, &key().verifying_key()).unwrap_err();
        match error.seen().contains("does not hold: payload or signature was altered") {
            true => signature += 1,
            false => other += 1,
        }
    }
    assert!(signature > 100 && other > 50, "{signature} by the signature, {other} before it");
}

#[test]
fn a_removed_journal_line_is_named() {
    assert_eq!(refused(|b| drop(b.journal.remove(4))), "journal line 5: it holds entry 6, entry 5 is missing");
    assert_eq!(refused(|b| drop(b.journal.remove(0))), "journal line 1: it holds entry 2, entry 1 is missing");
    // The last line's absence breaks no link: it shows in what was derived from it.
    let (length, seen) = (journey().len(), refused(|b| drop(b.journal.pop())));
    assert!(seen.starts_with(&format!("the journal ends with entry {}, ", length - 1)), "{seen}");
    assert!(seen.ends_with(&format!("entry {length} is missing")), "{seen}");
    assert!(refused(|b| b.journal.clear()).ends_with("entry 1 is missing"));
    let seen = refused(|b| (b.journal, b.journal_head) = (vec![], Digest::ZERO));
    assert_eq!(seen, "the journal has no entry");
}

#[test]
fn an_altered_journal_line_is_named() {
    let seen = refused(|b| b.journal[9] = b.journal[9].replace("\"producer_id\":17", "\"producer_id\":18"));
    assert!(seen.starts_with("journal line 10: its hash is "), "{seen}");
    let seen = refused(|b| b.journal.swap(3, 4));
    assert_eq!(seen, "journal line 4: it holds entry 5, entry 4 is missing");
}

/// A bundle whose journal is made of these facts and whose other parts are those of the untouched one.
fn with_journal(facts: Vec<Fact>) -> String {
    let entries = entries(facts);
    refused(|b| {
        b.journal = entries.iter().map(|e| e.line().to_owned()).collect();
        b.journal_head = entries.last().unwrap().hash;
    })
}

#[test]
fn a_journal_that_was_chained_anew_without_an_entry_does_not_fold() {
    let mut facts = journey();
    let frozen = facts.iter().position(|f| matches!(f, Fact::FreezeProven { .. })).unwrap();
    facts.remove(frozen);
    let seen = with_journal(facts);
    assert!(seen.ends_with("cutover_committed may not happen before the freeze is proven"), "{seen}");
}

#[test]
fn a_rolled_back_migration_is_no_evidence() {
    let facts = vec![sample::planned(), Fact::RolledBack { topics_deleted: 0, bindings_deleted: 0 }];
    let error = verified(&built(facts)).unwrap_err();
    assert_eq!(error.seen(), "the journal ends in rolled_back, which is not a migration's evidence");
}

#[test]
fn the_plans_digest_is_computed_anew() {
    let mut facts = journey();
    let mut plan = sample::plan();
    let journaled = plan.sha256().to_string();
    plan.topics[0].replication_factor = 2;
    let computed = plan.sha256().to_string();
    facts[0] = Fact::MigrationPlanned { plan: Box::new(plan), plan_sha256: journaled.clone(), config_sha256: "c0".repeat(32), config: serde_json::Value::Null };
    assert_eq!(with_journal(facts), format!("the journal's plan hashes to {computed}, but it was journaled as {journaled}"));
}

#[test]
fn the_migrations_id_must_agree() {
    assert_eq!(refused(|b| b.migration_id = "m-other".into()), "the bundle is of migration m-other, its journal of m-0123456789");
}

#[test]
fn trees_that_differ_are_named_even_where_the_journal_says_so_too() {
    let mut facts = journey();
    for fact in &mut facts {
        if let Fact::CopyCheckpointed { partitions } = fact {
            partitions.iter_mut().filter(|c| c.partition.partition == 1).for_each(|c| c.target_tree.push([0; 32]));
        }
    }
    let seen = verified(&built(facts)).unwrap_err().seen().to_owned();
    assert!(seen.starts_with("orders-1: the target's tree (12 leaves, root "), "{seen}");
}

#[test]
fn every_part_must_be_what_the_journal_gives() {
    let differs = |part: &str| format!("{part} is not what the journal gives");
    assert_eq!(refused(|b| b.source_cluster_id = "x".into()), differs("source_cluster_id"));
    assert_eq!(refused(|b| b.target_cluster_id = None), differs("target_cluster_id"));
    assert_eq!(refused(|b| b.states.truncate(3)), differs("states"));
    assert_eq!(refused(|b| b.plan_sha256 = "x".into()), differs("plan_sha256"));
    assert_eq!(refused(|b| b.config_sha256 = "x".into()), differs("config_sha256"));
    assert_eq!(refused(|b| b.snapshots.target = None), differs("snapshots"));
    assert_eq!(refused(|b| b.topology[0].partitions = 3), differs("topology"));
    assert_eq!(refused(|b| b.acls = None), differs("acls"));
    assert_eq!(refused(|b| b.statistics.total.records = 23), differs("statistics"));
    assert_eq!(refused(|b| drop(b.offset_map.pop())), differs("offset_map"));
    assert_eq!(refused(|b| b.cutover.as_mut().unwrap().freeze_ms = 1), differs("cutover"));
    assert_eq!(refused(|b| b.validation.as_mut().unwrap().outcome = Outcome::Warning), differs("validation"));
    assert_eq!(refused(|b| b.roots[1].from_offset = 0), "roots of orders-1 are not those of the journal's last checkpoint");
    assert_eq!(refused(|b| drop(b.roots.pop())), "roots of orders-1 are missing; the journal has them");
    assert_eq!(refused(|b| b.roots.push(b.roots[0].clone())), "roots name partitions that the journal has no checkpoint of");
    let tree = refused(|b| (b.roots[0].source.root, b.roots[0].target.root) = (Digest::ZERO, Digest::ZERO));
    assert_eq!(tree, "roots of orders-0 are not those of the journal's last checkpoint");
    assert_eq!(refused(|b| drop(b.not_covered.remove(2))), "not_covered leaves out what the journal shows: tiered segments");
    assert!(refused(|b| b.created_at = "yesterday".into()).starts_with("created_at is not a time"));
}

#[test]
fn another_version_or_shape_is_refused() {
    assert_eq!(refused(|b| b.version = 2), "the bundle has version 2; this kferry reads version 1");
    let envelope = sign(br#"{"version":1,"hello":"world"}"#, &key());
    assert!(verify(&envelope, &key().verifying_key()).unwrap_err().seen().starts_with("the payload is not a bundle"));
}

#[test]
fn a_journal_beside_the_bundle_may_have_gone_on_but_not_differ() {
    let facts = journey();
    let bundle = verified(&built(facts[..facts.len() - 2].to_vec())).unwrap();
    matches_journal(&bundle, &entries(facts.clone())).unwrap();
    let shorter = entries(facts[..5].to_vec());
    let wants = facts.len() - 2;
    assert_eq!(matches_journal(&bundle, &shorter).unwrap_err().seen(), format!("the journal given has 5 lines, the bundle's has {wants}"));
    let mut other = facts;
    other.insert(3, Fact::Interrupted { signal: "SIGINT".into() });
    assert_eq!(matches_journal(&bundle, &entries(other)).unwrap_err().seen(), "line 4 of the journal given differs from the bundle's");
}
