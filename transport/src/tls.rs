//! TLS 1.3 under QUIC: one provider, certificates on both sides, no resumption.
//!
//! Decides which certificates are accepted: those that the authority signed, that are valid by the world's wall clock
//! and that allow the use they are put to. Who the peer then is, the endpoint reads from the certificate's name.
//!
//! Deliberately absent: older versions, resumption and early data (a resumed session skips the check of the client's
//! certificate, and early data can be replayed), and the name of the server, which plays no part.

use crate::identity::Identity;
use crate::world::WallClock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The application protocol.
const ALPN: &[u8] = b"dfs/1";

/// What QUIC wants as the server's name. It is neither sent nor checked.
pub(crate) const SERVER_NAME: &str = "dfs";

/// The cryptography that everything here uses. AES-128-GCM comes first: it costs least where the CPU has AES.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![ring::kx_group::X25519, ring::kx_group::SECP256R1],
        ..ring::default_provider()
    }
}

/// The world's wall clock, as rustls and quinn want it.
pub(crate) struct TlsClock(pub(crate) Arc<dyn WallClock>);

impl fmt::Debug for TlsClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClock")
    }
}

impl rustls::time_provider::TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now().0)))
    }
}

impl quinn::TimeSource for TlsClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.now().0)
    }
}

/// How connections are accepted: only from peers with a certificate.
pub(crate) fn server_config(
    identity: &Identity,
    clock: &Arc<dyn WallClock>,
) -> Result<ServerConfig, VerifierBuilderError> {
    let provider = Arc::new(provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots(), provider.clone()).build()?;
    let resolver = Arc::new(SingleCertAndKey::from(identity.certified()));
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(TlsClock(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has suites for TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// How connections are opened: with one's own certificate, to peers whose certificate allows serving.
pub(crate) fn client_config(identity: &Identity, clock: &Arc<dyn WallClock>) -> ClientConfig {
    let provider = Arc::new(provider());
    let verifier = ChainVerifier { roots: identity.roots(), algorithms: provider.signature_verification_algorithms };
    let resolver = Arc::new(SingleCertAndKey::from(identity.certified()));
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(TlsClock(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has suites for TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}

/// Checks all of a server's certificate but its DNS name, which it does not have.
#[derive(Debug)]
struct ChainVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, self.algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key of stateless resets. It follows from the private key, so that a process that was started again can tell its
/// peers at once that their connections are gone (RFC 9000, section 10.3.2), and nobody else can.
pub(crate) struct ResetKey {
    hkdf: &'static dyn rustls::crypto::tls13::Hkdf,
    key: rustls::crypto::tls13::OkmBlock,
}

impl ResetKey {
    pub(crate) fn of(identity: &Identity) -> ResetKey {
        let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("it is a suite of TLS 1.3");
        let hkdf = suite.hkdf_provider;
        let key = hkdf.extract_from_secret(None, identity.key_bytes()).expand_block(&[b"dfs stateless reset"]);
        ResetKey { hkdf, key }
    }
}

impl quinn::crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(self.hkdf.hmac_sign(&self.key, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let expected = self.hkdf.hmac_sign(&self.key, data);
        if expected.as_ref() == signature { Ok(()) } else { Err(quinn::crypto::CryptoError) }
    }
}

/// A client that trusts the identity's authority but has no certificate of its own.
#[cfg(test)]
pub(crate) fn anonymous_client(identity: &Identity) -> quinn::ClientConfig {
    let provider = Arc::new(provider());
    let verifier = ChainVerifier { roots: identity.roots(), algorithms: provider.signature_verification_algorithms };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    quinn::ClientConfig::new(Arc::new(crypto))
}
