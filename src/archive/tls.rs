//! TLS to the cluster's nodes: whom they must have a certificate from, for which name, and what we show them.
//!
//! The driver knows nodes by their addresses, so each must prove to have its address, or one name for all of them
//! where the settings give it. It keeps the configuration that it was given, so what may be replaced is asked for with
//! each handshake.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::fetch;

/// How nodes prove who they are, and we to them; cheap to clone, and every clone sees a replacement.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    live: Arc<Live>,
}

/// PEM texts and a name, as settings give them.
#[derive(Debug, Clone, Default)]
pub struct TlsPem {
    /// Authorities of the nodes' certificates; `None`: those that browsers trust.
    pub authorities: Option<Vec<u8>>,
    /// What every node's certificate holds instead of the node's address.
    pub name: Option<String>,
    /// A certificate of our own with what leads to its root, and its key, where nodes want that of clients.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("no certificate of an authority in the file: it needs PEM")]
    Authorities,
    #[error("it is no name that a certificate can hold")]
    Name,
    #[error("no certificate in the file: it needs PEM")]
    Certificate,
    #[error("no private key in the file: it needs one in PEM (PKCS#8, PKCS#1 or SEC1)")]
    Key,
    #[error("certificate and key do not work together: {0}")]
    Mismatch(rustls::Error),
}

impl Tls {
    pub fn new(pem: &TlsPem) -> Result<Self, TlsError> {
        let live = Arc::new(Live(ArcSwap::from_pointee(InForce::new(pem)?)));
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(live.clone())
            .with_client_cert_resolver(live.clone());
        // A session that is resumed asks for no certificate, and so for nothing that has been replaced.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), live })
    }

    /// Connections that are made from now on go by the other's; those that are open stay.
    pub fn become_as(&self, other: &Self) {
        self.live.0.store(other.live.0.load_full());
    }
}

/// What counts at the moment.
struct InForce {
    webpki: Arc<WebPkiServerVerifier>,
    /// Instead of a node's address.
    name: Option<ServerName<'static>>,
    own: Option<Arc<CertifiedKey>>,
}

impl InForce {
    fn new(pem: &TlsPem) -> Result<Self, TlsError> {
        let roots = fetch::roots(pem.authorities.as_deref()).map_err(|_| TlsError::Authorities)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let webpki = webpki.map_err(|_| TlsError::Authorities)?;
        let name = pem.name.clone().map(ServerName::try_from).transpose().map_err(|_| TlsError::Name)?;
        let own = pem.client.as_ref().map(|(chain, key)| certified(chain, key)).transpose()?;
        Ok(Self { webpki, name, own: own.map(Arc::new) })
    }
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(TlsError::Mismatch)
}

/// Asked in each handshake.
struct Live(ArcSwap<InForce>);

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl ResolvesClientCert for Live {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.load().own.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.load().own.is_some()
    }
}

impl ServerCertVerifier for Live {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        address: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let in_force = self.0.load();
        let name = in_force.name.as_ref().unwrap_or(address);
        in_force.webpki.verify_server_cert(shown, between, name, stapled, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().webpki.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().webpki.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().webpki.supported_verify_schemes()
    }
}
