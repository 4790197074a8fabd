//! Compressed answers, decoded as they come where values in them are replaced: gzip, deflate, br and zstd, one coding at a time.
//!
//! The upstream is asked for none of them; this is for one that sends them all the same. What comes out at once is bounded,
//! and so is how much may come out of how little (hazard HT10). An unknown coding is refused.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The most that may come out of one step, in bytes.
const MOST_AT_ONCE: usize = 4 << 20;
/// How much of what is compressed is decoded at a time, in bytes.
pub(super) const STEP: usize = 2048;
/// So much may come out however little came in, in bytes.
const FREE: u64 = 64 << 20;
/// Beyond that: so many bytes of each that came in. What gzip can do at best is half of it.
const RATIO: u64 = 2000;
/// The largest window of zstd, in bytes (RFC 9659).
const WINDOW: u64 = 8 << 20;

/// Why an answer cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("its coding is not known")]
    Unknown,
    #[error("it is not what its coding says")]
    Malformed,
    #[error("it grows too much")]
    Inflation,
    #[error("it ends too early")]
    Truncated,
}

/// Decodes one answer.
pub(super) struct Decoder {
    coding: Coding,
    came: u64,
    left: u64,
}

enum Coding {
    Identity,
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Deflate(Box<ZlibDecoder<Bounded>>),
    Brotli(Box<DecompressorWriter<Bounded>>),
    Zstd(Box<Zstd>),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("came", &self.came).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Of the value of `Content-Encoding`, if there is one.
    pub(super) fn of(coding: Option<&[u8]>) -> Result<Self, DecodeError> {
        let name = coding.unwrap_or(b"identity").to_ascii_lowercase();
        let coding = match name.trim_ascii() {
            b"identity" | b"" => Coding::Identity,
            b"gzip" | b"x-gzip" => Coding::Gzip(Box::new(MultiGzDecoder::new(Bounded::default()))),
            b"deflate" => Coding::Deflate(Box::new(ZlibDecoder::new(Bounded::default()))),
            b"br" => Coding::Brotli(Box::new(DecompressorWriter::new(Bounded::default(), 4096))),
            b"zstd" => Coding::Zstd(Box::new(Zstd::new())),
            _ => return Err(DecodeError::Unknown),
        };
        Ok(Self { coding, came: 0, left: 0 })
    }

    /// Does all come out that what came says? Zstandard keeps its blocks and its window back.
    pub(super) const fn is_prompt(&self) -> bool {
        matches!(self.coding, Coding::Gzip(_) | Coding::Deflate(_) | Coding::Brotli(_))
    }

    /// How much is decoded at a time, in bytes: what is not compressed does not grow.
    pub(super) const fn step(&self) -> usize {
        if matches!(self.coding, Coding::Identity) { 8 * STEP } else { STEP }
    }

    /// Decodes a step of at most [`Self::step`] bytes, and appends what comes out.
    pub(super) fn feed(&mut self, step: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let before = out.len();
        match &mut self.coding {
            Coding::Identity => out.extend_from_slice(step),
            Coding::Gzip(decoder) => {
                decoder.write_all(step).map_err(|error| fault(&error))?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Deflate(decoder) => {
                let mut rest = step;
                while !rest.is_empty() {
                    // A part is taken where much comes out of it, and none behind the end of the stream: that was never checked.
                    let taken = decoder.write(rest).map_err(|error| fault(&error))?;
                    rest = rest.get(taken..).filter(|_| taken > 0).ok_or(DecodeError::Malformed)?;
                }
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Brotli(decoder) => {
                decoder.write_all(step).map_err(|error| fault(&error))?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Zstd(decoder) => decoder.feed(step, out)?,
        }
        self.came += step.len() as u64;
        self.left += (out.len() - before) as u64;
        if self.left > FREE && self.left / RATIO > self.came {
            return Err(DecodeError::Inflation);
        }
        Ok(())
    }

    /// Appends what was decoded and would come out with the next step only.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match &mut self.coding {
            Coding::Gzip(decoder) => {
                decoder.flush().map_err(|error| fault(&error))?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Deflate(decoder) => {
                decoder.flush().map_err(|error| fault(&error))?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Identity | Coding::Brotli(_) | Coding::Zstd(_) => {}
        }
        Ok(())
    }

    /// Ends the answer: nothing may be missing.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        // An answer without a body has no coding either, whatever its head says.
        if self.came == 0 {
            return Ok(());
        }
        let truncated = |_error: io::Error| DecodeError::Truncated;
        match &mut self.coding {
            Coding::Identity => {}
            Coding::Gzip(decoder) => {
                decoder.try_finish().map_err(truncated)?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Deflate(decoder) => {
                decoder.try_finish().map_err(truncated)?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Brotli(decoder) => {
                decoder.close().map_err(truncated)?;
                out.append(&mut decoder.get_mut().bytes);
            }
            Coding::Zstd(decoder) => decoder.finish()?,
        }
        Ok(())
    }
}

fn fault(error: &io::Error) -> DecodeError {
    if error.kind() == io::ErrorKind::FileTooLarge { DecodeError::Inflation } else { DecodeError::Malformed }
}

/// Takes so much, and no more, between two looks.
#[derive(Debug, Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_AT_ONCE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zstandard (RFC 8878), block by block, so that no more than a block comes out at a time.
struct Zstd {
    decoder: FrameDecoder,
    input: Vec<u8>,
    in_frame: bool,
    has_checksum: bool,
}

impl Zstd {
    fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self { decoder, input: Vec::new(), in_frame: false, has_checksum: false }
    }

    fn feed(&mut self, step: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.input.extend_from_slice(step);
        let before = out.len();
        let mut at = 0;
        while let Some(part) = self.next_part(at)? {
            let mut source = self.input.get(at..at + part).ok_or(DecodeError::Malformed)?;
            at += part;
            if self.in_frame {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut source, strategy).map_err(|_odd| DecodeError::Malformed)?;
                self.in_frame = !self.decoder.is_finished();
                out.extend(self.decoder.collect().into_iter().flatten());
            } else {
                self.has_checksum = source.get(4).is_some_and(|descriptor| descriptor & 4 != 0);
                self.decoder.reset(source).map_err(|_odd| DecodeError::Malformed)?;
                self.in_frame = true;
            }
            if out.len() - before > MOST_AT_ONCE {
                return Err(DecodeError::Inflation);
            }
        }
        self.input.drain(..at);
        Ok(())
    }

    /// How long the next header or block is, if all of it is here.
    fn next_part(&self, at: usize) -> Result<Option<usize>, DecodeError> {
        let rest = self.input.get(at..).unwrap_or_default();
        let length = if self.in_frame {
            let Some([low, middle, high]) = rest.first_chunk::<3>() else { return Ok(None) };
            let header = u32::from_le_bytes([*low, *middle, *high, 0]);
            let (last, kind, size) = (header & 1 == 1, header >> 1 & 3, (header >> 3) as usize);
            if size > 128 << 10 || kind == 3 {
                return Err(DecodeError::Malformed);
            }
            3 + if kind == 1 { 1 } else { size } + if last && self.has_checksum { 4 } else { 0 }
        } else {
            let Some([a, b, c, d, descriptor]) = rest.first_chunk::<5>() else { return Ok(None) };
            if [*a, *b, *c, *d] != [0x28, 0xb5, 0x2f, 0xfd] {
                return Err(DecodeError::Malformed);
            }
            let single = descriptor >> 5 & 1 == 1;
            let dictionary = match descriptor & 3 {
                0 => 0,
                1 => 1,
                2 => 2,
                _ => 4,
            };
            let size = match (descriptor >> 6, single) {
                (0, false) => 0,
                (0, true) => 1,
                (1, _) => 2,
                (2, _) => 4,
                _ => 8,
            };
            5 + usize::from(!single) + dictionary + size
        };
        Ok((rest.len() >= length).then_some(length))
    }

    const fn finish(&self) -> Result<(), DecodeError> {
        if self.in_frame || !self.input.is_empty() { Err(DecodeError::Truncated) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
