use super::*;
use crate::license::{FEATURE, GrantKind, issue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn vendor() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-06-01T00:00:00Z")
}

fn claims(id: &str) -> Claims {
    Claims {
        id: id.into(),
        licensee: "A Company".into(),
        features: vec!["other".into(), FEATURE.into()],
        issued_at: time("2026-01-01T00:00:00Z"),
        expires_at: time("2027-01-01T00:00:00Z"),
    }
}

fn licence(id: &str) -> String {
    String::from_utf8(issue(&claims(id), &vendor())).unwrap()
}

fn places(dir: &TempDir) -> Places {
    Places {
        vendor_key: vendor().verifying_key(),
        key: None,
        file: None,
        system_file: dir.path().join("etc/license.key"),
        user_file: Some(dir.path().join("home/.config/kferry/license.key")),
        trial_file: Some(dir.path().join("state/kferry/trial.json")),
    }
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn granted(places: &Places) -> String {
    places.obtain(FEATURE, "m-1", now()).unwrap().license_id
}

fn refused(places: &Places, now: Timestamp) -> (Code, String) {
    let error = places.obtain(FEATURE, "m-1", now).unwrap_err();
    (error.code(), error.seen().to_owned())
}

#[test]
fn the_first_place_that_holds_a_licence_decides() {
    let dir = dir();
    let mut places = places(&dir);
    put(places.user_file.as_ref().unwrap(), &licence("user"));
    assert_eq!(granted(&places), "user");
    put(&places.system_file, &licence("system"));
    assert_eq!(granted(&places), "system");
    places.file = Some(dir.path().join("named.key"));
    assert_eq!(refused(&places, now()).0, Code::LicenseMissing, "a file that was named must be there");
    put(places.file.as_ref().unwrap(), &licence("file"));
    assert_eq!(granted(&places), "file");
    places.key = Some(STANDARD.encode(licence("variable")));
    assert_eq!(granted(&places), "variable");
    places.key = Some("bm90IGEgbGljZW5jZQ==".into());
    let (code, seen) = refused(&places, now());
    assert_eq!((code, seen.starts_with("KFERRY_LICENSE_KEY: it is not a DSSE envelope")), (Code::LicenseInvalid, true), "{seen}");
    assert!(!places.trial_file.unwrap().exists(), "no trial begins beside a licence");
}

#[test]
fn a_licence_is_an_envelope_or_its_base64_in_lines() {
    let dir = dir();
    let places = places(&dir);
    let text = STANDARD.encode(licence("wrapped"));
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    put(&places.system_file, &format!("{}\n", lines.join("\n")));
    assert_eq!(granted(&places), "wrapped");
}

#[test]
fn a_grant_says_what_it_rests_on() {
    let dir = dir();
    let places = places(&dir);
    put(&places.system_file, &licence("L-1"));
    let expected = Grant {
        kind: GrantKind::License,
        license_id: "L-1".into(),
        licensee: "A Company".into(),
        feature: FEATURE.into(),
        granted_at: "2026-06-01T00:00:00.000Z".into(),
        expires_at: "2027-01-01T00:00:00.000Z".into(),
    };
    assert_eq!(places.obtain(FEATURE, "m-1", now()).unwrap(), expected);
}

#[test]
fn altered_foreign_expired_early_and_other_licences_are_told_apart() {
    let dir = dir();
    let places = places(&dir);
    let name = places.system_file.display().to_string();
    let check = |text: &str, now: Timestamp, code: Code, seen: &str| {
        put(&places.system_file, text);
        let refusal = refused(&places, now);
        assert_eq!(refusal.0, code, "{}", refusal.1);
        assert!(refusal.1.starts_with(&name) && refusal.1.contains(seen), "{}", refusal.1);
        assert!(!places.trial_file.as_ref().unwrap().exists(), "no trial begins in place of a licence that is refused");
    };
    let payload = |c: &Claims| STANDARD.encode(serde_json::to_vec(c).unwrap());
    let altered = licence("L").replace(&payload(&claims("L")), &payload(&Claims { expires_at: time("2099-01-01T00:00:00Z"), ..claims("L") }));
    check(&altered, now(), Code::LicenseInvalid, "does not hold");
    let foreign = String::from_utf8(issue(&claims("L"), &SigningKey::from_bytes(&[1; 32]))).unwrap();
    check(&foreign, now(), Code::LicenseInvalid, "key mismatch");
    let bundle = crate::evidence::bundle::sign(&serde_json::to_vec(&claims("L")).unwrap(), &vendor());
    check(std::str::from_utf8(&bundle).unwrap(), now(), Code::LicenseInvalid, "payload is of type");
    check(&licence("L"), time("2027-01-01T00:00:00Z"), Code::LicenseExpired, "ended at 2027-01-01T00:00:00.000Z");
    check(&licence("L"), time("2025-12-30T23:59:59Z"), Code::LicenseInvalid, "begins at 2026-01-01");
    let other = Claims { features: vec!["other".into()], ..claims("L") };
    check(std::str::from_utf8(&issue(&other, &vendor())).unwrap(), now(), Code::LicenseMissing, "includes other, not migrations:msk-kraft");
    put(&places.system_file, &licence("L"));
    places.obtain(FEATURE, "m", time("2025-12-31T00:00:01Z")).unwrap();
    places.obtain(FEATURE, "m", time("2026-12-31T23:59:59Z")).unwrap();
}

#[test]
fn the_trial_begins_by_itself_and_lasts_fourteen_days() {
    let dir = dir();
    let places = places(&dir);
    assert_eq!(places.standing(now()).unwrap(), Standing::Trial(TrialStanding::NotStarted));
    let grant = places.obtain(FEATURE, "m-1", now()).unwrap();
    assert_eq!((grant.kind, grant.expires_at.as_str()), (GrantKind::Trial, "2026-06-15T00:00:00.000Z"));
    let record: serde_json::Value = serde_json::from_slice(&fs::read(places.trial_file.as_ref().unwrap()).unwrap()).unwrap();
    assert_eq!((&record["migration_id"], &record["started_at"]), (&"m-1".into(), &"2026-06-01T00:00:00Z".into()));
    let running = TrialStanding::Running { started_at: now(), expires_at: time("2026-06-15T00:00:00Z") };
    assert_eq!(places.standing(time("2026-06-14T23:59:59Z")).unwrap(), Standing::Trial(running));
    places.obtain(FEATURE, "m-2", time("2026-06-14T23:59:59Z")).unwrap();
    let (code, seen) = refused(&places, time("2026-06-15T00:00:00Z"));
    assert_eq!((code, seen.as_str()), (Code::LicenseExpired, "the 14-day trial on this host began at 2026-06-01T00:00:00.000Z and ended at 2026-06-15T00:00:00.000Z"));
}

#[test]
fn a_clock_that_is_set_back_brings_no_day_back() {
    let dir = dir();
    let places = places(&dir);
    places.obtain(FEATURE, "m", now()).unwrap();
    assert_eq!(refused(&places, time("2026-06-20T00:00:00Z")).0, Code::LicenseExpired);
    assert_eq!(refused(&places, time("2026-06-02T00:00:00Z")).0, Code::LicenseExpired, "the end was seen");
    assert_eq!(refused(&places, time("2020-01-01T00:00:00Z")).0, Code::LicenseExpired);
    assert!(matches!(places.standing(time("2026-06-02T00:00:00Z")).unwrap(), Standing::Trial(TrialStanding::Ended { .. })));
}

#[test]
fn a_trial_that_is_off_damaged_or_cannot_be_recorded_is_refused() {
    let dir = dir();
    let mut places = places(&dir);
    let path = places.trial_file.clone().unwrap();
    put(&path, "{}");
    assert_eq!(refused(&places, now()).0, Code::LicenseInvalid);
    places.trial_file = Some(dir.path().join("a-file/trial.json"));
    fs::write(dir.path().join("a-file"), "").unwrap();
    assert!(matches!(refused(&places, now()).0, Code::LicenseInvalid | Code::LicenseMissing));
    places.trial_file = None;
    assert_eq!(refused(&places, now()).0, Code::LicenseMissing);
    assert_eq!(places.standing(now()).unwrap(), Standing::Trial(TrialStanding::Off));
}

#[test]
fn only_a_licence_in_force_is_installed() {
    let dir = dir();
    let places = places(&dir);
    let file = dir.path().join("download.key");
    fs::write(&file, licence("L-2")).unwrap();
    assert_eq!(places.apply(&file, time("2028-01-01T00:00:00Z")).unwrap_err().code(), Code::LicenseExpired);
    fs::write(&file, licence("L-2").replace('A', "B")).unwrap();
    assert_eq!(places.apply(&file, now()).unwrap_err().code(), Code::LicenseInvalid);
    assert!(!places.user_file.as_ref().unwrap().exists());
    fs::write(&file, licence("L-2")).unwrap();
    let installed = places.apply(&file, now()).unwrap();
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(granted(&places), "L-2");
    assert_eq!(fs::read_dir(installed.parent().unwrap()).unwrap().count(), 1, "nothing temporary is left");
}
