//! The names of a JSON document's own members; what is deeper is skipped. What is not JSON is not refused here: no reader would
//! take a method from it.

use super::super::json_text;
use super::super::violation::Violation;
use super::refuse;

/// Longer than any name that counts, each of its letters escaped.
const LONGEST_NAME: usize = 160;

#[derive(Debug, Default)]
pub(super) struct Members {
    depth: usize,
    string: bool,
    escaped: bool,
    /// The last string of the outermost object, as it came.
    name: Vec<u8>,
    overlong: bool,
}

impl Members {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if self.string {
                let plain = if self.escaped { 0 } else { json_text::plain(rest) };
                if plain > 0 {
                    let (run, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
                    self.keep(run);
                    rest = after;
                    continue;
                }
                if *byte == b'"' && !self.escaped {
                    self.string = false;
                } else {
                    self.escaped = *byte == b'\\' && !self.escaped;
                    self.keep(&[*byte]);
                }
            } else {
                match byte {
                    b'"' => {
                        self.string = true;
                        self.overlong = false;
                        self.name.clear();
                    }
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b':' if self.depth == 1 && !self.overlong => self.look()?,
                    _ => {}
                }
            }
            rest = after;
        }
        Ok(())
    }

    fn keep(&mut self, run: &[u8]) {
        if self.depth != 1 || self.overlong || self.name.len() + run.len() > LONGEST_NAME {
            self.overlong = true;
        } else {
            self.name.extend_from_slice(run);
        }
    }

    fn look(&self) -> Result<(), Violation> {
        let mut name = Vec::new();
        if json_text::unescape(&self.name, &mut name).is_none() {
            return Ok(());
        }
        refuse(&String::from_utf8_lossy(&name))
    }
}
