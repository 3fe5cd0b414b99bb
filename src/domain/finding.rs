//! What precheck finds: one table of stable codes with severity and remedy.

use crate::error::Code;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Information,
    Warning,
    Blocker,
}

macro_rules! findings {
    ($($variant:ident, $code:literal, $severity:ident, $title:literal, $remedy:literal;)*) => {
        /// A stable precheck code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum FindingCode { $(#[serde(rename = $code)] $variant,)* }

        impl FindingCode {
            pub const ALL: &'static [FindingCode] = &[$(FindingCode::$variant,)*];

            pub fn as_str(self) -> &'static str { match self { $(FindingCode::$variant => $code,)* } }

            pub fn severity(self) -> Severity { match self { $(FindingCode::$variant => Severity::$severity,)* } }

            pub fn title(self) -> &'static str { match self { $(FindingCode::$variant => $title,)* } }

            pub fn remedy(self) -> &'static str { match self { $(FindingCode::$variant => $remedy,)* } }

            /// The text of its page in `runbooks/errors/`.
            pub fn page(self) -> &'static str {
                match self { $(FindingCode::$variant => include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/errors/", $code, ".md")),)* }
            }
        }
    };
}

findings! {
    SourceUnreachable, "KF-PRE-SOURCE-UNREACHABLE", Blocker, "the source cluster cannot be read", "check source.bootstrap_servers and the network from this host";
    TargetUnreachable, "KF-PRE-TARGET-UNREACHABLE", Blocker, "the target cluster cannot be read", "check target.bootstrap_servers and the network from this host; `plan` works without a target";
    SameCluster, "KF-PRE-SAME-CLUSTER", Blocker, "source and target are the same cluster", "name the new cluster's brokers under target.bootstrap_servers";
    MetadataModes, "KF-PRE-METADATA-MODES", Information, "metadata modes of the two clusters", "nothing to do; kferry also copies between clusters of the same mode";
    SourceTooOld, "KF-PRE-SOURCE-TOO-OLD", Blocker, "the source's brokers are older than 2.7", "upgrade the source to 2.7 or later; kferry needs Fetch v12 to notice an unclean election";
    TargetTooOld, "KF-PRE-TARGET-TOO-OLD", Blocker, "the target's brokers lack a request that kferry needs", "use a target of Kafka 3.0 or later";
    SourceUnhealthy, "KF-PRE-SOURCE-UNHEALTHY", Warning, "the source has offline or under-replicated partitions, or a reassignment under way", "wait until the source is stable; kferry waits too";
    SourceMigrating, "KF-PRE-SOURCE-MIGRATING", Warning, "the source is itself being migrated from ZooKeeper to KRaft", "finish or revert that migration first; a cluster in dual-write mode should not change hands";
    TargetUnhealthy, "KF-PRE-TARGET-UNHEALTHY", Warning, "the target has offline or under-replicated partitions, or a reassignment under way", "wait until the target is stable; kferry waits too";
    NoTopics, "KF-PRE-NO-TOPICS", Blocker, "no topic of the source is selected", "check topics.include and topics.exclude";
    TopicHoldsRecords, "KF-PRE-TOPIC-HOLDS-RECORDS", Blocker, "a topic exists on the target and is not empty", "delete it there if its records are not wanted, or exclude it with topics.exclude";
    TopicDrift, "KF-PRE-TOPIC-DRIFT", Warning, "an empty topic exists on the target with other settings", "see topology.on_config_drift; the difference is listed";
    TopicDriftRefused, "KF-PRE-TOPIC-DRIFT-REFUSED", Blocker, "an empty topic on the target differs and topology.on_config_drift is refuse, or its partition count differs", "align or delete the topic on the target";
    Transactional, "KF-PRE-TRANSACTIONAL", Information, "the topic holds transactional records", "nothing to do; committed and aborted data and the offsets of their markers are kept, and what the markers cost is stated";
    ControlRecords, "KF-PRE-CONTROL-RECORDS", Information, "the topic holds control records that mark no data", "nothing to do; sentinels of an earlier attempt look like this, and each is copied to its own offset";
    Compacted, "KF-PRE-COMPACTED", Information, "the topic is or was compacted", "nothing to do; each offset without a record is taken by a control record that no consumer ever sees, and what that costs is stated";
    HolesTooDear, "KF-PRE-HOLES-TOO-DEAR", Blocker, "control records for the offsets without a record would take too long, or too much disk", "set offsets to auto or name the topic in topics.mapped, so that its offsets are translated; let the source compact or trim it first; or grant Alter (before Kafka 3.8 ClusterAction) on the target's cluster where that is what is missing";
    WriteTxnMarkersForbidden, "KF-PRE-WRITE-TXN-MARKERS", Warning, "the target does not let kferry use WriteTxnMarkers", "grant Alter, before Kafka 3.8 ClusterAction, on the target's cluster to kferry's principal until the cutover, or accept the time";
    LogAppendTime, "KF-PRE-LOG-APPEND-TIME", Information, "the topic keeps append times", "nothing to do; the copied records have the same times, as their own (CreateTime)";
    OldFormat, "KF-PRE-OLD-FORMAT", Blocker, "the topic holds message sets of format v0 or v1", "this version copies format v2 only; exclude the topic with topics.exclude";
    TieredStorage, "KF-PRE-TIERED-STORAGE", Warning, "the topic uses tiered storage", "its remote history is read through the brokers and copied to local storage on the target: add the topic's RemoteLogSizeBytes (kafka.server:type=BrokerTopicMetrics, on Amazon MSK in CloudWatch), times the replication factor, to KF-PRE-DISK-ROOM, and its share to the seed's time";
    UnknownConfig, "KF-PRE-UNKNOWN-CONFIG", Warning, "a topic setting that the target's version does not know", "nothing to do if the setting is obsolete; it is listed and left out";
    ConfigLeftOut, "KF-PRE-CONFIG-LEFT-OUT", Information, "a topic setting that is bound to the source, or needs what the target lacks", "set it on the target by hand if it is wanted there; it is listed and left out";
    ConfigAdjusted, "KF-PRE-CONFIG-ADJUSTED", Warning, "a topic setting that the target would refuse", "nothing to do if the nearest allowed value will do; otherwise change the setting on the source first";
    MessageSize, "KF-PRE-MESSAGE-SIZE", Information, "a topic's message size is above the target broker's default", "nothing to do; the topic's own max.message.bytes is carried over";
    RequestSize, "KF-PRE-REQUEST-SIZE", Warning, "a topic allows larger batches than the target takes", "nothing to do for the copy, which takes such batches apart; raise socket.request.max.bytes on the target's brokers for producers that send them";
    RecordSize, "KF-PRE-RECORD-SIZE", Blocker, "a record is larger than the target takes in one append", "raise socket.request.max.bytes on the target's brokers above it, or exclude the topic with topics.exclude";
    FutureTimestamps, "KF-PRE-FUTURE-TIMESTAMPS", Warning, "records dated in the future", "nothing to do for the copy, for which kferry raises message.timestamp.after.max.ms on the topic; find the producer that writes such dates, and mend it";
    OpenTransactions, "KF-PRE-OPEN-TRANSACTIONS", Warning, "a transaction is open on a selected topic", "nothing to do if it ends by itself; only decided data is copied, and a cutover waits for it";
    ShortRetention, "KF-PRE-SHORT-RETENTION", Warning, "retention may delete records before they are copied", "raise the topic's retention on the source until the cutover";
    PrefixCost, "KF-PRE-PREFIX-COST", Information, "offsets before the log start have to be filled on the target", "nothing to do; the cost is stated";
    PrefixTooDear, "KF-PRE-PREFIX-TOO-DEAR", Blocker, "filling the offsets before the log start would take too long", "set offsets to auto or name the topic in topics.mapped, so that its offsets are translated, or exclude it";
    Mapped, "KF-PRE-MAPPED", Information, "the topic's records get other offsets on the target", "nothing to do for consumer groups, whose offsets are translated; see to it that nobody keeps offsets of this topic elsewhere";
    MappedForCost, "KF-PRE-MAPPED-FOR-COST", Warning, "identical offsets are too dear, so that the topic's records get other ones", "see to it that nobody keeps offsets of this topic elsewhere, or name it in topics.identical and pay what the finding says";
    MapTooLarge, "KF-PRE-MAP-TOO-LARGE", Blocker, "the offset maps would be too large", "copy the topics with the most transactions or holes at identical offsets (topics.identical), or exclude them";
    ReplicationReduced, "KF-PRE-REPLICATION-REDUCED", Warning, "the target has fewer brokers than a topic has replicas", "add brokers to the target if the replication factor must be kept";
    TopicUnreadable, "KF-PRE-TOPIC-UNREADABLE", Blocker, "a partition has no leader, or its log start or end cannot be read", "wait until every partition has a leader, check the permission to describe the topic, then run the command again";
    TopicIdsMissing, "KF-PRE-NO-TOPIC-IDS", Information, "the source's brokers give topics no ids", "do not delete and create a topic again under the same name while the migration runs; kferry could not tell";
    AuthorizerMissing, "KF-PRE-AUTHORIZER-MISSING", Warning, "the source has ACLs but the target has no authorizer", "configure StandardAuthorizer with super.users on every broker and controller of the target, as the page says, or accept that the ACLs are not carried over";
    AclDrift, "KF-PRE-ACL-DRIFT", Warning, "the target has ACLs that the source has not", "see acl.on_drift; the bindings are listed";
    AclDriftRefused, "KF-PRE-ACL-DRIFT-REFUSED", Blocker, "the target has ACLs that the source has not and acl.on_drift is refuse", "remove them on the target, or set acl.on_drift to merge or replace";
    AclInternal, "KF-PRE-ACL-INTERNAL", Information, "bindings that belong to the source cluster itself", "nothing to do; they have no meaning on another cluster and are not carried over";
    AclLockout, "KF-PRE-ACL-LOCKOUT", Blocker, "a DENY binding would shut kferry out of the target", "remove the binding on the cluster that it comes from, or let kferry use a principal that it does not concern";
    AclMayLockOut, "KF-PRE-ACL-MAY-LOCK-OUT", Warning, "a DENY binding for one host would shut kferry out of the target if it ran there", "run kferry on a host that the binding does not name";
    PrincipalUnknown, "KF-PRE-PRINCIPAL-UNKNOWN", Blocker, "bindings are to be created or removed on the target, and kferry's own principal there is not known", "set acl.target_principal to kferry's principal as the target's brokers see it";
    AccessMap, "KF-PRE-ACCESS-MAP", Warning, "the target goes by IAM, where ACLs decide nothing", "attach the policies in access-map.json, which `kferry plan` writes, to the clients' IAM identities before they switch";
    QuotaDrift, "KF-PRE-QUOTA-DRIFT", Warning, "the target has client quotas that differ from the source's", "see quotas.on_drift; the differences are listed";
    QuotaDriftRefused, "KF-PRE-QUOTA-DRIFT-REFUSED", Blocker, "the target has client quotas that differ from the source's and quotas.on_drift is refuse", "align them on the target, or set quotas.on_drift to merge or replace";
    QuotaWithheld, "KF-PRE-QUOTA-WITHHELD", Information, "client quotas that would slow kferry down on the target", "nothing to do; they are set after the commit";
    QuotaThrottles, "KF-PRE-QUOTA-THROTTLES", Warning, "the cluster holds kferry itself to a client quota", "give kferry's principal a quota of its own that is high enough until the cutover, or accept the time";
    ScramUsers, "KF-PRE-SCRAM-USERS", Warning, "SCRAM users of the source are missing on the target", "create them on the target with their passwords before clients switch (`kafka-configs.sh --bootstrap-server TARGET --alter --entity-type users --entity-name USER --add-config-file FILE`, on MSK a secret in Secrets Manager); no cluster gives away what it has stored";
    OthersMayWrite, "KF-PRE-OTHERS-MAY-WRITE", Warning, "others may write to the target before the cutover", "restrict access to the target until the cutover; a foreign record stops its partition";
    AllowEveryoneDiffers, "KF-PRE-ALLOW-EVERYONE", Warning, "allow.everyone.if.no.acl.found differs between the clusters", "align the setting, or add the ACLs that the source did without";
    ActiveGroups, "KF-PRE-ACTIVE-GROUPS", Information, "groups with members on the source", "nothing to do now; stop them no later than at the freeze, so that what they commit last is carried over too";
    StaticMembers, "KF-PRE-STATIC-MEMBERS", Information, "groups with static members", "start each instance on the target only after it has stopped on the source";
    GroupOnTarget, "KF-PRE-GROUP-ON-TARGET", Warning, "a group of the source has members on the target, or is of another kind there", "stop it there before the cutover; a group with members, or of another kind, is left alone";
    UncommittableGroups, "KF-PRE-GROUP-TYPE", Warning, "a group of a type whose offsets cannot be committed", "move it by hand; it is listed in the evidence as not covered";
    GroupPartly, "KF-PRE-GROUP-PARTLY", Information, "a group has offsets on topics that are not selected", "select the topics too if the group is to move as a whole; the partitions are listed in plan.json";
    GroupBeyondEnd, "KF-PRE-GROUP-BEYOND-END", Warning, "a group's committed offset lies beyond the log's end", "set the group's offset on the source if it is not meant; it is carried over as it is";
    StoreUnreachable, "KF-PRE-STORE-UNREACHABLE", Blocker, "the store cannot be used", "go by what the store answers; check the section's s3_bucket and endpoint_url, or its directory and the room there";
    StoreBucketMissing, "KF-PRE-STORE-BUCKET", Blocker, "the bucket does not exist", "correct s3_bucket, or create the bucket (aws-cli.sh, which `kferry plan` writes, has the commands)";
    StoreDenied, "KF-PRE-STORE-DENIED", Blocker, "the store does not permit an action that kferry needs", "allow the action that is named on the resource that is named: in the policy of kferry's identity (iam-policy-concrete.json has all of them), the bucket's policy, and whatever bounds either";
    StoreRegion, "KF-PRE-STORE-REGION", Blocker, "the Region is not the bucket's, or none is known", "set `region` of that section to the bucket's Region";
    StoreHostName, "KF-PRE-STORE-HOSTNAME", Blocker, "the store's host name cannot be resolved", "check endpoint_url and region, and this host's name resolution";
    StoreNetwork, "KF-PRE-STORE-NETWORK", Blocker, "the store does not answer", "check the network from this host to the store: routes, firewalls, security groups, and the VPC's endpoint for S3";
    StoreTls, "KF-PRE-STORE-TLS", Blocker, "no TLS connection to the store comes about", "check that endpoint_url names a server that speaks TLS, with a certificate for that name which this host's trust store accepts";
    StoreCredentialsMissing, "KF-PRE-STORE-CREDENTIALS-MISSING", Blocker, "no AWS credentials are found for the store", "give AWS credentials where its default chain looks: environment, profile, SSO, container or instance role";
    StoreCredentialsRefused, "KF-PRE-STORE-CREDENTIALS-REFUSED", Blocker, "the store refuses the credentials", "correct the access key and its secret where this host keeps them, or make a new key";
    StoreCredentialsExpired, "KF-PRE-STORE-CREDENTIALS-EXPIRED", Blocker, "the credentials have expired", "sign in again, or let kferry use credentials that are renewed by themselves for as long as the migration lasts (a role)";
    StoreClock, "KF-PRE-STORE-CLOCK", Blocker, "this host's clock is too far from the store's", "set this host's clock by NTP; S3 takes requests that are at most 15 minutes off";
    StoreKeyDisabled, "KF-PRE-STORE-KEY-DISABLED", Blocker, "the KMS key cannot be used in its present state", "enable the key (`aws kms enable-key --key-id ARN`) or cancel its deletion, or name another one by kms_key_arn";
    StoreKeyMissing, "KF-PRE-STORE-KEY-MISSING", Blocker, "the KMS key does not exist", "correct kms_key_arn; the key has to be in the bucket's Region";
    StoreKeyDenied, "KF-PRE-STORE-KEY-DENIED", Blocker, "the KMS key may not be used", "allow kms:GenerateDataKey and kms:Decrypt on the key: in the key's policy and, where that leaves it to IAM, in the policy of kferry's identity";
    StoreSettingsUnseen, "KF-PRE-STORE-SETTINGS", Warning, "a bucket's settings cannot be read", "allow the action that is named on the bucket, or look at the setting yourself";
    StoreVersions, "KF-PRE-STORE-VERSIONS", Information, "the evidence's bucket keeps no versions", "set evidence.object_lock with a bucket that has Object Lock, or switch versioning on: without either, whoever may write there can put another bundle in the place of the stored one";
    StoreRetention, "KF-PRE-STORE-RETENTION", Warning, "the segments' bucket locks every object by default", "let the segments go to a bucket without a default retention: they are needed for as long as the migration lasts, and locked ones are paid for until their time is over";
    ObjectLockMissing, "KF-PRE-OBJECT-LOCK", Blocker, "the evidence is to be locked and its bucket has no Object Lock", "use a bucket that has Object Lock, or set evidence.object_lock to false";
    SigningKeyMissing, "KF-PRE-SIGNING-KEY", Blocker, "no usable signing key for the evidence", "run `kferry keygen --out kferry.key` and set evidence.signing_key_path";
    StoreCrossRegion, "KF-PRE-STORE-CROSS-REGION", Warning, "the segments' bucket is in another Region than the clusters", "use a bucket in the target's Region for `backup`, or expect AWS's charge for transfer between Regions and a slower seed";
    DiskRoom, "KF-PRE-DISK-ROOM", Information, "bytes that the target has to hold", "check that the target's volumes have room for them";
    TransactionState, "KF-PRE-TRANSACTION-STATE", Warning, "the cluster cannot host a transaction coordinator at present", "bring up as many brokers as transaction.state.log.replication.factor asks for";
    FreezeUnsupported, "KF-PRE-FREEZE-UNSUPPORTED", Blocker, "the freeze mode is not in this version", "set cutover.freeze to manual or webhook";
    SentinelUnsupported, "KF-PRE-SENTINEL-UNSUPPORTED", Blocker, "the sentinel mode is not in this version", "leave cutover.sentinel out, or set it to invisible";
    AuthCredentials, "KF-AUTH-CREDENTIALS", Blocker, "the cluster refuses the user or the password", "correct auth.username and auth.password of that cluster, or create the SCRAM user there";
    AuthServerSignature, "KF-AUTH-SERVER-SIGNATURE", Blocker, "the broker does not prove that it knows the password", "the broker is not who it should be: check the address, and change the password";
    AuthUnknownCa, "KF-AUTH-UNKNOWN-CA", Blocker, "the broker's certificate is signed by nobody that is trusted", "name the CA that signed the brokers' certificates in auth.ca of that cluster";
    AuthCertificateExpired, "KF-AUTH-CERT-EXPIRED", Blocker, "the broker's certificate is not valid at this time", "renew the broker's certificate, or set this host's clock";
    AuthHostName, "KF-AUTH-HOSTNAME", Blocker, "the broker's certificate is for another host name", "connect by a name that the certificate holds (bootstrap_servers, advertised.listeners), or have it issued for this one";
    AuthClientCertificate, "KF-AUTH-CLIENT-CERT", Blocker, "the broker refuses the client certificate, or misses one", "use auth.mode mtls (or auth.cert and auth.key beside a password) with a certificate that is valid and signed by a CA that the broker trusts";
    AuthNotTls, "KF-AUTH-NOT-TLS", Blocker, "the listener does not speak TLS", "use the listener's TLS port, or an auth.mode (and auth.security_protocol) without TLS";
    AuthTlsExpected, "KF-AUTH-TLS-EXPECTED", Blocker, "the listener speaks TLS", "use an auth.mode with TLS (auth.security_protocol SASL_SSL for passwords), or the plaintext listener's port";
    AuthTls, "KF-AUTH-TLS", Blocker, "the two sides do not agree on TLS", "compare the broker's ssl.enabled.protocols and ssl.cipher.suites with TLS 1.2 and 1.3, which kferry speaks";
    AuthSaslExpected, "KF-AUTH-SASL-EXPECTED", Blocker, "the listener wants SASL", "use the auth.mode of that listener: plain, scram-sha-256, scram-sha-512 or iam";
    AuthMechanism, "KF-AUTH-MECHANISM", Blocker, "the listener does not offer the SASL mechanism", "use a mechanism that the listener offers, or add this one to its sasl.enabled.mechanisms";
    AuthAwsCredentials, "KF-AUTH-AWS-CREDENTIALS", Blocker, "no usable AWS credentials are found", "give AWS credentials where its default chain looks (environment, profile, SSO, instance role), or name auth.profile";
    AuthToken, "KF-AUTH-TOKEN", Blocker, "the cluster refuses the IAM token", "check the credentials' account and permissions (kafka-cluster:Connect), auth.region and this host's clock";
    AuthFile, "KF-AUTH-FILE", Blocker, "a certificate or key file cannot be used", "correct auth.ca, auth.cert or auth.key: PEM files, the key unencrypted and the certificate's own";
    MskCredentials, "KF-MSK-CREDENTIALS", Blocker, "the MSK control plane takes no AWS credentials of kferry's", "give AWS credentials where its default chain looks (environment, profile, SSO, instance role), or name auth.profile";
    MskAccessDenied, "KF-MSK-ACCESS-DENIED", Blocker, "an action of the MSK control plane is not permitted", "allow the IAM action that is named on the resource that is named; policies/iam-policy-templated.json in kferry's repository is the whole policy as a template";
    MskNoSuchCluster, "KF-MSK-NO-SUCH-CLUSTER", Blocker, "there is no MSK cluster of this ARN", "correct cluster_arn; `aws kafka list-clusters-v2` lists the ARNs of a Region";
    MskWrongRegion, "KF-MSK-WRONG-REGION", Blocker, "the MSK control plane that answers is another Region's", "correct the Region in cluster_arn, or the endpoint (endpoint_url, AWS_ENDPOINT_URL_KAFKA)";
    MskNoBootstrap, "KF-MSK-NO-BOOTSTRAP", Blocker, "the MSK cluster has no brokers for this authentication and network", "set network and auth.mode to a pair that the message names, or switch that authentication or access on in the cluster";
    MskServerless, "KF-MSK-SERVERLESS", Blocker, "an MSK Serverless cluster is neither a source nor a target", "use a provisioned cluster";
    MskNotActive, "KF-MSK-NOT-ACTIVE", Blocker, "the MSK cluster does not serve clients in its present state", "wait until it is ACTIVE; a cluster that has failed has to be made anew";
    MskThrottled, "KF-MSK-THROTTLED", Blocker, "the MSK control plane throttles the account's calls", "run the command again in a minute; look for tools of the account that ask the control plane often";
    MskUnreachable, "KF-MSK-UNREACHABLE", Blocker, "the MSK control plane does not answer", "check DNS, the proxy and the VPC endpoint for the kafka service from this host, or give the cluster's bootstrap_servers instead of its ARN";
    MskRefused, "KF-MSK-REFUSED", Blocker, "the MSK control plane refuses a call", "the message gives the service's own words";
    MskBusy, "KF-PRE-MSK-BUSY", Warning, "AWS is working on the MSK cluster", "wait until it is ACTIVE, and keep maintenance and updates away from the cutover";
    MskExpress, "KF-PRE-MSK-EXPRESS", Warning, "the MSK cluster has Express brokers", "try the migration with a copy of a few topics first; Express brokers fix some settings and were not tried with kferry";
    MskNotRead, "KF-PRE-MSK-NOT-READ", Warning, "the MSK control plane does not tell all of the cluster", "allow the IAM actions that are named, or look at these points by hand";
    MskConfiguration, "KF-PRE-MSK-CONFIGURATION", Warning, "the MSK configurations of the two clusters differ", "align them where clients depend on them, before the cutover: brokers restart for some";
    MskDiskShort, "KF-PRE-MSK-DISK-SHORT", Blocker, "the target's volumes cannot hold the copy", "enlarge them (aws kafka update-broker-storage, its page has the whole command) or add brokers; or copy fewer topics, or with a lower topology.replication_factor";
    MskDiskTight, "KF-PRE-MSK-DISK-TIGHT", Warning, "the target's volumes hold the copy barely", "enlarge them (aws kafka update-broker-storage, its page has the whole command) before you begin";
    CrossRegion, "KF-PRE-CROSS-REGION", Warning, "the clusters are in different Regions", "run kferry in the target's Region, and expect AWS's charge for transfer between Regions";
    MskScramSecrets, "KF-PRE-MSK-SCRAM-SECRETS", Information, "SCRAM secrets of the source are not associated with the target", "set target.scram_secrets to associate, or associate them yourself before clients switch";
    MskScramUnfit, "KF-PRE-MSK-SCRAM-UNFIT", Blocker, "SCRAM secrets cannot be associated with the target", "make secrets for these users that the target's account and Region hold (named AmazonMSK_…, with a key of your own), or set target.scram_secrets to list";
    DeniedSourceClusterDescribe, "KF-PRE-DENIED-SOURCE-CLUSTER-DESCRIBE", Blocker, "the source does not permit kferry DESCRIBE on the cluster", "grant it to kferry's principal on the source, then plan again: without it there is no runbook yet";
    DeniedSourceClusterDescribeConfigs, "KF-PRE-DENIED-SOURCE-CLUSTER-DESCRIBE-CONFIGS", Warning, "the source does not permit kferry DESCRIBE_CONFIGS on the cluster", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedSourceTopicRead, "KF-PRE-DENIED-SOURCE-TOPIC-READ", Blocker, "the source does not permit kferry READ on a topic", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedSourceTopicWrite, "KF-PRE-DENIED-SOURCE-TOPIC-WRITE", Blocker, "the source does not permit kferry WRITE on a topic", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedSourceTopicDescribeConfigs, "KF-PRE-DENIED-SOURCE-TOPIC-DESCRIBE-CONFIGS", Blocker, "the source does not permit kferry DESCRIBE_CONFIGS on a topic", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedSourceGroupDescribe, "KF-PRE-DENIED-SOURCE-GROUP-DESCRIBE", Blocker, "the source does not permit kferry DESCRIBE on a group", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedSourceTransactionalIdWrite, "KF-PRE-DENIED-SOURCE-TRANSACTIONAL-ID-WRITE", Blocker, "the source does not permit kferry WRITE on transactional ids", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedSourceTransactionalIdDescribe, "KF-PRE-DENIED-SOURCE-TRANSACTIONAL-ID-DESCRIBE", Warning, "the source does not permit kferry DESCRIBE on transactional ids", "grant it to kferry's principal on the source; the runbook lists all that is needed";
    DeniedTargetClusterAlter, "KF-PRE-DENIED-TARGET-CLUSTER-ALTER", Blocker, "the target does not permit kferry ALTER on the cluster", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetClusterDescribe, "KF-PRE-DENIED-TARGET-CLUSTER-DESCRIBE", Blocker, "the target does not permit kferry DESCRIBE on the cluster", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetClusterAlterConfigs, "KF-PRE-DENIED-TARGET-CLUSTER-ALTER-CONFIGS", Blocker, "the target does not permit kferry ALTER_CONFIGS on the cluster", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetClusterDescribeConfigs, "KF-PRE-DENIED-TARGET-CLUSTER-DESCRIBE-CONFIGS", Warning, "the target does not permit kferry DESCRIBE_CONFIGS on the cluster", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetTopicCreate, "KF-PRE-DENIED-TARGET-TOPIC-CREATE", Blocker, "the target does not permit kferry CREATE on a topic", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetTopicRead, "KF-PRE-DENIED-TARGET-TOPIC-READ", Blocker, "the target does not permit kferry READ on a topic", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetTopicWrite, "KF-PRE-DENIED-TARGET-TOPIC-WRITE", Blocker, "the target does not permit kferry WRITE on a topic", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetTopicDelete, "KF-PRE-DENIED-TARGET-TOPIC-DELETE", Blocker, "the target does not permit kferry DELETE on a topic", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetTopicAlterConfigs, "KF-PRE-DENIED-TARGET-TOPIC-ALTER-CONFIGS", Blocker, "the target does not permit kferry ALTER_CONFIGS on a topic", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetGroupRead, "KF-PRE-DENIED-TARGET-GROUP-READ", Blocker, "the target does not permit kferry READ on a group", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetGroupDelete, "KF-PRE-DENIED-TARGET-GROUP-DELETE", Warning, "the target does not permit kferry DELETE on a group", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    DeniedTargetTransactionalIdWrite, "KF-PRE-DENIED-TARGET-TRANSACTIONAL-ID-WRITE", Blocker, "the target does not permit kferry WRITE on transactional ids", "grant it to kferry's principal on the target; the runbook lists all that is needed";
    InPlace, "KF-PRE-IN-PLACE", Information, "whether the source could be converted where it stands", "read runbooks/in-place.md before you copy a cluster that could be converted";
    KraftOperations, "KF-PRE-KRAFT-OPERATIONS", Information, "what KRaft changes for those who operate the cluster", "go through the points with whoever runs dashboards, alerts, backups and tools, before the cutover";
    ZookeeperTools, "KF-PRE-ZOOKEEPER-TOOLS", Warning, "tools are in use that may speak to ZooKeeper directly", "find out their versions, and bring them to ones that speak to brokers (--bootstrap-server) before they are pointed at the target";
    Controllers, "KF-PRE-CONTROLLERS", Warning, "the target's controllers are not set up as for production", "run three controllers of their own (process.roles=controller) before clients depend on the cluster";
    FeatureLevel, "KF-PRE-FEATURE-LEVEL", Information, "the target's metadata.version is below what its brokers support", "finish the target's upgrade (kafka-features.sh upgrade; on Amazon MSK it is AWS's) before the migration rather than in the middle of it, or leave it if the way back to the older version is still wanted";
    Sizing, "KF-PRE-SIZING", Information, "how many replicas each broker of the target will hold", "compare it with what your brokers' size is meant for; on Amazon MSK the developer guide has a table by broker type";
    DynamicSettings, "KF-PRE-DYNAMIC-SETTINGS", Information, "brokers' settings that were changed at run time on the source", "set on the target what is wanted there (`kafka-configs.sh --bootstrap-server SOURCE --entity-type brokers --entity-name ID --describe` shows the values); kferry carries over no settings of brokers";
    DelegationTokens, "KF-PRE-DELEGATION-TOKENS", Warning, "the source gives out delegation tokens, which are not carried over", "have clients that use tokens get new ones from the target when they switch, and set delegation.token.secret.key there";
    BrokerDefaults, "KF-PRE-BROKER-DEFAULTS", Information, "brokers' defaults for new topics differ between the clusters", "nothing to do for what is copied, which keeps its effective settings; align on the target what topics that are created later rely on";
    ClientLimits, "KF-PRE-CLIENT-LIMITS", Warning, "the target's brokers allow clients less than the source's do", "raise the setting on the target to the source's value before clients switch, or make sure that no client needs it";
    DiskShort, "KF-PRE-DISK-SHORT", Blocker, "the target's volumes have less room than the copy needs", "enlarge the target's volumes, add brokers, exclude topics with topics.exclude, or lower topology.replication_factor";
    Streams, "KF-PRE-STREAMS", Information, "Kafka Streams applications read and write selected topics", "stop every instance at the freeze, as a producer; after the commit start it on the target with the same application.id, before other producers go on";
    Connect, "KF-PRE-CONNECT", Information, "Kafka Connect works on this cluster", "stop the workers at the freeze, since source connectors write; after the commit start them on the target with the same group.id and internal topics";
    SchemaRegistry, "KF-PRE-SCHEMA-REGISTRY", Information, "a schema registry keeps its schemas on this cluster", "select its topic so that schema ids stay what they are, make the registry read-only at the freeze, and point it at the target before producers go on";
    ApplicationPartly, "KF-PRE-APP-PARTLY", Warning, "an application's own topics are only partly selected", "select all of its topics and its group, or none of them";
    TransactionsSpan, "KF-PRE-TRANSACTIONS-SPAN", Warning, "a transactional producer writes to selected topics and to others", "select the other topics too, or accept that what was written in one transaction is on two clusters";
    Producers, "KF-PRE-PRODUCERS", Information, "who writes to the selected topics, as far as brokers tell", "make a list of the producing applications from your own inventory; the freeze has to reach every one of them";
    ProducersUnnamed, "KF-PRE-PRODUCERS-UNNAMED", Warning, "somebody writes whom no broker can name", "find the producers with enable.idempotence=false (by default in Java clients older than 3.2) that write to these partitions; a freeze that misses them shows only in growing logs, and fails";
    OldClients, "KF-PRE-OLD-CLIENTS", Information, "the target refuses clients from before Kafka 2.1", "look for the oldest client libraries before the cutover: kafka.network:type=RequestMetrics,name=DeprecatedRequestsPerSec on the source's brokers names them (3.7 and later)";
    NotProbed, "KF-PRE-NOT-PROBED", Information, "points that this version does not examine", "examine them by hand; the runbook lists them";
}

/// One finding of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    pub code: FindingCode,
    pub severity: Severity,
    /// A topic, a group, a cluster; empty where it concerns the whole.
    pub subject: String,
    /// What was observed, with numbers.
    pub seen: String,
    pub remedy: String,
}

/// What begins the paragraph of a page that says so.
const WHY: &str = "**Why it matters.**";

impl FindingCode {
    /// Why it matters, as its page says it.
    pub fn why(self) -> String {
        let paragraph = self.page().split_once(WHY).map_or("", |(_, rest)| rest.split("\n\n").next().unwrap_or(rest));
        paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether what was seen is a list of points, set apart by `; `.
    pub fn is_list(self) -> bool {
        matches!(self, Self::NotProbed | Self::InPlace | Self::KraftOperations | Self::BrokerDefaults | Self::ClientLimits)
    }

    /// The finding that an error of authentication or of the MSK control plane is, which has the error's own code.
    pub fn of_error(code: Code) -> Option<Self> {
        Self::ALL.iter().copied().find(|finding| finding.as_str() == code.as_str())
    }
}

impl Finding {
    pub fn new(code: FindingCode, subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), subject: subject.into(), seen: seen.into(), remedy: code.remedy().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table and the pages say the same, so that neither can be changed alone.
    #[test]
    fn every_page_has_its_findings_title_and_severity_and_says_why_it_matters_and_what_to_do() {
        let index = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/errors/README.md"));
        for code in FindingCode::ALL {
            let (name, page) = (code.as_str(), code.page());
            let first = page.lines().next().unwrap_or_default();
            assert_eq!(first, format!("# {name}: {}", code.title()));
            assert!(code.why().len() > 40, "{name} does not say why it matters: {:?}", code.why());
            // These are errors as well, and their pages say both.
            if !name.starts_with("KF-PRE-") {
                assert!(page.contains("as a finding of `kferry precheck` a blocker"), "{name}");
                continue;
            }
            let severity = page.lines().nth(2).unwrap_or_default();
            let expected = match code.severity() {
                Severity::Blocker => "Blocker",
                Severity::Warning => "Warning",
                Severity::Information => "Information",
            };
            assert!(severity.starts_with(expected), "{name} is a {expected}, and its page says {severity:?}");
            let line = format!("| [{name}]({name}.md) | {} | {} |", expected.to_lowercase(), code.title());
            assert!(index.lines().any(|l| l == line), "the index has no line {line}");
            for part in ["**What was looked at.**", WHY, "**What to do**"] {
                assert_eq!(page.matches(part).count(), 1, "{name}: {part}");
            }
            assert!(page.rsplit("**What to do**").next().is_some_and(|steps| steps.trim().len() > 20), "{name} does not say what to do");
        }
    }

    #[test]
    fn errors_on_the_way_to_a_cluster_are_findings_by_the_same_code_and_remedy() {
        let on_the_way = |code: &str| code.starts_with("KF-AUTH-") || code.starts_with("KF-MSK-");
        // What comes up in mid-migration is no finding.
        let errors: Vec<Code> = Code::ALL.iter().copied().filter(|c| on_the_way(c.as_str()) && *c != Code::MskScramSecrets).collect();
        for code in &errors {
            let finding = FindingCode::of_error(*code).unwrap_or_else(|| panic!("{} is no finding", code.as_str()));
            assert_eq!((finding.as_str(), finding.remedy(), finding.severity()), (code.as_str(), code.remedy(), Severity::Blocker));
        }
        assert_eq!(FindingCode::ALL.iter().filter(|f| on_the_way(f.as_str())).count(), errors.len());
        assert_eq!(FindingCode::of_error(Code::SourceUnavailable), None);
    }
}
