//! What stands between kferry and a cluster that is there.

use crate::error::{Code, Retry};

/// Why a cluster and kferry do not come together although the network would let them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthProblem {
    /// The user or the password is refused.
    Credentials,
    /// SCRAM: the broker does not prove that it knows the password.
    ServerSignature,
    UnknownCa,
    CertificateExpired,
    HostName,
    /// The broker misses our certificate, or refuses it.
    ClientCertificate,
    /// TLS is spoken to a listener without it.
    NotTls,
    /// Plaintext is spoken to a listener with TLS.
    TlsExpected,
    /// Any other disagreement about TLS.
    Tls,
    /// Requests are sent to a listener that wants SASL first.
    SaslExpected,
    /// The SASL mechanism is not offered, or SASL is not.
    Mechanism,
    AwsCredentials,
    /// IAM's token is refused.
    Token,
    /// A certificate or key file cannot be used.
    File,
}

impl AuthProblem {
    pub fn code(self) -> Code {
        match self {
            AuthProblem::Credentials => Code::AuthCredentials,
            AuthProblem::ServerSignature => Code::AuthServerSignature,
            AuthProblem::UnknownCa => Code::AuthUnknownCa,
            AuthProblem::CertificateExpired => Code::AuthCertificateExpired,
            AuthProblem::HostName => Code::AuthHostName,
            AuthProblem::ClientCertificate => Code::AuthClientCertificate,
            AuthProblem::NotTls => Code::AuthNotTls,
            AuthProblem::TlsExpected => Code::AuthTlsExpected,
            AuthProblem::Tls => Code::AuthTls,
            AuthProblem::SaslExpected => Code::AuthSaslExpected,
            AuthProblem::Mechanism => Code::AuthMechanism,
            AuthProblem::AwsCredentials => Code::AuthAwsCredentials,
            AuthProblem::Token => Code::AuthToken,
            AuthProblem::File => Code::AuthFile,
        }
    }

    /// Whether it may be something else that passes by itself: a broker that goes down also closes connections without a word.
    pub fn may_pass(self) -> bool {
        self.code().retry() == Retry::Transient
    }
}
