//! Ed25519 keys in files: PKCS#8 and SPKI in PEM, as `openssl` reads and writes them.

use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A key's file has a few hundred bytes; what is longer is something else.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;

/// A key's name: the SHA-256 of the raw public key, in hexadecimal.
pub fn key_id(key: &VerifyingKey) -> String {
    Digest::of(key.as_bytes()).to_string()
}

/// Draws a new key from the system's random numbers.
///
/// **Errors**: KF-KEY-INVALID where the system has none to give.
pub fn generate() -> Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| Error::new(Code::KeyInvalid, format!("no random numbers: {e}")))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Where the public key of `path` lies: `PATH.pub`.
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Writes the private key to `path`, for its owner only, and the public one to `PATH.pub`. Neither may exist.
///
/// **Errors**: KF-USAGE, and then neither was written.
pub fn write_pair(path: &Path, key: &SigningKey) -> Result<()> {
    let malformed = |e| Error::new(Code::Bug, format!("the key cannot be written as PEM: {e}"));
    // Without the public key inside: PKCS#8 of version 1, the form that OpenSSL itself writes and every version reads.
    let private = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let private = private.to_pkcs8_pem(LineEnding::LF).map_err(|e| malformed(e.to_string()))?;
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|e| malformed(e.to_string()))?;
    let public_path = public_path(path);
    let refused = |path: &Path, e: io::Error| {
        let seen = match e.kind() {
            io::ErrorKind::AlreadyExists => format!("{} exists and is not overwritten", path.display()),
            _ => format!("{}: {e}", path.display()),
        };
        Error::new(Code::UsageInvalid, seen)
    };
    write_new(&public_path, 0o644, public.as_bytes()).map_err(|e| refused(&public_path, e))?;
    write_new(path, 0o600, private.as_bytes()).map_err(|e| {
        let _ = fs::remove_file(&public_path);
        refused(path, e)
    })
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Reads a private key, PKCS#8 in PEM.
///
/// **Errors**: KF-KEY-INVALID.
pub fn read_signing_key(path: &Path) -> Result<SigningKey> {
    let text = read(path)?;
    SigningKey::from_pkcs8_pem(&text).map_err(|e| invalid(path, format!("it is not an Ed25519 private key (PKCS#8, PEM): {e}")))
}

/// Reads a public key, SPKI in PEM.
///
/// **Errors**: KF-KEY-INVALID.
pub fn read_public_key(path: &Path) -> Result<VerifyingKey> {
    let text = read(path)?;
    parse_public_key(&text).map_err(|seen| invalid(path, seen))
}

pub(crate) fn parse_public_key(text: &str) -> std::result::Result<VerifyingKey, String> {
    VerifyingKey::from_public_key_pem(text).map_err(|e| match text.contains("PRIVATE KEY") {
        true => "it holds a private key; the public one is wanted, which `kferry keygen` wrote beside it as .pub".to_owned(),
        false => format!("it is not an Ed25519 public key (SPKI, PEM): {e}"),
    })
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|e| invalid(path, e.to_string()))?;
    Ok(text)
}

fn invalid(path: &Path, seen: String) -> Error {
    Error::new(Code::KeyInvalid, format!("{}: {seen}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_written_pair_is_read_back_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kferry.key");
        let key = generate().unwrap();
        write_pair(&path, &key).unwrap();
        assert_eq!(read_signing_key(&path).unwrap().to_bytes(), key.to_bytes());
        assert_eq!(read_public_key(&public_path(&path)).unwrap(), key.verifying_key());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(generate().unwrap().to_bytes(), key.to_bytes());
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("k"), generate().unwrap());
        for present in [path.clone(), public_path(&path)] {
            fs::write(&present, "precious").unwrap();
            let error = write_pair(&path, &key).unwrap_err();
            assert_eq!(error.code(), Code::UsageInvalid);
            assert!(error.seen().contains("is not overwritten"), "{error}");
            assert_eq!(fs::read_to_string(&present).unwrap(), "precious");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            fs::remove_file(present).unwrap();
        }
    }

    #[test]
    fn the_wrong_file_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        write_pair(&path, &generate().unwrap()).unwrap();
        assert!(read_public_key(&path).unwrap_err().seen().contains("it holds a private key"));
        assert!(read_signing_key(&public_path(&path)).unwrap_err().seen().contains("not an Ed25519 private key"));
        assert_eq!(read_public_key(&dir.path().join("none")).unwrap_err().code(), Code::KeyInvalid);
    }

    #[test]
    fn a_key_id_is_the_digest_of_the_raw_public_key() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        assert_eq!(key_id(&key), Digest::of(key.to_bytes()).to_string());
    }
}
