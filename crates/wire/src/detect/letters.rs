//! Values with letters: e-mail addresses, account numbers, identity numbers with letters, IPv6 addresses.

use std::net::Ipv6Addr;

use super::checksum::{self, number};
use super::{Hit, Kind, Strength, byte, is_word, part, starts_clean};

/// The longest local part, RFC 5321 section 4.5.3.1.1.
const LOCAL: usize = 64;
/// The longest domain, RFC 5321 section 4.5.3.1.2.
const DOMAIN: usize = 255;

/// Ends of names that are files, not domains: `logo@2x.png`.
const FILES: [&[u8]; 14] = [
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"js", b"mjs", b"css", b"html", b"json", b"txt", b"tsx",
    b"service",
];

/// An address around an `@`; or what a URL carries there.
pub(super) fn email(text: &[u8], floor: usize, at: usize) -> Option<Hit> {
    let is_local = |byte: u8| is_word(byte) || byte >= 0x80 || b".%+-'".contains(&byte);
    let mut start = at;
    while start > floor && at - start < LOCAL && is_local(byte(text, start - 1)) {
        start -= 1;
    }
    while start < at && matches!(byte(text, start), b'.' | b'\'' | b'-') {
        start += 1;
    }
    let mut end = at + 1;
    while end - at <= DOMAIN
        && (is_word(byte(text, end)) || byte(text, end) >= 0x80 || b".-".contains(&byte(text, end)))
    {
        end += 1;
    }
    while end > at + 1 && matches!(byte(text, end - 1), b'.' | b'-') {
        end -= 1;
    }
    if start == at || end == at + 1 {
        return None;
    }
    if let Some(credential) = in_url(text, floor, start, at, end) {
        return credential.then_some(Hit { kind: Kind::ApiToken, strength: Strength::Likely, start, end: at });
    }
    // `git@host:path` names a login, not a person.
    let is_copy_path =
        byte(text, end) == b':' && matches!(byte(text, end + 1), b'a'..=b'z' | b'A'..=b'Z' | b'~' | b'/');
    let dotted = !part(text, start, at).windows(2).any(|pair| pair == b"..") && byte(text, at - 1) != b'.';
    (dotted && !is_copy_path && is_domain(part(text, at + 1, end))).then_some(Hit {
        kind: Kind::Email,
        strength: Strength::Likely,
        start,
        end,
    })
}

/// Does an address stand in a URL's authority? Then whether a password stands before it.
fn in_url(text: &[u8], floor: usize, start: usize, at: usize, end: usize) -> Option<bool> {
    let from = at.saturating_sub(200).max(floor);
    let before = part(text, from, at);
    let slashes = before.windows(3).rposition(|window| window == b"://")?;
    let authority = before.get(slashes + 3..)?;
    if authority.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#') || byte.is_ascii_whitespace()) {
        return None;
    }
    let colon = authority.iter().position(|byte| *byte == b':');
    let password = colon.and_then(|colon| authority.get(colon + 1..)).is_some_and(|password| {
        password.len() >= 3
            && !password.starts_with(b"${")
            && !password.starts_with(b"{{")
            && !password.starts_with(b"***")
    });
    Some(password && start < at && end > at)
}

fn is_domain(domain: &[u8]) -> bool {
    let mut labels = domain.split(|byte| *byte == b'.');
    let Some(last) = labels.next_back() else { return false };
    let whole =
        |label: &[u8]| !label.is_empty() && label.len() <= 63 && !label.starts_with(b"-") && !label.ends_with(b"-");
    let mut others = labels.peekable();
    let several = others.peek().is_some();
    let top = last.starts_with(b"xn--")
        || (matches!(last.len(), 2..=24) && last.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80));
    several && top && others.all(whole) && !FILES.iter().any(|file| last.eq_ignore_ascii_case(file))
}

/// Countries with the length of their account numbers, from the IBAN registry.
const IBANS: [(&[u8; 2], usize); 79] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"XK", 20),
];

/// Two letters, two digits and four more: an account number, or the United Kingdom's identity number.
pub(super) fn country(text: &[u8], end: usize) -> Option<Hit> {
    let spaced = byte(text, end.checked_sub(5)?) == b' ';
    let start = end.checked_sub(8 + usize::from(spaced))?;
    if !starts_clean(text, start) {
        return None;
    }
    iban(text, start).or_else(|| nino(text, start))
}

fn iban(text: &[u8], start: usize) -> Option<Hit> {
    let code = [byte(text, start).to_ascii_uppercase(), byte(text, start + 1).to_ascii_uppercase()];
    let (_, length) = IBANS.iter().find(|(country, _)| **country == code)?;
    let mut characters = [0; 34];
    let (mut at, mut count) = (start, 0);
    for into in characters.iter_mut().take(*length) {
        // A blank stands between groups of four.
        if count > 0 && count % 4 == 0 && byte(text, at) == b' ' {
            at += 1;
        }
        let character = byte(text, at).to_ascii_uppercase();
        if !character.is_ascii_alphanumeric() {
            return None;
        }
        *into = character;
        (at, count) = (at + 1, count + 1);
    }
    let (head, tail) = characters.get(..*length)?.split_at_checked(4)?;
    let valid = !is_word(byte(text, at)) && checksum::mod97(tail.iter().chain(head).copied());
    valid.then_some(Hit { kind: Kind::Iban, strength: Strength::Certain, start, end: at })
}

/// HM Revenue & Customs, NIM39110: two letters, six digits, A to D; blanks may stand between the pairs.
pub(super) fn nino(text: &[u8], start: usize) -> Option<Hit> {
    if !starts_clean(text, start) {
        return None;
    }
    let prefix = [byte(text, start), byte(text, start + 1)];
    let spaced = byte(text, start + 2) == b' ';
    let mut at = start + 2;
    for place in 0..6 {
        if spaced && place % 2 == 0 {
            at += usize::from(byte(text, at) == b' ');
        }
        if !byte(text, at).is_ascii_digit() {
            return None;
        }
        at += 1;
    }
    at += usize::from(spaced && byte(text, at) == b' ');
    let issued = !b"DFIQUV".contains(&prefix[0])
        && prefix.iter().all(u8::is_ascii_uppercase)
        && !b"DFIOQUV".contains(&prefix[1])
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&prefix);
    let valid = issued && matches!(byte(text, at), b'A'..=b'D') && !is_word(byte(text, at + 1));
    valid.then_some(Hit { kind: Kind::UkNino, strength: Strength::Likely, start, end: at + 1 })
}

/// Spain's number for foreigners, which ends at `end`.
pub(super) fn nie(text: &[u8], end: usize) -> Option<Hit> {
    let mut digits = [0; 8];
    let mut at = end.checked_sub(1)?;
    let letter = byte(text, at).to_ascii_uppercase();
    at -= usize::from(byte(text, at.checked_sub(1)?) == b'-');
    for into in digits.iter_mut().rev().take(7) {
        at = at.checked_sub(1)?;
        *into = byte(text, at).wrapping_sub(b'0');
    }
    at -= usize::from(byte(text, at.checked_sub(1)?) == b'-');
    let start = at.checked_sub(1)?;
    *digits.first_mut()? = byte(text, start).to_ascii_uppercase().wrapping_sub(b'X');
    let valid = starts_clean(text, start)
        && !is_word(byte(text, end))
        && digits.iter().all(|digit| *digit < 10)
        && checksum::dni_letter(number(&digits)) == letter;
    valid.then_some(Hit { kind: Kind::EsDni, strength: Strength::Certain, start, end })
}

/// Italy's code, whose first twelve characters end at `end`.
pub(super) fn codice_fiscale(text: &[u8], end: usize) -> Option<Hit> {
    let start = end.checked_sub(12)?;
    let code = text.get(start..start + 16)?;
    let form = code.get(12..15)?.iter().all(u8::is_ascii_digit) && starts_clean(text, start);
    let valid = form && !is_word(byte(text, start + 16)) && checksum::codice_fiscale(code);
    valid.then_some(Hit { kind: Kind::ItCodiceFiscale, strength: Strength::Certain, start, end: start + 16 })
}

/// France's number of somebody born in Corsica: `2A` or `2B`, which ends at `end`, stands for the department.
pub(super) fn corsican(text: &[u8], end: usize) -> Option<Hit> {
    let letter = byte(text, end.checked_sub(1)?).to_ascii_uppercase();
    let mut digits = [0; 15];
    let (mut start, mut count) = (end.checked_sub(2)?, 5);
    while count > 0 {
        start = start.checked_sub(1)?;
        match byte(text, start) {
            digit @ b'0'..=b'9' => {
                count -= 1;
                *digits.get_mut(count)? = digit - b'0';
            }
            b' ' => {}
            _ => return None,
        }
    }
    // 2A counts as 19, 2B as 18.
    *digits.get_mut(5)? = 1;
    *digits.get_mut(6)? = if letter == b'A' { 9 } else { 8 };
    let mut at = end;
    for into in digits.iter_mut().skip(7) {
        at += usize::from(byte(text, at) == b' ');
        let digit = byte(text, at);
        if !digit.is_ascii_digit() {
            return None;
        }
        *into = digit - b'0';
        at += 1;
    }
    let valid = starts_clean(text, start) && !is_word(byte(text, at)) && checksum::nir(&digits);
    valid.then_some(Hit { kind: Kind::FrNir, strength: Strength::Certain, start, end: at })
}

/// An IPv6 address around a place.
pub(super) fn ipv6(text: &[u8], floor: usize, at: usize) -> Option<Hit> {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
    let (mut start, mut end) = (at, at);
    while start > floor && at - start < 40 && is_part(byte(text, start - 1)) {
        start -= 1;
    }
    while end - start < 40 && is_part(byte(text, end)) {
        end += 1;
    }
    let written = std::str::from_utf8(part(text, start, end)).ok()?;
    // Times and hardware addresses have two digits in each group.
    let groups = written.split(':').filter(|group| group.len() > 2).count();
    let valid =
        groups > 0 && starts_clean(text, start) && !is_word(byte(text, end)) && written.parse::<Ipv6Addr>().is_ok();
    valid.then_some(Hit { kind: Kind::IpAddress, strength: Strength::Hint, start, end })
}
