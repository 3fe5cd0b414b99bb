//! What keeps kferry from a store is told by its code and what helps, by calls that leave nothing behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::finished::finished;
use crate::lab::{Agent, Fault, FaultProxy, Load, Outcome, Topic, process};
use crate::migration::{BUCKET, Lab, Setup};

/// Codes and subjects of all that was found about stores.
fn of_stores(outcome: &Outcome) -> BTreeSet<(String, String)> {
    let findings = outcome.json()["findings"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    let ours = |code: &str| code.starts_with("KF-PRE-STORE") || code == "KF-PRE-OBJECT-LOCK";
    // The lab's plain bucket keeps no versions, which is said each time.
    findings
        .iter()
        .map(|f| (text(f, "code"), text(f, "subject")))
        .filter(|(code, _)| ours(code) && code != "KF-PRE-STORE-VERSIONS")
        .collect()
}

fn seen<'a>(outcome: &'a Value, code: &str) -> &'a str {
    let finding = outcome["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["code"] == code);
    finding.unwrap_or_else(|| panic!("no {code} in {outcome}"))["seen"]
        .as_str()
        .unwrap()
}

#[track_caller]
fn expect(setup: Setup, exit: i32, expected: &[(&str, &str)]) -> Value {
    let outcome = setup.begin().run("precheck").expect_code(exit);
    let expected: BTreeSet<(String, String)> = expected
        .iter()
        .map(|(code, subject)| (format!("KF-PRE-{code}"), subject.to_string()))
        .collect();
    assert_eq!(of_stores(&outcome), expected, "{outcome}");
    outcome.json()
}

fn topic(lab: &Lab) {
    let agent = Agent::shared();
    if !agent
        .list_topics(&lab.source.bootstrap())
        .contains(&"stores-plain".to_owned())
    {
        agent.create_topics(&lab.source.bootstrap(), &[Topic::new("stores-plain", 1)]);
        agent.produce(&lab.source.bootstrap(), "stores-plain", &Load::records(5));
    }
}

/// What no server of the lab does by itself, as S3 documents its answers.
const fn answer(
    on: &'static str,
    status: &'static str,
    code: &'static str,
    message: &'static str,
) -> Fault {
    Fault::Answer {
        on,
        status,
        header: "",
        code,
        message,
    }
}

#[test]
fn what_keeps_kferry_from_a_store_is_told_by_its_code() {
    let lab = Lab::shared();
    topic(lab);
    let region = Fault::Answer {
        on: "",
        status: "301 Moved Permanently",
        header: "x-amz-bucket-region: eu-west-1",
        code: "PermanentRedirect",
        message: "The bucket you are attempting to access must be addressed using the specified endpoint.",
    };
    let denied = "User: arn:aws:iam::1:user/k is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:us-east-1:1:key/0";
    // Each run has one trouble with either store.
    let answered = [
        (
            region,
            "STORE-REGION",
            answer(
                "",
                "400 Bad Request",
                "ExpiredToken",
                "The provided token has expired.",
            ),
            "STORE-CREDENTIALS-EXPIRED",
        ),
        (
            answer(
                "uploads",
                "400 Bad Request",
                "KMS.DisabledException",
                "arn:aws:kms:us-east-1:1:key/0 is disabled.",
            ),
            "STORE-KEY-DISABLED",
            answer(
                "uploads",
                "400 Bad Request",
                "KMS.NotFoundException",
                "Key 'arn:aws:kms:us-east-1:1:key/0' does not exist",
            ),
            "STORE-KEY-MISSING",
        ),
        (
            answer("partNumber=1", "403 Forbidden", "AccessDenied", denied),
            "STORE-KEY-DENIED",
            answer(
                "",
                "403 Forbidden",
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            "STORE-CLOCK",
        ),
    ];
    std::thread::scope(|scope| {
        for (index, (backup, backup_code, evidence, evidence_code)) in
            answered.into_iter().enumerate()
        {
            scope.spawn(move || {
                let proxies = [backup, evidence].map(|fault| {
                    let proxy = FaultProxy::start(lab.s3.port());
                    proxy.set(fault);
                    proxy
                });
                let setup = lab
                    .setup("stores")
                    .set("backup.endpoint_url", &proxies[0].endpoint())
                    .set("evidence.endpoint_url", &proxies[1].endpoint());
                let found = expect(
                    setup,
                    4,
                    &[(backup_code, "backup"), (evidence_code, "evidence")],
                );
                if index == 0 {
                    assert!(
                        seen(&found, "KF-PRE-STORE-REGION").contains("Region eu-west-1"),
                        "{found}"
                    );
                }
            });
        }
    });
    // A part that was refused leaves no upload behind.
    assert!(
        !lab.s3
            .bucket("GET", BUCKET, "uploads", "")
            .contains("stores/"),
        "an upload is left"
    );

    let nobody = format!("http://127.0.0.1:{}", process::free_port());
    let plain_as_tls = lab.s3.endpoint().replace("http://", "https://");
    std::thread::scope(|scope| {
        let setup = lab
            .setup("stores")
            .set("backup.endpoint_url", &nobody)
            .set("evidence.endpoint_url", &plain_as_tls);
        scope.spawn(|| {
            expect(
                setup,
                4,
                &[("STORE-NETWORK", "backup"), ("STORE-TLS", "evidence")],
            )
        });
        let setup = lab
            .setup("stores")
            .set("backup.endpoint_url", "http://kferry-lab.invalid:9000")
            .set("evidence.s3_bucket", "kferry-nowhere");
        scope.spawn(|| {
            expect(
                setup,
                4,
                &[("STORE-HOSTNAME", "backup"), ("STORE-BUCKET", "evidence")],
            )
        });
        let setup = lab.setup("stores").env("AWS_SECRET_ACCESS_KEY", "another");
        scope.spawn(|| {
            expect(
                setup,
                4,
                &[
                    ("STORE-CREDENTIALS-REFUSED", "backup"),
                    ("STORE-CREDENTIALS-REFUSED", "evidence"),
                ],
            )
        });
        let setup = lab
            .setup("stores")
            .env("AWS_ACCESS_KEY_ID", "")
            .env("AWS_SECRET_ACCESS_KEY", "");
        scope.spawn(|| {
            expect(
                setup,
                4,
                &[
                    ("STORE-CREDENTIALS-MISSING", "backup"),
                    ("STORE-CREDENTIALS-MISSING", "evidence"),
                ],
            )
        });
    });
}

#[test]
fn each_permission_that_a_bucket_does_not_give_is_named() {
    let lab = Lab::shared();
    topic(lab);
    let bucket = "kferry-policies";
    lab.s3.create_bucket(bucket);
    lab.s3.create_user("stores-user", "stores-secret");
    let user = || {
        lab.setup("stores")
            .env("AWS_ACCESS_KEY_ID", "stores-user")
            .env("AWS_SECRET_ACCESS_KEY", "stores-secret")
    };
    let setup = || {
        user()
            .set("backup.s3_bucket", bucket)
            .set("evidence.s3_bucket", bucket)
            .set("backup.s3_prefix", "seg")
            .set("evidence.s3_prefix", "ev")
    };
    let allow = |actions: &[&str]| {
        let statement = |of_bucket: bool, resource: &str| {
            let chosen = actions
                .iter()
                .filter(|action| action.contains("Bucket") == of_bucket);
            let actions = chosen
                .map(|action| format!("\"s3:{action}\""))
                .collect::<Vec<_>>()
                .join(",");
            format!(
                r#"{{"Effect":"Allow","Principal":{{"AWS":["stores-user"]}},"Action":[{actions}],"Resource":["{resource}"]}}"#
            )
        };
        let both = [
            statement(true, &format!("arn:aws:s3:::{bucket}")),
            statement(false, &format!("arn:aws:s3:::{bucket}/*")),
        ]
        .join(",");
        lab.s3.bucket(
            "PUT",
            bucket,
            "policy",
            &format!(r#"{{"Version":"2012-10-17","Statement":[{both}]}}"#),
        );
    };
    // Nothing is allowed: what can be told of it is told at once.
    let found = expect(
        setup(),
        4,
        &[
            ("STORE-DENIED", "backup"),
            ("STORE-DENIED", "evidence"),
            ("STORE-SETTINGS", "backup"),
            ("STORE-SETTINGS", "evidence"),
        ],
    );
    let all: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["subject"] == "backup")
        .filter_map(|f| f["seen"].as_str())
        .collect();
    for needed in [
        "s3:ListBucket on arn:aws:s3:::kferry-policies is",
        "s3:PutObject on arn:aws:s3:::kferry-policies/seg/* is",
        "s3:GetBucketVersioning on",
    ] {
        assert!(
            all.iter().any(|seen| seen.contains(needed)),
            "{needed} is not said: {all:?}"
        );
    }
    // All but one, for each that the server knows.
    let every = [
        "ListBucket",
        "GetObject",
        "PutObject",
        "AbortMultipartUpload",
        "GetBucketVersioning",
        "GetBucketObjectLockConfiguration",
    ];
    for missing in ["GetObject", "PutObject"] {
        allow(
            &every
                .into_iter()
                .filter(|action| *action != missing)
                .collect::<Vec<_>>(),
        );
        let found = expect(
            setup(),
            4,
            &[("STORE-DENIED", "backup"), ("STORE-DENIED", "evidence")],
        );
        let said = seen(&found, "KF-PRE-STORE-DENIED");
        assert!(
            said.contains(&format!(
                "s3:{missing} on arn:aws:s3:::{bucket}/seg/* is not permitted"
            )),
            "{said}"
        );
    }
    allow(&every);
    expect(setup(), 3, &[]);
    assert!(
        !lab.s3
            .bucket("GET", bucket, "uploads", "")
            .contains("<Upload>"),
        "an upload is left"
    );
}

#[test]
fn a_locked_bucket_is_tried_and_keeps_nothing_of_it() {
    let lab = Lab::shared();
    topic(lab);
    let bucket = "kferry-locked";
    lab.s3.create_locked_bucket(bucket);
    let retention =
        "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>3</Days></DefaultRetention></Rule>";
    let locked = format!(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{retention}</ObjectLockConfiguration>"
    );
    lab.s3.bucket("PUT", bucket, "object-lock", &locked);
    let setup = || lab.setup("stores").set("evidence.object_lock", "true");
    expect(setup().set("evidence.s3_bucket", bucket), 3, &[]);
    // The segments' bucket is not to lock what is put there.
    let found = expect(
        setup()
            .set("evidence.s3_bucket", bucket)
            .set("backup.s3_bucket", bucket),
        3,
        &[("STORE-RETENTION", "backup")],
    );
    assert!(
        seen(&found, "KF-PRE-STORE-RETENTION").contains("COMPLIANCE, 3 days"),
        "{found}"
    );
    let versions = lab.s3.bucket("GET", bucket, "versions", "");
    assert!(
        !versions.contains("<Version>") && !versions.contains("<DeleteMarker>"),
        "{versions}"
    );
    assert!(
        !lab.s3
            .bucket("GET", bucket, "uploads", "")
            .contains("<Upload>"),
        "an upload is left"
    );
    expect(setup(), 4, &[("OBJECT-LOCK", "evidence")]);
}

#[test]
fn a_precheck_that_is_interrupted_in_its_upload_takes_it_back() {
    let lab = Lab::shared();
    topic(lab);
    let bucket = "kferry-interrupted";
    lab.s3.create_bucket(bucket);
    let uploads = || lab.s3.bucket("GET", bucket, "uploads", "").matches("<Upload>").count();
    // The first is kept waiting in its part, the second in taking the upload back.
    for held in ["partNumber=1", "DELETE"] {
        let proxy = FaultProxy::start(lab.s3.port());
        proxy.set(Fault::Hold { on: held });
        let migration = lab.setup("stores").store_through(&proxy).set("backup.s3_bucket", bucket).begin();
        let mut running = migration.spawn("precheck");
        let deadline = Instant::now() + Duration::from_secs(60);
        while uploads() == 0 || proxy.faulted() == 0 {
            assert!(Instant::now() < deadline, "no upload of precheck's is held by {held}");
            std::thread::sleep(Duration::from_millis(20));
        }
        if held == "DELETE" {
            proxy.set(Fault::Pass);
        }
        running.interrupt();
        running.wait(Duration::from_secs(20)).expect_code(130);
        assert_eq!(uploads(), 0, "held by {held}");
    }
}

/// The estimate's quantities beside what then lay in the store; its prices are nobody's here, since the server is not AWS's.
#[test]
fn what_was_estimated_of_the_stores_is_what_then_lies_there() {
    let migration = finished();
    migration
        .kferry()
        .run(&[
            "plan",
            "--config",
            "kferry.yaml",
            "--format",
            "cost",
            "--out-dir",
            "cost",
            "--force",
        ])
        .ok();
    let cost: Value = serde_json::from_slice(
        &std::fs::read(migration.dir().join("cost/cost-estimate.json")).unwrap(),
    )
    .unwrap();
    let item = |id: &str| {
        cost["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["id"] == id)
            .unwrap_or_else(|| panic!("no {id}: {cost}"))
            .clone()
    };
    let quantity = |id: &str| {
        let item = item(id);
        assert!(
            item["usd"].is_null()
                && item["unknown"].as_str().unwrap().contains("not AWS's")
                && item["formula"].is_string(),
            "{item}"
        );
        item["quantity"].as_f64().unwrap()
    };
    let near = |what: &str, estimated: f64, outcome: f64| {
        println!("{what}: {estimated:.0} estimated, {outcome:.0} in the store");
        assert!(
            estimated <= 2.0 * outcome && outcome <= 2.0 * estimated,
            "{what}: {estimated} estimated, {outcome} in the store"
        );
    };
    let (segments, proofs) = (files(&migration.segments()), files(&migration.leaves()));
    near(
        "objects",
        quantity("segments_puts") * 1000.0,
        (segments.len() + proofs.len()) as f64,
    );
    let months = |days: f64| days / (365.0 / 12.0);
    const GIB: f64 = (1u64 << 30) as f64;
    near(
        "bytes of segments",
        quantity("segments_storage") / months(90.0) * GIB,
        segments.iter().map(|path| bytes(path)).sum(),
    );
    near(
        "bytes of the bundle",
        quantity("evidence_storage") / months(7.0 * 365.0) * GIB,
        bytes(&migration.bundle()),
    );
}

fn bytes(path: &Path) -> f64 {
    std::fs::metadata(path).unwrap().len() as f64
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
