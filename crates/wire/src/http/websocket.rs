//! WebSocket frames (RFC 6455), without IO: what passes after a declared upgrade, frame by frame.
//!
//! Every frame is checked before a byte of it passes: reserved bits and opcodes, masking by the side that must, shortest
//! lengths, control frames, the order of fragments, UTF-8 of texts and reasons. Extensions are not negotiated through the
//! gateway (`permessage-deflate` would hide what is said), so no reserved bit is ever right.
//!
//! A frame that has not come whole passes in fragments, as RFC 6455 (5.4) lets one who stands between: so what has left ends
//! between two frames at any time, and a close can follow. Texts can have values replaced ([`Frames::masking`]), be searched for
//! what a mask made ([`Frames::seeking`]), or be shown to detectors ([`Frames::looking`]); whatever is said, what the gateway
//! itself has shown the server is overwritten in it ([`Frames::overwriting`]).

mod close;
mod pings;
mod write;

use bytes::Bytes;

use super::echo::Search;
use super::json_mask::{Form, JsonMasker, JsonSeeker, MaskError, Masks};
use super::utf8::Utf8;
use crate::detect::Kind;
use write::Head;

pub use close::close;
pub use pings::Pings;

/// The longest message, in bytes, unless it is set otherwise.
pub const LONGEST_MESSAGE: u64 = 16 << 20;
/// Two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;
/// The longest control frame.
const LONGEST_CONTROL: u64 = 125;
/// How much detectors that only look are shown of a direction, in bytes.
const MOST_LOOKED: u64 = 256 * 1024;
/// How long the code of a close is.
const CODE: usize = 2;

/// Which side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// Why a connection ends. Without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// What RFC 6455 does not allow.
    #[error("a frame of the websocket is malformed")]
    Malformed,
    /// A text or a reason that is no UTF-8.
    #[error("a text of the websocket is not valid utf-8")]
    NotUtf8,
    /// A message beyond its bound.
    #[error("a message of the websocket is too long")]
    TooLong,
    /// A message in which values must be replaced, and that cannot be read.
    #[error("a message of the websocket must be masked and is not json")]
    Unmaskable,
    /// A message that brings back what a mask made (hazards MK18).
    #[error("a message of the websocket holds a value that a mask made")]
    MaskedValue,
}

impl FrameFault {
    /// The code of the close that tells of it (RFC 6455, 7.4.1).
    pub const fn code(self) -> u16 {
        match self {
            Self::Malformed => 1002,
            Self::Unmaskable => 1003,
            Self::NotUtf8 => 1007,
            Self::MaskedValue => 1008,
            Self::TooLong => 1009,
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn read(byte: u8) -> Option<Self> {
        Some(match byte & 0x0F {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What passed with one step over the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Messages that have ended.
    pub messages: u64,
    /// Bytes of messages.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    opcode: Opcode,
    last: bool,
    mask: Option<[u8; 4]>,
    /// Of the payload.
    left: u64,
    /// Of the payload that came.
    at: u64,
}

impl Frame {
    /// The mask of the payload that comes next, turned to where it stands.
    fn turned(&self) -> Option<[u8; 4]> {
        let mut mask = self.mask?;
        mask.rotate_left((self.at % 4) as usize);
        Some(mask)
    }
}

/// What happens to the texts of a direction.
#[derive(Debug)]
enum Texts {
    Pass,
    /// Values in them are replaced. Whether bytes pass, in which nothing can be.
    Mask(Masks, bool),
    Seek(Masks),
    Look(Masks),
}

/// The text that is being looked at.
#[derive(Debug)]
enum Looking {
    No,
    Mask(Box<JsonMasker>),
    Seek(Box<JsonSeeker>),
    /// What comes out does not leave.
    Look(Box<JsonMasker>),
}

/// Frames of one direction.
#[derive(Debug)]
pub struct Frames {
    side: Side,
    longest: u64,
    texts: Texts,
    head: [u8; LONGEST_HEAD],
    head_length: usize,
    frame: Option<Frame>,
    /// The message that is open.
    message: Option<Opcode>,
    message_length: u64,
    /// A part of the message has left.
    begun: bool,
    utf8: Utf8,
    looking: Looking,
    /// How much detectors were shown, in bytes, and what they found.
    looked: u64,
    found: [u32; Kind::ALL.len()],
    pings: Option<Pings>,
    /// What is overwritten in all that is said.
    echo: Option<Box<Search>>,
    /// The control frame that is being read, unmasked.
    control: Vec<u8>,
    plain: Vec<u8>,
    masked: Vec<u8>,
    closed: bool,
}

impl Frames {
    /// Frames from one side, from the first byte behind the upgrade; none of its messages may be longer than so many bytes.
    pub fn new(side: Side, longest: u64) -> Self {
        Self {
            side,
            longest,
            texts: Texts::Pass,
            head: [0; LONGEST_HEAD],
            head_length: 0,
            frame: None,
            message: None,
            message_length: 0,
            begun: false,
            utf8: Utf8::default(),
            looking: Looking::No,
            looked: 0,
            found: [0; Kind::ALL.len()],
            pings: None,
            echo: None,
            control: Vec::new(),
            plain: Vec::new(),
            masked: Vec::new(),
            closed: false,
        }
    }

    /// The same, with values in texts replaced. Texts must be JSON then; messages of bytes are refused unless `binary`.
    #[must_use]
    pub fn masking(self, masks: Masks, binary: bool) -> Self {
        Self { texts: Texts::Mask(masks, binary), ..self }
    }

    /// The same, refusing a text of JSON that brings back what a mask made at the places of these masks.
    #[must_use]
    pub fn seeking(self, masks: Masks) -> Self {
        Self { texts: Texts::Seek(masks), ..self }
    }

    /// The same, with texts shown to the detectors of these masks. They pass as they came, JSON or not.
    #[must_use]
    pub fn looking(self, masks: Masks) -> Self {
        Self { texts: Texts::Look(masks), ..self }
    }

    /// The same, with what the server says in pings and pongs hidden from the client. Both directions share `pings`.
    #[must_use]
    pub fn hiding(self, pings: Pings) -> Self {
        Self { pings: Some(pings), ..self }
    }

    /// The same, with these values overwritten in all that the server says: behind masks, where there are some.
    #[must_use]
    pub fn overwriting(self, search: Search) -> Self {
        Self { echo: Some(Box::new(search)), ..self }
    }

    /// So many values were overwritten.
    pub fn overwritten(&self) -> u32 {
        self.echo.as_ref().map_or(0, |echo| echo.found())
    }

    /// What detectors found in the messages that have ended, and how often.
    pub fn found(&self) -> impl Iterator<Item = (Kind, u32)> + '_ {
        Kind::ALL.into_iter().zip(self.found).filter(|(_, count)| *count > 0)
    }

    /// Whether the side has closed: nothing may follow.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the next bytes, and appends the frames that may leave.
    ///
    /// # Errors
    /// [`FrameFault`] if the connection must end. What was appended before may leave all the same.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Passed, FrameFault> {
        let mut passed = Passed::default();
        let mut rest = input;
        while !rest.is_empty() {
            if self.closed {
                return Err(FrameFault::Malformed);
            }
            let frame = match self.frame {
                Some(frame) => frame,
                None => {
                    let Some((frame, after)) = self.take_head(rest)? else { return Ok(passed) };
                    self.begin(frame)?;
                    rest = after;
                    frame
                }
            };
            let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(rest.len());
            let (payload, after) = rest.split_at_checked(length).ok_or(FrameFault::Malformed)?;
            if payload.is_empty() && frame.left > 0 {
                self.frame = Some(frame);
                break;
            }
            rest = after;
            let ends = frame.left == payload.len() as u64;
            if frame.opcode.is_control() {
                self.control(&frame, payload, ends, out)?;
            } else {
                self.data(&frame, payload, ends, out)?;
                passed.bytes += payload.len() as u64;
                passed.messages += u64::from(ends && frame.last);
            }
            let length = payload.len() as u64;
            self.frame = (!ends).then_some(Frame { left: frame.left - length, at: frame.at + length, ..frame });
        }
        Ok(passed)
    }

    /// Takes bytes of the head until it is whole.
    fn take_head<'i>(&mut self, input: &'i [u8]) -> Result<Option<(Frame, &'i [u8])>, FrameFault> {
        let mut rest = input;
        while let Some((byte, after)) = rest.split_first() {
            *self.head.get_mut(self.head_length).ok_or(FrameFault::Malformed)? = *byte;
            self.head_length += 1;
            rest = after;
            if let Some(frame) = self.read_head()? {
                self.head_length = 0;
                return Ok(Some((frame, rest)));
            }
        }
        Ok(None)
    }

    /// The frame that the head says, once it is whole.
    fn read_head(&self) -> Result<Option<Frame>, FrameFault> {
        let [first, second, rest @ ..] = self.head.get(..self.head_length).unwrap_or_default() else { return Ok(None) };
        let opcode = Opcode::read(*first).ok_or(FrameFault::Malformed)?;
        let masked = second & 0x80 != 0;
        if first & 0x70 != 0 || masked != (self.side == Side::Client) {
            return Err(FrameFault::Malformed);
        }
        let (left, rest) = match second & 0x7F {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        // The shortest form, or two readers could disagree about where frames begin.
        let least = match second & 0x7F {
            126 => 126,
            127 => 1 << 16,
            _ => 0,
        };
        if left < least {
            return Err(FrameFault::Malformed);
        }
        let mask = match (masked, rest.first_chunk::<4>()) {
            (false, _) => None,
            (true, Some(mask)) => Some(*mask),
            (true, None) => return Ok(None),
        };
        Ok(Some(Frame { opcode, last: first & 0x80 != 0, mask, left, at: 0 }))
    }

    fn begin(&mut self, frame: Frame) -> Result<(), FrameFault> {
        let fits = match frame.opcode {
            Opcode::Close => frame.last && frame.left <= LONGEST_CONTROL && frame.left != 1,
            Opcode::Ping | Opcode::Pong => frame.last && frame.left <= LONGEST_CONTROL,
            Opcode::Continuation => self.message.is_some(),
            Opcode::Text | Opcode::Binary => self.message.is_none(),
        };
        if !fits {
            return Err(FrameFault::Malformed);
        }
        if frame.opcode.is_control() {
            self.control.clear();
            return Ok(());
        }
        if frame.opcode != Opcode::Continuation {
            self.message = Some(frame.opcode);
            self.message_length = 0;
            self.begun = false;
            self.utf8 = Utf8::default();
            self.looking = match (&self.texts, frame.opcode) {
                (Texts::Mask(_, false), Opcode::Binary) => return Err(FrameFault::Unmaskable),
                (Texts::Mask(masks, _), Opcode::Text) => {
                    Looking::Mask(Box::new(JsonMasker::new(masks.clone(), Form::Json)))
                }
                (Texts::Seek(masks), Opcode::Text) => {
                    Looking::Seek(Box::new(JsonSeeker::new(masks.clone(), Form::Json)))
                }
                (Texts::Look(masks), Opcode::Text) if self.looked < MOST_LOOKED => {
                    Looking::Look(Box::new(JsonMasker::new(masks.clone(), Form::Json)))
                }
                _ => Looking::No,
            };
        }
        self.message_length = self.message_length.saturating_add(frame.left);
        if self.message_length > self.longest { Err(FrameFault::TooLong) } else { Ok(()) }
    }

    /// A control frame passes whole, once it has come whole.
    fn control(&mut self, frame: &Frame, payload: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), FrameFault> {
        write::unmask(payload, frame.turned(), &mut self.control);
        if !ends {
            return Ok(());
        }
        if frame.opcode == Opcode::Close {
            close::check(&self.control)?;
            self.closed = true;
            if matches!(self.texts, Texts::Mask(_, false)) {
                // A reason is free text, in which a value could stand as in any error (hazards MK07).
                self.control.truncate(CODE);
            }
        }
        if let Some(pings) = &self.pings {
            pings.pass(self.side, frame.opcode, &mut self.control);
        }
        if let Some(echo) = &mut self.echo {
            echo.overwrite(&mut self.control);
        }
        let head = Head { opcode: frame.opcode, last: true, length: self.control.len() as u64, mask: frame.mask };
        head.write(out);
        write::unmask(&self.control, frame.mask, out);
        Ok(())
    }

    /// A part of a message, which is looked at before it passes.
    fn data(&mut self, frame: &Frame, payload: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), FrameFault> {
        let last = frame.last && ends;
        if self.message == Some(Opcode::Text) {
            self.plain.clear();
            write::unmask(payload, frame.turned(), &mut self.plain);
            self.utf8.feed(&self.plain).map_err(|_invalid| FrameFault::NotUtf8)?;
            if last && !self.utf8.is_whole() {
                return Err(FrameFault::NotUtf8);
            }
        }
        let mask = frame.turned();
        let masked = match &mut self.looking {
            Looking::No => None,
            Looking::Mask(masker) => {
                look(masker, &mut self.looked, &self.plain, last, &mut self.masked).map_err(unmaskable)?;
                Some(&self.masked)
            }
            Looking::Look(masker) => {
                // What is no JSON is not looked at any more.
                let _unread = look(masker, &mut self.looked, &self.plain, last, &mut self.masked);
                None
            }
            Looking::Seek(seeker) => {
                let mut found = seeker.feed(&self.plain);
                if last && found == Ok(false) {
                    found = seeker.finish();
                }
                match found {
                    Ok(false) => {}
                    Ok(true) => return Err(FrameFault::MaskedValue),
                    Err(MaskError::TooDeep) => return Err(FrameFault::Unmaskable),
                    // Whatever it is, it is no JSON in which a mask could stand.
                    Err(_other) => self.looking = Looking::No,
                }
                None
            }
        };
        let said = masked.map_or(payload, Vec::as_slice);
        let overwritten = self.echo.as_mut().map(|echo| {
            let said = Bytes::copy_from_slice(said);
            if last { echo.finish(said) } else { echo.pass(said) }
        });
        let mask = mask.filter(|_| masked.is_none() && overwritten.is_none());
        let said = overwritten.as_deref().unwrap_or(said);
        let opcode = if self.begun { Opcode::Continuation } else { self.message.unwrap_or(frame.opcode) };
        // What is held back until it is whole leaves later.
        let waits = said.is_empty() && !last && (masked.is_some() || overwritten.is_some());
        if !waits {
            Head { opcode, last, length: said.len() as u64, mask }.write(out);
            out.extend_from_slice(said);
            self.begun = true;
        }
        if last {
            self.message = None;
            if let Looking::Mask(looked) | Looking::Look(looked) = std::mem::replace(&mut self.looking, Looking::No) {
                for (kind, count) in looked.found() {
                    if let Some(found) = self.found.get_mut(kind.place()) {
                        *found = found.saturating_add(count);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Masks a piece of a text into `out`, which is emptied before. `looked` counts what was looked at.
fn look(
    masker: &mut JsonMasker,
    looked: &mut u64,
    plain: &[u8],
    last: bool,
    out: &mut Vec<u8>,
) -> Result<(), MaskError> {
    out.clear();
    *looked = looked.saturating_add(plain.len() as u64);
    if *looked > MOST_LOOKED {
        masker.look_no_more();
    }
    masker.feed(plain, out)?;
    if last { masker.finish(out) } else { Ok(()) }
}

const fn unmaskable(error: MaskError) -> FrameFault {
    match error {
        MaskError::NotUtf8 => FrameFault::NotUtf8,
        MaskError::Invalid | MaskError::TooDeep | MaskError::Truncated => FrameFault::Unmaskable,
    }
}

#[cfg(test)]
mod tests;
