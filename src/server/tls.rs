//! Certificates of a listener: TLS 1.2 and 1.3, replaced while running.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::parse_x509_certificate;

/// Why a certificate was refused.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("no certificate in the file: it needs the PEM of the server's certificate and what leads to its root")]
    NoCertificate,
    #[error("no private key in the file: it needs one in PEM (PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    #[error("the first certificate in the file cannot be read: {0}")]
    Unreadable(String),
    #[error("certificate and key do not work together: {0}")]
    Mismatch(rustls::Error),
    #[error("no certificate of an authority in the file: it needs PEM")]
    ClientAuthorities,
}

/// What a listener proves itself with, and whom it wants proof of: PEM texts.
#[derive(Debug, Clone)]
pub struct Pem {
    /// The server's certificate and what leads to its root.
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
    /// Authorities of which every client must show a certificate; `None`: clients need none.
    pub client_ca: Option<Vec<u8>>,
}

/// A certificate and its key in use, cheap to clone; every clone sees a replacement.
#[derive(Clone)]
pub struct Certificates(Arc<ArcSwap<Shown>>);

struct Shown {
    config: Arc<ServerConfig>,
    own: CertificateDer<'static>,
    /// Seconds since 1970.
    expires_at: i64,
}

impl Certificates {
    pub fn parse(pem: &Pem) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Shown::new(pem)?))))
    }

    /// New handshakes use these from now on; open connections go on with the old.
    pub fn replace(&self, pem: &Pem) -> Result<(), TlsError> {
        self.0.store(Arc::new(Shown::new(pem)?));
        Ok(())
    }

    /// When the server's own certificate ends (RFC 5280, `notAfter`), in seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.0.load().expires_at
    }

    /// For this process as a client of itself: believes the certificate that is shown and no other, whoever signed it
    /// and whatever names are in it.
    pub(super) fn connector(&self) -> TlsConnector {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let only = Arc::new(Only { own: self.0.load().own.clone(), known: provider.signature_verification_algorithms });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider that listens has suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(only)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load().config.clone())
    }
}

impl Shown {
    fn new(pem: &Pem) -> Result<Self, TlsError> {
        let chain = read_chain(&pem.chain)?;
        let own = chain.first().ok_or(TlsError::NoCertificate)?.clone();
        let (_, parsed) = parse_x509_certificate(&own).map_err(|error| TlsError::Unreadable(error.to_string()))?;
        let expires_at = parsed.validity().not_after.timestamp();
        Ok(Self { config: Arc::new(configure(chain, pem)?), own, expires_at })
    }
}

/// One certificate, and proof that the other side has its key.
#[derive(Debug)]
struct Only {
    own: CertificateDer<'static>,
    known: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = || rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        (*shown == self.own).then(ServerCertVerified::assertion).ok_or_else(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, shown, signed, &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, shown, signed, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

fn read_chain(chain: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::NoCertificate)
}

fn configure(chain: Vec<CertificateDer<'static>>, pem: &Pem) -> Result<ServerConfig, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| TlsError::NoKey)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = match &pem.client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(authorities) => {
            let roots = read_roots(authorities)?;
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
            clients.map_err(|_| TlsError::ClientAuthorities)?
        }
    };
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Mismatch)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)
}

fn read_roots(authorities: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|_| TlsError::ClientAuthorities)?;
        roots.add(certificate).map_err(|_| TlsError::ClientAuthorities)?;
    }
    Ok(roots)
}
