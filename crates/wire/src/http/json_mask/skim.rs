//! The quick way: whole tokens that pass, one behind the other, read as strictly as elsewhere. What is not whole in a piece, what is
//! masked, what detectors look at, and names with escapes are left to the machine.

use super::super::json_text;
use super::machine::{Frame, Machine, State};
use super::{DEEPEST_ANSWER, MaskError};

impl Machine {
    /// How many bytes from here on pass as they are.
    pub(super) fn skim(&mut self, rest: &[u8]) -> Result<usize, MaskError> {
        let Some(mut frame) = self.frames.last().copied().filter(|_| !self.looks) else { return Ok(0) };
        let mut at = 0;
        while let Some(byte) = rest.get(at).copied() {
            let token = rest.get(at..).unwrap_or_default();
            let (length, next) = match (self.state, byte) {
                (_, b' ' | b'\t' | b'\n' | b'\r') => (json_text::blanks(token), self.state),
                (State::After, b',') => (1, if frame.object { State::Name } else { State::Value }),
                (State::Colon, b':') => (1, State::Value),
                (State::FirstName | State::Name, b'"') => {
                    let length = json_text::string(token);
                    if !self.follow(&frame, token.get(..length).unwrap_or_default()) {
                        break;
                    }
                    (length, State::Colon)
                }
                (State::Value | State::FirstElement, b'{' | b'[') => {
                    let Some((from, to)) = self.unmasked(&frame) else { break };
                    if self.frames.len() >= DEEPEST_ANSWER {
                        return Err(MaskError::TooDeep);
                    }
                    frame = Frame { object: byte == b'{', from, to, mask: None };
                    self.frames.push(frame);
                    (1, if frame.object { State::FirstName } else { State::FirstElement })
                }
                (State::Value | State::FirstElement, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                    let length = match byte {
                        b'"' => json_text::string(token),
                        b't' | b'f' | b'n' => json_text::word(token),
                        _ => json_text::number(token),
                    };
                    if length == 0 || self.unmasked(&frame).is_none() {
                        break;
                    }
                    self.arena.truncate(frame.to);
                    (length, State::After)
                }
                (State::After | State::FirstName, b'}') if frame.object && self.goes_on_behind() => {
                    frame = self.leave(frame);
                    (1, State::After)
                }
                (State::After | State::FirstElement, b']') if !frame.object && self.goes_on_behind() => {
                    frame = self.leave(frame);
                    (1, State::After)
                }
                _ => break,
            };
            if length == 0 {
                break;
            }
            at += length;
            self.state = next;
        }
        Ok(at)
    }

    /// The states of the value that begins, as a part of the arena, unless it is masked.
    fn unmasked(&self, frame: &Frame) -> Option<(usize, usize)> {
        let end = self.arena.len();
        if self.muted.is_some() {
            return Some((end, end));
        }
        let (from, to) = if frame.object { (frame.to, end) } else { (frame.from, frame.to) };
        let masked = frame.mask.is_some()
            || (from != to && self.masks.places.mask(self.arena.get(from..to).unwrap_or_default()).is_some());
        (!masked).then_some((from, to))
    }

    /// Finds the places of a member by its name, a whole token; not if the machine must.
    fn follow(&mut self, frame: &Frame, token: &[u8]) -> bool {
        if self.muted.is_some() || frame.from == frame.to {
            return true;
        }
        let name = token.get(1..token.len().saturating_sub(1)).filter(|name| memchr::memchr(b'\\', name).is_none());
        let Some(name) = name else { return false };
        self.masks.places.follow(frame.from, Some(name), &mut self.arena);
        true
    }

    /// Whether the end of the innermost structure is neither that of a document nor that of what is left out.
    fn goes_on_behind(&self) -> bool {
        let behind = self.frames.len().saturating_sub(1);
        behind > 0 && self.muted != Some(behind)
    }

    /// Leaves the innermost structure for the one around it.
    fn leave(&mut self, frame: Frame) -> Frame {
        self.frames.pop();
        let around = self.frames.last().copied().unwrap_or(frame);
        self.arena.truncate(around.to);
        around
    }
}
