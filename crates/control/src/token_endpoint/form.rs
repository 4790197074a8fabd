//! Bodies of `application/x-www-form-urlencoded`, read strictly: what stands twice is refused (RFC 6749, section 3.1), but for
//! the two parameters that may repeat.

use std::collections::BTreeMap;

/// Parameters that may stand several times (RFC 8693, section 2.1; RFC 8707, section 2).
const REPEATED: [&str; 2] = ["audience", "resource"];

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// Reads a body; none if it is malformed or repeats what may not repeat.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut form = Self::default();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = pair.split_at_checked(end)?;
            let (name, value) = (decoded(name)?, decoded(value.get(1..)?)?);
            // A parameter without a value counts as absent (RFC 6749, section 3.1).
            if value.is_empty() {
                continue;
            }
            let may_repeat = REPEATED.contains(&name.as_str());
            let values = form.0.entry(name).or_default();
            values.push(value);
            if values.len() > 1 && !may_repeat {
                return None;
            }
        }
        Some(form)
    }

    /// Takes a parameter that stands once at most.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)?.pop()
    }

    /// Takes every value of a parameter that may repeat.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }
}

fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                high * 16 + low
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}
