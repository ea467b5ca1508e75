//! The hello: what two peers tell each other before anything else, and what they make of it.
//!
//! Participants: the peer that opened the connection sends its hello on the connection's first stream; the other
//! checks it and answers with its own, which the first checks likewise. Whoever does not like what it reads closes the
//! connection with the reason in the close, so that both sides know it and say so in their logs.
//!
//! Goals: no request is ever sent to or taken from a peer of another cluster, with another identity than its
//! certificate's, or without a common version. Non-goal: secrecy of the hello from holders of a certificate.

use crate::identity::PeerIdentity;
use crate::peers::Class;
use dfs_core::id::{ClusterId, Incarnation, NodeId, Role};
use dfs_core::refusal::Refusal;
use dfs_core::wire::PROTOCOL_VERSIONS;
use serde::{Deserialize, Serialize};

/// What a peer says of itself. Newer builds append fields, which older ones skip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The oldest protocol version that it speaks.
    pub(crate) oldest: u16,
    /// The newest protocol version that it speaks.
    pub(crate) newest: u16,
    /// Its build.
    pub(crate) build: String,
    /// The cluster that it belongs to, once it knows.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) role: Role,
    pub(crate) node: Option<NodeId>,
    /// The life of its process, once it has registered.
    pub(crate) incarnation: Option<Incarnation>,
    /// Bits for what is optional within a version. None is defined yet.
    pub(crate) features: u64,
    /// What the connection is for.
    pub(crate) class: Class,
}

impl Hello {
    /// What this build says.
    pub(crate) fn new(
        identity: &PeerIdentity,
        cluster: Option<ClusterId>,
        incarnation: Option<Incarnation>,
        class: Class,
    ) -> Hello {
        Hello {
            oldest: *PROTOCOL_VERSIONS.start(),
            newest: *PROTOCOL_VERSIONS.end(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            cluster,
            role: identity.role,
            node: identity.node(),
            incarnation,
            features: 0,
            class,
        }
    }

    /// Reads a hello, and skips what newer builds may have appended.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Hello, Refusal> {
        postcard::take_from_bytes(bytes).map(|(hello, _)| hello).map_err(|_| Refusal::Malformed)
    }

    /// Whether `self`, sent by a peer whose certificate names it `certificate`, fits `ours`.
    pub(crate) fn check(&self, ours: &Hello, certificate: &PeerIdentity) -> Result<(), Refusal> {
        if self.oldest > ours.newest || self.newest < ours.oldest {
            return Err(Refusal::UnsupportedVersion);
        }
        if self.role != certificate.role || self.node != certificate.node() {
            return Err(Refusal::NotPermitted);
        }
        match (self.cluster, ours.cluster) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(Refusal::WrongCluster),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::TrustDomain;
    use proptest::prelude::*;

    fn node(id: &str) -> PeerIdentity {
        PeerIdentity::new(TrustDomain(1), Role::Storage, id).unwrap()
    }

    fn hello(cluster: Option<u128>) -> Hello {
        Hello::new(&node("3"), cluster.map(ClusterId), None, Class::Control)
    }

    #[test]
    fn peers_of_one_cluster_or_of_none_yet_agree() {
        for (theirs, ours) in [(None, None), (Some(1), None), (None, Some(1)), (Some(1), Some(1))] {
            assert_eq!(hello(theirs).check(&hello(ours), &node("3")), Ok(()));
        }
    }

    #[test]
    fn another_cluster_identity_or_version_is_refused() {
        let ours = hello(Some(1));
        assert_eq!(hello(Some(2)).check(&ours, &node("3")), Err(Refusal::WrongCluster));
        assert_eq!(hello(Some(1)).check(&ours, &node("4")), Err(Refusal::NotPermitted));
        let client = PeerIdentity::new(TrustDomain(1), Role::Client, "3").unwrap();
        assert_eq!(hello(Some(1)).check(&ours, &client), Err(Refusal::NotPermitted));
        let newer = Hello { oldest: ours.newest + 1, newest: ours.newest + 2, ..hello(Some(1)) };
        assert_eq!(newer.check(&ours, &node("3")), Err(Refusal::UnsupportedVersion));
    }

    #[test]
    fn what_a_newer_build_appends_is_skipped() {
        let mut bytes = dfs_core::wire::encode(&hello(Some(7)));
        bytes.extend([1, 2, 3]);
        assert_eq!(Hello::decode(&bytes), Ok(hello(Some(7))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_hello_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(refusal) = Hello::decode(&bytes) {
                prop_assert_eq!(refusal, Refusal::Malformed);
            }
        }
    }
}
