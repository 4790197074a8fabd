//! Check digits, each from the document that defines it. Digits are values from 0 to 9; slices of another length than
//! a number has do not pass.

/// The number that digits write. At most 18 of them fit.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(*digit)))
}

/// ISO/IEC 7812-1, annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..5) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The sum of digits times weights; 0 if there are not as many.
fn weighted(digits: &[u8], weights: &[i32]) -> i32 {
    if digits.len() != weights.len() {
        return 0;
    }
    digits.iter().zip(weights).map(|(digit, weight)| i32::from(*digit) * weight).sum()
}

/// ISO 7064 MOD 97-10 over digits and letters (A is 10), in the order given; the remainder must be 1.
pub(super) fn mod97(characters: impl Iterator<Item = u8>) -> bool {
    let mut rest: u32 = 0;
    for character in characters {
        rest = match character {
            b'0'..=b'9' => rest * 10 + u32::from(character - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(character - b'A') + 10,
            _ => return false,
        } % 97;
    }
    rest == 1
}

/// Germany: ISO 7064 MOD 11,10, and of the first ten digits exactly one stands there twice or three times.
pub(super) fn steuer_id(digits: &[u8]) -> bool {
    let (Some((check, body)), Some(1..)) = (digits.split_last(), digits.first()) else { return false };
    if body.len() != 10 {
        return false;
    }
    let counts = (0..10).map(|digit| body.iter().filter(|other| **other == digit).count());
    let (mut repeated, mut beyond) = (0, 0);
    for count in counts {
        repeated += usize::from(matches!(count, 2 | 3));
        beyond += usize::from(count > 3);
    }
    let product = body.iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    repeated == 1 && beyond == 0 && (11 - product) % 10 == u32::from(*check)
}

/// France: 97 less the remainder of the first 13 digits, in which 2A is 19 and 2B is 18.
pub(super) fn nir(digits: &[u8]) -> bool {
    let (Some(body), Some(key)) = (digits.get(..13), digits.get(13..15)) else { return false };
    let month = number(digits.get(3..5).unwrap_or_default());
    let sex = matches!(digits.first(), Some(1..=4 | 7 | 8));
    digits.len() == 15
        && sex
        && matches!(month, 1..=12 | 20 | 30..=42 | 50..=99)
        && 97 - number(body) % 97 == number(key)
}

/// Netherlands: the eleven test.
pub(super) fn bsn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2, -1]);
    sum > 0 && sum % 11 == 0
}

/// Poland.
pub(super) fn pesel(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let month = number(digits.get(2..4).unwrap_or_default()) % 20;
    sum > 0 && sum % 10 == 0 && is_day(month, number(digits.get(4..6).unwrap_or_default()))
}

/// Belgium: 97 less the remainder of the first nine digits, with a 2 before them for births from 2000.
pub(super) fn nrn(digits: &[u8]) -> bool {
    let (Some(body), Some(check)) = (digits.get(..9), digits.get(9..11)) else { return false };
    let (body, check) = (number(body), number(check));
    let dated = is_day(number(digits.get(2..4).unwrap_or_default()), number(digits.get(4..6).unwrap_or_default()));
    digits.len() == 11 && dated && (97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check)
}

/// Switzerland: 756, and the check digit of an EAN-13.
pub(super) fn ahv(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
    digits.starts_with(&[7, 5, 6]) && sum > 0 && sum % 10 == 0
}

/// Sweden: six digits of a date (60 is added to the day for those who are not registered) and four, with Luhn over all.
pub(super) fn personnummer(digits: &[u8]) -> bool {
    let day = number(digits.get(4..6).unwrap_or_default());
    let day = if day > 60 { day - 60 } else { day };
    digits.len() == 10 && is_day(number(digits.get(2..4).unwrap_or_default()), day) && luhn(digits)
}

/// Brazil.
pub(super) fn cpf(digits: &[u8]) -> bool {
    let same = digits.windows(2).all(|pair| pair.first() == pair.last());
    let check = |body: Option<&[u8]>, weights: &[i32]| match 11 - weighted(body.unwrap_or_default(), weights) % 11 {
        10 | 11 => 0,
        check => check,
    };
    let first = check(digits.get(..9), &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let second = check(digits.get(..10), &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 11
        && !same
        && digits.get(9..).is_some_and(|last| last.iter().copied().map(i32::from).eq([first, second]))
}

/// India: Verhoeff's dihedral check digit.
pub(super) fn aadhaar(digits: &[u8]) -> bool {
    /// The product of the dihedral group D5.
    fn product(a: u8, b: u8) -> u8 {
        match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => 5 + (a + (b - 5)) % 5,
            (false, true) => 5 + (a - 5 + 5 - b) % 5,
            (false, false) => (a - 5 + 5 - (b - 5)) % 5,
        }
    }
    const PERMUTATION: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let rest = digits.iter().rev().enumerate().fold(0, |rest, (place, digit)| {
        let permuted =
            (0..place % 8).fold(*digit, |digit, _| PERMUTATION.get(usize::from(digit)).copied().unwrap_or(0));
        product(rest, permuted)
    });
    digits.len() == 12 && matches!(digits.first(), Some(2..=9)) && rest == 0
}

/// Spain: the letter of a number, which for a NIE begins with 0, 1 or 2 for X, Y or Z.
pub(super) fn dni_letter(number: u64) -> u8 {
    let place = usize::try_from(number % 23).unwrap_or_default();
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(place).copied().unwrap_or(0)
}

/// Italy: the letter of the first fifteen characters, all upper case.
pub(super) fn codice_fiscale(characters: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let (Some((check, body)), 16) = (characters.split_last(), characters.len()) else { return false };
    let sum: u32 = body
        .iter()
        .enumerate()
        .map(|(place, character)| {
            let value = match character {
                b'0'..=b'9' => character - b'0',
                _ => character.saturating_sub(b'A'),
            };
            // The first character is number 1: odd.
            if place % 2 == 0 { ODD.get(usize::from(value)).copied().unwrap_or(0) } else { u32::from(value) }
        })
        .sum();
    u32::from(*check) == u32::from(b'A') + sum % 26
}

/// Can it be a day of a month, of an unknown year?
pub(super) fn is_day(month: u64, day: u64) -> bool {
    let most = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 29,
        _ => 0,
    };
    (1..=most).contains(&day)
}
