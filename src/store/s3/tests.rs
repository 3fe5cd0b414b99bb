//! What goes over the wire, and what becomes of each answer, against a server of a few lines.

use super::super::{StoreError, patient::Patience};
use super::*;
use crate::domain::store_cause::StoreCause;
use aws_sdk_s3::config::{self, BehaviorVersion, Credentials, retry::RetryConfig};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// How the server meets one connection.
#[derive(Clone)]
enum Meet {
    Answer(&'static str, &'static str),
    /// Reads so many bytes of the request and closes.
    CutAfter(usize),
}

/// Head and body of each request that came in whole.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

struct Server {
    store: S3Store,
    requests: Requests,
}

/// Serves one connection after another as listed, the last entry for ever.
async fn serve(meets: Vec<Meet>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let requests = Requests::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        for turn in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let (seen, meet) = (seen.clone(), meets[turn.min(meets.len() - 1)].clone());
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
                    let head = head_end.map(|end| String::from_utf8_lossy(&bytes[..end]).to_lowercase());
                    let length = |h: &String| h.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok();
                    let whole = head_end.zip(head.as_ref()).map(|(end, h)| end + length(h).unwrap_or(0));
                    match &meet {
                        Meet::CutAfter(limit) if bytes.len() >= *limit => return,
                        Meet::Answer(status, body) if whole.is_some_and(|w| bytes.len() >= w) => {
                            let head = head.expect("whole only with a head");
                            seen.lock().unwrap().push((head, bytes[head_end.expect("likewise")..].to_vec()));
                            return answer(&mut stream, status, body).await;
                        }
                        _ => {}
                    }
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                    }
                }
            });
        }
    });
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("AK", "the-secret", None, None, "test"))
        .region(config::Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .build();
    Server { store: S3Store::new(Client::from_conf(config), "bucket", "pre/", None), requests }
}

async fn answer(stream: &mut tokio::net::TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    let region = if status.starts_with("301") { "x-amz-bucket-region: eu-west-1\r\n" } else { "" };
    let _ = stream.write_all(format!("{head}{region}\r\n{body}").as_bytes()).await;
}

fn body_of(len: usize, part: usize) -> (Vec<u8>, Body) {
    let whole = Bytes::from((0..len).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>());
    let sha256: [u8; 32] = Sha256::digest(&whole).into();
    let parts = (0..len).step_by(part).map(|at| whole.slice(at..(at + part).min(len))).collect();
    (whole.to_vec(), Body::new(parts, sha256))
}

#[tokio::test]
async fn a_put_carries_the_callers_digest_as_checksum_and_as_signed_payload_and_nothing_else() {
    let server = serve(vec![Meet::Answer("200 OK", "")]).await;
    let (whole, body) = body_of(300_000, 7_000);
    let options = PutOptions { if_absent: true, ..PutOptions::default() };
    // A digest that is not the body's shows that nobody computes one.
    let foreign = Body::new(body.parts().to_vec(), [0xab; 32]);
    server.store.put("k", body.clone(), options).await.unwrap();
    server.store.put("k", foreign, PutOptions::default()).await.unwrap();
    let requests = server.requests.lock().unwrap();
    let hex: String = body.sha256().iter().map(|b| format!("{b:02x}")).collect();
    for (n, (head, sent)) in requests.iter().enumerate() {
        let (hex, base64) = if n == 0 { (hex.clone(), STANDARD.encode(body.sha256())) } else { ("ab".repeat(32), STANDARD.encode([0xab; 32])) };
        assert!(head.starts_with("put /bucket/pre/k?x-id=putobject "), "{head}");
        assert!(head.contains(&format!("x-amz-content-sha256: {hex}\r\n")), "{head}");
        assert!(head.contains(&format!("x-amz-checksum-sha256: {}\r\n", base64.to_lowercase())), "{head}");
        assert!(head.contains("content-length: 300000\r\n"), "{head}");
        assert_eq!(head.contains("if-none-match: *\r\n"), n == 0, "{head}");
        for absent in ["crc", "trailer", "aws-chunked", "transfer-encoding", "unsigned"] {
            assert!(!head.contains(absent), "{absent} in {head}");
        }
        assert_eq!(*sent, whole);
    }
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn each_answer_is_told_apart() {
    use StoreCause::*;
    use StoreErrorKind::*;
    let cases = [
        ("404 Not Found", "NoSuchBucket", "", NotFound, BucketMissing),
        ("403 Forbidden", "AccessDenied", "", Permission, Denied),
        ("403 Forbidden", "AccessDenied", "not authorized to perform: kms:GenerateDataKey", Permission, KeyDenied),
        ("400 Bad Request", "KMS.DisabledException", "", Permission, KeyDisabled),
        ("400 Bad Request", "KMS.KMSInvalidStateException", "", Permission, KeyDisabled),
        ("400 Bad Request", "KMS.NotFoundException", "", Permission, KeyMissing),
        ("400 Bad Request", "InvalidRequest", "Bucket is missing Object Lock Configuration", Permanent, ObjectLockMissing),
        ("400 Bad Request", "InvalidRequest", "", Permanent, Other),
        ("403 Forbidden", "RequestTimeTooSkewed", "", Transient, Clock),
        ("403 Forbidden", "SignatureDoesNotMatch", "", Permission, CredentialsRefused),
        ("403 Forbidden", "InvalidAccessKeyId", "", Permission, CredentialsRefused),
        ("400 Bad Request", "ExpiredToken", "", Transient, CredentialsExpired),
        ("400 Bad Request", "BadDigest", "", Corrupt, Other),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-1'", Permanent, Region),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "the credential is mal-formed", Permission, CredentialsRefused),
        ("301 Moved Permanently", "PermanentRedirect", "", Permanent, Region),
        ("409 Conflict", "ConditionalRequestConflict", "", Transient, Other),
        ("412 Precondition Failed", "PreconditionFailed", "", AlreadyExists, Other),
        ("503 Slow Down", "SlowDown", "", Transient, Other),
        ("500 Internal Server Error", "InternalError", "", Transient, Other),
        ("501 Not Implemented", "NotImplemented", "", Permanent, Other),
        ("400 Bad Request", "InvalidArgument", "", Permanent, Other),
        ("429 Too Many", "", "", Transient, Other),
    ];
    for (status, code, message, kind, cause) in cases {
        let xml = match code {
            "" => String::new(),
            code => format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        };
        let server = serve(vec![Meet::Answer(status, xml.leak())]).await;
        let error = server.store.put("k", Body::hashed("x"), PutOptions::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.cause()), (kind, cause), "{status} {code} {message}: {error}");
        assert_eq!(error.told().len() > error.seen().len(), cause != Other, "what helps is said: {}", error.told());
        assert_eq!(crate::error::Error::from(error.clone()).seen(), error.told());
        assert!(error.seen().starts_with("writing s3://bucket/pre/k: ") && error.seen().contains(code), "{error}");
        assert!(!error.seen().contains("the-secret"), "{error}");
        if cause == Region {
            assert!(error.seen().contains("Region eu-west-1"), "{error}");
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_is_waited_out_and_sent_again_whole() {
    // Each cut is followed by the question whether a refusal lies behind it, which is cut off too.
    let cut = Meet::CutAfter(1);
    let meets = vec![cut.clone(), cut.clone(), Meet::CutAfter(900_000), cut, Meet::Answer("200 OK", "")];
    let server = serve(meets).await;
    let (whole, body) = body_of(2_000_000, 100_000);
    let waits = Mutex::new(Vec::<String>::new());
    let patience = Patience { wait_first_ms: 1, wait_max_ms: 2, ..Patience::default() };
    let on_wait = |why: &str| waits.lock().unwrap().push(why.to_owned());
    patience.put(&server.store, "k", body, PutOptions::default(), std::future::pending(), &on_wait).await.unwrap();
    let requests = server.requests.lock().unwrap();
    let (_, sent) = requests.last().expect("one came in whole");
    assert!(*sent == whole);
    assert_eq!(waits.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refusal_that_closes_the_line_under_a_large_body_is_still_a_refusal() {
    let denied = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let meets = vec![Meet::CutAfter(1000), Meet::Answer("403 Forbidden", denied)];
    let server = serve(meets).await;
    let (_, body) = body_of(30_000_000, 1_000_000);
    let error: StoreError = server.store.put("k", body, PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Permission, "{error}");
}

#[tokio::test]
async fn listing_goes_through_every_page_and_keeps_the_prefix_out_of_the_keys() {
    let first = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
        <Contents><Key>pre/a/1</Key><Size>5</Size></Contents></ListBucketResult>";
    let second = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>pre/a/2</Key><Size>6</Size></Contents></ListBucketResult>";
    let server = serve(vec![Meet::Answer("200 OK", first), Meet::Answer("200 OK", second)]).await;
    let found = server.store.list("a/").await.unwrap();
    let found: Vec<_> = found.iter().map(|m| (m.key.as_str(), m.size_bytes)).collect();
    assert_eq!(found, [("a/1", 5), ("a/2", 6)]);
    assert!(server.requests.lock().unwrap()[1].0.contains("continuation-token=t"));
}

const DENIED: &str = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>";
const ABSENT: &str = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>";
const BEGUN: &str = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";

/// The probe of a store with retention, answered in this order: listing, reading, then as the caller says.
async fn probed(meets: &[Meet]) -> (Probed, Vec<String>) {
    let first = [Meet::Answer("200 OK", "<ListBucketResult/>"), Meet::Answer("404 Not Found", ABSENT)];
    let server = serve([&first, meets].concat()).await;
    let probed = server.store.probe(Some("2030-01-01T00:00:00Z".parse().unwrap())).await;
    let requests = server.requests.lock().unwrap().iter().map(|(head, _)| head.clone()).collect();
    (probed, requests)
}

#[tokio::test]
async fn a_probe_begins_as_a_real_write_does_and_tells_retention_from_writing() {
    let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Years>1</Years></DefaultRetention></Rule></ObjectLockConfiguration>";
    let meets = [
        Meet::Answer("403 Forbidden", DENIED),
        Meet::Answer("200 OK", BEGUN),
        Meet::Answer("200 OK", ""),
        Meet::Answer("204 No Content", ""),
        Meet::Answer("403 Forbidden", DENIED),
        Meet::Answer("200 OK", lock),
    ];
    let (probed, requests) = probed(&meets).await;
    let failures: Vec<&str> = probed.failures.iter().map(StoreError::seen).collect();
    assert!(failures.len() == 1 && failures[0].starts_with("s3:PutObjectRetention on arn:aws:s3:::bucket/pre/* is not permitted: "), "{failures:?}");
    assert!(probed.unseen.len() == 1 && probed.unseen[0].starts_with("s3:GetBucketVersioning on arn:aws:s3:::bucket is not permitted"), "{:?}", probed.unseen);
    assert_eq!((probed.capabilities.object_lock, probed.capabilities.default_retention.as_deref()), (Some(true), Some("GOVERNANCE, 1 year")));
    let locked: Vec<bool> = requests.iter().map(|head| head.contains("x-amz-object-lock-mode: compliance\r\n") && head.contains("x-amz-object-lock-retain-until-date: 2030-01-01")).collect();
    assert_eq!(locked, [false, false, true, false, false, false, false, false]);
    assert!(requests[5].starts_with("delete /bucket/pre/kferry-probe-"), "{}", requests[5]);
}

#[tokio::test]
async fn a_probe_gives_its_upload_up_whatever_became_of_the_part() {
    let (probed, requests) = probed(&[Meet::Answer("200 OK", BEGUN), Meet::Answer("403 Forbidden", DENIED), Meet::Answer("403 Forbidden", DENIED)]).await;
    let failures: Vec<&str> = probed.failures.iter().map(StoreError::seen).collect();
    assert!(failures.len() == 2 && failures[0].starts_with("s3:PutObject on") && failures[1].starts_with("s3:AbortMultipartUpload on"), "{failures:?}");
    assert!(failures[1].contains("one part of 5 bytes stays in s3://bucket/pre/"), "{failures:?}");
    assert!(requests[4].starts_with("delete /bucket/pre/kferry-probe-"), "{}", requests[4]);
    // What is no permission ends it there.
    let failed = "<?xml version=\"1.0\"?><Error><Code>KMS.DisabledException</Code><Message>off</Message></Error>";
    let (probed, requests) = self::probed(&[Meet::Answer("400 Bad Request", failed)]).await;
    assert_eq!(probed.failures.iter().map(StoreError::cause).collect::<Vec<_>>(), [StoreCause::KeyDisabled]);
    assert_eq!(requests.len(), 3, "{requests:?}");
}
