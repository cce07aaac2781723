//! Certificates of a listener: TLS 1.2 and 1.3, replaced while running.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
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
}

/// A certificate and its key in use, cheap to clone; every clone sees a replacement.
#[derive(Clone)]
pub struct Certificates(Arc<ArcSwap<Shown>>);

struct Shown {
    config: Arc<ServerConfig>,
    /// Seconds since 1970.
    expires_at: i64,
}

impl Certificates {
    /// Takes the PEM text of the chain and of the key.
    pub fn parse(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Shown::new(chain, key)?))))
    }

    /// New handshakes use these from now on; open connections go on with the old.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.0.store(Arc::new(Shown::new(chain, key)?));
        Ok(())
    }

    /// When the server's own certificate ends (RFC 5280, `notAfter`), in seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.0.load().expires_at
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load().config.clone())
    }
}

impl Shown {
    fn new(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = read_chain(chain)?;
        let own = chain.first().ok_or(TlsError::NoCertificate)?;
        let (_, own) = parse_x509_certificate(own).map_err(|error| TlsError::Unreadable(error.to_string()))?;
        let expires_at = own.validity().not_after.timestamp();
        Ok(Self { config: Arc::new(configure(chain, key)?), expires_at })
    }
}

fn read_chain(chain: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::NoCertificate)
}

fn configure(chain: Vec<CertificateDer<'static>>, key: &[u8]) -> Result<ServerConfig, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)
}
