use super::*;
use crate::config::model::{Auth, AuthMode, Secret, SecurityProtocol};
use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::MetadataRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// ApiVersions v3, an answer that offers Metadata v0–v1.
const VERSIONS: &[u8] = &[0, 0, 2, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn options() -> ConnectionOptions {
    ConnectionOptions::from_config(&ClusterConfig::at(vec![], Auth::plaintext())).unwrap()
}

/// One end of a connection that plays the broker.
struct Broker(TcpStream);

impl Broker {
    /// Listens, and answers the handshake of whoever comes.
    async fn pair() -> (Connection, Broker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accept = async {
            let mut broker = Broker(listener.accept().await.unwrap().0);
            let handshake = broker.request().await;
            assert_eq!(&handshake[..4], &[0, 18, 0, 3]);
            broker.answer(0, VERSIONS).await;
            broker
        };
        let options = options();
        let (connection, broker) = tokio::join!(Connection::open(&address, &options), accept);
        (connection.unwrap(), broker)
    }

    /// The next request after its length.
    async fn request(&mut self) -> Vec<u8> {
        let length = self.0.read_i32().await.unwrap();
        let mut request = vec![0; length as usize];
        self.0.read_exact(&mut request).await.unwrap();
        request
    }

    async fn answer(&mut self, correlation_id: i32, body: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_i32(4 + body.len() as i32);
        frame.put_i32(correlation_id);
        frame.put_slice(body);
        self.0.write_all(&frame).await.unwrap();
    }
}

#[tokio::test]
async fn requests_go_out_in_call_order_and_answers_find_their_requests() {
    let (connection, mut broker) = Broker::pair().await;
    assert_eq!(connection.version_for::<MetadataRequest>(0, 12), Some(1));
    let parts = |text: &'static str| vec![Bytes::from_static(text.as_bytes()), Bytes::from_static(b"!")];
    let first = connection.send_frames(3, 1, parts("first"));
    let second = connection.send_frames(3, 1, parts("second"));
    assert_eq!(&broker.request().await[8..], b"\0\x06kferryfirst!");
    assert_eq!(&broker.request().await[8..], b"\0\x06kferrysecond!");
    broker.answer(1, b"one").await;
    broker.answer(2, b"two").await;
    assert_eq!(second.await.unwrap(), "two");
    assert_eq!(first.await.unwrap(), "one");
}

#[tokio::test]
async fn a_request_larger_than_the_sockets_buffers_arrives_whole() {
    let (connection, mut broker) = Broker::pair().await;
    let large = Bytes::from(vec![7; 20_000_000]);
    let answer = connection.send_frames(0, 9, vec![Bytes::from_static(b"head"), large.clone(), large]);
    let request = broker.request().await;
    assert_eq!(request.len(), 8 + 2 + 6 + 1 + 4 + 40_000_000);
    // Produce v9 answers with header v1: one byte of tagged fields.
    broker.answer(1, &[&[0][..], &request[17..]].concat()).await;
    let answer = answer.await.unwrap();
    assert_eq!((&answer[..4], answer.len()), (&b"head"[..], 40_000_004));
}

#[tokio::test]
async fn what_was_sent_is_lost_and_what_comes_later_is_not_sent_when_the_broker_goes() {
    let (connection, mut broker) = Broker::pair().await;
    let answer = connection.send_frames(3, 1, vec![]);
    broker.request().await;
    drop(broker);
    assert!(matches!(answer.await, Err(CallError::Lost(_))));
    assert!(!connection.is_alive());
    assert!(matches!(connection.send_frames(3, 1, vec![]).await, Err(CallError::NotSent(_))));
}

#[tokio::test]
async fn what_never_reached_the_socket_is_not_sent() {
    let (connection, _broker) = Broker::pair().await;
    // The broker reads nothing: the first request fills the socket, the second waits behind it.
    let first = connection.send_frames(0, 9, vec![Bytes::from(vec![0; 50_000_000])]);
    let second = connection.send_frames(0, 9, vec![Bytes::from(vec![0; 50_000_000])]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    connection.close("test");
    assert!(matches!(first.await, Err(CallError::Lost(_))));
    assert!(matches!(second.await, Err(CallError::NotSent(_))));
}

#[tokio::test]
async fn a_timeout_closes_the_connection() {
    let (connection, mut broker) = Broker::pair().await;
    let patient = connection.send_frames(3, 1, vec![]);
    let hasty = connection.send_frames_within(Duration::from_millis(80), 3, 1, vec![]);
    broker.request().await;
    broker.request().await;
    assert!(matches!(hasty.await, Err(CallError::Timeout(_))));
    assert!(matches!(patient.await, Err(CallError::Lost(_))));
    assert!(!connection.is_alive());
}

#[tokio::test]
async fn an_answer_out_of_order_ends_the_connection() {
    let (connection, mut broker) = Broker::pair().await;
    let answer = connection.send_frames(3, 1, vec![]);
    broker.request().await;
    broker.answer(5, b"").await;
    assert!(matches!(answer.await, Err(CallError::Lost(_))));
    assert!(!connection.is_alive());
}

#[tokio::test]
async fn an_answer_comes_also_after_the_last_handle_is_gone() {
    let (connection, mut broker) = Broker::pair().await;
    let answer = connection.send_frames(3, 1, vec![]);
    drop(connection);
    broker.request().await;
    broker.answer(1, b"late").await;
    assert_eq!(answer.await.unwrap(), "late");
    // Nobody holds the connection any more: it is closed.
    assert!(matches!(broker.0.read_u8().await, Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert!(matches!(Connection::open(&address, &options()).await, Err(CallError::NotSent(_))));
}

/// ApiVersions v3, an answer that offers Metadata v0–v1, SaslHandshake v0–v1 and SaslAuthenticate v0–v2.
const SASL_VERSIONS: &[u8] = &[0, 0, 4, 0, 3, 0, 0, 0, 1, 0, 0, 17, 0, 0, 0, 1, 0, 0, 36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
/// SaslHandshake v1, an answer without error.
const HANDSHAKE_ACCEPTED: &[u8] = &[0, 0, 0, 0, 0, 0];

/// SaslAuthenticate v2, an answer with this error and a session of this length.
fn authenticated(error: i16, session_ms: i64) -> Vec<u8> {
    [&[0][..], &error.to_be_bytes(), &[0, 1], &session_ms.to_be_bytes(), &[0]].concat()
}

/// A logged-in connection whose session lasts two seconds; the next request of the client has correlation id 4.
async fn logged_in() -> (Connection, Broker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let auth = Auth {
        mode: AuthMode::Plain,
        security_protocol: SecurityProtocol::SaslPlaintext,
        username: Some("alice".into()),
        password: Some(Secret::new("hunter2")),
        ..Auth::plaintext()
    };
    let mut options = ConnectionOptions::from_config(&ClusterConfig::at(vec![], auth)).unwrap();
    options.connect_timeout = Duration::from_millis(300);
    let accept = async {
        let mut broker = Broker(listener.accept().await.unwrap().0);
        assert_eq!(&broker.request().await[..4], &[0, 18, 0, 3]);
        broker.answer(0, SASL_VERSIONS).await;
        let handshake = broker.request().await;
        assert!(handshake[..4] == [0, 17, 0, 1] && handshake.ends_with(b"\0\x05PLAIN"));
        broker.answer(1, HANDSHAKE_ACCEPTED).await;
        let login = broker.request().await;
        assert!(login[..4] == [0, 36, 0, 2] && login.windows(14).any(|w| w == b"\0alice\0hunter2"));
        broker.answer(2, &authenticated(0, 2_000)).await;
        assert_eq!(&broker.request().await[..4], &[0, 18, 0, 3]);
        broker.answer(3, SASL_VERSIONS).await;
        broker
    };
    let (connection, broker) = tokio::join!(Connection::open(&address, &options), accept);
    (connection.unwrap(), broker)
}

#[tokio::test]
async fn a_session_is_renewed_behind_what_is_in_flight_and_before_what_comes_later() {
    let (connection, mut broker) = logged_in().await;
    let before = connection.send_frames(3, 1, vec![Bytes::from_static(b"before")]);
    assert!(broker.request().await.ends_with(b"before"));
    // Its answer is still due when the session's time comes.
    assert_eq!(&broker.request().await[..8], &[0, 17, 0, 1, 0, 0, 0, 5]);
    let meanwhile = connection.send_frames(3, 1, vec![Bytes::from_static(b"meanwhile")]);
    // Longer than a new connection's handshakes may take: a slow request in front is no reason to give up.
    let early = tokio::time::timeout(Duration::from_millis(600), broker.request()).await;
    assert!(early.is_err(), "a request overtakes the login: {early:?}");
    broker.answer(4, b"one").await;
    assert_eq!(before.await.unwrap(), "one");
    broker.answer(5, HANDSHAKE_ACCEPTED).await;
    assert_eq!(&broker.request().await[..4], &[0, 36, 0, 2]);
    broker.answer(7, &authenticated(0, 60_000)).await;
    assert!(broker.request().await.ends_with(b"meanwhile"));
    broker.answer(6, b"two").await;
    assert_eq!(meanwhile.await.unwrap(), "two");
    assert!(connection.is_alive());
}

#[tokio::test]
async fn a_session_that_cannot_be_renewed_ends_the_connection_and_nothing_held_back_was_sent() {
    let (connection, mut broker) = logged_in().await;
    assert_eq!(&broker.request().await[..4], &[0, 17, 0, 1]);
    let meanwhile = connection.send_frames(3, 1, vec![]);
    broker.answer(4, HANDSHAKE_ACCEPTED).await;
    assert_eq!(&broker.request().await[..4], &[0, 36, 0, 2]);
    broker.answer(6, &authenticated(58, 0)).await;
    let error = meanwhile.await.unwrap_err();
    assert!(error.is_certainly_unsent() && error.to_string().contains("SASL_AUTHENTICATION_FAILED (58)"), "{error}");
    assert!(!connection.is_alive() && !error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_listener_that_answers_in_tls_or_not_at_all_is_told_from_an_outage() {
    for (answer, words) in [(&[0x15, 0x03, 0x03, 0, 2, 2, 80][..], "answers in TLS"), (&[], "may want TLS")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accept = async {
            let mut broker = Broker(listener.accept().await.unwrap().0);
            broker.request().await;
            broker.0.write_all(answer).await.unwrap();
        };
        let options = options();
        let (opened, ()) = tokio::join!(Connection::open(&address, &options), accept);
        let error = opened.unwrap_err();
        assert!(matches!(&error, CallError::Auth(AuthProblem::TlsExpected, seen) if seen.contains(words)), "{error:?}");
    }
}
