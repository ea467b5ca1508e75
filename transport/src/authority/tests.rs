use super::*;
use crate::identity::{Identity, IdentityError};
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const NOW: WallTime = WallTime(1_800_000_000_123);

fn authority() -> Authority {
    Authority::create(&World::production("test")).unwrap()
}

#[tokio::test]
async fn a_certificate_says_who_its_holder_is_and_until_when() {
    let authority = authority();
    let issued = authority.issue(Role::Storage, "7", DAY, NOW).unwrap();
    let summary = describe(&issued.certificate_pem).unwrap();
    assert_eq!((summary.domain, summary.role, summary.name.as_str()), (authority.domain(), Some(Role::Storage), "7"));
    assert_eq!(summary.not_before, WallTime(1_800_000_000_000 - 3_600_000));
    assert_eq!(summary.not_after, WallTime(1_800_000_000_000 + 86_400_000));
    assert!(!summary.is_authority);
    let own = describe(authority.certificate_pem()).unwrap();
    assert_eq!((own.domain, own.role, own.is_authority), (authority.domain(), None, true));
    assert_ne!(own.fingerprint, summary.fingerprint);
}

#[tokio::test]
async fn an_authority_that_was_read_back_issues_for_the_same_domain() {
    let first = authority();
    let second = Authority::from_pem(first.certificate_pem(), &first.key_pem()).unwrap();
    assert_eq!(second.domain(), first.domain());
    let issued = second.issue(Role::Client, "alice", DAY, NOW).unwrap();
    let identity = Identity::from_pem(first.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap();
    assert_eq!(identity.peer().to_string(), "client alice");
}

#[tokio::test]
async fn parts_of_different_origin_are_refused() {
    let (first, second) = (authority(), authority());
    let issued = first.issue(Role::Client, "alice", DAY, NOW).unwrap();
    let other = second.issue(Role::Client, "alice", DAY, NOW).unwrap();
    assert!(matches!(Authority::from_pem(first.certificate_pem(), &second.key_pem()), Err(AuthorityError::NotItsKey)));
    assert!(matches!(
        Authority::from_pem(&issued.certificate_pem, &issued.key_pem),
        Err(AuthorityError::NotAnAuthority)
    ));
    assert!(matches!(
        Identity::from_pem(first.certificate_pem(), &issued.certificate_pem, &other.key_pem),
        Err(IdentityError::KeyMismatch)
    ));
    assert!(matches!(
        Identity::from_pem(second.certificate_pem(), &issued.certificate_pem, &issued.key_pem),
        Err(IdentityError::OtherAuthority { .. })
    ));
    assert!(matches!(
        Identity::from_pem(first.certificate_pem(), first.certificate_pem(), &first.key_pem()),
        Err(IdentityError::Unnamed)
    ));
}

#[tokio::test]
async fn impossible_names_and_validities_are_refused() {
    let authority = authority();
    let issue = |role, name, validity| authority.issue(role, name, validity, NOW).map(drop).unwrap_err();
    assert!(matches!(issue(Role::Storage, "x", DAY), AuthorityError::Name(InvalidName::Node)));
    assert!(matches!(issue(Role::Client, "", DAY), AuthorityError::Name(InvalidName::Client)));
    assert!(matches!(issue(Role::Client, "a", Duration::ZERO), AuthorityError::Validity));
    assert!(matches!(issue(Role::Client, "a", Duration::MAX), AuthorityError::Validity));
    assert!(matches!(issue(Role::Client, "a", 8000 * 366 * DAY), AuthorityError::Validity));
}

proptest! {
    #[test]
    fn any_bytes_are_a_certificate_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = describe(&String::from_utf8_lossy(&bytes));
        let _ = PeerIdentity::of_certificate(&CertificateDer::from(bytes));
    }
}
