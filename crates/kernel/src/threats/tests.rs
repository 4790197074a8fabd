//! Threat lists: forms, sets, ages.

use super::*;

fn time(text: &str) -> Option<Timestamp> {
    (text == "2026-11-22T00:00:00Z").then_some(Timestamp::from_millis(1_795_305_600_000))
}

fn parsed(text: &str, format: &Format) -> Result<Lines, ListError> {
    read(text.as_bytes(), format, 10, time)
}

fn networks(text: &str, format: &Format) -> usize {
    parsed(text, format).unwrap().networks.len()
}

#[test]
fn networks_are_read_strictly() {
    let v4 = |first: u32, last: u32| Ok(Network::V4 { first, last });
    for (text, expected) in [
        ("192.0.2.1", v4(0xc000_0201, 0xc000_0201)),
        ("192.0.2.77/24", v4(0xc000_0200, 0xc000_02ff)),
        ("192.0.2.1-192.0.2.9", v4(0xc000_0201, 0xc000_0209)),
        ("::ffff:192.0.2.1", v4(0xc000_0201, 0xc000_0201)),
        ("::ffff:192.0.2.0/120", v4(0xc000_0200, 0xc000_02ff)),
        ("0.0.0.0/1", v4(0, 0x7fff_ffff)),
        ("2001:db8::/127", Ok(Network::V6 { first: 0x2001_0db8 << 96, last: (0x2001_0db8 << 96) | 1 })),
        ("0.0.0.0/0", Err(InvalidNetwork::Everything)),
        ("::/0", Err(InvalidNetwork::Everything)),
        ("0.0.0.0-255.255.255.255", Err(InvalidNetwork::Everything)),
        ("192.0.2.1/33", Err(InvalidNetwork::Unreadable)),
        ("192.0.2.1/+8", Err(InvalidNetwork::Unreadable)),
        ("192.0.2.9-192.0.2.1", Err(InvalidNetwork::Unreadable)),
        ("192.0.2.1-::1", Err(InvalidNetwork::Unreadable)),
        ("192.0.2", Err(InvalidNetwork::Unreadable)),
        ("192.0.02.1", Err(InvalidNetwork::Unreadable)),
        ("example.com", Err(InvalidNetwork::Unreadable)),
        ("", Err(InvalidNetwork::Unreadable)),
    ] {
        assert_eq!(text.parse::<Network>(), expected, "{text}");
    }
}

#[test]
fn an_address_is_in_the_set_or_not() {
    let texts =
        ["10.0.0.0/8", "192.0.2.1", "192.0.2.2", "192.0.2.4-192.0.2.9", "255.255.255.255", "2001:db8::/32", "::1"];
    let set = AddressSet::new(texts.iter().map(|text| text.parse().unwrap()));
    // 192.0.2.1 and .2 touch.
    assert_eq!(set.ranges(), 6);
    for (address, expected) in [
        ("10.0.0.0", true),
        ("10.255.255.255", true),
        ("11.0.0.0", false),
        ("9.255.255.255", false),
        ("192.0.2.0", false),
        ("192.0.2.2", true),
        ("192.0.2.3", false),
        ("192.0.2.9", true),
        ("255.255.255.255", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8:ffff::1", true),
        ("2001:db9::", false),
        ("::1", true),
        ("::", false),
    ] {
        assert_eq!(set.contains(address.parse().unwrap()), expected, "{address}");
    }
    assert!(!AddressSet::default().contains("10.0.0.1".parse().unwrap()));
}

#[test]
fn the_guide_agrees_with_a_walk() {
    let networks: Vec<Network> =
        (0..300u32).map(|i| Network::V4 { first: i * 7919, last: i * 7919 + i % 50 }).collect();
    let set = AddressSet::new(networks.iter().copied());
    for key in (0..300 * 7919).step_by(101) {
        let walked =
            networks.iter().any(|one| matches!(one, Network::V4 { first, last } if (*first..=*last).contains(&key)));
        assert_eq!(set.contains(std::net::Ipv4Addr::from_bits(key).into()), walked, "{key}");
    }
}

#[test]
fn every_form_is_read_or_refused_as_a_whole() {
    let csv = |column: Option<&str>| Format::Csv { column: column.map(str::to_owned) };
    assert_eq!(networks("# heading\n192.0.2.1\n\n 10.0.0.0/8 ; a note\n::1 # me\n", &Format::Lines), 3);
    assert_eq!(networks("192.0.2.1,x\n192.0.2.2,\"a,b\"\n", &csv(None)), 2);
    assert_eq!(networks("why,ip\n\"bad, really\",192.0.2.1\n", &csv(Some("ip"))), 1);
    let line = |line| ListError::Line { line, why: InvalidNetwork::Unreadable };
    for (text, format, expected) in [
        ("192.0.2.1\n<html>\n", Format::Lines, line(2)),
        ("", Format::Lines, ListError::Empty),
        ("# nothing\n", Format::Lines, ListError::Empty),
        ("ip\n192.0.2.1\n", csv(None), line(1)),
        ("why,ip\nx\n", csv(Some("ip")), line(2)),
        ("a,b\n", csv(Some("ip")), ListError::NoColumn("ip".to_owned())),
        ("\"192.0.2.1\n", csv(None), ListError::Quote(1)),
        ("[]", Format::Stix, ListError::NotStix),
        ("{\"type\":\"bundle\",\"objects\":[]}", Format::Stix, ListError::Empty),
    ] {
        assert_eq!(parsed(text, &format), Err(expected), "{text}");
    }
    assert_eq!(read(&[0xff], &Format::Lines, 10, time), Err(ListError::NotText));
    let many = "192.0.2.1\n".repeat(11);
    assert_eq!(parsed(&many, &Format::Lines), Err(ListError::TooMany(10)));
}

fn bundle(objects: &str) -> String {
    format!("{{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{objects}]}}")
}

fn indicator(pattern: &str, more: &str) -> String {
    format!("{{\"type\":\"indicator\",\"pattern_type\":\"stix\",\"pattern\":\"{pattern}\"{more}}}")
}

#[test]
fn indicators_of_stix_are_addresses_with_ends() {
    let text = bundle(
        &[
            indicator("[ipv4-addr:value = '198.51.100.1']", ""),
            indicator("[ipv4-addr:value ISSUBSET '203.0.113.0/24'] OR [ipv6-addr:value = '2001:db8::1']", ""),
            indicator("[ipv4-addr:value IN ('192.0.2.1', '192.0.2.2')]", ",\"valid_until\":\"2026-11-22T00:00:00Z\""),
            indicator("[domain-name:value = 'bad.example']", ""),
            indicator("[ipv4-addr:value = '192.0.2.99']", ",\"revoked\":true"),
            "{\"type\":\"malware\"}".to_owned(),
        ]
        .join(","),
    );
    let lines = parsed(&text, &Format::Stix).unwrap();
    assert_eq!((lines.networks.len(), lines.passed_over, lines.has_ends()), (5, 1, true));
    let until = Timestamp::from_millis(1_795_305_600_000);
    let count = |now| (lines.at(now).0.count(), lines.at(now).1);
    assert_eq!(count(Timestamp::from_millis(0)), (5, Some(until)));
    assert_eq!(count(until), (3, None));
    for pattern in [
        "[ipv4-addr:value = '192.0.2.1' AND network-traffic:dst_port = 443]",
        "[ipv4-addr:value != '192.0.2.1']",
        "[ipv4-addr:value = '192.0.2.1'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.2']",
        "[NOT ipv4-addr:value = '192.0.2.1']",
        "[ipv4-addr:value LIKE '192.%']",
    ] {
        let refused = parsed(&bundle(&indicator(pattern, "")), &Format::Stix);
        assert!(matches!(refused, Err(ListError::Indicator { number: 1, .. })), "{pattern}: {refused:?}");
    }
}

#[test]
fn a_list_that_is_too_old_still_names_and_says_so() {
    let list = |name: &str, networks: &str, max_age| ThreatList {
        name: name.parse().unwrap(),
        source: "a file".into(),
        addresses: Arc::new(AddressSet::new([networks.parse().unwrap()])),
        networks: 1,
        passed_over: 0,
        as_of: Timestamp::from_millis(0),
        max_age: Duration::from_secs(max_age),
        failed: None,
    };
    let lists = vec![list("tor", "192.0.2.0/24", 10), list("own", "192.0.2.7", 100)];
    let names = |names: &Names| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let threats = Threats::new(lists, Timestamp::from_millis(10_000));
    assert_eq!(names(&threats.naming("192.0.2.7".parse().unwrap())), ["own", "tor"]);
    assert_eq!(names(&threats.naming("192.0.2.8".parse().unwrap())), ["tor"]);
    assert!(threats.naming("192.0.3.1".parse().unwrap()).is_empty());
    assert_eq!(names(threats.stale()), ["tor"]);
}
