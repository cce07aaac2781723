//! TLS to the cluster's nodes: whom they must have a certificate from, and for which name.
//!
//! The driver knows nodes by their addresses, so each must prove to have its address, or one name for all of them
//! where the settings give it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::fetch;

/// How nodes prove who they are, cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls(pub(super) Arc<ClientConfig>);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("no certificate of an authority in the file: it needs PEM")]
    Authorities,
    #[error("it is no name that a certificate can hold")]
    Name,
}

impl Tls {
    /// `authorities` is PEM; without it those that browsers trust. With `name` a node's certificate must hold that
    /// instead of the node's address.
    pub fn new(authorities: Option<&[u8]>, name: Option<&str>) -> Result<Self, TlsError> {
        let mut config = fetch::client_config(authorities).map_err(|_| TlsError::Authorities)?;
        if let Some(name) = name {
            let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name)?;
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
