//! `application/x-www-form-urlencoded` as it passes: a name is kept until it is known whether it is sought, and then its value.

use super::super::json_mask::LONGEST_VALUE;
use super::super::overrides::decoded;
use super::Sought;

/// The longest name that is looked at, in bytes as it comes; what is longer is sought.
const LONGEST_NAME: usize = 1024;
/// An escaped byte is three.
const ESCAPED: usize = 3;

#[derive(Debug)]
pub(super) struct Fields {
    sought: Sought,
    place: Place,
    /// The name or the value under way, as it came.
    text: Vec<u8>,
    overlong: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Name,
    Value,
    /// In a value that is not looked at.
    Skipped,
}

impl Fields {
    pub(super) const fn new(sought: Sought) -> Self {
        Self { sought, place: Place::Name, text: Vec::new(), overlong: false }
    }

    /// Takes the next bytes: has a value ended that a mask made?
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        loop {
            let end = match self.place {
                Place::Name => memchr::memchr2(b'=', b'&', rest),
                Place::Value | Place::Skipped => memchr::memchr(b'&', rest),
            };
            let (part, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            self.keep(part);
            let Some((mark, after)) = after.split_first() else { return false };
            rest = after;
            if *mark == b'=' {
                let named = self.overlong || self.sought.is_in(&decoded(&self.text));
                self.begin(if named { Place::Value } else { Place::Skipped });
            } else if self.finish() {
                return true;
            }
        }
    }

    /// Ends a field: was its value made by a mask?
    pub(super) fn finish(&mut self) -> bool {
        // No mask makes a value that long: what is longer than it can keep is redacted.
        let looked = self.place == Place::Value && !self.overlong;
        let found = looked && self.sought.is_masked(decoded(&self.text).as_bytes());
        self.begin(Place::Name);
        found
    }

    fn begin(&mut self, place: Place) {
        self.place = place;
        self.text.clear();
        self.overlong = false;
    }

    fn keep(&mut self, part: &[u8]) {
        let longest = match self.place {
            Place::Name => LONGEST_NAME,
            Place::Value => ESCAPED * LONGEST_VALUE,
            Place::Skipped => return,
        };
        self.overlong |= self.text.len() + part.len() > longest;
        if self.overlong {
            self.text.clear();
        } else {
            self.text.extend_from_slice(part);
        }
    }
}
