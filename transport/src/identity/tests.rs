use super::*;
use proptest::prelude::*;

const DOMAIN: TrustDomain = TrustDomain(0xab);

#[test]
fn a_name_reads_back_what_it_prints() {
    for (role, name) in [(Role::Metadata, "1"), (Role::Storage, "18446744073709551615"), (Role::Client, "a.b_c-D9")] {
        let peer = PeerIdentity::new(DOMAIN, role, name).unwrap();
        assert_eq!(PeerIdentity::from_uri(&peer.uri()), Ok(peer));
    }
}

#[test]
fn only_nodes_have_a_node_id() {
    assert_eq!(PeerIdentity::new(DOMAIN, Role::Storage, "7").unwrap().node(), Some(NodeId(7)));
    assert_eq!(PeerIdentity::new(DOMAIN, Role::Client, "7").unwrap().node(), None);
}

#[test]
fn names_that_could_be_mistaken_are_refused() {
    for name in ["", "07", "+7", "-1", "7 ", "x", "18446744073709551616"] {
        assert_eq!(PeerIdentity::new(DOMAIN, Role::Metadata, name), Err(InvalidName::Node), "{name:?}");
    }
    for name in ["", "a/b", "a b", "ä", &"x".repeat(CLIENT_NAME_MAX + 1)] {
        assert_eq!(PeerIdentity::new(DOMAIN, Role::Client, name), Err(InvalidName::Client), "{name:?}");
    }
    let refused = [
        ("https://00000000000000ab/storage/1", InvalidName::Form),
        ("dfs://00000000000000ab/storage", InvalidName::Form),
        ("dfs://00000000000000ab/storage/1/2", InvalidName::Form),
        ("dfs://00000000000000AB/storage/1", InvalidName::Domain),
        ("dfs://ab/storage/1", InvalidName::Domain),
        ("dfs://00000000000000ab/gateway/1", InvalidName::Role),
    ];
    for (uri, reason) in refused {
        assert_eq!(PeerIdentity::from_uri(uri), Err(reason), "{uri}");
    }
}

#[test]
fn what_is_not_pem_is_named() {
    let error = Identity::from_pem("no", "no", "no").unwrap_err();
    assert_eq!(error.to_string(), "the authority's certificate is not valid PEM of its kind");
    let error = Identity::load(Path::new("/does/not/exist"), Path::new("/"), Path::new("/")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read the authority's certificate from /does/not/exist:"));
}

proptest! {
    #[test]
    fn any_text_is_a_name_or_not(text in "\\PC*") {
        let _ = PeerIdentity::from_uri(&text);
        let _ = PeerIdentity::from_uri(&format!("dfs://{text}"));
        let _ = PeerIdentity::from_uri(&format!("dfs://00000000000000ab/storage/{text}"));
    }
}
