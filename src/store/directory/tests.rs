use super::*;

fn store() -> (tempfile::TempDir, DirectoryStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DirectoryStore::new(dir.path().join("store"));
    (dir, store)
}

fn keys(found: &[Meta]) -> Vec<&str> {
    found.iter().map(|m| m.key.as_str()).collect()
}

#[tokio::test]
async fn what_was_put_is_read_listed_and_deleted() {
    let (_dir, store) = store();
    let parts: Vec<Bytes> = (0..1000).map(|i| Bytes::from(format!("part {i};"))).collect();
    let whole: Vec<u8> = parts.concat();
    store.put("a/b/1.log", Body::new(parts, [0; 32]), PutOptions::default()).await.unwrap();
    store.put("a/b2", Body::hashed("two"), PutOptions::default()).await.unwrap();
    store.put("c", Body::hashed(""), PutOptions::default()).await.unwrap();

    assert_eq!(store.get("a/b/1.log").await.unwrap(), whole);
    assert_eq!(store.get_range("a/b/1.log", 5..20).await.unwrap(), whole[5..20]);
    assert_eq!(store.get_range("a/b2", 1..100).await.unwrap(), "wo");
    assert_eq!(store.get_range("a/b2", 50..100).await.unwrap(), "");
    assert_eq!(store.head("a/b2").await.unwrap().unwrap().size_bytes, 3);
    assert_eq!(store.head("a").await.unwrap(), None);
    assert_eq!(store.head("a/b2/c").await.unwrap(), None);
    assert_eq!(keys(&store.list("").await.unwrap()), ["a/b/1.log", "a/b2", "c"]);
    assert_eq!(keys(&store.list("a/b").await.unwrap()), ["a/b/1.log", "a/b2"]);
    assert_eq!(keys(&store.list("a/b/").await.unwrap()), ["a/b/1.log"]);
    assert_eq!(keys(&store.list("nowhere/").await.unwrap()), Vec::<&str>::new());

    store.delete("c").await.unwrap();
    store.delete("c").await.unwrap();
    assert_eq!(store.get("c").await.unwrap_err().kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn of_many_that_put_if_absent_one_wins_and_a_plain_put_replaces() {
    let (_dir, store) = store();
    let if_absent = PutOptions { if_absent: true, ..PutOptions::default() };
    let tries = (0..12).map(|i| store.put("lease", Body::hashed(format!("{i}")), if_absent.clone()));
    let outcomes = futures::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    let kinds = outcomes.iter().filter_map(|o| o.as_ref().err()).map(StoreError::kind);
    assert!(kinds.into_iter().all(|k| k == StoreErrorKind::AlreadyExists));

    store.put("lease", Body::hashed("taken over"), PutOptions::default()).await.unwrap();
    assert_eq!(store.get("lease").await.unwrap(), "taken over");
    let files: Vec<_> = fs::read_dir(&store.root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files, ["lease"], "nothing but the object remains");
}

#[tokio::test]
async fn no_key_leads_out_of_the_root() {
    let (dir, store) = store();
    for key in ["../out", "a/../../out", "/etc/out", "a//b", "a/", "./a", "a\0b", ".kferry-partial-1"] {
        let refused = store.put(key, Body::hashed("x"), PutOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Permanent, "{key:?}");
        assert!(store.get(key).await.is_err(), "{key:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(store.list("../").await.is_err());
}

#[tokio::test]
async fn a_probe_leaves_nothing_and_names_what_is_missing() {
    let (dir, store) = store();
    assert_eq!(store.probe(None).await.usable().unwrap(), Capabilities { object_lock: Some(false), ..Capabilities::default() });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::write(dir.path().join("store"), "a file in the way").unwrap();
    assert!(store.probe(None).await.usable().is_err());
    assert!(store.put("a", Body::hashed("x"), PutOptions::default()).await.is_err());
}

#[tokio::test]
async fn retention_is_refused_rather_than_pretended() {
    let (_dir, store) = store();
    let options = PutOptions { retain_until: Some(jiff::Timestamp::now()), ..PutOptions::default() };
    assert_eq!(store.put("a", Body::hashed("x"), options).await.unwrap_err().kind(), StoreErrorKind::Permanent);
    assert_eq!(store.head("a").await.unwrap(), None);
}
