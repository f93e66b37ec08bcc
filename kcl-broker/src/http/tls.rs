//! [`SelfSigned`]: a certificate for a broker.

use std::{fmt, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer},
};

/// The protocols that clients may choose, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate cannot be made, most likely because a name is none.
#[derive(Debug, thiserror::Error)]
#[error("no certificate can be made for these names: give host names and IP addresses, without ports")]
pub struct CertificateError {
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl CertificateError {
    fn because(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            source: Box::new(source),
        }
    }
}

/// A certificate for a broker, by an authority that is made for it and forgets its key.
///
/// Clients refuse it until they are told to trust [`SelfSigned::authority_pem`]. How, differs: for boto3 and the AWS command
/// line it is a file named by `AWS_CA_BUNDLE`, for Node.js one named by `NODE_EXTRA_CA_CERTS`, for Java a trust store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use kcl_broker::{Broker, SelfSigned, Server};
///
/// let certificate = SelfSigned::new(["localhost", "127.0.0.1"])?;
/// let server = Server::bind_tls(Broker::new(), ([127, 0, 0, 1], 0), &certificate).await?;
/// assert!(server.endpoint_url().starts_with("https://"));
/// assert!(certificate.authority_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// # server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SelfSigned {
    authority_pem: String,
    acceptor: TlsAcceptor,
}

impl SelfSigned {
    /// A certificate for these host names and IP addresses.
    ///
    /// # Errors
    /// If a name cannot be put into a certificate, or the system has no random numbers for keys.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self, CertificateError> {
        let authority = authority()?;
        let names = names.into_iter().map(Into::into).collect::<Vec<_>>();
        let mut server = CertificateParams::new(names).map_err(CertificateError::because)?;
        server.distinguished_name.push(DnType::CommonName, "kcl-broker");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(CertificateError::because)?;
        let certificate = server.signed_by(&key, &authority).map_err(CertificateError::because)?;

        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::because)?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .map_err(CertificateError::because)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            authority_pem: authority.pem(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// What clients must trust: the certificate of the authority, as PEM.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned").finish_non_exhaustive()
    }
}

/// An authority, since not all clients trust a server's certificate that nobody has signed.
fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, CertificateError> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "kcl-broker's own authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(CertificateError::because)?;
    CertifiedIssuer::self_signed(params, key).map_err(CertificateError::because)
}
