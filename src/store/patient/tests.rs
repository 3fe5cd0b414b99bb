use super::*;
use crate::store::directory::DirectoryStore;
use crate::store::{Meta, Probed};
use futures::future::FutureExt;
use std::ops::Range;
use std::sync::Mutex;

const QUICK: Patience = Patience { wait_first_ms: 1, wait_max_ms: 4, attempt_base_ms: 3_000, bytes_per_second_min: 1 << 30 };

/// What goes wrong with one put before the directory behind is asked, or after it has answered.
#[derive(Clone, Copy)]
enum Fault {
    Refuse(StoreErrorKind),
    Hang,
    LoseAnswer,
}

struct Flaky {
    inner: DirectoryStore,
    faults: Mutex<Vec<Fault>>,
}

impl Flaky {
    fn new(faults: &[Fault]) -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let inner = DirectoryStore::new(dir.path().to_owned());
        (dir, Self { inner, faults: Mutex::new(faults.iter().rev().copied().collect()) })
    }
}

impl ObjectStore for Flaky {
    fn put<'a>(&'a self, key: &'a str, body: Body, options: PutOptions) -> BoxFuture<'a, StoreResult<Receipt>> {
        let fault = self.faults.lock().unwrap().pop();
        async move {
            match fault {
                Some(Fault::Refuse(kind)) => return Err(StoreError::new(kind, "the door is shut")),
                Some(Fault::Hang) => return std::future::pending().await,
                Some(Fault::LoseAnswer) | None => {}
            }
            let answer = self.inner.put(key, body, options).await;
            match fault {
                Some(Fault::LoseAnswer) => Err(StoreError::new(StoreErrorKind::Transient, "the line is cut")),
                _ => answer,
            }
        }
        .boxed()
    }
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Bytes>> {
        self.inner.get(key)
    }
    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, StoreResult<Bytes>> {
        self.inner.get_range(key, range)
    }
    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Option<Meta>>> {
        self.inner.head(key)
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, StoreResult<Vec<Meta>>> {
        self.inner.list(prefix)
    }
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<()>> {
        self.inner.delete(key)
    }
    fn probe(&self, retain_until: Option<jiff::Timestamp>) -> BoxFuture<'_, Probed> {
        self.inner.probe(retain_until)
    }
    fn location(&self, key: &str) -> String {
        self.inner.location(key)
    }
}

async fn put(store: &Flaky, content: &'static str, if_absent: bool) -> (StoreResult<Receipt>, Vec<String>) {
    let waits = Mutex::new(Vec::new());
    let on_wait = |why: &str| waits.lock().unwrap().push(why.to_owned());
    let options = PutOptions { if_absent, ..PutOptions::default() };
    let ended = QUICK.put(store, "k", Body::hashed(content), options, std::future::pending(), &on_wait).await;
    (ended, waits.into_inner().unwrap())
}

#[tokio::test]
async fn what_may_pass_is_waited_out_and_each_wait_is_told() {
    let away = Fault::Refuse(StoreErrorKind::Transient);
    let (_dir, store) = Flaky::new(&[away, away, Fault::Hang, away, Fault::LoseAnswer]);
    let (ended, waits) = put(&store, "content", false).await;
    assert!(ended.is_ok());
    assert_eq!(waits.len(), 5);
    assert!(waits[0].starts_with("the door is shut; attempt 1, failing for 0 s, next in 0.0 s"), "{}", waits[0]);
    assert!(waits[2].starts_with("no answer within 3 s; attempt 3"), "{}", waits[2]);
    assert_eq!(store.get("k").await.unwrap(), "content");
}

#[tokio::test]
async fn what_cannot_pass_is_returned_at_once() {
    for kind in [StoreErrorKind::Permission, StoreErrorKind::NotFound, StoreErrorKind::Permanent] {
        let (_dir, store) = Flaky::new(&[Fault::Refuse(kind)]);
        let (ended, waits) = put(&store, "content", false).await;
        assert_eq!((ended.unwrap_err().kind(), waits.len()), (kind, 0));
    }
}

#[tokio::test]
async fn an_object_stored_under_a_lost_answer_is_ours_and_anothers_is_not() {
    let (_dir, store) = Flaky::new(&[Fault::LoseAnswer]);
    assert!(put(&store, "first", true).await.0.is_ok());
    // The same length, so that only the content tells them apart.
    assert_eq!(put(&store, "other", true).await.0.unwrap_err().kind(), StoreErrorKind::AlreadyExists);
    assert_eq!(store.get("k").await.unwrap(), "first");
}

#[tokio::test]
async fn cancelling_ends_an_attempt_and_a_wait() {
    for fault in [Fault::Hang, Fault::Refuse(StoreErrorKind::Transient)] {
        let (_dir, store) = Flaky::new(&[fault]);
        let slow = Patience { wait_first_ms: 60_000, wait_max_ms: 60_000, attempt_base_ms: 60_000, ..QUICK };
        let cancel = tokio::time::sleep(Duration::from_millis(20));
        let ended = slow.put(&store, "k", Body::hashed("x"), PutOptions::default(), cancel, &|_| {}).await;
        let error: crate::error::Error = ended.unwrap_err().into();
        assert_eq!(error.code(), crate::error::Code::Interrupted);
    }
}

#[test]
fn waits_double_up_to_their_cap_and_an_attempt_has_time_for_its_size() {
    let patience = Patience::default();
    for (failures, full_ms) in [(1, 200), (2, 400), (5, 3200), (8, 15_000), (u32::MAX, 15_000)] {
        let wait_ms = patience.wait(failures).as_millis() as u64;
        assert!((full_ms / 2..=full_ms).contains(&wait_ms), "{failures}: {wait_ms}");
    }
    assert_eq!(patience.attempt_timeout(16 << 20), Duration::from_secs(46));
}
