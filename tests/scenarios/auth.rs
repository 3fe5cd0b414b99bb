//! Every way into a cluster: whole migrations by a principal with ACLs, what is said where one is not let in, and sessions that end.

use std::sync::OnceLock;

use serde_json::json;

use crate::lab::secured::{PASSWORD_VARIABLE, USER, papers, password};
use crate::lab::{Acl, Agent, Cluster, Commit, Door, Load, Options, Outcome, Topic};
use crate::migration::{Lab, Migration, Setup};

/// The secured pair of clusters, with the users and the ACLs of whoever migrates.
fn secured() -> &'static Lab {
    static SECURED: OnceLock<Lab> = OnceLock::new();
    SECURED.get_or_init(|| {
        let lab = Lab::start(1, Options::default().secured(), Options::default().secured());
        for cluster in [&lab.source, &lab.target] {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let user = json!({"bootstrap": cluster.bootstrap(), "mechanism": mechanism, "user": USER, "password": password()});
                Agent::shared().call("upsert_scram", user);
            }
        }
        let principals = [Door::Open, Door::Mtls, Door::Plain, Door::Iam].map(Door::principal);
        for principal in &principals {
            Agent::shared().create_acls(&lab.source.bootstrap(), &of_source(principal));
            Agent::shared().create_acls(&lab.target.bootstrap(), &of_target(principal));
        }
        lab
    })
}

/// What a migration needs on the source.
fn of_source(principal: &str) -> Vec<Acl> {
    [
        ("READ", "TOPIC", "*"),
        ("DESCRIBE_CONFIGS", "TOPIC", "*"),
        // The sentinels.
        ("WRITE", "TOPIC", "*"),
        ("WRITE", "TRANSACTIONAL_ID", "*"),
        ("READ", "GROUP", "*"),
        ("DESCRIBE", "CLUSTER", "kafka-cluster"),
        ("DESCRIBE_CONFIGS", "CLUSTER", "kafka-cluster"),
    ]
    .map(|(operation, resource, name)| Acl::allow(principal, operation, resource, name))
    .into()
}

/// What a migration needs on the target.
fn of_target(principal: &str) -> Vec<Acl> {
    [("TOPIC", "*"), ("GROUP", "*"), ("TRANSACTIONAL_ID", "*"), ("CLUSTER", "kafka-cluster")]
        .map(|(resource, name)| Acl::allow(principal, "ALL", resource, name))
        .into()
}

/// A migration in by these two doors, of small topics that are filled here.
fn between(id: &str, source: Door, target: Door) -> Setup {
    let (lab, agent) = (secured(), Agent::shared());
    let inside = lab.source.bootstrap();
    agent.create_topics(&inside, &[Topic::new(&format!("{id}-orders"), 3), Topic::new(&format!("{id}-empty"), 1)]);
    agent.produce(&inside, &format!("{id}-orders"), &Load::records(600).values(50, 400).codec("lz4"));
    agent.commit_group_offsets(&inside, &format!("{id}-readers"), &[Commit::new(&format!("{id}-orders"), 0, 17, "kept")]);
    setup(lab, id, source, target)
}

fn setup(lab: &Lab, id: &str, source: Door, target: Door) -> Setup {
    lab.setup(id)
        .source(&lab.source.door(source))
        .target(&lab.target.door(target))
        .source_auth(&source.auth())
        .target_auth(&target.auth())
        .env(PASSWORD_VARIABLE, password())
}

/// From `plan` to `verify`, and both clusters hold the same.
fn whole(id: &str, source: Door, target: Door) -> Migration {
    let migration = between(id, source, target).begin();
    migration.run("plan").ok();
    migration.precheck();
    migration.finish();
    migration.expect_state("finalized");
    migration.expect_verified();
    migration.expect_same(secured(), &[format!("{id}-orders"), format!("{id}-empty")]);
    migration
}

#[test]
fn scram_sha_512_to_scram_sha_512() {
    whole("auth-s5-s5", Door::Scram512, Door::Scram512);
}
