//! What a bundle's document may say, and what makes it worthless.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::*;
use crate::login::scripted::IssuerKey;

fn certificate(is_ca: bool, usages: &[KeyUsagePurpose]) -> String {
    let mut params = CertificateParams::default();
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.key_usages = usages.to_vec();
    STANDARD.encode(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
}

fn for_x509(certificates: &[String]) -> Value {
    json!({"kty": "EC", "use": "x509-svid", "x5c": certificates})
}

fn for_jwt(kid: &str) -> Value {
    let mut jwk = IssuerKey::ec().jwk(kid);
    jwk["use"] = json!("jwt-svid");
    jwk
}

#[test]
fn a_bundle_is_read_or_refused_as_a_whole() {
    let good = || certificate(true, &[KeyUsagePurpose::KeyCertSign]);
    let leaf = certificate(false, &[KeyUsagePurpose::DigitalSignature]);
    let odd = certificate(true, &[KeyUsagePurpose::DigitalSignature]);
    for (keys, expected) in [
        (vec![for_x509(&[good()]), for_jwt("k")], Ok((1, 1))),
        (vec![for_x509(&[good()]), for_x509(&[good()])], Ok((2, 0))),
        // Only the first of an `x5c` counts, and uses that are not known are passed over.
        (vec![for_x509(&[good(), leaf.clone()])], Ok((1, 0))),
        (vec![json!({"use": "other", "x5c": ["!"]}), json!({"kty": "EC"})], Ok((0, 0))),
        (vec![], Ok((0, 0))),
        (vec![for_x509(&[])], Err(KeysError::NotAuthority)),
        (vec![for_x509(&[leaf])], Err(KeysError::NotAuthority)),
        (vec![for_x509(&[odd])], Err(KeysError::NotAuthority)),
        (vec![for_x509(&["AAAA".to_owned()])], Err(KeysError::NotAuthority)),
        (vec![for_x509(&["not base64!".to_owned()])], Err(KeysError::NotAuthority)),
        (vec![json!(7)], Err(KeysError::NotKeys)),
    ] {
        let text = json!({"keys": keys, "spiffe_sequence": 7, "spiffe_refresh_hint": 60}).to_string();
        let found = Bundle::read(text.as_bytes()).map(|bundle| {
            assert_eq!((bundle.sequence, bundle.refresh_hint), (Some(7), Some(Duration::from_secs(60))));
            (bundle.authorities.count(), bundle.keys.len())
        });
        assert_eq!(found, expected, "{text}");
    }
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[],\"keys\":[]}"] {
        assert_eq!(Bundle::read(text.as_bytes()).err(), Some(KeysError::NotKeys), "{text}");
    }
    let many = json!({"keys": vec![json!({}); MOST_KEYS + 1]}).to_string();
    assert_eq!(Bundle::read(many.as_bytes()).err(), Some(KeysError::TooMany));
    let odd = json!({"keys": [], "spiffe_sequence": -1, "spiffe_refresh_hint": "x"}).to_string();
    let odd = Bundle::read(odd.as_bytes()).unwrap();
    assert_eq!((odd.sequence, odd.refresh_hint), (None, None));
}
