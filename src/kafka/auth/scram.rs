//! SCRAM: a password is proved without being sent, and the broker proves that it knows it too. Source: RFC 5802, RFC 7677.

use crate::config::model::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use std::fmt;

/// Rounds of the salted password's derivation that are worked off; what asks for more wants to wear us out.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Fewer than these protect a password too little. Source: RFC 7677, and `ScramMechanism.minIterations`.
const ITERATIONS_MIN: u32 = 4_096;
const NONCE_BYTES: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn mac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => mac::<Hmac<Sha256>>(key, message),
            Hash::Sha512 => mac::<Hmac<Sha512>>(key, message),
        }
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Hash::Sha256 => salted::<Hmac<Sha256>>(password, salt, iterations),
            Hash::Sha512 => salted::<Hmac<Sha512>>(password, salt, iterations),
        }
    }

    /// Compares in constant time.
    fn is_mac(self, key: &[u8], message: &[u8], given: &[u8]) -> bool {
        match self {
            Hash::Sha256 => keyed::<Hmac<Sha256>>(key).chain_update(message).verify_slice(given).is_ok(),
            Hash::Sha512 => keyed::<Hmac<Sha512>>(key).chain_update(message).verify_slice(given).is_ok(),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length")
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    keyed::<M>(key).chain_update(message).finalize().into_bytes().to_vec()
}

/// `Hi` of RFC 5802: PBKDF2 of one block.
fn salted<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let prf = keyed::<M>(password);
    let mut last = prf.clone().chain_update(salt).chain_update(1u32.to_be_bytes()).finalize().into_bytes();
    let mut result = last.to_vec();
    for _ in 1..iterations {
        last = prf.clone().chain_update(&last).finalize().into_bytes();
        result.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
    }
    result
}

/// Why an exchange ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server says so.
    Refused(String),
    /// The server's signature is not that of somebody who knows the password.
    Unproven,
    /// The server's message is not SCRAM.
    Malformed(&'static str),
}

/// One exchange: the first message, then `answer` to the server's first, then `finish` with its last.
pub struct Exchange<'a> {
    hash: Hash,
    password: &'a Secret,
    nonce: String,
    first_bare: String,
    /// The server's key and what it has to sign.
    expected: Option<(Vec<u8>, String)>,
}

impl<'a> Exchange<'a> {
    pub fn new(hash: Hash, username: &str, password: &'a Secret) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        Ok(Self::with_nonce(hash, username, password, STANDARD.encode(nonce)))
    }

    fn with_nonce(hash: Hash, username: &str, password: &'a Secret, nonce: String) -> Self {
        let first_bare = format!("n={},r={nonce}", username.replace('=', "=3D").replace(',', "=2C"));
        Self { hash, password, nonce, first_bare, expected: None }
    }

    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    /// Proves the password against the server's salt and nonce.
    pub fn answer(&mut self, server_first: &[u8]) -> Result<Vec<u8>, Refusal> {
        let server_first = text(server_first)?;
        let (mut nonce, mut salt, mut iterations) = (None, None, None);
        for (name, value) in attributes(server_first) {
            match name {
                "e" => return Err(Refusal::Refused(value.to_owned())),
                "m" => return Err(Refusal::Malformed("it demands an extension")),
                "r" => nonce = Some(value),
                "s" => salt = STANDARD.decode(value).ok(),
                "i" => iterations = value.parse::<u32>().ok(),
                _ => {}
            }
        }
        let (Some(nonce), Some(salt), Some(iterations)) = (nonce, salt, iterations) else {
            return Err(Refusal::Malformed("nonce, salt or iterations are missing"));
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Refusal::Malformed("its nonce does not extend ours"));
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(Refusal::Malformed("its number of iterations is out of bounds"));
        }
        let hash = self.hash;
        let salted = hash.salted(self.password.reveal().as_bytes(), &salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = hash.mac(&salted, b"Client Key");
        let signature = hash.mac(&hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(k, s)| k ^ s).collect();
        self.expected = Some((hash.mac(&salted, b"Server Key"), signed));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// Verifies that the server knows the password.
    pub fn finish(&self, server_last: &[u8]) -> Result<(), Refusal> {
        let Some((server_key, signed)) = &self.expected else { return Err(Refusal::Malformed("its last message comes first")) };
        for (name, value) in attributes(text(server_last)?) {
            match name {
                "e" => return Err(Refusal::Refused(value.to_owned())),
                "v" => {
                    let given = STANDARD.decode(value).map_err(|_| Refusal::Malformed("its signature is not base64"))?;
                    return if self.hash.is_mac(server_key, signed.as_bytes(), &given) { Ok(()) } else { Err(Refusal::Unproven) };
                }
                _ => {}
            }
        }
        Err(Refusal::Malformed("its last message has no signature"))
    }
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("hash", &self.hash).finish_non_exhaustive()
    }
}

fn text(message: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(message).map_err(|_| Refusal::Malformed("it is not UTF-8"))
}

fn attributes(message: &str) -> impl Iterator<Item = (&str, &str)> {
    message.split(',').filter_map(|part| part.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_exchange_of_the_rfc() {
        let password = Secret::new("pencil");
        let mut exchange = Exchange::with_nonce(Hash::Sha256, "user", &password, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(exchange.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server_first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = exchange.answer(server_first).unwrap();
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(exchange.finish(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        // One bit of the signature, another's signature, none at all, and the server's own word.
        assert_eq!(exchange.finish(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8="), Err(Refusal::Unproven));
        assert_eq!(exchange.finish(b"v="), Err(Refusal::Unproven));
        assert!(matches!(exchange.finish(b"x=y"), Err(Refusal::Malformed(_))));
        assert_eq!(exchange.finish(b"e=invalid-proof"), Err(Refusal::Refused("invalid-proof".into())));
    }

    #[test]
    fn names_are_escaped_and_what_a_server_may_ask_is_bounded() {
        let password = Secret::new("hunter2");
        let exchange = || Exchange::with_nonce(Hash::Sha512, "a=b,c", &password, "abc".into());
        assert_eq!(exchange().first(), b"n,,n=a=3Db=2Cc,r=abc");
        for refused in ["r=abc,s=c2FsdA==,i=4096", "r=xyz1,s=c2FsdA==,i=4096", "r=abc1,s=c2FsdA==,i=4095", "r=abc1,s=c2FsdA==,i=4000000000", "r=abc1,i=4096"] {
            assert!(matches!(exchange().answer(refused.as_bytes()), Err(Refusal::Malformed(_))), "{refused}");
        }
        assert!(exchange().answer(b"r=abc1,s=c2FsdA==,i=4096").is_ok());
        assert!(matches!(exchange().finish(b"v=AAAA"), Err(Refusal::Malformed(_))));
        assert!(!format!("{:?}", exchange()).contains("hunter2"));
        assert_ne!(Exchange::new(Hash::Sha256, "a", &password).unwrap().first(), Exchange::new(Hash::Sha256, "a", &password).unwrap().first());
    }
}
