//! Whom a client believes: the authorities of a PEM file, or those compiled in.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::FetchError;

pub(super) fn client_config(authorities: Option<&[u8]>) -> Result<ClientConfig, FetchError> {
    let roots = roots(authorities)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities themselves. Errors: `Authorities`.
pub fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, FetchError> {
    match authorities {
        None => Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
        Some(pem) => read(pem),
    }
}

fn read(pem: &[u8]) -> Result<RootCertStore, FetchError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| FetchError::Authorities)?;
        roots.add(certificate).map_err(|_| FetchError::Authorities)?;
    }
    if roots.is_empty() { Err(FetchError::Authorities) } else { Ok(roots) }
}
