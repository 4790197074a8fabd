//! Every mask of every type, in both formats: what a column's value becomes.
#![expect(clippy::string_slice, reason = "tests know their texts")]

use kernel::verdict::Mask;
use proptest::prelude::*;

use super::super::kind::{Kind, Type, type_of};
use super::super::rows::write_value;
use super::super::value::Value;
use super::super::{MaskKey, key::DIGITS};

const MASKS: [Mask; 6] = [Mask::Null, Mask::Redact, Mask::Hash, Mask::Token, Mask::Last4, Mask::Partial];

fn key() -> MaskKey {
    MaskKey::new(&[7; 32])
}

fn apply(mask: Mask, oid: u32, modifier: i32, binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    let Type { kind, array } = type_of(oid, modifier);
    let mut out = b"before".to_vec();
    let written = write_value(Value { mask, value, binary, key: &key() }, kind, array, &mut out);
    assert!(out.starts_with(b"before") && (written || out.len() == 6), "{mask:?} {oid}");
    written.then(|| out.split_off(6))
}

fn text(mask: Mask, oid: u32, value: &str) -> Option<String> {
    apply(mask, oid, -1, false, value.as_bytes()).map(|out| String::from_utf8(out).unwrap())
}

/// `redact`, `last4` and `partial` of each type; `-` is NULL.
#[test]
fn masks_that_show_or_redact() {
    for (oid, value, redact, last4, partial) in [
        (25, "123-45-6789", "[redacted]", "*******6789", "1***"),
        (1043, "1234567", "[redacted]", "*******", "1***"),
        (1042, "äöüßäöüß  ", "[redacted]", "****äöüß", "ä***"),
        (25, "", "[redacted]", "", "***"),
        (25, "marie@example.com", "[redacted]", "*************.com", "m***@e***.com"),
        (25, "ma@ex.org", "[redacted]", "*****.org", "***@***.org"),
        (25, "marie@localhost", "[redacted]", "***********host", "m***@l***"),
        (25, "a@b@c.de", "[redacted]", "****c.de", "a***"),
        (25, "ab", "[redacted]", "**", "***"),
        (19, "table_name", "[redacted]", "******name", "t***"),
        (21, "12345", "0", "0", "10000"),
        (23, "-45300", "0", "0", "-40000"),
        (23, "1234567890", "0", "7890", "1000000000"),
        (23, "99", "0", "0", "0"),
        (20, "-9223372036854775808", "0", "5808", "-9000000000000000000"),
        (700, "453.5", "0", "-", "4e+2"),
        (701, "-1.5e+300", "0", "-", "-1e+300"),
        (701, "0.004", "0", "-", "0"),
        (701, "NaN", "-", "-", "-"),
        (701, "-Infinity", "-", "-", "-"),
        (1700, "12345.67", "0.00", "0.00", "10000.00"),
        (1700, "-123456.78", "0.00", "56.78", "-100000.00"),
        (1700, "99.5", "0.0", "0.0", "0.0"),
        (1700, "NaN", "-", "-", "-"),
        (16, "t", "f", "-", "-"),
        (1082, "2026-11-21", "1970-01-01", "-", "2026-01-01"),
        (1082, "infinity", "-", "-", "-"),
        (1082, "0044-03-15 BC", "-", "-", "-"),
        (1082, "21.11.2026", "-", "-", "-"),
        (1083, "23:59:59.123456", "00:00:00", "-", "23:00:00"),
        (1114, "2026-11-21 07:05:41.5", "1970-01-01 00:00:00", "-", "2026-01-01 00:00:00"),
        (1184, "2026-01-01 00:30:00+02", "1970-01-01 00:00:00+00", "-", "2025-01-01 00:00:00+00"),
        (1184, "2026-06-01 00:30:00.25-03:30", "1970-01-01 00:00:00+00", "-", "2026-01-01 00:00:00+00"),
        (1186, "1 year 2 mons", "00:00:00", "-", "-"),
        (
            2950,
            "123e4567-e89b-42d3-a456-426614174000",
            "00000000-0000-0000-0000-000000000000",
            "00000000-0000-0000-0000-000000004000",
            "10000000-0000-0000-0000-000000000000",
        ),
        (114, "{\"a\": 1}", "\"[redacted]\"", "\"[redacted]\"", "\"[redacted]\""),
        (3802, "{\"a\": 1}", "\"[redacted]\"", "\"[redacted]\"", "\"[redacted]\""),
        (17, "\\x0102030405060708", "\\x5b72656461637465645d", "\\x0000000005060708", "\\x01000000"),
        (17, "\\xff", "\\x5b72656461637465645d", "\\x00", "\\x000000"),
        (17, "\\001\\002", "-", "-", "-"),
        (869, "192.168.1.5/24", "0.0.0.0", "-", "192.0.0.0"),
        (869, "2001:db8::1", "::", "-", "2001::"),
        (650, "10.20.0.0/16", "0.0.0.0/32", "-", "10.0.0.0/8"),
        (829, "08:00:2b:01:02:03", "00:00:00:00:00:00", "-", "08:00:00:00:00:00"),
        (3908, "[\"2026-01-01 00:00:00\",)", "empty", "-", "-"),
        (4451, "{[1,3)}", "{}", "-", "-"),
        // An enum, a composite, xml, bits, a text search vector, money.
        (99_999, "secret", "-", "-", "-"),
        (142, "<a/>", "-", "-", "-"),
        (1560, "101", "-", "-", "-"),
        (3614, "'a'", "-", "-", "-"),
        (790, "$1.00", "-", "-", "-"),
        (1009, "{\"a,b c d e f g\",NULL,\"NULL\",\"\"}", "{[redacted],NULL,[redacted],[redacted]}", "-", "-"),
        (1007, "[0:1]={123,7}", "[0:1]={0,0}", "[0:1]={0,0}", "[0:1]={100,0}"),
        (1182, "{{2026-11-21},{infinity}}", "{{1970-01-01},{NULL}}", "{{NULL},{NULL}}", "{{2026-01-01},{NULL}}"),
        (
            3807,
            "{\"{\\\"a\\\": 1}\"}",
            "{\"\\\"[redacted]\\\"\"}",
            "{\"\\\"[redacted]\\\"\"}",
            "{\"\\\"[redacted]\\\"\"}",
        ),
        (1009, "{}", "{}", "{}", "{}"),
        (1009, "{broken", "-", "-", "-"),
    ] {
        let expected = |text: &str| (text != "-").then(|| text.to_owned());
        assert_eq!(text(Mask::Redact, oid, value), expected(redact), "redact {oid} {value}");
        if !(oid == 1009 && last4 == "-" && value.contains("NULL")) {
            assert_eq!(text(Mask::Last4, oid, value), expected(last4), "last4 {oid} {value}");
            assert_eq!(text(Mask::Partial, oid, value), expected(partial), "partial {oid} {value}");
        }
        assert_eq!(text(Mask::Null, oid, value), None, "null {oid} {value}");
    }
}

#[test]
fn hashes_are_keyed_join_and_stay_in_range() {
    for (oid, value, other) in [
        (25, "123-45-6789", "123-45-6780"),
        (21, "7", "8"),
        (23, "7", "8"),
        (20, "7", "8"),
        (700, "1.5", "1.25"),
        (701, "1.5", "1.25"),
        (1700, "1.50", "1.25"),
        (1082, "2026-11-21", "2026-11-22"),
        (1083, "10:00:00", "11:00:00"),
        (1114, "2026-11-21 00:00:00", "2026-11-22 00:00:00"),
        (1184, "2026-11-21 00:00:00+00", "2026-11-22 00:00:00+00"),
        (2950, "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-42d3-a456-426614174001"),
        (3802, "{\"a\": 1}", "{\"a\": 2}"),
        (17, "\\x01", "\\x02"),
        (869, "192.168.1.5", "192.168.1.6"),
        (869, "2001:db8::1", "2001:db8::2"),
        (829, "08:00:2b:01:02:03", "08:00:2b:01:02:04"),
        (1009, "{a,b}", "{a,c}"),
    ] {
        let hash = text(Mask::Hash, oid, value).unwrap();
        assert_eq!(text(Mask::Hash, oid, value), Some(hash.clone()), "{oid}");
        assert_ne!(text(Mask::Hash, oid, other), Some(hash.clone()), "{oid}");
        let Type { kind, array } = type_of(oid, -1);
        let mut foreign = Vec::new();
        let other = MaskKey::new(&[8; 32]);
        let of = Value { mask: Mask::Hash, value: value.as_bytes(), binary: false, key: &other };
        write_value(of, kind, array, &mut foreign);
        assert_ne!(foreign, hash.into_bytes(), "{oid}: another upstream has other hashes");
    }
    let digits = text(Mask::Hash, 25, "x").unwrap();
    assert!(digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digits}");
    // Filling up is no part of the value, and neither are zeros behind.
    assert_eq!(text(Mask::Hash, 1042, "x   "), Some(digits));
    let (one, padded) = (text(Mask::Hash, 1700, "1.5").unwrap(), text(Mask::Hash, 1700, "1.500").unwrap());
    assert_eq!(one.split_once('.').unwrap().0, padded.split_once('.').unwrap().0);
    assert!(text(Mask::Hash, 21, "-1").unwrap().parse::<i16>().unwrap() >= 0);
    for value in ["1", "-1", "2147483647"] {
        assert!(text(Mask::Hash, 23, value).unwrap().parse::<i32>().unwrap() >= 0);
    }
    for (value, offset) in [("2026-11-21 01:00:00+01", 1), ("2026-11-20 23:00:00-01", -1)] {
        assert_eq!(text(Mask::Hash, 1184, value), text(Mask::Hash, 1184, "2026-11-21 00:00:00+00"), "{offset}");
    }
    let address = text(Mask::Hash, 869, "192.168.1.5").unwrap();
    assert!(address.starts_with("10."), "{address}");
    let uuid = text(Mask::Hash, 2950, "123e4567-e89b-42d3-a456-426614174000").unwrap();
    assert!(uuid.as_bytes()[14] == b'8' && matches!(uuid.as_bytes()[19], b'8'..=b'b'), "{uuid}");
}

#[test]
fn tokens_keep_the_form() {
    for (oid, value) in [
        (25, "4111 1111 1111 1111"),
        (25, "marie.curie@example.com"),
        (25, "DE89 3704 0044 0532 0130 00"),
        (25, "123-45-6789"),
        (
            25,
            "A note of many words, which has more letters than FF1 takes at once: 12345678901234567890, and Then Some More.",
        ),
        (23, "-1234567"),
        (23, "2147483647"),
        (20, "9223372036854775807"),
        (1700, "12345.67"),
        (1700, "-0.123456"),
        (2950, "123e4567-e89b-42d3-a456-426614174000"),
    ] {
        let token = text(Mask::Token, oid, value).unwrap();
        let class = |byte: u8| match byte {
            b'0'..=b'9' => b'0',
            b'a'..=b'z' => b'a',
            b'A'..=b'Z' => b'A',
            other => other,
        };
        let form = |text: &str| text.bytes().map(class).collect::<Vec<u8>>();
        if oid == 2950 {
            assert_eq!((&token[14..15], &token[19..20], token.len()), ("4", "a", 36), "{token}");
        } else {
            assert_eq!(form(&token), form(value), "{value} {token}");
        }
        assert_ne!(token, value);
        assert_eq!(text(Mask::Token, oid, value), Some(token), "the same for the same");
    }
    // Fewer than a million values of that form, or letters that the alphabets do not have: a hash.
    for value in ["12345", "ab", "Ärger im Büro", "", "---", "A1234"] {
        let token = text(Mask::Token, 25, value).unwrap();
        assert!(token.starts_with("tok_") && token.len() == 4 + DIGITS, "{value} {token}");
    }
    assert_eq!(text(Mask::Token, 23, "12345"), text(Mask::Hash, 23, "12345"));
}

#[test]
fn declared_lengths_and_scales_are_kept() {
    for mask in [Mask::Redact, Mask::Hash, Mask::Token, Mask::Last4, Mask::Partial] {
        for limit in 1..30 {
            let cut = apply(mask, 1043, limit + 4, false, "1ä".as_bytes()).unwrap();
            assert!(String::from_utf8(cut).unwrap().chars().count() <= limit as usize, "{mask:?} {limit}");
            let padded = apply(mask, 1042, limit + 4, false, "1ä".as_bytes()).unwrap();
            assert_eq!(String::from_utf8(padded).unwrap().chars().count(), limit as usize, "{mask:?} {limit}");
            let array = apply(mask, 1015, limit + 4, false, b"{abcdefghij}").unwrap();
            let element = String::from_utf8(array).unwrap();
            assert!(element.trim_matches(['{', '}', '"']).chars().count() <= limit as usize, "{element}");
        }
        // numeric(6, 2): never more than four digits before the point.
        let modifier = ((6 << 16) | 2) + 4;
        for value in ["1234.56", "-9999.99", "0.01", "12.00"] {
            let masked = String::from_utf8(apply(mask, 1700, modifier, false, value.as_bytes()).unwrap()).unwrap();
            let (before, after) = masked.trim_start_matches('-').split_once('.').unwrap();
            assert!(before.len() <= 4 && after.len() == 2, "{mask:?} {value} {masked}");
        }
    }
}

/// What `numeric_send` writes for a number; checked against a server by the integration tests.
#[test]
fn numeric_in_binary() {
    for (written, groups) in [
        ("0", &[0_i16, 0, 0, 0][..]),
        ("0.00", &[0, 0, 0, 2]),
        ("12345.67", &[3, 1, 0, 2, 1, 2345, 6700]),
        ("-0.0001", &[1, -1, 0x4000, 4, 1]),
        ("10000", &[1, 1, 0, 0, 1]),
        ("100000000.5", &[4, 2, 0, 1, 1, 0, 0, 5000]),
    ] {
        let binary: Vec<u8> = groups.iter().flat_map(|group| group.to_be_bytes()).collect();
        let decimal = super::super::decimal::Decimal::from_binary(&binary).unwrap();
        let (mut shown, mut again) = (Vec::new(), Vec::new());
        decimal.write_text(&mut shown);
        decimal.write_binary(&mut again);
        assert_eq!(String::from_utf8(shown).unwrap(), written);
        assert_eq!(again, binary, "{written}");
    }
}

/// A value in both formats.
fn both(kind: u8, number: i64, fraction: u32) -> (u32, String, Vec<u8>) {
    match kind {
        0 => (21, (number as i16).to_string(), (number as i16).to_be_bytes().to_vec()),
        1 => (23, (number as i32).to_string(), (number as i32).to_be_bytes().to_vec()),
        2 => (20, number.to_string(), number.to_be_bytes().to_vec()),
        3 => {
            let float = number as f64 / f64::from(fraction + 1);
            (701, format!("{float:e}"), float.to_be_bytes().to_vec())
        }
        4 => {
            let float = number as f32 / (fraction + 1) as f32;
            (700, format!("{float}"), float.to_be_bytes().to_vec())
        }
        5 => {
            let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
            let shown = format!("{sign}{size}.{fraction:010}");
            let mut binary = Vec::new();
            super::super::decimal::Decimal::from_text(shown.as_bytes()).unwrap().write_binary(&mut binary);
            (1700, shown, binary)
        }
        6 => {
            let uuid = u128::from(number.unsigned_abs()) << 64 | u128::from(fraction);
            let digits = format!("{uuid:032x}");
            let shown = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
            (2950, shown, uuid.to_be_bytes().to_vec())
        }
        7 => {
            let bytes = number.to_be_bytes();
            (17, bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")), bytes.to_vec())
        }
        8 => {
            let octets = fraction.to_be_bytes();
            let [a, b, c, d] = octets;
            (869, format!("{a}.{b}.{c}.{d}"), [&[2, 32, 0, 4][..], &octets].concat())
        }
        9 => (3802, format!("{{\"a\": {number}}}"), format!("\u{1}{{\"a\": {number}}}").into_bytes()),
        _ => (16, if number < 0 { "f" } else { "t" }.to_owned(), vec![u8::from(number >= 0)]),
    }
}

proptest! {
    /// Text and binary are masked alike: masking the text form, and reading the binary form's result, tell the same value.
    #[test]
    fn formats_agree(kind in 0_u8..11, number in any::<i64>(), shift in 0_u32..64, fraction in any::<u32>()) {
        let (oid, shown, binary) = both(kind, number >> shift, fraction);
        for mask in MASKS {
            let from_text = apply(mask, oid, -1, false, shown.as_bytes());
            let from_binary = apply(mask, oid, -1, true, &binary);
            prop_assert_eq!(from_text.is_some(), from_binary.is_some(), "{:?} {}", mask, shown);
            let (Some(from_text), Some(from_binary)) = (from_text, from_binary) else { continue };
            let said = String::from_utf8(from_text).unwrap();
            let read = match oid {
                21 => i16::from_be_bytes(from_binary.try_into().unwrap()).to_string(),
                23 => i32::from_be_bytes(from_binary.try_into().unwrap()).to_string(),
                20 => i64::from_be_bytes(from_binary.try_into().unwrap()).to_string(),
                700 => {
                    let float = f32::from_be_bytes(from_binary.try_into().unwrap());
                    prop_assert_eq!(said.parse::<f32>().unwrap(), float);
                    continue;
                }
                701 => {
                    let float = f64::from_be_bytes(from_binary.try_into().unwrap());
                    prop_assert_eq!(said.parse::<f64>().unwrap(), float);
                    continue;
                }
                1700 => {
                    let mut shown = Vec::new();
                    super::super::decimal::Decimal::from_binary(&from_binary).unwrap().write_text(&mut shown);
                    // A negative zero is written without its sign.
                    let said = if said.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.')) { said.trim_start_matches('-') } else { &said };
                    prop_assert_eq!(String::from_utf8(shown).unwrap(), said);
                    continue;
                }
                2950 => from_binary.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")),
                17 => from_binary.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
                869 => {
                    let bits = if from_binary[1] == 32 { String::new() } else { format!("/{}", from_binary[1]) };
                    format!("{}.{}.{}.{}{bits}", from_binary[4], from_binary[5], from_binary[6], from_binary[7])
                }
                3802 => String::from_utf8(from_binary[1..].to_vec()).unwrap(),
                _ => if from_binary == [0] { "f" } else { "t" }.to_owned(),
            };
            let said = if oid == 2950 { said.replace('-', "") } else { said };
            prop_assert_eq!(read, said, "{:?} {}", mask, shown);
        }
    }

    /// Whatever bytes come, of whatever type: nothing panics, and a value that is not understood is NULL.
    #[test]
    fn no_value_panics(
        oid in prop::sample::select(vec![16_u32, 17, 19, 20, 21, 23, 25, 114, 650, 700, 701, 774, 829, 869, 1000, 1001, 1005, 1007, 1009,
            1014, 1042, 1043, 1082, 1083, 1114, 1115, 1182, 1184, 1185, 1186, 1231, 1700, 2950, 2951, 3802, 3807, 3908, 4451]),
        binary in any::<bool>(),
        value in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), "[-0-9:.{}, \"e+]{0,30}".prop_map(String::into_bytes)],
        modifier in -1_i32..40,
    ) {
        for mask in MASKS {
            apply(mask, oid, modifier, binary, &value);
        }
    }

    /// Two texts of one form never have one token.
    #[test]
    fn tokens_do_not_meet(one in "[0-9]{3}-[a-z]{4}[A-Z]", other in "[0-9]{3}-[a-z]{4}[A-Z]") {
        prop_assert_eq!(text(Mask::Token, 25, &one) == text(Mask::Token, 25, &other), one == other);
    }

    #[test]
    fn dates_are_read_and_written(day in -700_000_i32..2_000_000) {
        let partial = apply(Mask::Partial, 1082, -1, true, &day.to_be_bytes());
        if let Some(first) = partial {
            let first = i32::from_be_bytes(first.try_into().unwrap());
            prop_assert!(first <= day && day - first < 366);
            prop_assert_eq!(apply(Mask::Partial, 1082, -1, true, &first.to_be_bytes()), Some(first.to_be_bytes().to_vec()));
        }
    }
}

#[test]
fn arrays_in_binary() {
    // One dimension from 1, of int4: 123, NULL, 7.
    let words = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let array = words(&[1, 1, 23, 3, 1, 4, 123, -1, 4, 7]);
    assert_eq!(apply(Mask::Partial, 1007, -1, true, &array), Some(words(&[1, 1, 23, 3, 1, 4, 100, -1, 4, 0])));
    assert_eq!(apply(Mask::Partial, 1007, -1, true, &words(&[0, 0, 23])), Some(words(&[0, 0, 23])));
    // Elements that become NULL are marked as such.
    let dates = words(&[1, 0, 1082, 1, 1, 4, i32::MAX]);
    assert_eq!(apply(Mask::Redact, 1182, -1, true, &dates), Some(words(&[1, 1, 1082, 1, 1, -1])));
    for broken in
        [&array[..array.len() - 1], &[array.clone(), vec![0]].concat(), &words(&[7, 0, 23]), &words(&[1, 0, 23, 9, 1])]
    {
        assert_eq!(apply(Mask::Partial, 1007, -1, true, broken), None);
    }
    assert!(matches!(type_of(1007, -1), Type { kind: Kind::Integer { bytes: 4 }, array: true }));
}

#[test]
fn masked_values_are_known_again_mk18() {
    let key = key();
    for (mask, value) in [
        (Mask::Redact, "x"),
        (Mask::Hash, "x"),
        (Mask::Token, "12345"),
        (Mask::Last4, "123-45-6789"),
        (Mask::Last4, "1234"),
        (Mask::Partial, "marie@example.com"),
        (Mask::Partial, "ma@ex.org"),
        (Mask::Partial, "Marie"),
    ] {
        let masked = text(mask, 25, value).unwrap();
        assert!(key.is_masked(masked.as_bytes()), "{mask:?} {masked}");
        assert!(key.is_masked_statement(&format!("UPDATE users SET ssn = '{masked}' WHERE id = 1")), "{masked}");
    }
    for (oid, value) in [(3802, "{}"), (17, "\\x0102"), (1009, "{x,y}")] {
        let masked = text(Mask::Hash, oid, value).unwrap();
        assert!(key.is_masked(masked.as_bytes()), "{masked}");
    }
    assert!(key.is_masked(&apply(Mask::Redact, 17, -1, true, &[1]).unwrap()));
    for honest in
        ["", "x", "0123456789abcdef01234567", "***", "a * b", "4111111111111111", "*", "**", "3.14", "m***@", "é"]
    {
        let masked = honest == "***";
        assert_eq!(key.is_masked(honest.as_bytes()), masked, "{honest}");
    }
    // What looks like a value is known while it is new, and where it is long.
    for (mask, oid, value) in [
        (Mask::Token, 25, "Gc8ptl5nw3qj"),
        (Mask::Token, 25, "4111111111111111"),
        (Mask::Token, 20, "7305918264471902843"),
        (Mask::Hash, 2950, "123e4567-e89b-42d3-a456-426614174000"),
    ] {
        let (Type { kind, array }, mut out) = (type_of(oid, -1), Vec::new());
        assert!(write_value(Value { mask, value: value.as_bytes(), binary: false, key: &key }, kind, array, &mut out));
        let masked = String::from_utf8(out).unwrap();
        assert!(key.is_masked(masked.as_bytes()) && !key.is_masked(value.as_bytes()), "{masked}");
        assert!(
            key.is_masked_statement(&format!("UPDATE users SET x = {masked}"))
                == masked.bytes().all(|byte| byte.is_ascii_digit()),
            "{masked}"
        );
        assert!(key.is_masked_copy(format!("1\t{masked}\t2\n").as_bytes()), "{masked}");
        assert!(!super::super::MaskKey::new(&[7; 32]).is_masked(masked.as_bytes()), "it was not this one that made it");
    }
    assert!(key.is_masked_copy(b"1,m***@e***.com,x\n") && key.is_masked_copy(b"************4417\n"));
    assert!(!key.is_masked_copy(b"1,honest,*,a * b\n2,4111111111111111\n"));
    let foreign = MaskKey::new(&[8; 32]);
    assert!(!foreign.is_masked(text(Mask::Hash, 25, "x").unwrap().as_bytes()), "another upstream's hash");
    assert!(!key.is_masked_statement("INSERT INTO notes VALUES (1, 'it''s fine', '2 * 3 *** 4')"));
}
