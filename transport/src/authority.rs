//! A certificate authority for development and for small clusters: it makes the certificates that peers know each
//! other by.
//!
//! Owns the authority's certificate and key, and what a certificate says: one name `dfs://<trust domain>/<role>/<name>`,
//! Ed25519, an explicit validity, and uses by role (nodes serve and call, clients only call).
//!
//! Deliberately absent: storing anything, and revocation.

use crate::identity::{InvalidName, PeerIdentity, TrustDomain, authority_domain};
use crate::world::World;
use dfs_core::checksum::Digest;
use dfs_core::id::Role;
use dfs_core::time::WallTime;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long an authority is valid.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long before its making a certificate is valid: clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);
/// The last moment that a certificate may name: the year 9999 (RFC 5280, section 4.1.2.5).
const LAST_MOMENT_S: u64 = 253_402_300_799;

/// Why an authority cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The text is not one certificate in PEM.
    #[error("this is not a certificate in PEM")]
    NotACertificate,
    /// The text is not an Ed25519 key in PEM, or not the authority's.
    #[error("this is not the private key of the authority")]
    NotItsKey,
    /// The certificate is not that of an authority of this system.
    #[error("this is not the certificate of an authority with a name of the form dfs://<trust domain>/ca")]
    NotAnAuthority,
    /// No certificate may carry the name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The certificate would not be valid at any time, or beyond the year 9999.
    #[error("the validity must be at least a second and end before the year 10000")]
    Validity,
    /// The certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Making(rcgen::Error),
}

/// A certificate authority with its key.
pub struct Authority {
    domain: TrustDomain,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was made, with its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority with a trust domain of its own.
    ///
    /// # Errors
    /// [`AuthorityError::Making`] if there is no randomness for its key.
    pub fn create(world: &World) -> Result<Authority, AuthorityError> {
        let domain = TrustDomain(world.entropy.number());
        let mut params = params(&format!("dfs://{domain}/ca"), &format!("dfs authority {domain}"))?;
        set_validity(&mut params, world.wall_clock.now(), AUTHORITY_VALIDITY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Making)?;
        Ok(Authority { domain, certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// Reads an authority that was made before.
    ///
    /// # Errors
    /// [`AuthorityError`] says which text is wrong.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, AuthorityError> {
        let der = certificate_der(certificate)?;
        let domain = authority_domain(&der).ok_or(AuthorityError::NotAnAuthority)?;
        let key = KeyPair::from_pem(key).map_err(|_| AuthorityError::NotItsKey)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| AuthorityError::NotACertificate)?;
        if !parsed.is_ca() {
            return Err(AuthorityError::NotAnAuthority);
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(AuthorityError::NotItsKey);
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(AuthorityError::Making)?;
        Ok(Authority { domain, certificate_pem: certificate.to_owned(), issuer })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The trust domain of all certificates that it issues.
    #[must_use]
    pub fn domain(&self) -> TrustDomain {
        self.domain
    }

    /// The same authority, issuing in the name of another trust domain.
    #[cfg(test)]
    pub(crate) fn pretending(&self, domain: TrustDomain) -> Authority {
        Authority { domain, ..Authority::from_pem(&self.certificate_pem, &self.key_pem()).unwrap() }
    }

    /// Makes a key, and a certificate for it that is valid for `validity` from `now` on.
    ///
    /// # Errors
    /// [`AuthorityError`] says which argument cannot be used.
    pub fn issue(&self, role: Role, name: &str, validity: Duration, now: WallTime) -> Result<Issued, AuthorityError> {
        let peer = PeerIdentity::new(self.domain, role, name)?;
        let mut params = params(&peer.uri(), &format!("dfs {peer}"))?;
        set_validity(&mut params, now, validity)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            Role::Metadata | Role::Storage => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            Role::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Making)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.domain)
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The authority that it belongs to, by its name; its signature was not checked.
    pub domain: TrustDomain,
    /// What its holder may be; absent for an authority.
    pub role: Option<Role>,
    /// The node id or the name of the client; `ca` for an authority.
    pub name: String,
    /// From when it is valid.
    pub not_before: WallTime,
    /// Until when it is valid.
    pub not_after: WallTime,
    /// The SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// Whether it is that of an authority.
    pub is_authority: bool,
}

/// Reads what a certificate says, without judging it.
///
/// # Errors
/// [`AuthorityError`] if it is not a certificate, or has no name of this system.
pub fn describe(certificate_pem: &str) -> Result<CertificateSummary, AuthorityError> {
    let der = certificate_der(certificate_pem)?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| AuthorityError::NotACertificate)?;
    let wall_time = |seconds: i64| WallTime(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    let is_authority = parsed.is_ca();
    let (domain, role, name) = if is_authority {
        (authority_domain(&der).ok_or(AuthorityError::NotAnAuthority)?, None, "ca".to_owned())
    } else {
        let peer = PeerIdentity::of_certificate(&der).ok_or(AuthorityError::Name(InvalidName::Form))?;
        (peer.domain, Some(peer.role), peer.name)
    };
    Ok(CertificateSummary {
        domain,
        role,
        name,
        not_before: wall_time(parsed.validity().not_before.timestamp()),
        not_after: wall_time(parsed.validity().not_after.timestamp()),
        fingerprint: Digest::of(&der),
        is_authority,
    })
}

fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| AuthorityError::NotACertificate)
}

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ED25519).map_err(AuthorityError::Making)
}

fn params(uri: &str, common_name: &str) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(AuthorityError::Making)?)];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, now: WallTime, validity: Duration) -> Result<(), AuthorityError> {
    let now = Duration::from_millis(now.0);
    let end = now.checked_add(validity).filter(|end| end.as_secs() <= LAST_MOMENT_S && validity.as_secs() > 0);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(CLOCK_TOLERANCE).as_secs());
    params.not_after = epoch + Duration::from_secs(end.ok_or(AuthorityError::Validity)?.as_secs());
    Ok(())
}

#[cfg(test)]
mod tests;
