//! Signed envelopes: DSSE with one Ed25519 signature.
//!
//! **Source**: <https://github.com/secure-systems-lab/dsse>, `protocol.md` and `envelope.md`.

use super::key::key_id;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// Read strictly: whatever the signature does not cover must at least be what we write, so that no altered bit passes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// A value that came out of an envelope whose signature holds; nothing else can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    key_id: String,
}

impl<T> Verified<T> {
    /// The key that signed it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub fn into_inner(self) -> T {
        self.value
    }

    /// Reads something else out of what was verified.
    pub(crate) fn try_map<U, E>(self, read: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        Ok(Verified { value: read(self.value)?, key_id: self.key_id })
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Why an envelope is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is not a DSSE envelope: {0}")]
    NotAnEnvelope(String),
    #[error("its payload is of type {found}, not {expected}")]
    PayloadType { found: String, expected: String },
    #[error("it bears no signature")]
    Unsigned,
    #[error("key mismatch: it is signed with key {signed_with}, the key given is {given}")]
    AnotherKey { signed_with: String, given: String },
    #[error("the signature of key {key_id} does not hold: payload or signature was altered")]
    Signature { key_id: String },
}

/// What is signed: DSSE's pre-authentication encoding of type and payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

/// Signs `payload` and returns the envelope's bytes, one line of JSON. The same input gives the same bytes.
pub fn seal(payload_type: &str, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let envelope = Envelope {
        payload: STANDARD.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![EnvelopeSignature {
            keyid: key_id(&key.verifying_key()),
            sig: STANDARD.encode(key.sign(&pae(payload_type, payload)).to_bytes()),
        }],
    };
    // Three strings and a list: nothing that the serialiser could refuse.
    let mut bytes = serde_json::to_vec(&envelope).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Opens an envelope and returns its payload if the given key has signed it.
pub fn open(envelope: &[u8], payload_type: &str, key: &VerifyingKey) -> Result<Verified<Vec<u8>>, Refusal> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|e| Refusal::NotAnEnvelope(e.to_string()))?;
    if envelope.payload_type != payload_type {
        return Err(Refusal::PayloadType { found: envelope.payload_type, expected: payload_type.to_owned() });
    }
    if envelope.signatures.is_empty() {
        return Err(Refusal::Unsigned);
    }
    let given = key_id(key);
    let Some(signature) = envelope.signatures.iter().find(|s| s.keyid == given) else {
        let ids: Vec<&str> = envelope.signatures.iter().map(|s| s.keyid.as_str()).collect();
        return Err(Refusal::AnotherKey { signed_with: ids.join(", "), given });
    };
    let payload = decode("payload", &envelope.payload)?;
    let bytes = decode("sig", &signature.sig)?;
    let holds = Signature::from_slice(&bytes).and_then(|signature| key.verify_strict(&pae(payload_type, &payload), &signature));
    match holds {
        Ok(()) => Ok(Verified { value: payload, key_id: given }),
        Err(_) => Err(Refusal::Signature { key_id: given }),
    }
}

/// DSSE allows both alphabets.
fn decode(member: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|e| Refusal::NotAnEnvelope(format!("`{member}` is not base64: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/vnd.kferry.test";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn the_encoding_is_the_one_of_the_specification() {
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn what_is_sealed_is_opened_with_its_key() {
        let envelope = seal(TYPE, b"payload", &key(1));
        let opened = open(&envelope, TYPE, &key(1).verifying_key()).unwrap();
        assert_eq!((opened.as_slice(), opened.key_id()), (b"payload".as_slice(), key_id(&key(1).verifying_key()).as_str()));
        assert_eq!(envelope, seal(TYPE, b"payload", &key(1)));
    }

    #[test]
    fn another_key_is_named_with_both_ids() {
        let refusal = open(&seal(TYPE, b"payload", &key(1)), TYPE, &key(2).verifying_key()).unwrap_err();
        let (signed_with, given) = (key_id(&key(1).verifying_key()), key_id(&key(2).verifying_key()));
        assert_eq!(refusal, Refusal::AnotherKey { signed_with, given });
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let envelope = seal(TYPE, b"any payload at all", &key(1));
        let line = envelope.len() - 1;
        for bit in 0..line * 8 {
            let mut flipped = envelope.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped, TYPE, &key(1).verifying_key()).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&flipped));
        }
    }

    #[test]
    fn a_bit_in_the_payload_or_the_signature_is_the_signatures_fault() {
        let envelope = String::from_utf8(seal(TYPE, b"payload", &key(1))).unwrap();
        let altered = envelope.replace(&STANDARD.encode("payload"), &STANDARD.encode("paylo`d"));
        assert_ne!(altered, envelope);
        let refusal = open(altered.as_bytes(), TYPE, &key(1).verifying_key()).unwrap_err();
        assert_eq!(refusal, Refusal::Signature { key_id: key_id(&key(1).verifying_key()) });
    }

    #[test]
    fn the_type_and_the_presence_of_a_signature_are_checked() {
        let key = key(1);
        let envelope = seal(TYPE, b"payload", &key);
        assert!(matches!(open(&envelope, "application/other", &key.verifying_key()), Err(Refusal::PayloadType { .. })));
        let unsigned = br#"{"payload":"","payloadType":"application/vnd.kferry.test","signatures":[]}"#;
        assert_eq!(open(unsigned, TYPE, &key.verifying_key()), Err(Refusal::Unsigned));
        assert!(matches!(open(b"{}", TYPE, &key.verifying_key()), Err(Refusal::NotAnEnvelope(_))));
    }

    #[test]
    fn what_we_do_not_write_is_not_read() {
        let envelope = String::from_utf8(seal(TYPE, b"payload", &key(1))).unwrap();
        for (found, added) in [("{\"payload\"", "{\"note\":1,\"payload\""), ("{\"keyid\"", "{\"note\":1,\"keyid\"")] {
            let altered = envelope.replace(found, added);
            assert_ne!(altered, envelope);
            assert!(matches!(open(altered.as_bytes(), TYPE, &key(1).verifying_key()), Err(Refusal::NotAnEnvelope(_))), "{altered}");
        }
    }

    #[test]
    fn the_url_safe_alphabet_is_read_too() {
        let payload = [0xfb, 0xff, 0xfe];
        let envelope = String::from_utf8(seal(TYPE, &payload, &key(1))).unwrap();
        let url_safe = envelope.replace(&STANDARD.encode(payload), &URL_SAFE.encode(payload));
        assert_ne!(url_safe, envelope);
        assert_eq!(*open(url_safe.as_bytes(), TYPE, &key(1).verifying_key()).unwrap(), payload);
    }
}
