//! Certificates made by rcgen: which names they prove, and which are refused.

use kernel::trust::Evidence;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd};

use super::*;

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(2030, 1, 2);
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[test]
fn names() {
    let address = || SanType::IpAddress([127, 0, 0, 1].into());
    for (names, expected) in [
        (vec![dns("orders.internal")], Ok(vec![("san:dns", "orders.internal")])),
        (
            vec![uri("spiffe://acme/orders"), dns("orders"), email("ci@acme.example"), address()],
            Ok(vec![("san:dns", "orders"), ("san:email", "ci@acme.example"), ("san:uri", "spiffe://acme/orders")]),
        ),
        (vec![dns("one"), dns("two")], Err(CertificateRefusal::Ambiguous("san:dns"))),
        (vec![dns("one"), dns("one")], Err(CertificateRefusal::Ambiguous("san:dns"))),
        (vec![uri("spiffe://a/b"), uri("spiffe://a/c")], Err(CertificateRefusal::Ambiguous("san:uri"))),
        (vec![email("a@b"), email("c@d")], Err(CertificateRefusal::Ambiguous("san:email"))),
        (vec![dns("orders\0.evil")], Err(CertificateRefusal::BadName("san:dns"))),
        (vec![dns("orders evil")], Err(CertificateRefusal::BadName("san:dns"))),
        (vec![dns("")], Err(CertificateRefusal::BadName("san:dns"))),
        (vec![uri(&"x".repeat(2049))], Err(CertificateRefusal::BadName("san:uri"))),
        (vec![address()], Err(CertificateRefusal::NoName)),
        (vec![], Err(CertificateRefusal::NoName)),
    ] {
        let attested = attest(&[certificate(|params| params.subject_alt_names.clone_from(&names))]);
        let found = attested.as_ref().map_err(CertificateRefusal::clone).map(|attestation| {
            let claims = attestation.claims().iter();
            claims.map(|(kind, name)| (kind.as_str(), name.as_str())).collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{names:?}");
    }
}

#[test]
fn evidence_and_end() {
    let leaf = certificate(|params| params.subject_alt_names = vec![dns("orders")]);
    let authority = certificate(|params| params.subject_alt_names = vec![dns("authority")]);
    // Only the first certificate of the chain is the holder's.
    let attestation = attest(&[leaf.clone(), authority]).unwrap();
    assert_eq!(attestation.claims().get("san:dns").map(String::as_str), Some("orders"));
    let Evidence::ClientCertificate { fingerprint } = attestation.evidence() else { panic!("another proof") };
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(**fingerprint, *super::fingerprint(&leaf));
    // 2030-01-02T00:00:00Z
    #[expect(clippy::disallowed_methods, reason = "compared with what the login made")]
    let expected = VerifiedAttestation::by_client_certificate(
        fingerprint,
        attestation.claims().clone(),
        Timestamp::from_secs(1_893_542_400),
    );
    // rcgen's default: 1975-01-01T00:00:00Z
    let expected = expected.issued_at(Timestamp::from_secs(157_766_400));
    assert_eq!(attestation, expected);
    // The known answer of SHA-256 for an empty input.
    let empty = super::fingerprint(&CertificateDer::from(Vec::new()));
    assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn authorities_and_garbage() {
    let with_name = |params: &mut CertificateParams| params.subject_alt_names = vec![dns("orders")];
    let constrained = certificate(|params| {
        with_name(params);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let signing = certificate(|params| {
        with_name(params);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    });
    let revoking = certificate(|params| {
        with_name(params);
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
    });
    let plain = certificate(|params| {
        with_name(params);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let trailing = CertificateDer::from([plain.as_ref(), b"x"].concat());
    for (chain, expected) in [
        (vec![plain], None),
        (vec![], Some(CertificateRefusal::Absent)),
        (vec![constrained], Some(CertificateRefusal::Authority)),
        (vec![signing], Some(CertificateRefusal::Authority)),
        (vec![revoking], Some(CertificateRefusal::Authority)),
        (vec![trailing], Some(CertificateRefusal::Malformed)),
        (vec![CertificateDer::from(b"garbage".to_vec())], Some(CertificateRefusal::Malformed)),
    ] {
        assert_eq!(attest(&chain).err(), expected);
    }
}
