//! Certificates by which requests are proven, for carriers whose requests name theirs by a URL.
//!
//! Comes in: PEM, fetched by the door or read from a folder by the settings. Goes out: whether a
//! signature is one of the certificate's key.
//! Always true: few are held, and none that was fetched for ever; whoever reads them waits for nobody.
//! Not here: which URLs may be asked (each carrier's file), asking them (the door), and the chain of
//! authorities: that the carrier's own server shows a certificate, over TLS, is what makes it believed.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::message::Timestamp;

/// Certificates held for one account: a carrier changes its own about once a year.
pub const HELD_MAX: usize = 16;
/// How long one that was fetched is believed before it is asked for again.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// How long one is believed that cannot be asked for again: an outage of the network loses no text.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// When it is next asked for, where that did not work.
const AGAIN: Duration = Duration::from_secs(3600);

/// What a signature was made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

/// A certificate's RSA key, and when it is valid.
pub struct Certificate {
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
    /// Unix seconds, both included.
    valid: (i64, i64),
}

impl Certificate {
    /// Reads the first certificate of a PEM text: RSA, 2048 bits or more.
    pub fn parse(pem: &[u8]) -> Result<Self, &'static str> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| "it is no certificate in PEM")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| "it is no X.509 certificate")?;
        let key = &*parsed.public_key().subject_public_key.data;
        let with =
            |algorithm| ParsedPublicKey::new(algorithm, key).map_err(|_| "its key is not RSA of 2048 bits or more");
        let validity = parsed.validity();
        Ok(Self {
            sha1: with(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY)?,
            sha256: with(&RSA_PKCS1_2048_8192_SHA256)?,
            valid: (validity.not_before.timestamp(), validity.not_after.timestamp()),
        })
    }

    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        (self.valid.0..=self.valid.1).contains(&time.as_second())
    }

    /// RSA PKCS#1 v1.5.
    pub fn has_signed(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
        };
        key.verify_sig(message, signature).is_ok()
    }
}

/// What an account holds; cheap to clone, and clones hold the same.
#[derive(Clone, Default)]
pub struct Certificates(Arc<Inner>);

#[derive(Default)]
struct Inner {
    held: ArcSwap<Vec<Held>>,
    /// Read from a folder: nothing is fetched.
    is_closed: bool,
}

#[derive(Clone)]
struct Held {
    /// The URL it was fetched from, or the name of its file.
    name: Box<str>,
    certificate: Arc<Certificate>,
    /// `None` for one that was read from a folder.
    fetched: Option<Fetched>,
}

#[derive(Clone, Copy)]
struct Fetched {
    at: Timestamp,
    good_until: Timestamp,
}

impl Certificates {
    /// Those of a folder, by the names of their files, and none besides.
    pub fn of_folder(files: impl IntoIterator<Item = (String, Certificate)>) -> Self {
        let held = files.into_iter().take(HELD_MAX).map(|(name, certificate)| Held {
            name: name.into(),
            certificate: Arc::new(certificate),
            fetched: None,
        });
        Self(Arc::new(Inner { held: ArcSwap::from_pointee(held.collect()), is_closed: true }))
    }

    /// Whether there are none but those of a folder.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed
    }

    /// The certificate at a URL, as far as it is here: in a folder it goes by the URL's last segment.
    pub fn find(&self, url: &str, now: Timestamp) -> Option<Arc<Certificate>> {
        let name = if self.0.is_closed { url.rsplit('/').next().unwrap_or_default() } else { url };
        let held = self.0.held.load();
        let found = held.iter().find(|held| *held.name == *name)?;
        let is_good = found.fetched.is_none_or(|fetched| now < fetched.good_until);
        is_good.then(|| found.certificate.clone())
    }

    /// Takes one that was fetched in the place of the same one, or of the oldest where there are too many.
    pub fn hold(&self, url: &str, certificate: Certificate, now: Timestamp) {
        let certificate = Arc::new(certificate);
        self.0.held.rcu(|held| {
            let mut held: Vec<Held> = held.iter().filter(|held| *held.name != *url).cloned().collect();
            if held.len() >= HELD_MAX {
                let oldest = held.iter().enumerate().min_by_key(|(_, held)| held.fetched.map(|fetched| fetched.at));
                let oldest = oldest.map_or(0, |(index, _)| index);
                held.remove(oldest);
            }
            let fetched = Some(Fetched { at: now, good_until: now + FRESH });
            held.push(Held { name: url.into(), certificate: certificate.clone(), fetched });
            held
        });
    }

    /// Believes one for a while longer that could not be fetched again; `false` where none is left.
    pub fn keep_on(&self, url: &str, now: Timestamp) -> bool {
        let mut kept = false;
        self.0.held.rcu(|held| {
            let mut held = Vec::clone(held);
            let fetched = held.iter_mut().find(|held| *held.name == *url).and_then(|held| held.fetched.as_mut());
            let fetched = fetched.filter(|fetched| now < fetched.at + KEPT);
            kept = fetched.map(|fetched| fetched.good_until = now + AGAIN).is_some();
            held
        });
        kept
    }

    /// The name of the one whose key this is (PKCS#1), for whoever signs with the other half.
    pub fn name_of(&self, public_key: &[u8]) -> Option<String> {
        let held = self.0.held.load();
        let found = held.iter().find(|held| held.certificate.sha256.as_ref() == public_key)?;
        Some(found.name.to_string())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate of RSA valid through 2023, and its private key, both PEM: made once for all tests.
    pub(crate) fn made() -> &'static (String, String) {
        static MADE: std::sync::OnceLock<(String, String)> = std::sync::OnceLock::new();
        MADE.get_or_init(|| {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
            let mut parameters = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).expect("a name");
            parameters.not_before = rcgen::date_time_ymd(2023, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2024, 1, 1);
            let certificate = parameters.self_signed(&key).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        })
    }

    fn certificate() -> Certificate {
        Certificate::parse(made().0.as_bytes()).expect("a certificate of the test")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time of the test")
    }

    #[test]
    fn what_is_no_certificate_of_rsa_is_told() {
        let other = rcgen::generate_simple_self_signed(vec!["sns.amazonaws.com".to_owned()]).expect("a certificate");
        for (pem, reason) in [
            (b"".to_vec(), "it is no certificate in PEM"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(), "it is no X.509 certificate"),
            (made().1.clone().into_bytes(), "it is no certificate in PEM"),
            (other.cert.pem().into_bytes(), "its key is not RSA of 2048 bits or more"),
        ] {
            assert_eq!(Certificate::parse(&pem).err(), Some(reason));
        }
        for (time, is_valid) in [
            ("2022-12-31T23:59:59Z", false),
            ("2023-01-01T00:00:00Z", true),
            ("2024-01-01T00:00:00Z", true),
            ("2024-01-01T00:00:01Z", false),
        ] {
            assert_eq!(certificate().is_valid_at(time.parse().expect("a time")), is_valid, "{time}");
        }
    }

    #[test]
    fn a_fetched_one_is_asked_for_again_after_a_day_and_kept_through_an_outage_of_a_week() {
        let (held, url, day) = (Certificates::default(), "https://a.test/x.pem", 86_400);
        assert!(held.find(url, at(0)).is_none() && !held.keep_on(url, at(0)));
        held.hold(url, certificate(), at(0));
        assert!(held.clone().find(url, at(day - 1)).is_some() && held.find("https://b.test/x.pem", at(0)).is_none());
        assert!(held.find(url, at(day)).is_none());
        assert!(held.keep_on(url, at(day)));
        assert!(held.find(url, at(day + 3_599)).is_some() && held.find(url, at(day + 3_600)).is_none());
        assert!(!held.keep_on(url, at(7 * day)) && held.find(url, at(7 * day)).is_none());
    }

    #[test]
    fn no_more_than_a_few_are_held_and_the_oldest_goes() {
        let held = Certificates::default();
        let url = |number: usize| format!("https://a.test/{number}.pem");
        for number in 0..=HELD_MAX {
            held.hold(&url(number), certificate(), at(i64::try_from(number).expect("few")));
        }
        held.hold(&url(1), certificate(), at(100));
        let found = (0..=HELD_MAX).filter(|number| held.find(&url(*number), at(100)).is_some()).count();
        assert_eq!(found, HELD_MAX);
        assert!(held.find(&url(0), at(100)).is_none());
    }

    #[test]
    fn those_of_a_folder_go_by_their_names_and_do_not_age() {
        let held = Certificates::of_folder([("x.pem".to_owned(), certificate())]);
        assert!(held.is_closed());
        assert!(held.find("https://sns.eu-west-2.amazonaws.com/x.pem", at(4_000_000_000)).is_some());
        assert!(held.find("https://sns.eu-west-2.amazonaws.com/y.pem", at(0)).is_none());
    }
}
