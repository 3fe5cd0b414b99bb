//! Every error that a user can meet: one table of stable codes, exit codes, retry classes and remedies.
//!
//! A code is never reused. `runbooks/errors/CODE.md` explains each; a test holds the table and the pages together.

use std::fmt;

/// The process's exit code, as `product.md` and the README list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    /// Ended in a warning.
    Warning = 3,
    /// A check failed, a blocker was found, or a bundle did not verify.
    Check = 4,
    License = 5,
    Config = 6,
    /// The command is not legal in the machine's present state.
    State = 7,
    SourceUnavailable = 8,
    TargetUnavailable = 9,
    StoreUnavailable = 10,
    Bug = 70,
    Interrupted = 130,
}

/// What helps against an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// kferry waits and tries again by itself; meeting the error means that it gave up at a stated limit.
    Transient,
    /// Run the same command again once the cause is gone.
    AfterFix,
    /// Running it again cannot help.
    Never,
}

macro_rules! codes {
    ($($variant:ident, $code:literal, $exit:ident, $retry:ident, $remedy:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($variant,)* }

        impl Code {
            /// Every code, in the table's order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as a user sees it, and the name of its page in `runbooks/errors/`.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $code,)* } }

            /// The exit code of a command that ends with this error.
            pub fn exit(self) -> Exit { match self { $(Code::$variant => Exit::$exit,)* } }

            pub fn retry(self) -> Retry { match self { $(Code::$variant => Retry::$retry,)* } }

            /// The text of its page in `runbooks/errors/`.
            pub fn page(self) -> &'static str {
                match self { $(Code::$variant => include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/errors/", $code, ".md")),)* }
            }

            /// What to do next, in one sentence.
            pub fn remedy(self) -> &'static str { match self { $(Code::$variant => $remedy,)* } }
        }
    };
}

codes! {
    ConfigInvalid, "KF-CONFIG-INVALID", Config, AfterFix, "correct the configuration at the line named; nothing has been touched";
    ConfigChanged, "KF-CONFIG-CHANGED", Config, AfterFix, "put back what the plan was made with; to migrate something else, or to store it elsewhere, run `rollback` and begin anew";
    ConfigUnreadable, "KF-CONFIG-UNREADABLE", Config, AfterFix, "check the path given with --config and its permissions";
    ConfigUnsupported, "KF-CONFIG-UNSUPPORTED", Config, AfterFix, "this build cannot do what the configuration asks for; the message says what it can";
    UsageInvalid, "KF-USAGE", Usage, AfterFix, "see `kferry COMMAND --help`";

    SourceUnavailable, "KF-SOURCE-UNAVAILABLE", SourceUnavailable, Transient, "check that the source's bootstrap servers are reachable from this host, then run the command again";
    TargetUnavailable, "KF-TARGET-UNAVAILABLE", TargetUnavailable, Transient, "check that the target's bootstrap servers are reachable from this host, then run the command again";
    StoreUnavailable, "KF-STORE-UNAVAILABLE", StoreUnavailable, Transient, "check the bucket's endpoint, name, Region and credentials, then run the command again";
    StoreCorrupt, "KF-STORE-CORRUPT", Failed, Never, "the object differs from what was stored; do not delete it, compare it with its manifest";
    KafkaRefused, "KF-KAFKA-REFUSED", Failed, AfterFix, "the broker refused the request; the message gives its error and what was asked";
    KafkaProtocol, "KF-KAFKA-PROTOCOL", Failed, Never, "the broker's answer does not follow the protocol; please report it with the versions of both clusters";

    AuthCredentials, "KF-AUTH-CREDENTIALS", Config, AfterFix, "correct auth.username and auth.password of that cluster, or create the SCRAM user there";
    AuthServerSignature, "KF-AUTH-SERVER-SIGNATURE", Config, Never, "the broker is not who it should be: check the address, and change the password";
    AuthUnknownCa, "KF-AUTH-UNKNOWN-CA", Config, AfterFix, "name the CA that signed the brokers' certificates in auth.ca of that cluster";
    AuthCertificateExpired, "KF-AUTH-CERT-EXPIRED", Config, AfterFix, "renew the broker's certificate, or set this host's clock";
    AuthHostName, "KF-AUTH-HOSTNAME", Config, AfterFix, "connect by a name that the certificate holds (bootstrap_servers, advertised.listeners), or have it issued for this one";
    AuthClientCertificate, "KF-AUTH-CLIENT-CERT", Config, AfterFix, "use auth.mode mtls (or auth.cert and auth.key beside a password) with a certificate that is valid and signed by a CA that the broker trusts";
    AuthNotTls, "KF-AUTH-NOT-TLS", Config, Transient, "use the listener's TLS port, or an auth.mode (and auth.security_protocol) without TLS";
    AuthTlsExpected, "KF-AUTH-TLS-EXPECTED", Config, Transient, "use an auth.mode with TLS (auth.security_protocol SASL_SSL for passwords), or the plaintext listener's port";
    AuthTls, "KF-AUTH-TLS", Config, AfterFix, "compare the broker's ssl.enabled.protocols and ssl.cipher.suites with TLS 1.2 and 1.3, which kferry speaks";
    AuthSaslExpected, "KF-AUTH-SASL-EXPECTED", Config, Transient, "use the auth.mode of that listener: plain, scram-sha-256, scram-sha-512 or iam";
    AuthMechanism, "KF-AUTH-MECHANISM", Config, AfterFix, "use a mechanism that the listener offers, or add this one to its sasl.enabled.mechanisms";
    AuthAwsCredentials, "KF-AUTH-AWS-CREDENTIALS", Config, AfterFix, "give AWS credentials where its default chain looks (environment, profile, SSO, instance role), or name auth.profile";
    AuthToken, "KF-AUTH-TOKEN", Config, AfterFix, "check the credentials' account and permissions (kafka-cluster:Connect), auth.region and this host's clock";
    AuthFile, "KF-AUTH-FILE", Config, AfterFix, "correct auth.ca, auth.cert or auth.key: PEM files, the key unencrypted and the certificate's own";

    MskCredentials, "KF-MSK-CREDENTIALS", Config, AfterFix, "give AWS credentials where its default chain looks (environment, profile, SSO, instance role), or name auth.profile";
    MskAccessDenied, "KF-MSK-ACCESS-DENIED", Config, AfterFix, "allow the IAM action that is named on the resource that is named; policies/iam-policy-templated.json in kferry's repository is the whole policy as a template";
    MskNoSuchCluster, "KF-MSK-NO-SUCH-CLUSTER", Config, AfterFix, "correct cluster_arn; `aws kafka list-clusters-v2` lists the ARNs of a Region";
    MskWrongRegion, "KF-MSK-WRONG-REGION", Config, AfterFix, "correct the Region in cluster_arn, or the endpoint (endpoint_url, AWS_ENDPOINT_URL_KAFKA)";
    MskNoBootstrap, "KF-MSK-NO-BOOTSTRAP", Config, AfterFix, "set network and auth.mode to a pair that the message names, or switch that authentication or access on in the cluster";
    MskServerless, "KF-MSK-SERVERLESS", Config, Never, "use a provisioned cluster";
    MskNotActive, "KF-MSK-NOT-ACTIVE", Failed, AfterFix, "wait until it is ACTIVE; a cluster that has failed has to be made anew";
    MskThrottled, "KF-MSK-THROTTLED", Failed, Transient, "run the command again in a minute; look for tools of the account that ask the control plane often";
    MskUnreachable, "KF-MSK-UNREACHABLE", Failed, Transient, "check DNS, the proxy and the VPC endpoint for the kafka service from this host, or give the cluster's bootstrap_servers instead of its ARN";
    MskRefused, "KF-MSK-REFUSED", Failed, AfterFix, "the message gives the service's own words";
    MskScramSecrets, "KF-MSK-SCRAM-SECRETS", Failed, AfterFix, "mend what the service says of each secret (its key, its policy, its format), then run the command again";

    JournalLocked, "KF-JOURNAL-LOCKED", State, AfterFix, "another kferry process holds this journal; wait for it to end, or stop it, then run the command again";
    JournalCorrupt, "KF-JOURNAL-CORRUPT", Failed, Never, "the journal was altered or its disk is damaged; keep it as it is and restore the journal directory from a copy";
    JournalUnwritable, "KF-JOURNAL-UNWRITABLE", Failed, AfterFix, "free disk space or mend the permissions of the journal directory, then run the command again";
    JournalMissing, "KF-JOURNAL-MISSING", State, AfterFix, "check --journal-dir; a migration begins with `kferry execute`";
    JournalForeign, "KF-JOURNAL-FOREIGN", State, AfterFix, "this journal belongs to another migration; use its own configuration, or another --journal-dir";
    StateIllegal, "KF-STATE-ILLEGAL", State, AfterFix, "`kferry status` names the next command for this state";
    Interrupted, "KF-INTERRUPTED", Interrupted, AfterFix, "run the same command again; it resumes where it was";

    PrecheckBlocked, "KF-PRECHECK-BLOCKED", Check, AfterFix, "resolve each blocker listed above, then run the command again";
    LicenseMissing, "KF-LICENSE-MISSING", License, AfterFix, "set KFERRY_LICENSE_FILE or place the licence at /etc/kferry/license.key; `plan`, `precheck`, `status`, `prove` and `verify` need none";
    LicenseInvalid, "KF-LICENSE-INVALID", License, AfterFix, "ask for a new licence file; this one was altered or signed with another key";
    LicenseExpired, "KF-LICENSE-EXPIRED", License, AfterFix, "renew the licence; a migration that has begun may be finished or rolled back without";

    PermissionMissing, "KF-PERMISSION-MISSING", Check, AfterFix, "grant kferry's principal what is named (the runbook lists the commands), then run the command again; no producer was frozen";
    TopologyDrift, "KF-TOPOLOGY-DRIFT", Check, AfterFix, "align the topic on the target, or set topology.on_config_drift to merge or replace";
    QuotaDrift, "KF-QUOTA-DRIFT", Check, AfterFix, "align the client quotas on the target, or set quotas.on_drift to merge or replace";
    AclDrift, "KF-ACL-DRIFT", Check, AfterFix, "align the ACLs on the target, or set acl.on_drift to merge or replace";
    TargetNotEmpty, "KF-TARGET-NOT-EMPTY", Check, AfterFix, "delete the topic on the target if its records are not wanted, or exclude it with topics.exclude";
    SourceGrew, "KF-SOURCE-GREW", Check, AfterFix, "roll back and plan again with what was added; a new topic may be left behind with `cutover --leave-behind TOPIC`";
    CutoverUnfinished, "KF-CUTOVER-UNFINISHED", Warning, AfterFix, "the cutover stands: let no producer start at the source; mend what the message says and run `cutover` again";
    TopicChanged, "KF-TOPIC-CHANGED", Failed, AfterFix, "a topic was deleted and created again under the same name; roll back and start a new migration";

    CopyQuarantined, "KF-COPY-QUARANTINED", Failed, AfterFix, "the target's partition does not hold what was sent; run `execute` again to have its topic created anew and refilled";
    CopyUnsupportedFormat, "KF-COPY-FORMAT", Check, AfterFix, "the batch's format cannot be kept exactly on the target; exclude the topic with topics.exclude";
    CopyRecordTooLarge, "KF-COPY-RECORD-SIZE", Check, AfterFix, "one record is larger than the target takes in one append; raise the limit that the message names, or exclude the topic with topics.exclude";
    MapTooLarge, "KF-MAP-TOO-LARGE", Check, AfterFix, "too many transactions or holes are copied at other offsets; run `rollback` and begin again with the topics that have most of them in topics.identical";
    CopyDamaged, "KF-COPY-DAMAGED", Failed, AfterFix, "a batch's checksum does not hold; run the command again, and if it recurs check the source broker's disk with kafka-dump-log";
    CopyRefused, "KF-COPY-REFUSED", Failed, AfterFix, "the target refused a batch for good; the message gives its error";
    SourceDiverged, "KF-SOURCE-DIVERGED", Failed, AfterFix, "the source lost records after they were copied (unclean leader election); run `rollback` and start again";
    DigestMismatch, "KF-DIGEST-MISMATCH", Check, Never, "what the target returned differs from what the source gave; do not cut over; keep the journal and the segments";

    FreezeNeedsTerminal, "KF-FREEZE-NEEDS-TERMINAL", State, AfterFix, "run `cutover` on a terminal, or configure cutover.freeze: webhook";
    FreezeRefused, "KF-FREEZE-REFUSED", Failed, AfterFix, "the freeze was not confirmed; the machine is back in TAIL and producers go on at the source";
    FreezeNotProven, "KF-FREEZE-NOT-PROVEN", Failed, AfterFix, "stop the producers that are named, then run `cutover` again; the machine is back in TAIL";
    TransactionOpen, "KF-TRANSACTION-OPEN", Failed, AfterFix, "end the transaction as the message says, or raise cutover.max_producer_freeze above its age, then run `cutover` again; no producer was frozen";
    FreezeDeadline, "KF-FREEZE-DEADLINE", Failed, AfterFix, "the freeze was lifted at its deadline and the machine is back in TAIL; raise cutover.max_producer_freeze or remove the cause, then run `cutover` again";
    WebhookUnreachable, "KF-WEBHOOK", Failed, AfterFix, "after a commit stop the receiver's timer by hand before it thaws; then check cutover.producer_freeze_webhook and its receiver, and run the command again";
    DrainTimeout, "KF-DRAIN-TIMEOUT", Failed, AfterFix, "the source is written faster than it can be copied; see seed.rate_limit and the target's load, then run the command again";
    LateWrites, "KF-LATE-WRITES", Check, AfterFix, "move the producers that still write to the source, save the records named, then say how many may stay there: cutover-ack --accept-late-writes OFFSETS";
    GroupRefused, "KF-GROUP-REFUSED", Failed, AfterFix, "a group's offsets could not be read on the source or committed on the target; the message names the group and the broker's error";
    RollbackUnsafe, "KF-ROLLBACK-UNSAFE", State, AfterFix, "the target holds records that may exist nowhere else; go forward, or save them and delete them yourself, then run `rollback` again";

    ValidationFailed, "KF-VALIDATION-FAILED", Check, AfterFix, "read the failed checks above, mend the cause and run `validate` again";
    BundleInvalid, "KF-BUNDLE-INVALID", Check, Never, "the bundle is not what was signed; ask for the original and the right public key";
    ProofInvalid, "KF-PROOF-INVALID", Check, Never, "the proof does not show what it says; have it made again with `kferry prove`, and compare the bundle that it is for";
    ProofUnavailable, "KF-PROOF-UNAVAILABLE", Failed, AfterFix, "the message says what is missing; `kferry prove` reads the journal, the store's proofs folder and the target";
    KeyInvalid, "KF-KEY-INVALID", Config, AfterFix, "create a signing key with `kferry keygen`, or correct evidence.signing_key_path";
    Bug, "KF-BUG", Bug, Never, "this is a defect in kferry; please report it with the message and the journal";
}

/// Where the page lies that explains a code of errors or findings, below the repository's root.
pub fn page(code: &str) -> String {
    format!("runbooks/errors/{code}.md")
}

/// An error with its code and what was seen; the code's table gives the remedy and the exit code.
#[derive(Clone, Debug)]
pub struct Error {
    code: Code,
    seen: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Code {
    /// Whether a cluster does not let kferry in, for a reason that does not pass by itself.
    pub fn keeps_out(self) -> bool {
        self.as_str().starts_with("KF-AUTH-") && self.retry() != Retry::Transient
    }
}

impl Error {
    /// `seen` says what was observed, lowercase and in the present tense; it never holds a secret, a key or a value.
    pub fn new(code: Code, seen: impl Into<String>) -> Self {
        Self { code, seen: seen.into() }
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Puts where it happened in front of what was seen.
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.seen = format!("{context}: {}", self.seen);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.seen)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/errors");
        let mut pages: Vec<String> = std::fs::read_dir(&dir)
            .expect("runbooks/errors exists")
            .filter_map(|e| Some(e.ok()?.file_name().to_str()?.strip_suffix(".md")?.to_owned()))
            .filter(|name| name.starts_with("KF-"))
            .collect();
        let mut codes: Vec<String> = Code::ALL.iter().map(|c| c.as_str().to_owned()).collect();
        // What goes wrong on the way to a cluster (KF-AUTH-…, KF-MSK-…) does so in one way, at precheck or later: one code, one page.
        let findings = crate::domain::finding::FindingCode::ALL.iter().map(|c| c.as_str());
        codes.extend(findings.filter(|c| c.starts_with("KF-PRE-")).map(str::to_owned));
        pages.sort();
        codes.sort();
        let distinct = codes.windows(2).all(|w| w[0] != w[1]);
        assert!(distinct, "a code stands twice in the tables");
        assert_eq!(codes, pages);
        let index = std::fs::read_to_string(dir.join("README.md")).expect("the index exists");
        for code in Code::ALL {
            let page = std::fs::read_to_string(dir.join(format!("{}.md", code.as_str()))).expect("listed above");
            let (name, exit) = (code.as_str(), code.exit() as u8);
            assert!(page.contains(&format!("Exit code {exit}")), "{name}: the page names another exit code");
            let title = page.lines().next().and_then(|first| first.strip_prefix(&format!("# {name}: "))).unwrap_or_else(|| panic!("{name}: no title"));
            let line = format!("| [{name}]({name}.md) | {exit} | {title} |");
            assert!(index.lines().any(|l| l == line), "the index has no line {line}");
        }
    }
}
