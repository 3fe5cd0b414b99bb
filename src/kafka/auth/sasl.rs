//! SASL: which mechanism, and what it says to whatever the broker says.

use super::AuthProblem;
#[cfg(feature = "aws")]
use super::iam::{Signer, Token};
use super::scram::{Exchange, Hash, Refusal};
use crate::config::model::{Auth, AuthMode, Secret};
#[cfg(not(feature = "aws"))]
use crate::error::{Code, Error};
use crate::error::Result;
use std::fmt;

/// Who kferry is to a cluster that asks.
pub enum Sasl {
    Plain { username: String, password: Secret },
    Scram { hash: Hash, username: String, password: Secret },
    #[cfg(feature = "aws")]
    Iam(Box<Signer>),
}

impl Sasl {
    /// What `auth.mode` asks for; None where it is not SASL.
    ///
    /// Errors: `KF-CONFIG-UNSUPPORTED` for IAM in a build without AWS.
    pub fn from_config(auth: &Auth) -> Result<Option<Self>> {
        let (username, password) = (auth.username.clone().unwrap_or_default(), auth.password.clone().unwrap_or_else(|| Secret::new("")));
        Ok(match auth.mode {
            AuthMode::Plaintext | AuthMode::Tls | AuthMode::Mtls => None,
            AuthMode::Plain => Some(Sasl::Plain { username, password }),
            AuthMode::ScramSha256 => Some(Sasl::Scram { hash: Hash::Sha256, username, password }),
            AuthMode::ScramSha512 => Some(Sasl::Scram { hash: Hash::Sha512, username, password }),
            #[cfg(feature = "aws")]
            AuthMode::Iam => Some(Sasl::Iam(Box::new(Signer::new(auth)))),
            #[cfg(not(feature = "aws"))]
            AuthMode::Iam => return Err(Error::new(Code::ConfigUnsupported, "auth.mode is iam, and this build is without AWS")),
        })
    }

    /// The mechanism's registered name.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Sasl::Plain { .. } => "PLAIN",
            Sasl::Scram { hash: Hash::Sha256, .. } => "SCRAM-SHA-256",
            Sasl::Scram { hash: Hash::Sha512, .. } => "SCRAM-SHA-512",
            #[cfg(feature = "aws")]
            Sasl::Iam(_) => "OAUTHBEARER",
        }
    }

    /// What a refusal means.
    pub fn refused(&self) -> AuthProblem {
        match self {
            Sasl::Plain { .. } | Sasl::Scram { .. } => AuthProblem::Credentials,
            #[cfg(feature = "aws")]
            Sasl::Iam(_) => AuthProblem::Token,
        }
    }

    /// Gets ready what a login needs, for a broker at this host: a token may take a while.
    pub async fn begin(&self, host: &str) -> std::result::Result<Login<'_>, (AuthProblem, String)> {
        #[cfg(not(feature = "aws"))]
        let _ = host;
        Ok(match self {
            Sasl::Plain { username, password } => Login::Plain { username, password },
            Sasl::Scram { hash, username, password } => {
                let exchange = Exchange::new(*hash, username, password);
                Login::Scram { exchange: exchange.map_err(|e| (AuthProblem::Credentials, format!("no random numbers for SCRAM: {e}")))?, step: 0 }
            }
            #[cfg(feature = "aws")]
            Sasl::Iam(signer) => Login::Bearer { token: signer.token(host).await? },
        })
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl").field("mechanism", &self.mechanism()).finish_non_exhaustive()
    }
}

/// One login under way.
pub enum Login<'a> {
    Plain { username: &'a str, password: &'a Secret },
    Scram { exchange: Exchange<'a>, step: u8 },
    #[cfg(feature = "aws")]
    Bearer { token: Token },
}

impl Login<'_> {
    /// The first message.
    pub fn first(&self) -> Vec<u8> {
        match self {
            // Source: RFC 4616.
            Login::Plain { username, password } => format!("\0{username}\0{}", password.reveal()).into_bytes(),
            Login::Scram { exchange, .. } => exchange.first(),
            // Source: RFC 7628, section 3.1.
            #[cfg(feature = "aws")]
            Login::Bearer { token } => format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", token.text.reveal()).into_bytes(),
        }
    }

    /// The answer to what the broker says; None once it has said all it has to.
    ///
    /// Errors: where it refuses, or does not prove itself.
    pub fn answer(&mut self, said: &[u8]) -> std::result::Result<Option<Vec<u8>>, (AuthProblem, String)> {
        match self {
            Login::Plain { .. } => Ok(None),
            Login::Scram { exchange, step } => {
                *step += 1;
                let answer = match step {
                    1 => exchange.answer(said).map(Some),
                    _ => exchange.finish(said).map(|()| None),
                };
                answer.map_err(|refusal| match refusal {
                    Refusal::Refused(why) => (AuthProblem::Credentials, format!("the broker refuses: {why}")),
                    Refusal::Unproven => (AuthProblem::ServerSignature, "the broker's SCRAM signature is not that of somebody who knows the password".to_owned()),
                    Refusal::Malformed(why) => (AuthProblem::ServerSignature, format!("the broker's SCRAM message cannot be accepted: {why}")),
                })
            }
            // Anything said is a refusal, which the broker repeats as an error once it is acknowledged. Source: RFC 7628, section 3.2.3.
            #[cfg(feature = "aws")]
            Login::Bearer { .. } => Ok((!said.is_empty()).then(|| vec![1])),
        }
    }
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::Plain { .. } => "Login::Plain",
            Login::Scram { .. } => "Login::Scram",
            #[cfg(feature = "aws")]
            Login::Bearer { .. } => "Login::Bearer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::SecurityProtocol;

    fn auth(mode: AuthMode) -> Auth {
        let password = Some(Secret::new("hunter2"));
        Auth { mode, security_protocol: SecurityProtocol::SaslSsl, username: Some("alice".into()), password, ..Auth::plaintext() }
    }

    #[tokio::test]
    async fn nothing_that_holds_a_password_shows_it() {
        for mode in [AuthMode::Plain, AuthMode::ScramSha256, AuthMode::ScramSha512] {
            let auth = auth(mode);
            let sasl = Sasl::from_config(&auth).unwrap().unwrap();
            let mut login = sasl.begin("host").await.unwrap();
            let mut shown = format!("{auth:?} {sasl:?} {login:?}");
            if mode == AuthMode::Plain {
                assert_eq!(login.first(), b"\0alice\0hunter2");
            } else {
                shown += &format!("{:?}", login.answer(b"r=x"));
            }
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(Sasl::from_config(&Auth::plaintext()).unwrap().is_none());
    }

    #[cfg(feature = "aws")]
    #[test]
    fn a_token_is_not_shown_and_a_refusal_of_it_is_acknowledged() {
        let token = Token { text: Secret::new("hunter2"), expires_at: std::time::SystemTime::UNIX_EPOCH };
        assert!(!format!("{token:?}").contains("hunter2"));
        let mut login = Login::Bearer { token };
        assert_eq!(login.first(), b"n,,\x01auth=Bearer hunter2\x01\x01");
        assert!(!format!("{login:?} {:?}", Sasl::from_config(&auth(AuthMode::Iam)).unwrap()).contains("hunter2"));
        assert_eq!(login.answer(b"{\"status\":\"invalid_token\"}"), Ok(Some(vec![1])));
        assert_eq!(login.answer(b""), Ok(None));
    }
}
