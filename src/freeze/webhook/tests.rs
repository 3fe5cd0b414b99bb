use super::super::request_for_tests;
use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const QUICK: Limits = Limits { call_timeout_ms: 100, wait_first_ms: 1, wait_max_ms: 5, tell_ms: 400, freeze_share_percent: 50 };

/// A receiver that meets one call after another with these statuses, the last for ever; 0 never answers, 1 hangs up.
async fn receiver(statuses: &'static [u16]) -> (WebhookFreeze, Arc<Mutex<Vec<(String, serde_json::Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        for turn in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                bytes.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let whole = text.split_once("\r\n\r\n").and_then(|(h, b)| Some((h.to_lowercase(), serde_json::from_str(b).ok()?)));
                if let Some(whole) = whole {
                    break whole;
                }
                assert!(read > 0, "the call ends early: {text}");
            };
            seen.lock().unwrap().push((head, body));
            match statuses[turn.min(statuses.len() - 1)] {
                0 => held.push(stream),
                1 => drop(stream),
                status => {
                    let answer = format!("HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 8\r\nconnection: close\r\n\r\nthe-body");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        }
    });
    let url = Secret::new(format!("http://user:pass-word@127.0.0.1:{port}/secret-path?token=secret-token"));
    (WebhookFreeze { limits: QUICK, ..WebhookFreeze::new(&url).expect("a URL") }, calls)
}

fn hides_secrets(error: &Error) {
    for secret in ["user", "pass-word", "secret-path", "secret-token", "the-body", "orders"] {
        assert!(!error.to_string().contains(secret), "{secret} in {error}");
    }
    assert!(error.to_string().contains("127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn each_event_is_one_call_that_says_everything() {
    let (webhook, calls) = receiver(&[200, 204, 202, 200]).await;
    let mut request = request_for_tests(60_000);
    request.expires_at = "2100-01-02T03:04:05Z".parse().unwrap();
    webhook.freeze(&request).await.unwrap();
    webhook.thaw(&request, "the drain takes too long").await.unwrap();
    webhook.committed(&request).await.unwrap();
    webhook.freeze(&request).await.unwrap();
    let calls = calls.lock().unwrap();
    let ids: Vec<&str> = calls.iter().map(|(_, body)| body["idempotency_id"].as_str().unwrap()).collect();
    for (n, event) in ["freeze", "thaw", "committed", "freeze"].into_iter().enumerate() {
        let (head, body) = &calls[n];
        assert!(head.starts_with("post /secret-path?token=secret-token http/1.1"), "{head}");
        for header in [
            format!("x-kferry-event: {event}\r\n"),
            format!("idempotency-key: {}\r\n", ids[n]),
            "content-type: application/json\r\n".into(),
            "authorization: basic dxnlcjpwyxnzlxdvcmq=".into(),
        ] {
            assert!(head.contains(&header), "{header} in {head}");
        }
        let mut wanted = serde_json::json!({
            "event": event, "idempotency_id": ids[n], "migration_id": "orders-move", "attempt": 3,
            "expires_at": "2100-01-02T03:04:05Z", "topics": ["orders", "payments"],
        });
        if event == "thaw" {
            wanted["reason"] = "the drain takes too long".into();
        }
        assert_eq!(*body, wanted);
    }
    assert_eq!(ids[0], ids[3], "a repetition is known as one");
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    request.attempt = 4;
    assert_ne!(idempotency_id(Event::Freeze, &request), ids[0]);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_id() {
    let (webhook, calls) = receiver(&[503, 1, 0, 429, 408, 200]).await;
    webhook.committed(&request_for_tests(60_000)).await.unwrap();
    let calls = calls.lock().unwrap();
    assert!(calls.len() >= 6, "{}", calls.len());
    assert!(calls.iter().all(|(_, body)| body["idempotency_id"] == calls[0].1["idempotency_id"]));
}

#[tokio::test]
async fn what_is_neither_success_nor_passing_ends_at_once_with_its_status() {
    for statuses in [&[302u16][..], &[307], &[400], &[401], &[403], &[404]] {
        let (webhook, calls) = receiver(statuses).await;
        let error = webhook.freeze(&request_for_tests(60_000)).await.unwrap_err();
        assert_eq!((error.code(), calls.lock().unwrap().len()), (Code::WebhookUnreachable, 1), "{statuses:?}");
        assert!(error.to_string().contains(&format!("answers {}", statuses[0])), "{error}");
        hides_secrets(&error);
    }
}

#[tokio::test]
async fn a_freeze_is_given_up_in_half_of_its_time_and_a_word_after_its_bound() {
    let (webhook, _) = receiver(&[500]).await;
    for (expires_in_ms, given_ms) in [(400, 200), (-5, 0)] {
        let started = Instant::now();
        let error = webhook.freeze(&request_for_tests(expires_in_ms)).await.unwrap_err();
        hides_secrets(&error);
        let took_ms = started.elapsed().as_millis();
        assert!((given_ms..given_ms + 190).contains(&took_ms), "{took_ms} of {expires_in_ms}: {error}");
    }
    let started = Instant::now();
    let thaw = webhook.thaw(&request_for_tests(-5), "late").await.expect_err("told even after the deadline");
    assert!(!thaw.to_string().contains("timer"), "{thaw}");
    assert!(started.elapsed().as_millis() >= 400);
}

#[tokio::test]
async fn who_has_not_heard_of_a_commit_is_said_to_thaw_and_when() {
    let (webhook, _) = receiver(&[403]).await;
    let request = FreezeRequest { expires_at: "2100-01-02T03:04:05Z".parse().unwrap(), ..request_for_tests(60_000) };
    let error = webhook.committed(&request).await.unwrap_err();
    assert!(error.to_string().ends_with("unless its timer is stopped, it lets producers go on at the source at 2100-01-02T03:04:05Z"), "{error}");
    hides_secrets(&error);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_or_never_answers_is_named_without_its_secrets() {
    let (webhook, _) = receiver(&[0]).await;
    let error = webhook.thaw(&request_for_tests(60_000), "x").await.unwrap_err();
    assert!(error.to_string().contains("does not answer within"), "{error}");
    hides_secrets(&error);
    let url = Secret::new("http://user:pass-word@127.0.0.1:1/secret-path?token=secret-token");
    let absent = WebhookFreeze { limits: QUICK, ..WebhookFreeze::new(&url).unwrap() };
    let error = absent.thaw(&request_for_tests(60_000), "x").await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached: "), "{error}");
    hides_secrets(&error);
}
