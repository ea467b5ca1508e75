//! Who a peer is: the name in its certificate, and the certificates and key that prove one's own.
//!
//! A certificate carries exactly one name of the form `dfs://<trust domain>/<role>/<name>` among its URI names. The
//! trust domain says which authority issued it; the role says what its holder may be; the name is the node id of a
//! metadata or storage node, or the name of a client.
//!
//! Deliberately absent: DNS names and addresses. A node is known by its identity, wherever it is.

use crate::tls;
use dfs_core::id::{NodeId, Role};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Characters of a client's name at most.
pub const CLIENT_NAME_MAX: usize = 64;

/// Which authority issued a certificate: drawn at random when the authority is made, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(pub u64);

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({self})")
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<TrustDomain, InvalidName> {
        let well_formed = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| well_formed).map(TrustDomain).ok_or(InvalidName::Domain)
    }
}

/// A name that no certificate may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not of the form `dfs://<domain>/<role>/<name>`.
    #[error("the name is not of the form dfs://<trust domain>/<role>/<name>")]
    Form,
    /// The trust domain is not 16 lower-case hexadecimal digits.
    #[error("the trust domain is not 16 lower-case hexadecimal digits")]
    Domain,
    /// The role is none that exists.
    #[error("the role is not metadata, storage or client")]
    Role,
    /// A node's name is not its id.
    #[error("the name of a metadata or storage node must be its id, a decimal number")]
    Node,
    /// A client's name is empty, too long, or has other characters.
    #[error("the name of a client must have 1 to {CLIENT_NAME_MAX} characters of A-Z a-z 0-9 . _ -")]
    Client,
}

/// Who a peer is, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIdentity {
    /// The authority that issued its certificate.
    pub domain: TrustDomain,
    /// What it may be.
    pub role: Role,
    /// Its node id in decimal, or its name if it is a client.
    pub name: String,
}

impl PeerIdentity {
    /// Names a peer.
    ///
    /// # Errors
    /// [`InvalidName`] if a peer of this role cannot have this name.
    pub fn new(domain: TrustDomain, role: Role, name: &str) -> Result<PeerIdentity, InvalidName> {
        match role {
            Role::Metadata | Role::Storage => {
                // The id is compared as text and as a number, so it has one textual form only.
                name.parse::<NodeId>().ok().filter(|id| id.to_string() == name).ok_or(InvalidName::Node)?;
            }
            Role::Client => {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
                if name.is_empty() || name.len() > CLIENT_NAME_MAX || !name.bytes().all(allowed) {
                    return Err(InvalidName::Client);
                }
            }
        }
        Ok(PeerIdentity { domain, role, name: name.to_owned() })
    }

    /// The node, if the peer is a metadata or storage node.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        match self.role {
            Role::Metadata | Role::Storage => self.name.parse().ok(),
            Role::Client => None,
        }
    }

    /// The name as it stands in a certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("dfs://{}/{}/{}", self.domain, self.role, self.name)
    }

    /// Reads the name that stands in a certificate.
    ///
    /// # Errors
    /// [`InvalidName`] says what is wrong with it.
    pub fn from_uri(uri: &str) -> Result<PeerIdentity, InvalidName> {
        let mut parts = uri.strip_prefix("dfs://").ok_or(InvalidName::Form)?.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(domain), Some(role), Some(name), None) => {
                PeerIdentity::new(domain.parse()?, role.parse().map_err(|_| InvalidName::Role)?, name)
            }
            _ => Err(InvalidName::Form),
        }
    }

    /// Reads the one name of a certificate. The certificate's signature is not looked at.
    pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<PeerIdentity> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let mut names = certificate.valid_uri_names().filter(|name| name.starts_with("dfs://"));
        let name = names.next()?;
        // Two names would leave it to the reader which of them counts.
        if names.next().is_some() { None } else { PeerIdentity::from_uri(name).ok() }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

/// One of the three parts of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate of the authority.
    Authority,
    /// One's own certificate.
    Certificate,
    /// The private key of one's own certificate.
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Authority => "authority's certificate",
            Part::Certificate => "certificate",
            Part::Key => "private key",
        })
    }
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read the {part} from {}: {source}", path.display())]
    Unreadable {
        /// Which part it should hold.
        part: Part,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A part is not what it should be.
    #[error("the {0} is not valid PEM of its kind")]
    Malformed(Part),
    /// The key cannot be used for TLS 1.3.
    #[error("the private key is of a kind that TLS 1.3 does not use; use Ed25519, ECDSA or RSA")]
    UnusableKey,
    /// The key is not that of the certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The certificate does not name a peer.
    #[error("the certificate has no valid name of the form dfs://<trust domain>/<role>/<name>")]
    Unnamed,
    /// The certificate was issued by another authority.
    #[error("the certificate belongs to trust domain {certificate}, but the authority's is {authority}")]
    OtherAuthority {
        /// The trust domain in the certificate.
        certificate: TrustDomain,
        /// The trust domain of the authority.
        authority: TrustDomain,
    },
}

/// One's own certificates and key. Clones share them.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    peer: PeerIdentity,
    roots: Arc<RootCertStore>,
    certified: Arc<CertifiedKey>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads an identity from PEM files.
    ///
    /// # Errors
    /// [`IdentityError`] says which file is wrong, and how.
    pub fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Identity, IdentityError> {
        let read = |part, path: &Path| {
            std::fs::read_to_string(path).map_err(|source| IdentityError::Unreadable {
                part,
                path: path.to_owned(),
                source,
            })
        };
        Identity::from_pem(
            &read(Part::Authority, authority)?,
            &read(Part::Certificate, certificate)?,
            &read(Part::Key, key)?,
        )
    }

    /// Reads an identity from PEM texts.
    ///
    /// # Errors
    /// [`IdentityError`] says which text is wrong, and how.
    pub fn from_pem(authority: &str, certificate: &str, key: &str) -> Result<Identity, IdentityError> {
        let authorities = certificates(Part::Authority, authority)?;
        let chain = certificates(Part::Certificate, certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| IdentityError::Malformed(Part::Key))?;
        let peer = chain.first().and_then(PeerIdentity::of_certificate).ok_or(IdentityError::Unnamed)?;
        let mut roots = RootCertStore::empty();
        for certificate in &authorities {
            if let Some(domain) = authority_domain(certificate)
                && domain != peer.domain
            {
                return Err(IdentityError::OtherAuthority { certificate: peer.domain, authority: domain });
            }
            roots.add(certificate.clone()).map_err(|_| IdentityError::Malformed(Part::Authority))?;
        }
        let certified =
            CertifiedKey::from_der(chain, key.clone_key(), &tls::provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => IdentityError::KeyMismatch,
                _ => IdentityError::UnusableKey,
            })?;
        Ok(Identity(Arc::new(Inner { peer, roots: Arc::new(roots), certified: Arc::new(certified), key })))
    }

    /// An identity whose certificate another authority may have issued.
    #[cfg(test)]
    pub(crate) fn from_pem_unchecked(authority: &str, certificate: &str, key: &str) -> Identity {
        let authorities = certificates(Part::Authority, authority).unwrap();
        let chain = certificates(Part::Certificate, certificate).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let peer = PeerIdentity::of_certificate(&chain[0]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &tls::provider()).unwrap();
        Identity(Arc::new(Inner { peer, roots: Arc::new(roots), certified: Arc::new(certified), key }))
    }

    /// Who one is oneself.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.0.peer
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.0.roots.clone()
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.0.certified.clone()
    }

    pub(crate) fn key_bytes(&self) -> &[u8] {
        self.0.key.secret_der()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.0.peer)
    }
}

/// The certificates of a PEM text: one at least, and nothing that is damaged.
fn certificates(part: Part, pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(IdentityError::Malformed(part))
}

/// The trust domain in the name `dfs://<domain>/ca` of an authority's certificate. Authorities that were made by other
/// means have no such name; certificates that they issue name the trust domain all the same.
pub(crate) fn authority_domain(certificate: &CertificateDer<'_>) -> Option<TrustDomain> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_uri_names().find_map(|name| name.strip_prefix("dfs://")?.strip_suffix("/ca")?.parse().ok())
}

#[cfg(test)]
mod tests;
