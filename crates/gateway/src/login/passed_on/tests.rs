//! Certificates that were passed on: nobody's handshake has verified them, so only a configured authority makes them genuine. The
//! scripted clock stands at 2027-01-15.

use kernel::ports::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::*;
use crate::login::scripted::ScriptedClock;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::DnsName("job.example".try_into().unwrap())];
    params
}

#[test]
fn only_a_configured_authority_makes_them_genuine() {
    let (ours, stranger) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let signed = |by: &Authority, until: i32| leaf(until).signed_by(&key, by).unwrap().der().clone();
    let of_itself = leaf(2028).self_signed(&key).unwrap().der().clone();
    let clock = ScriptedClock::new();
    let domains = TrustDomains::none(Arc::clone(&clock) as Arc<dyn Clock>);
    let configured = Authorities::of(vec![ours.der().clone()]).unwrap();
    let none = Authorities::of(Vec::new()).unwrap();
    for (what, chain, verified, authorities, genuine) in [
        ("ours", vec![signed(&ours, 2028)], Verified::ByNobody, &configured, true),
        ("a stranger's", vec![signed(&stranger, 2028)], Verified::ByNobody, &configured, false),
        (
            "a stranger's beside ours",
            vec![signed(&stranger, 2028), ours.der().clone()],
            Verified::ByNobody,
            &configured,
            false,
        ),
        ("its own", vec![of_itself.clone()], Verified::ByNobody, &configured, false),
        ("over", vec![signed(&ours, 2027)], Verified::ByNobody, &configured, false),
        ("no authority", vec![signed(&ours, 2028)], Verified::ByNobody, &none, false),
        ("none", Vec::new(), Verified::ByNobody, &configured, false),
        ("not one", vec![CertificateDer::from(vec![1, 2, 3])], Verified::ByNobody, &configured, false),
        // Our own handshake has verified it by the listener's authorities.
        ("a handshake's", vec![signed(&stranger, 2028)], Verified::ByHandshake, &none, true),
    ] {
        let source = std::net::Ipv4Addr::LOCALHOST.into();
        let passed = PassedOn { token: None, certificates: &chain, verified, source, costs: true };
        assert_eq!(is_genuine(&domains, authorities, &passed, clock.now()), genuine, "{what}");
    }
}
