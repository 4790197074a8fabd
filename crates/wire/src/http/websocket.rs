//! WebSocket frames (RFC 6455), without IO: what passes after a declared upgrade, frame by frame.
//!
//! Every frame is checked before a byte of it passes: reserved bits and opcodes, masking by the side that must, shortest
//! lengths, control frames, the order of fragments, UTF-8 of texts and reasons. What passes is what came; extensions are not
//! negotiated through the gateway (`permessage-deflate` would hide what is said), so no reserved bit is ever right. A text can be copied,
//! unmasked, for who looks at it.

mod text;

use super::violation::Violation;
use text::Text;

/// The longest frame, in bytes, unless it is set otherwise.
pub const LONGEST_FRAME: u64 = 16 << 20;
/// The longest message, in bytes, unless it is set otherwise.
pub const LONGEST_MESSAGE: u64 = 64 << 20;
/// Two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;
/// The longest control frame.
const LONGEST_CONTROL: u64 = 125;

/// Which side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// Bounds of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest frame, in bytes.
    pub frame: u64,
    /// The longest message, in bytes.
    pub message: u64,
    /// How much of each text message is copied for inspection, in bytes; 0 for none.
    pub copy: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { frame: LONGEST_FRAME, message: LONGEST_MESSAGE, copy: 0 }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message.
    Continuation,
    /// Begins a text.
    Text,
    /// Begins bytes.
    Binary,
    /// Ends the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or says that the side is alive.
    Pong,
}

/// What a step over the bytes came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A text message has ended. Its content, as far as it is copied; `whole` if that is all of it.
    Text {
        /// The text, unmasked.
        content: Vec<u8>,
        /// Whether nothing was left out.
        whole: bool,
    },
    /// A binary message has ended; so long was it, in bytes.
    Binary(u64),
    /// The side has closed: nothing may follow.
    Close,
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

/// Frames of one direction.
#[derive(Debug)]
pub struct Frames {
    side: Side,
    limits: FrameLimits,
    head: [u8; LONGEST_HEAD],
    head_length: usize,
    frame: Option<Frame>,
    /// The message that is open.
    message: Option<Opcode>,
    message_length: u64,
    text: Text,
    reason: Text,
    copy: Vec<u8>,
    closed: bool,
}

impl Frames {
    /// Frames from one side, from the first byte behind the upgrade.
    pub fn new(side: Side, limits: FrameLimits) -> Self {
        Self {
            side,
            limits,
            head: [0; LONGEST_HEAD],
            head_length: 0,
            frame: None,
            message: None,
            message_length: 0,
            text: Text::default(),
            reason: Text::default(),
            copy: Vec::new(),
            closed: false,
        }
    }

    /// Whether the side has closed.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether no frame is open: what may be cut off here leaves no half.
    pub const fn is_between(&self) -> bool {
        self.frame.is_none() && self.head_length == 0
    }

    /// Looks at the next bytes. They may pass as they are if there is no error.
    ///
    /// # Errors
    /// [`Violation::Frame`] for what RFC 6455 does not allow, or what is beyond a bound.
    pub fn feed(&mut self, input: &[u8], mut seen: impl FnMut(Seen)) -> Result<(), Violation> {
        let mut rest = input;
        while !rest.is_empty() {
            if self.closed {
                return Err(Violation::Frame);
            }
            rest = match self.frame {
                None => self.head(rest)?,
                Some(frame) => {
                    let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(rest.len());
                    let (payload, after) = rest.split_at_checked(length).ok_or(Violation::Frame)?;
                    self.payload(frame, payload)?;
                    after
                }
            };
            if let Some(frame) = self.frame.filter(|frame| frame.left == 0) {
                self.frame = None;
                self.end(frame, &mut seen)?;
            }
        }
        Ok(())
    }

    /// Takes bytes of the head until it is whole.
    fn head<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], Violation> {
        let mut rest = input;
        while let Some((byte, after)) = rest.split_first() {
            *self.head.get_mut(self.head_length).ok_or(Violation::Frame)? = *byte;
            self.head_length += 1;
            rest = after;
            if let Some(frame) = self.read_head()? {
                self.head_length = 0;
                self.begin(frame)?;
                break;
            }
        }
        Ok(rest)
    }

    /// The frame that the head says, once it is whole.
    fn read_head(&self) -> Result<Option<Frame>, Violation> {
        let [first, second, rest @ ..] = self.head.get(..self.head_length).unwrap_or_default() else { return Ok(None) };
        let opcode = match first & 0x0F {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation::Frame),
        };
        let masked = second & 0x80 != 0;
        if first & 0x70 != 0 || masked != (self.side == Side::Client) {
            return Err(Violation::Frame);
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
            return Err(Violation::Frame);
        }
        let mask = match (masked, rest.first_chunk::<4>()) {
            (false, _) => None,
            (true, Some(mask)) => Some(*mask),
            (true, None) => return Ok(None),
        };
        Ok(Some(Frame { opcode, last: first & 0x80 != 0, mask, left, at: 0 }))
    }

    fn begin(&mut self, frame: Frame) -> Result<(), Violation> {
        let fits = match frame.opcode {
            Opcode::Close => frame.last && frame.left <= LONGEST_CONTROL && frame.left != 1,
            Opcode::Ping | Opcode::Pong => frame.last && frame.left <= LONGEST_CONTROL,
            Opcode::Continuation => self.message.is_some(),
            Opcode::Text | Opcode::Binary => self.message.is_none(),
        };
        if !fits || frame.left > self.limits.frame {
            return Err(Violation::Frame);
        }
        match frame.opcode {
            Opcode::Text | Opcode::Binary => {
                self.message = Some(frame.opcode);
                self.message_length = 0;
                self.text = Text::default();
                self.copy.clear();
            }
            Opcode::Close => self.reason = Text::default(),
            Opcode::Continuation | Opcode::Ping | Opcode::Pong => {}
        }
        if matches!(frame.opcode, Opcode::Text | Opcode::Binary | Opcode::Continuation) {
            self.message_length = self.message_length.saturating_add(frame.left);
            if self.message_length > self.limits.message {
                return Err(Violation::Frame);
            }
        }
        self.frame = Some(frame);
        Ok(())
    }

    fn payload(&mut self, frame: Frame, payload: &[u8]) -> Result<(), Violation> {
        let unmask = |(place, byte): (usize, &u8)| match frame.mask {
            Some(mask) => {
                let place = frame.at.wrapping_add(place as u64);
                byte ^ mask.get((place % 4) as usize).copied().unwrap_or(0)
            }
            None => *byte,
        };
        let data = matches!(frame.opcode, Opcode::Text | Opcode::Continuation);
        if data && self.message == Some(Opcode::Text) {
            let room = self.limits.copy.saturating_sub(self.copy.len());
            for (place, byte) in payload.iter().enumerate().map(|(place, byte)| (place, unmask((place, byte)))) {
                self.text.push(byte)?;
                if place < room {
                    self.copy.push(byte);
                }
            }
        } else if frame.opcode == Opcode::Close {
            for (place, byte) in payload.iter().enumerate() {
                let byte = unmask((place, byte));
                match frame.at + place as u64 {
                    place @ 0..2 => self.reason.code(place == 0, byte),
                    _ => self.reason.push(byte)?,
                }
            }
        }
        let length = payload.len() as u64;
        self.frame = Some(Frame { left: frame.left - length, at: frame.at + length, ..frame });
        Ok(())
    }

    fn end(&mut self, frame: Frame, seen: &mut impl FnMut(Seen)) -> Result<(), Violation> {
        match frame.opcode {
            Opcode::Ping | Opcode::Pong => {}
            Opcode::Close => {
                self.reason.end()?;
                if frame.at > 0 && !self.reason.is_close_code() {
                    return Err(Violation::Frame);
                }
                self.closed = true;
                seen(Seen::Close);
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation if frame.last => {
                if self.message.take() == Some(Opcode::Text) {
                    self.text.end()?;
                    let content = std::mem::take(&mut self.copy);
                    let whole = content.len() as u64 == self.message_length;
                    seen(Seen::Text { content, whole });
                } else {
                    seen(Seen::Binary(self.message_length));
                }
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
