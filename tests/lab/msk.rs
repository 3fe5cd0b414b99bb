//! A double of the MSK control plane: clusters as fixtures, answers and errors in the shapes of the service's public model.
//!
//! It lets in who signs as the lab's one AWS user, for service `kafka` and its own Region; the signature itself is not computed anew.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};

use base64::Engine as _;
use serde_json::{Value, json};

use super::proxy::Listener;
use super::s3::S3;

const ACCOUNT: &str = "123456789012";
/// Entries of a list in one answer.
const PAGE: usize = 2;

/// What the control plane knows of one cluster.
pub struct MskFixture {
    /// `clusterInfo` of DescribeClusterV2.
    pub info: Value,
    /// The answer of GetBootstrapBrokers.
    pub bootstrap: Value,
    pub nodes: Vec<Value>,
    pub secrets: Vec<String>,
    /// `server.properties` of its configuration.
    pub properties: String,
}

/// An answer instead of the one that is due.
#[derive(Clone, Debug)]
pub struct MskFailure {
    pub status: u16,
    pub error_type: &'static str,
    pub message: &'static str,
}

#[derive(Default)]
struct State {
    clusters: BTreeMap<String, MskFixture>,
    /// By operation and part of the path: what is answered next; the last one for ever where `true`.
    failures: BTreeMap<(&'static str, String), (VecDeque<MskFailure>, bool)>,
    /// Secrets that are never taken, with an error code.
    unfit: BTreeMap<String, &'static str>,
    /// Operations whose answer does not come, although they are carried out.
    held: Option<&'static str>,
    calls: Vec<String>,
}

pub struct Msk {
    listener: Listener,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Msk {
    pub fn start() -> Self {
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = state.clone();
        let listener = Listener::start(move |near| drop(serve(&shared, near)));
        Self { listener, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.listener.port)
    }

    /// A provisioned cluster of three Standard brokers with 100 GiB each; answers its ARN.
    pub fn add(&self, name: &str, kafka_version: &str, bootstrap: Value) -> String {
        let zookeeper = !kafka_version.ends_with(".kraft");
        let arn = format!("arn:aws:kafka:{}:{ACCOUNT}:cluster/{name}/11111111-2222-3333-4444-555555555555-1", S3::REGION);
        let mut info = json!({
            "clusterType": "PROVISIONED", "clusterArn": arn, "clusterName": name, "currentVersion": "K1", "state": "ACTIVE", "creationTime": "2024-01-02T03:04:05.678Z",
            "provisioned": {
                "numberOfBrokerNodes": 3, "storageMode": "LOCAL",
                "brokerNodeGroupInfo": {
                    "instanceType": "kafka.m5.large", "clientSubnets": ["subnet-1", "subnet-2", "subnet-3"], "brokerAZDistribution": "DEFAULT",
                    "storageInfo": { "ebsStorageInfo": { "volumeSize": 100 } },
                    "connectivityInfo": { "publicAccess": { "type": "DISABLED" } },
                },
                "currentBrokerSoftwareInfo": { "kafkaVersion": kafka_version, "configurationArn": Self::configuration(name), "configurationRevision": 2 },
            },
        });
        if zookeeper {
            info["provisioned"]["zookeeperConnectString"] = json!("z-1.example:2181,z-2.example:2181");
        }
        let broker = |id: u32| json!({ "nodeType": "BROKER", "instanceType": "kafka.m5.large", "brokerNodeInfo": { "brokerId": id, "endpoints": [format!("b-{id}.example")] } });
        let controller = |id: u32| json!({ "controllerNodeInfo": { "endpoints": [format!("c-{id}.example")] } });
        let mut nodes: Vec<Value> = (1..=3).map(broker).collect();
        nodes.extend((1..=3).filter(|_| !zookeeper).map(controller));
        let fixture = MskFixture { info, bootstrap, nodes, secrets: Vec::new(), properties: "num.partitions=3\n".into() };
        self.state.0.lock().unwrap().clusters.insert(arn.clone(), fixture);
        arn
    }

    pub fn configuration(name: &str) -> String {
        format!("arn:aws:kafka:{}:{ACCOUNT}:configuration/{name}/99999999-2222-3333-4444-555555555555-1", S3::REGION)
    }

    pub fn secret(user: &str) -> String {
        format!("arn:aws:secretsmanager:{}:{ACCOUNT}:secret:AmazonMSK_{user}-AbCdEf", S3::REGION)
    }

    pub fn edit(&self, arn: &str, change: impl FnOnce(&mut MskFixture)) {
        change(self.state.0.lock().unwrap().clusters.get_mut(arn).expect("a cluster of the control plane"));
    }

    /// The secrets that are associated with a cluster.
    pub fn secrets(&self, arn: &str) -> Vec<String> {
        self.state.0.lock().unwrap().clusters[arn].secrets.clone()
    }

    /// Answers an operation on paths that contain `part` with this so many times, or for ever.
    pub fn fail(&self, operation: &'static str, part: &str, times: Option<usize>, failure: MskFailure) {
        let queue = (0..times.unwrap_or(1)).map(|_| failure.clone()).collect();
        self.state.0.lock().unwrap().failures.insert((operation, part.into()), (queue, times.is_none()));
    }

    pub fn recover(&self) {
        self.state.0.lock().unwrap().failures.clear();
    }

    /// Takes a secret never, or again.
    pub fn refuse_secret(&self, secret: &str, error_code: Option<&'static str>) {
        let mut state = self.state.0.lock().unwrap();
        match error_code {
            Some(code) => drop(state.unfit.insert(secret.into(), code)),
            None => drop(state.unfit.remove(secret)),
        }
    }

    /// From now on this operation is carried out and not answered; None lets all answers go.
    pub fn hold(&self, operation: Option<&'static str>) {
        self.state.0.lock().unwrap().held = operation;
        self.state.1.notify_all();
    }

    /// Every call that was let in, as `operation path`.
    pub fn calls(&self) -> Vec<String> {
        self.state.0.lock().unwrap().calls.clone()
    }
}

fn serve(shared: &(Mutex<State>, Condvar), mut near: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(near.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, body) = (decoded(path), serde_json::from_slice::<Value>(&body).unwrap_or_default());
    let (operation, answer) = answer(&mut shared.0.lock().unwrap(), &method, &path, query, &authorization, &body);
    let mut state = shared.0.lock().unwrap();
    while state.held.is_some_and(|held| held == operation) {
        state = shared.1.wait(state).unwrap();
    }
    drop(state);
    let (status, kind, text) = match answer {
        Ok(value) => (200, String::new(), value.to_string()),
        Err(f) => (f.status, format!("x-amzn-ErrorType: {}\r\n", f.error_type), json!({ "message": f.message }).to_string()),
    };
    write!(near, "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}

type Answer = Result<Value, MskFailure>;

fn answer(state: &mut State, method: &str, path: &str, query: &str, authorization: &str, body: &Value) -> (&'static str, Answer) {
    let refused = |status, error_type, message| Err(MskFailure { status, error_type, message });
    let v1 = path.strip_prefix("/v1/clusters/").and_then(|rest| rest.rsplit_once('/'));
    let (operation, arn) = match (method, v1) {
        ("GET", None) if path.starts_with("/api/v2/clusters/") => ("DescribeClusterV2", &path["/api/v2/clusters/".len()..]),
        ("GET", Some((arn, "bootstrap-brokers"))) => ("GetBootstrapBrokers", arn),
        ("GET", Some((arn, "nodes"))) => ("ListNodes", arn),
        ("GET", Some((arn, "scram-secrets"))) => ("ListScramSecrets", arn),
        ("POST", Some((arn, "scram-secrets"))) => ("BatchAssociateScramSecret", arn),
        ("PATCH", Some((arn, "scram-secrets"))) => ("BatchDisassociateScramSecret", arn),
        ("GET", None) if path.starts_with("/v1/configurations/") => ("DescribeConfigurationRevision", path),
        _ => return ("none", refused(404, "NotFoundException", "no such operation")),
    };
    // AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
    let scope: Vec<&str> = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=").and_then(|rest| rest.split(',').next()).unwrap_or_default().split('/').collect();
    let [key, _, region, service, "aws4_request"] = scope[..] else {
        return (operation, refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token"));
    };
    if key != S3::ACCESS_KEY {
        return (operation, refused(403, "UnrecognizedClientException", "The security token included in the request is invalid."));
    }
    if region != S3::REGION || service != "kafka" || !authorization.contains("Signature=") {
        return (operation, refused(403, "InvalidSignatureException", "Credential should be scoped to a valid region."));
    }
    state.calls.push(format!("{operation} {path}"));
    let due = state.failures.iter_mut().find(|((failing, part), _)| *failing == operation && path.contains(part.as_str()));
    if let Some((_, (queue, for_ever))) = due
        && let Some(failure) = queue.front().cloned()
    {
        if !*for_ever {
            queue.pop_front();
        }
        return (operation, Err(failure));
    }
    if operation == "DescribeConfigurationRevision" {
        let found = state.clusters.values().find(|c| c.info["provisioned"]["currentBrokerSoftwareInfo"]["configurationArn"].as_str().is_some_and(|arn| path == format!("/v1/configurations/{arn}/revisions/2")));
        let properties = found.map(|c| base64::engine::general_purpose::STANDARD.encode(&c.properties));
        return (operation, properties.map_or_else(|| refused(404, "NotFoundException", "no such revision"), |text| Ok(json!({ "revision": 2, "serverProperties": text }))));
    }
    let unfit = state.unfit.clone();
    let Some(cluster) = state.clusters.get_mut(arn) else {
        return (operation, refused(404, "NotFoundException", "The requested resource does not exist."));
    };
    let listed = || -> Vec<String> { body["secretArnList"].as_array().into_iter().flatten().filter_map(|s| Some(s.as_str()?.to_owned())).collect() };
    let answer = match operation {
        "DescribeClusterV2" => json!({ "clusterInfo": cluster.info }),
        "GetBootstrapBrokers" => cluster.bootstrap.clone(),
        "ListNodes" => page(&cluster.nodes, query, "nodeInfoList"),
        "ListScramSecrets" => page(&cluster.secrets.iter().map(|s| json!(s)).collect::<Vec<_>>(), query, "secretArnList"),
        _ if listed().is_empty() || listed().len() > 10 => return (operation, refused(400, "BadRequestException", "One or more of the parameters are not valid.")),
        "BatchAssociateScramSecret" => {
            let (refused, taken): (Vec<String>, Vec<String>) = listed().into_iter().partition(|s| unfit.contains_key(s) || cluster.secrets.contains(s));
            cluster.secrets.extend(taken);
            let why = |s: &String| json!({ "secretArn": s, "errorCode": unfit.get(s).copied().unwrap_or("InvalidSecretArn"), "errorMessage": "The secret cannot be associated." });
            json!({ "clusterArn": arn, "unprocessedScramSecrets": refused.iter().map(why).collect::<Vec<_>>() })
        }
        _ => {
            let (gone, refused): (Vec<String>, Vec<String>) = listed().into_iter().partition(|s| cluster.secrets.contains(s));
            cluster.secrets.retain(|s| !gone.contains(s));
            let why = |s: &String| json!({ "secretArn": s, "errorCode": "InvalidSecretArn", "errorMessage": "The secret is not associated." });
            json!({ "clusterArn": arn, "unprocessedScramSecrets": refused.iter().map(why).collect::<Vec<_>>() })
        }
    };
    (operation, Ok(answer))
}

/// One page; the token is where the next one begins.
fn page(all: &[Value], query: &str, name: &str) -> Value {
    let from = query.split('&').find_map(|part| part.strip_prefix("nextToken=from-")?.parse::<usize>().ok()).unwrap_or(0);
    let end = all.len().min(from + PAGE);
    let mut answer = json!({ name: all[from.min(end)..end] });
    if end < all.len() {
        answer["nextToken"] = json!(format!("from-{end}"));
    }
    answer
}

/// Without its percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
