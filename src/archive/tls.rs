//! TLS to the cluster's nodes: whom they must have a certificate from, for which name, and what we show them.
//!
//! The driver knows nodes by their addresses, so each must prove to have its address, or one name for all of them
//! where the settings give it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::fetch;

/// How nodes prove who they are, cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls(pub(super) Arc<ClientConfig>);

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
        let authorities = pem.authorities.as_deref();
        let config = fetch::trusting(authorities).map_err(|_| TlsError::Authorities)?;
        let mut config = match &pem.client {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().unwrap_or_default();
                if chain.is_empty() {
                    return Err(TlsError::Certificate);
                }
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
                config.with_client_auth_cert(chain, key).map_err(TlsError::Mismatch)?
            }
        };
        if let Some(name) = &pem.name {
            let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name)?;
            let roots = fetch::roots(authorities).map_err(|_| TlsError::Authorities)?;
            let provider = Arc::new(aws_lc_rs::default_provider());
            let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let webpki = webpki.map_err(|_| TlsError::Authorities)?;
            config.dangerous().set_certificate_verifier(Arc::new(Named { name, webpki }));
        }
        Ok(Self(Arc::new(config)))
    }
}

/// Believes what `webpki` believes, of one name whatever the address.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.webpki.verify_server_cert(shown, between, &self.name, stapled, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
