//! HT12: the address zoo. Each form beside its harmless twin.

use super::*;

#[test]
fn ht12_hosts() {
    let name = |name: &str| Ok(Host::Name(name.to_owned()));
    let literal = |address: &str| Ok(Host::Literal(address.parse().unwrap()));
    for (text, expected) in [
        ("API.example.com", name("api.example.com")),
        ("api.example.com.", name("api.example.com")),
        ("xn--mnchen-3ya.example", name("xn--mnchen-3ya.example")),
        ("_sip.example", name("_sip.example")),
        ("1.example", name("1.example")),
        ("0x7f.example", name("0x7f.example")),
        ("localhost", name("localhost")),
        ("127.0.0.1", literal("127.0.0.1")),
        ("[::1]", literal("::1")),
        ("[::ffff:127.0.0.1]", literal("::ffff:127.0.0.1")),
        // What resolvers of old take for 127.0.0.1.
        ("2130706433", Err(InvalidHost)),
        ("0x7f000001", Err(InvalidHost)),
        ("0X7F.0.0.1", Err(InvalidHost)),
        ("017700000001", Err(InvalidHost)),
        ("0177.0.0.1", Err(InvalidHost)),
        ("127.1", Err(InvalidHost)),
        ("127.0.0.1.", Err(InvalidHost)),
        ("api.example:443", Err(InvalidHost)),
        ("[::1]:443", Err(InvalidHost)),
        ("127.0.0.0x1", Err(InvalidHost)),
        ("127.0.0.1.2", Err(InvalidHost)),
        ("1.2.3.256", Err(InvalidHost)),
        ("evil.example.0x", Err(InvalidHost)),
        ("::1", Err(InvalidHost)),
        ("[127.0.0.1]", Err(InvalidHost)),
        ("[fe80::1%25eth0]", Err(InvalidHost)),
        ("[::1", Err(InvalidHost)),
        ("", Err(InvalidHost)),
        (".", Err(InvalidHost)),
        ("a..b", Err(InvalidHost)),
        (".example", Err(InvalidHost)),
        ("example..", Err(InvalidHost)),
        ("-a.example", Err(InvalidHost)),
        ("a-.example", Err(InvalidHost)),
        ("user@example", Err(InvalidHost)),
        ("a b.example", Err(InvalidHost)),
        ("a%2eexample", Err(InvalidHost)),
        ("münchen.example", Err(InvalidHost)),
        // Full-width digits, which IDNA would fold to 127.0.0.1.
        ("１２７.0.0.1", Err(InvalidHost)),
        ("127。0。0。1", Err(InvalidHost)),
        ("a\0.example", Err(InvalidHost)),
    ] {
        assert_eq!(text.parse::<Host>(), expected, "{text}");
    }
    assert_eq!("a.".repeat(127).parse::<Host>(), name("a.".repeat(127).get(..253).unwrap()));
    assert_eq!("a.".repeat(128).parse::<Host>(), Err(InvalidHost));
    assert_eq!(format!("{}.example", "a".repeat(64)).parse::<Host>(), Err(InvalidHost));
}

#[test]
fn ht12_addresses() {
    use Special::{Disguised, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Shared, Unspecified};
    for (address, expected) in [
        ("93.184.215.14", None),
        ("9.255.255.255", None),
        ("11.0.0.0", None),
        ("172.15.255.255", None),
        ("172.32.0.0", None),
        ("100.63.255.255", None),
        ("100.128.0.0", None),
        ("192.0.1.1", None),
        ("169.253.255.255", None),
        ("223.255.255.255", None),
        ("0.0.0.0", Some(Unspecified)),
        ("0.1.2.3", Some(Unspecified)),
        ("127.0.0.1", Some(Loopback)),
        ("127.255.255.254", Some(Loopback)),
        ("10.0.0.1", Some(Private)),
        ("172.16.0.1", Some(Private)),
        ("172.31.255.255", Some(Private)),
        ("192.168.1.1", Some(Private)),
        ("169.254.1.1", Some(LinkLocal)),
        ("169.254.169.254", Some(Metadata)),
        ("169.254.170.2", Some(Metadata)),
        ("168.63.129.16", Some(Metadata)),
        ("100.100.100.200", Some(Metadata)),
        ("192.0.0.192", Some(Metadata)),
        ("100.64.0.1", Some(Shared)),
        ("224.0.0.1", Some(Multicast)),
        ("255.255.255.255", Some(Multicast)),
        ("192.0.2.1", Some(Reserved)),
        ("198.18.0.1", Some(Reserved)),
        ("198.19.255.255", Some(Reserved)),
        ("198.51.100.1", Some(Reserved)),
        ("203.0.113.1", Some(Reserved)),
        ("192.88.99.1", Some(Reserved)),
        ("240.0.0.1", Some(Reserved)),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", None),
        ("2001:4860:4860::8888", None),
        ("::ffff:93.184.215.14", None),
        ("64:ff9b::5db8:d70e", None),
        ("::", Some(Unspecified)),
        ("::1", Some(Loopback)),
        ("::ffff:127.0.0.1", Some(Loopback)),
        ("::ffff:169.254.169.254", Some(Metadata)),
        ("::ffff:10.0.0.1", Some(Private)),
        ("::127.0.0.1", Some(Disguised)),
        ("::93.184.215.14", Some(Disguised)),
        ("::ffff:0:127.0.0.1", Some(Disguised)),
        ("64:ff9b::7f00:1", Some(Loopback)),
        ("64:ff9b::a9fe:a9fe", Some(Metadata)),
        ("64:ff9b:1::7f00:1", Some(Disguised)),
        ("2002:7f00:1::", Some(Disguised)),
        ("2002:5db8:d70e::1", Some(Disguised)),
        ("2001::1", Some(Disguised)),
        ("2606:4700::5efe:a00:1", Some(Disguised)),
        ("2606:4700::200:5efe:a00:1", Some(Disguised)),
        ("fe80::1", Some(LinkLocal)),
        ("febf::1", Some(LinkLocal)),
        ("fec0::1", Some(Private)),
        ("fc00::1", Some(Private)),
        ("fdff::1", Some(Private)),
        ("fd00:ec2::254", Some(Metadata)),
        ("fd20:ce::254", Some(Metadata)),
        ("ff02::1", Some(Multicast)),
        ("2001:db8::1", Some(Reserved)),
        ("2001:2::1", Some(Reserved)),
        ("2001:20::1", Some(Reserved)),
        ("3fff::1", Some(Reserved)),
        ("100::1", Some(Reserved)),
        ("4000::1", Some(Reserved)),
        ("5f00::1", Some(Reserved)),
    ] {
        assert_eq!(special(address.parse().unwrap()), expected, "{address}");
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn ht12_what_is_dialled() {
    let hosts = HashMap::from([("Chosen.example".to_owned(), vec!["127.0.0.1".parse().unwrap()])]);
    for (allowed, host, expected) in [
        (&[][..], "localhost", Err(ReachError::Forbidden(Special::Loopback))),
        (&["127.0.0.0/8", "::1/128"], "localhost", Ok(())),
        (&[], "127.0.0.1", Err(ReachError::Literal)),
        (&["127.0.0.0/8"], "127.0.0.1", Ok(())),
        (&["127.0.0.0/8"], "[::ffff:127.0.0.1]", Err(ReachError::Literal)),
        (&[], "93.184.215.14", Err(ReachError::Literal)),
        (&["93.184.215.0/24"], "93.184.215.14", Ok(())),
        (&[], "[2001:4860:4860::8888]", Err(ReachError::Literal)),
        (&["169.254.0.0/16"], "169.254.169.254", Err(ReachError::Literal)),
        (&["0.0.0.0/0"], "169.254.169.254", Err(ReachError::Literal)),
        (&["169.254.169.254/32"], "169.254.169.254", Ok(())),
        (&[], "chosen.example", Ok(())),
        (&[], "CHOSEN.example.", Ok(())),
    ] {
        let reach = Reach::new(nets(allowed), hosts.clone());
        let parsed = host.parse().unwrap();
        let found = reach.resolve(&Dialler::new(), &parsed, 443, Duration::from_secs(5)).await;
        assert_eq!(found.map(|pinned| assert!(!pinned.addresses().is_empty())), expected, "{host} with {allowed:?}");
    }
}

#[test]
fn ht12_one_bad_address_spoils_a_name() {
    let reach = Reach::new(nets(&["10.1.0.0/16"]), HashMap::new());
    for (address, expected) in [
        ("93.184.215.14", Ok(Checked::Public)),
        ("10.1.2.3", Ok(Checked::ByName)),
        ("10.2.0.1", Err(Special::Private)),
        ("::ffff:10.1.2.3", Err(Special::Private)),
    ] {
        assert_eq!(reach.check(address.parse().unwrap()), expected, "{address}");
    }
}
