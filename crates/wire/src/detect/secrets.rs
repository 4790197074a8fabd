//! Secrets that tell what they are: tokens by prefix and length, JSON Web Tokens, private keys, hashes of passwords.

use super::{Hit, Kind, Strength, byte, is_word, part, spend, starts_clean};

/// The characters of a token's tail.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alphabet {
    /// Letters and digits.
    Word,
    /// Letters, digits, `_` and `-`, as base64url.
    Url,
    /// The same and `.`.
    Dotted,
    /// Upper-case letters and digits.
    Upper,
    /// Lower-case hexadecimal digits.
    Hex,
    /// Base64 with its padding.
    Base64,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Word => byte.is_ascii_alphanumeric(),
            Self::Url => is_word(byte) || byte == b'-',
            Self::Dotted => is_word(byte) || byte == b'-' || byte == b'.',
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Self::Base64 => byte.is_ascii_alphanumeric() || b"+/=".contains(&byte),
        }
    }
}

/// A token's family: the pattern of its beginning, of how many bytes that is, and what follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) pattern: &'static str,
    length: usize,
    least: usize,
    most: usize,
    alphabet: Alphabet,
}

const fn family(pattern: &'static str, length: usize, least: usize, most: usize, alphabet: Alphabet) -> Family {
    Family { pattern, length, least, most, alphabet }
}

/// From the issuers' documents; the lengths are of what follows the pattern.
pub(super) const FAMILIES: [Family; 20] = [
    family("A[KS]IA[0-9A-Z]{4}", 8, 12, 12, Alphabet::Upper),
    family("gh[pousr]_[A-Za-z0-9]{4}", 8, 32, 248, Alphabet::Word),
    family("github_pat_", 11, 22, 82, Alphabet::Url),
    family("glpat-", 6, 20, 300, Alphabet::Dotted),
    family("xox[abeoprs]-", 5, 10, 250, Alphabet::Url),
    family("[sr]k_live_", 8, 16, 250, Alphabet::Word),
    family("[sr]k_test_", 8, 16, 250, Alphabet::Word),
    family("AIza[0-9A-Za-z_\\-]{4}", 8, 31, 31, Alphabet::Url),
    family("npm_[A-Za-z0-9]{4}", 8, 32, 32, Alphabet::Word),
    family("pypi-AgE", 8, 40, 400, Alphabet::Url),
    family("SG\\.[A-Za-z0-9_\\-]{4}", 7, 50, 70, Alphabet::Dotted),
    family("sk-ant-", 7, 20, 200, Alphabet::Url),
    family("sk-proj-", 8, 20, 250, Alphabet::Url),
    family("hf_[A-Za-z]{4}", 7, 30, 34, Alphabet::Word),
    family("do[opr]_v1_", 7, 64, 64, Alphabet::Hex),
    family("shp(?:at|ca|pa|ss)_", 6, 32, 32, Alphabet::Hex),
    family("hv[sb]\\.", 4, 24, 250, Alphabet::Url),
    family("dapi[0-9a-f]{4}", 8, 28, 32, Alphabet::Hex),
    family("AccountKey=", 11, 80, 88, Alphabet::Base64),
    family("AGE-SECRET-KEY-1", 16, 58, 58, Alphabet::Upper),
];

/// A token of a family, whose beginning ends at `end`.
pub(super) fn token(text: &[u8], end: usize, family: &Family) -> Option<Hit> {
    let start = end.checked_sub(family.length)?;
    let tail = text.get(end..).unwrap_or_default();
    let length = tail.iter().take(family.most + 1).take_while(|byte| family.alphabet.has(**byte)).count();
    spend(length);
    let close = end + length;
    let whole = length >= family.least && length <= family.most && !is_word(byte(text, close));
    // A word or an example has few digits and letters; a token has many of them.
    let varied = distinct(part(text, start, close)) >= 8;
    let kind = if family.pattern.starts_with("AGE") { Kind::PrivateKey } else { Kind::ApiToken };
    (whole && varied && starts_clean(text, start)).then_some(Hit {
        kind,
        strength: Strength::Certain,
        start,
        end: close,
    })
}

fn distinct(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0_u128, |seen, byte| seen | 1 << (byte & 0x7f)).count_ones()
}

/// RFC 7515, compact: three parts, of which the first is an object in base64url that names an algorithm. Also where to go
/// on: behind the first part, so that none of the three is read again for what begins within the first.
pub(super) fn jwt(text: &[u8], end: usize) -> (Option<Hit>, usize) {
    /// The longest parts that are looked at. A longer token is found, and ends there.
    const HEADER: usize = 2048;
    const PAYLOAD: usize = 16 << 10;
    const SIGNATURE: usize = 2048;
    let run = |from: usize, most: usize| {
        let tail = text.get(from..).unwrap_or_default();
        let length = tail.iter().take(most).take_while(|byte| Alphabet::Url.has(**byte)).count();
        spend(length);
        from + length
    };
    let Some(start) = end.checked_sub(4) else { return (None, end) };
    if !starts_clean(text, start) {
        return (None, end);
    }
    let header = run(start, HEADER);
    if byte(text, header) != b'.' || !names_algorithm(part(text, start, header)) {
        return (None, header.max(end));
    }
    let payload = run(header + 1, PAYLOAD);
    if payload <= header + 4 || !matches!(byte(text, payload), b'.') && payload < header + 1 + PAYLOAD {
        return (None, header.max(end));
    }
    let close = if byte(text, payload) == b'.' { run(payload + 1, SIGNATURE) } else { payload };
    (Some(Hit { kind: Kind::Jwt, strength: Strength::Certain, start, end: close }), close)
}

fn names_algorithm(header: &[u8]) -> bool {
    let sextet = |byte: &u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    spend(header.len());
    let mut decoded = Vec::with_capacity(header.len());
    for four in header.chunks(4) {
        let bits = four.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(sextet(byte)));
        let bits = bits << (6 * (4 - four.len()));
        decoded.extend(bits.to_be_bytes().iter().skip(1).take(four.len() * 3 / 4));
    }
    memchr::memmem::find(&decoded, b"\"alg\"").is_some() || memchr::memmem::find(&decoded, b"\"enc\"").is_some()
}

/// RFC 7468: a label that ends in `PRIVATE KEY`, whose `-----BEGIN ` ends at `end`. The block's end is looked for
/// within 16 KiB; a longer one is found, and ends there.
pub(super) fn pem(text: &[u8], end: usize) -> Option<Hit> {
    /// An RSA key of 16,384 bits has some 12,500 characters.
    const PEM: usize = 16 << 10;
    let label = text.get(end..text.len().min(end + 48))?;
    spend(label.len());
    let close = memchr::memmem::find(label, b"PRIVATE KEY")?;
    let upper = label.get(..close)?.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b' ' | b'0'..=b'9'));
    // Before the search: a label that is none must not cost one.
    if !upper {
        return None;
    }
    let start = end.checked_sub(11)?;
    let body = text.get(end..text.len().min(end + PEM))?;
    let length = memchr::memmem::find(body, b"-----END ").unwrap_or(body.len());
    spend(length);
    Some(Hit { kind: Kind::PrivateKey, strength: Strength::Certain, start, end: end + length })
}

/// PuTTY's form; the beginning ends at `end`.
pub(super) fn putty(text: &[u8], end: usize) -> Option<Hit> {
    let start = end.checked_sub(20)?;
    starts_clean(text, start).then_some(Hit {
        kind: Kind::PrivateKey,
        strength: Strength::Certain,
        start,
        end: text.len(),
    })
}

/// A password's hash; the `$`, `}` or digit that shows its scheme is the last byte before `end`.
pub(super) fn hash(text: &[u8], end: usize) -> Option<Hit> {
    let hit = |start, end| Some(Hit { kind: Kind::PasswordHash, strength: Strength::Certain, start, end });
    let is_body = |byte: u8| is_word(byte) || b"$./+=-,:".contains(&byte);
    let tail = text.get(end..).unwrap_or_default();
    let length = tail.iter().take(512).take_while(|byte| is_body(**byte)).count();
    spend(length);
    let close = end + length;
    let scheme = |prefix: &[u8]| {
        let start = end.checked_sub(prefix.len())?;
        (text.get(start..end)? == prefix && (prefix.starts_with(b"$") || starts_clean(text, start))).then_some(start)
    };
    let schemes: [(&[u8], usize); 23] = [
        (b"$2a$", 56),
        (b"$2b$", 56),
        (b"$2y$", 56),
        (b"$2x$", 56),
        (b"$argon2id$", 40),
        (b"$argon2i$", 40),
        (b"$argon2d$", 40),
        (b"$1$", 23),
        (b"$5$", 43),
        (b"$6$", 86),
        (b"$7$", 40),
        (b"$y$", 40),
        (b"$P$", 31),
        (b"$H$", 31),
        (b"$scrypt$", 40),
        (b"$pbkdf2-sha256$", 40),
        (b"$pbkdf2-sha512$", 40),
        (b"pbkdf2_sha256$", 40),
        (b"pbkdf2_sha1$", 30),
        (b"SCRAM-SHA-256$", 80),
        (b"{SSHA}", 28),
        (b"{SSHA512}", 80),
        (b"{CRYPT}", 13),
    ];
    let known = schemes.iter().find_map(|(prefix, least)| scheme(prefix).filter(|_| length >= *least));
    if let Some(start) = known {
        return hit(start, close);
    }
    // PostgreSQL's own, as `pg_authid` keeps it.
    let start = end.checked_sub(7)?;
    let digits = text.get(start + 3..)?;
    let hex = digits.iter().take(33).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let md5 = text.get(start..start + 3)? == b"md5" && hex == 32 && starts_clean(text, start);
    if md5 { hit(start, start + 35) } else { None }
}
