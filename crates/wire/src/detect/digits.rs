//! Numbers: a region of digits in groups is read once, and each run of groups is held against the numbers that have
//! such a form. Bounded: a region has at most [`MOST`] groups, a number at most eight.

use super::checksum::{self, number};
use super::{Hit, Kind, Strength, byte, part};

/// So many groups are read at a time.
const MOST: usize = 32;
/// So many digits can a number have.
const DIGITS: usize = 19;

/// Digits without anything between, and what stands before them.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    start: usize,
    end: usize,
    /// What stands between it and the group before; 0 for the first; `)` if a parenthesis is there.
    before: u8,
}

impl Group {
    fn len(self) -> usize {
        self.end - self.start
    }
}

/// A run of groups that could be one number.
struct Candidate<'t> {
    text: &'t [u8],
    groups: &'t [Group],
    digits: &'t [u8],
    /// A `+` stands before it.
    plus: bool,
    end: usize,
}

impl Candidate<'_> {
    /// Have the groups these lengths, with one of these separators, the same throughout?
    fn is(&self, lengths: &[usize], separators: &[u8]) -> bool {
        let separator = self.groups.get(1).map_or(0, |group| group.before);
        (separators.contains(&separator) || lengths.len() == 1)
            && self.groups.iter().skip(1).all(|group| group.before == separator)
            && self.groups.iter().map(|group| group.len()).eq(lengths.iter().copied())
    }

    /// Have the groups these lengths, with these separators in order?
    fn is_written(&self, lengths: &[usize], separators: &[u8]) -> bool {
        self.groups.iter().map(|group| group.len()).eq(lengths.iter().copied())
            && self.groups.iter().skip(1).map(|group| group.before).eq(separators.iter().copied())
    }
}

/// Looks at the digits around a place. What is found goes to `visit`; returns where to go on.
pub(super) fn visit(text: &[u8], floor: usize, at: usize, visit: &mut impl FnMut(Hit)) -> usize {
    // Back to the region's first digit: across no gap that `read` would not cross.
    let (mut start, mut back, mut gap) = (at, at, 0);
    while back > floor && gap < 3 && is_part(byte(text, back - 1)) {
        back -= 1;
        gap = if byte(text, back).is_ascii_digit() { 0 } else { gap + 1 };
        if gap == 0 {
            start = back;
        }
    }
    let mut groups = [Group::default(); MOST];
    let (count, end) = read(text, start, &mut groups);
    let groups = groups.get(..count).unwrap_or_default();
    let mut first = 0;
    while first < groups.len() {
        first += match longest(text, groups, first) {
            Some((hit, groups)) => {
                visit(hit);
                groups
            }
            None => 1,
        };
    }
    end.max(at + 1)
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'-' | b'/' | b'(' | b')')
}

/// Reads groups from a place on; how many, and where the last ends.
fn read(text: &[u8], start: usize, groups: &mut [Group; MOST]) -> (usize, usize) {
    let (mut at, mut count, mut before, mut end) = (start, 0, 0, start);
    for group in groups {
        let from = at;
        while byte(text, at).is_ascii_digit() {
            at += 1;
        }
        if at > from {
            *group = Group { start: from, end: at, before };
            (count, end) = (count + 1, at);
        } else if count > 0 {
            break;
        }
        // One separator, or a parenthesis with a blank or a dash beside it.
        let gap = at;
        while at < gap + 3 && is_part(byte(text, at)) && !byte(text, at).is_ascii_digit() {
            at += 1;
        }
        let between = part(text, gap, at);
        before = match between {
            [one] => *one,
            _ if between.iter().any(|byte| matches!(byte, b'(' | b')')) => b')',
            [] | [..] => break,
        };
    }
    (count, end)
}

/// The longest number that begins with a group, and of how many groups it is.
fn longest(text: &[u8], groups: &[Group], first: usize) -> Option<(Hit, usize)> {
    let here = groups.get(first)?;
    // What goes on before it is part of something longer, unless a blank stands between.
    if !begins(text, groups, first, here.start) {
        return None;
    }
    let mut digits = [0; DIGITS];
    let most = groups.len().min(first + 8);
    for last in (first..most).rev() {
        let run = groups.get(first..=last)?;
        let total: usize = run.iter().map(|group| group.len()).sum();
        if !(4..=DIGITS).contains(&total) {
            continue;
        }
        let end = run.last()?.end;
        if !ends(text, groups, last, end) {
            continue;
        }
        let written = run.iter().flat_map(|group| part(text, group.start, group.end));
        for (into, digit) in digits.iter_mut().zip(written) {
            *into = digit - b'0';
        }
        let before = here.start.checked_sub(1).map_or(0, |at| byte(text, at));
        let candidate = Candidate { text, groups: run, digits: digits.get(..total)?, plus: before == b'+', end };
        if let Some((kind, strength, end)) = recognise(&candidate) {
            let start = here.start - usize::from(candidate.plus || before == b'(');
            return Some((Hit { kind, strength, start, end }, run.len()));
        }
    }
    None
}

fn begins(text: &[u8], groups: &[Group], first: usize, start: usize) -> bool {
    if first > 0 {
        return groups.get(first).is_some_and(|group| matches!(group.before, b' '));
    }
    let Some(before) = start.checked_sub(1) else { return true };
    match byte(text, before) {
        byte if byte.is_ascii_alphanumeric() => false,
        b'_' | b'.' | b',' if before > 0 && super::byte(text, before - 1).is_ascii_digit() => false,
        b'_' => false,
        // As in a UUID or an order number.
        b'-' | b'.' | b'+' => before == 0 || !super::is_word(super::byte(text, before - 1)),
        _ => true,
    }
}

fn ends(text: &[u8], groups: &[Group], last: usize, end: usize) -> bool {
    if let Some(next) = groups.get(last + 1) {
        return next.before == b' ';
    }
    match byte(text, end) {
        byte if byte.is_ascii_alphabetic() => dni_follows(text, end),
        b'_' | b'@' => false,
        b'-' | b'.' | b':' | b'/' | b',' => !super::is_word(byte(text, end + 1)) || dni_follows(text, end),
        _ => true,
    }
}

/// A letter, perhaps after a dash, and then the end of the word.
fn dni_follows(text: &[u8], end: usize) -> bool {
    let letter = end + usize::from(byte(text, end) == b'-');
    byte(text, letter).is_ascii_alphabetic() && !super::is_word(byte(text, letter + 1))
}

fn recognise(candidate: &Candidate<'_>) -> Option<(Kind, Strength, usize)> {
    let (text, end) = (candidate.text, candidate.end);
    if dni_follows(text, end) {
        let letter = end + usize::from(byte(text, end) == b'-');
        let is_dni = candidate.is(&[8], b"")
            && checksum::dni_letter(number(candidate.digits)) == byte(text, letter).to_ascii_uppercase();
        return is_dni.then_some((Kind::EsDni, Strength::Likely, letter + 1));
    }
    if candidate.plus {
        let international = is_international(candidate.digits);
        return international.then_some((Kind::Phone, Strength::Likely, end));
    }
    if is_date(candidate) {
        return None;
    }
    if is_ipv4(candidate) {
        return Some((Kind::IpAddress, Strength::Hint, end));
    }
    let (kind, strength) = card(candidate).or_else(|| national(candidate)).or_else(|| phone(candidate))?;
    Some((kind, strength, end))
}

/// Dates and times are the commonest digits of all.
fn is_date(candidate: &Candidate<'_>) -> bool {
    let lengths = |place: usize| candidate.groups.get(place).map_or(0, |group| group.len());
    let value = |place: usize| {
        let group = candidate.groups.get(place).copied().unwrap_or_default();
        part(candidate.text, group.start, group.end)
            .iter()
            .fold(0, |value: u32, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
    };
    let year = |place: usize| lengths(place) == 4 && (1800..2200).contains(&value(place));
    match (lengths(0), lengths(1), lengths(2)) {
        (4, 1..=2, 1..=2) => year(0) && value(1) <= 12 && value(2) <= 31,
        (1..=2, 1..=2, 4) => year(2) && value(0) <= 31 && value(1) <= 31,
        (8, 1..=2, 0..=2) => (1800..2200).contains(&(value(0) / 10_000)),
        _ => false,
    }
}

fn is_ipv4(candidate: &Candidate<'_>) -> bool {
    candidate.groups.len() == 4
        && candidate.groups.iter().skip(1).all(|group| group.before == b'.')
        && candidate.groups.iter().all(|group| {
            let written = part(candidate.text, group.start, group.end);
            let value = written.iter().take(4).fold(0, |value: u32, digit| value * 10 + u32::from(digit - b'0'));
            written.len() <= 3 && value <= 255 && (written.len() == 1 || written.first() != Some(&b'0'))
        })
}

/// ISO/IEC 7812: the issuers' ranges, the lengths that they issue, and Luhn.
fn card(candidate: &Candidate<'_>) -> Option<(Kind, Strength)> {
    let digits = candidate.digits;
    let grouped = [&[4, 4, 4, 4][..], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3], &[digits.len()]];
    if !grouped.iter().any(|lengths| candidate.is(lengths, b" -")) {
        return None;
    }
    let leading = number(digits.get(..6)?);
    let issued = match leading {
        400_000..=499_999 => matches!(digits.len(), 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => digits.len() == 16,
        340_000..=349_999 | 370_000..=379_999 => digits.len() == 15,
        601_100..=601_199 | 644_000..=659_999 | 620_000..=629_999 => matches!(digits.len(), 16..=19),
        352_800..=358_999 => matches!(digits.len(), 16..=19),
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => digits.len() == 14,
        _ => false,
    };
    // All zeros behind the issuer's range: a placeholder.
    let empty = digits.iter().skip(6).all(|digit| *digit == 0);
    (issued && !empty && checksum::luhn(digits)).then_some((Kind::PaymentCard, Strength::Certain))
}

/// Numbers that a state gives to a person.
fn national(candidate: &Candidate<'_>) -> Option<(Kind, Strength)> {
    use Kind::{BeNrn, BrCpf, ChAhv, DeSteuerId, FrNir, InAadhaar, NlBsn, PlPesel, SePersonnummer, UsSsn};
    use Strength::{Certain, Hint, Likely};
    type Check = fn(&[u8]) -> bool;
    let digits = candidate.digits;
    let plain = candidate.groups.len() == 1;
    let found: [(bool, Check, Kind, Strength); 16] = [
        (candidate.is(&[3, 2, 4], b"-"), is_ssn, UsSsn, Likely),
        (candidate.is(&[3, 2, 4], b" "), is_ssn, UsSsn, Hint),
        (plain || candidate.is(&[1, 2, 2, 2, 3, 3, 2], b" "), checksum::nir, FrNir, Certain),
        (candidate.is(&[2, 3, 3, 3], b" "), checksum::steuer_id, DeSteuerId, Certain),
        (candidate.is(&[3, 4, 4, 2], b"."), checksum::ahv, ChAhv, Certain),
        (plain, checksum::ahv, ChAhv, Likely),
        (candidate.is_written(&[2, 2, 2, 3, 2], b"..-."), checksum::nrn, BeNrn, Certain),
        (candidate.is_written(&[3, 3, 3, 2], b"..-"), checksum::cpf, BrCpf, Certain),
        (candidate.is(&[4, 4, 4], b" -"), checksum::aadhaar, InAadhaar, Likely),
        (candidate.is(&[6, 4], b"-"), checksum::personnummer, SePersonnummer, Likely),
        (plain, checksum::steuer_id, DeSteuerId, Likely),
        (plain, checksum::nrn, BeNrn, Likely),
        (plain, checksum::pesel, PlPesel, Hint),
        (plain, checksum::cpf, BrCpf, Hint),
        (plain, checksum::bsn, NlBsn, Hint),
        (plain, checksum::aadhaar, InAadhaar, Hint),
    ];
    let of_form = found.into_iter().find(|(form, check, _, _)| *form && check(digits));
    let long_form = candidate.is(&[8, 4], b"-") && checksum::personnummer(digits.get(2..)?);
    of_form.map(|(_, _, kind, strength)| (kind, strength)).or_else(|| long_form.then_some((SePersonnummer, Likely)))
}

/// The Social Security Administration's numbers that are never issued; two are known from advertisements.
fn is_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) = match digits {
        [a @ .., _, _, _, _, _, _] if a.len() == 3 => {
            (number(a), number(digits.get(3..5).unwrap_or_default()), number(digits.get(5..).unwrap_or_default()))
        }
        _ => return false,
    };
    let advertised = [(78, 5, 1120), (219, 9, 9999)].contains(&(area, group, serial));
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0 && !advertised
}

/// National forms; the international one is known by its `+`.
fn phone(candidate: &Candidate<'_>) -> Option<(Kind, Strength)> {
    let digits = candidate.digits;
    let separators: Vec<u8> = candidate.groups.iter().skip(1).map(|group| group.before).collect();
    let bracketed = separators.contains(&b')');
    let american = |digits: &[u8]| {
        let three = |from: usize| matches!(digits.get(from), Some(2..=9));
        digits.len() == 10 && three(0) && three(3)
    };
    if candidate.is(&[3, 3, 4], b"-.")
        || candidate.is_written(&[3, 3, 4], b")-")
        || candidate.is_written(&[3, 3, 4], b") ")
    {
        return american(digits).then_some((Kind::Phone, Strength::Likely));
    }
    if candidate.is(&[1, 3, 3, 4], b"-. ") {
        return (digits.first() == Some(&1) && american(digits.get(1..)?)).then_some((Kind::Phone, Strength::Likely));
    }
    if candidate.is(&[3, 3, 4], b" ") && american(digits) {
        return Some((Kind::Phone, Strength::Hint));
    }
    if digits.starts_with(&[0, 0]) && is_international(digits.get(2..)?) {
        return Some((Kind::Phone, Strength::Hint));
    }
    // An identity number of the United States that is never issued is none either.
    let national = !candidate.is(&[3, 2, 4], b"- ")
        && digits.first() == Some(&0)
        && !matches!(digits.get(1), Some(0))
        && (9..=12).contains(&digits.len());
    let spoken = bracketed || separators.iter().all(|separator| matches!(separator, b' ' | b'-' | b'/'));
    let sensible = candidate.groups.iter().all(|group| group.len() >= 2) && candidate.groups.len() <= 5;
    match (national && spoken && sensible, separators.len()) {
        (false, _) => None,
        (true, 0) => Some((Kind::Phone, Strength::Hint)),
        (true, _) => Some((Kind::Phone, Strength::Likely)),
    }
}

/// ITU-T E.164: a country's code and 7 to 15 digits in all.
fn is_international(digits: &[u8]) -> bool {
    let two = number(digits.get(..2).unwrap_or_default());
    let known = match two {
        10..=19 => digits.len() == 11 && matches!(digits.get(1), Some(2..=9)),
        70..=79 => digits.len() == 11,
        20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98 => {
            (9..=15).contains(&digits.len())
        }
        21..=26 | 29 | 35 | 37 | 38 | 42 | 50 | 59 | 67..=69 | 80 | 85 | 87 | 88 | 96 | 97 | 99 => {
            (9..=15).contains(&digits.len())
        }
        _ => false,
    };
    // One digit throughout, but for the code: a placeholder.
    let varied = digits.iter().skip(3).any(|digit| Some(digit) != digits.last());
    known && varied
}
