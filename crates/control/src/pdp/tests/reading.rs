//! Ids of resources, and certificates in headers: each read in one way, or not at all.

use super::forwarded::client_certificates;
use super::vocabulary::names;
use super::*;

#[test]
fn ids_of_resources_are_read_as_they_are_written() {
    for (kind, id, expected) in [
        (ResourceKind::Upstream, "shop-db", Some("shop-db")),
        (ResourceKind::Upstream, "shop-db/shop", None),
        (ResourceKind::Table, "shop-db/shop.public.orders", Some("shop-db|shop|public|orders")),
        (ResourceKind::Table, "shop-db/shop.public.\"odd.name\"", Some("shop-db|shop|public|odd.name")),
        (ResourceKind::Table, "shop-db/shop.public.\"a\"\"b\"", Some("shop-db|shop|public|a\"b")),
        (ResourceKind::Table, "shop-db/shop.public", None),
        (ResourceKind::Table, "shop-db/shop.public.orders.id", None),
        (ResourceKind::Table, "shop-db/shop..orders", None),
        (ResourceKind::Table, "shop-db/shop.public.\"orders", None),
        (ResourceKind::Table, "shop-db/shop.public.\"orders\"x", None),
        (ResourceKind::Table, "shop-db/shop.public.or/ders", None),
        (ResourceKind::Table, "shop-db", None),
        (ResourceKind::Table, "not a name/shop.public.orders", None),
        (ResourceKind::Endpoint, "api/v1/things/{id}", Some("api|/v1/things/{id}")),
        (ResourceKind::Field, "api/v1/things/{id} $.email", Some("api|/v1/things/{id}|$.email")),
        (ResourceKind::Host, "internet/api.example.com:443", Some("internet|api.example.com:443")),
        (ResourceKind::Secret, "vault/kv/app/db", Some("vault|kv|app/db")),
        (ResourceKind::Secret, "vault/kv", None),
    ] {
        let read = names(kind, id);
        let said = read.as_ref().map(|(upstream, path)| {
            std::iter::once(upstream.as_str()).chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join("|")
        });
        assert_eq!(said.as_deref(), expected, "{id}");
        // What is read is written so.
        if let Some((upstream, path)) = read {
            assert_eq!(kernel::policy::resource_id(&Resource::new(kind, &upstream, path)), id);
        }
    }
}

#[test]
fn certificates_in_headers_are_one_chain_or_none() {
    let pem =
        |text: &str| format!("-----BEGIN CERTIFICATE-----%0A{text}%0A-----END CERTIFICATE-----%0A").replace(' ', "%20");
    let (one, other) = (pem("b25l"), pem("b3RoZXI="));
    for (header, expected) in [
        (format!("Cert=\"{one}\""), Some(vec!["one"])),
        (format!("Hash=00;Cert=\"{one}\";Subject=\"CN=a\\\",b;c\""), Some(vec!["one"])),
        (format!("Cert=\"{one}\";Chain=\"{one}{other}\""), Some(vec!["one", "other"])),
        (format!("Cert=\"{one}\";Cert=\"{other}\""), None),
        (format!("Cert=\"{one}\",Cert=\"{other}\""), None),
        (format!("Cert=\"{one}"), None),
        ("Cert=\"\"".to_owned(), None),
        ("URI=spiffe://a/b".to_owned(), None),
        ("Cert=\"%zz\"".to_owned(), None),
        (String::new(), None),
    ] {
        let expected = expected.map(|all| all.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(client_certificates(&header), expected, "{header}");
    }
}
