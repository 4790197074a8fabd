//! Where a request of HTTP/1 begins and ends: a strict second parser that reads each byte before hyper does.
//!
//! It makes nothing of what it reads. It refuses what two parsers could read in two ways (HT01), so that what hyper reads
//! behind it has one reading, and it knows when a head is under way, for the deadline of slow ones (HT03). A body is
//! skipped without a look at its bytes. Any split of the stream gives the same answer. Not here: what a request means
//! (`head`), and HTTP/2. Source: RFC 9112.

use crate::http::headers;
use crate::http::letters::{hex, is_token, is_value, trim};
use crate::http::violation::Violation;

/// The most that a request may take before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramingLimits {
    /// Bytes of a head: request line, header lines and their ends.
    pub head: usize,
    /// Bytes of a request target.
    pub target: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of a trailer section.
    pub trailers: usize,
    /// Bytes of chunk extensions in one request.
    pub extensions: usize,
}

impl Default for FramingLimits {
    fn default() -> Self {
        Self { head: 64 << 10, target: 8 << 10, headers: 100, trailers: 8 << 10, extensions: 4 << 10 }
    }
}

/// The longest method, and what else a request line has besides its target: two spaces, the version and a carriage return.
const METHOD_CAP: usize = 32;
const AROUND_TARGET: usize = METHOD_CAP + 2 + 8 + 1;

/// No size of a chunk has more digits; more could overflow somewhere.
const CHUNK_DIGITS: usize = 15;

/// The longest line of a chunk's size.
const CHUNK_LINE: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the line of a request, perhaps inside of it.
    Request,
    /// At a header line.
    Header,
    /// In a body of known length.
    Body(u64),
    /// At the line of a chunk's size.
    Size,
    /// In the data of a chunk.
    Data(u64),
    /// At the line end behind a chunk's data.
    DataEnd,
    /// At a line of the trailers.
    Trailer,
    /// The last request asked for another protocol: no byte may come before its answer.
    Upgrading,
    /// Another protocol is spoken.
    Released,
}

/// What the head under way has said about its message.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    old: bool,
    connect: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
}

/// The reader of one client's connection.
pub struct Framing {
    limits: FramingLimits,
    state: State,
    said: Said,
    /// A line that has come in part.
    line: Vec<u8>,
    /// Bytes of the head or the trailers before the line under way.
    size: usize,
    /// Header lines so far.
    count: usize,
    /// Bytes of chunk extensions so far.
    extensions: usize,
    /// Heads that were complete.
    heads: u64,
    /// How many bytes of the last `feed` may be handed on.
    passed: usize,
    broken: Option<Violation>,
}

impl std::fmt::Debug for Framing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The line under way is the client's.
        f.debug_struct("Framing").field("state", &self.state).field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl Framing {
    /// Begins before the first byte of a connection.
    pub const fn new(limits: FramingLimits) -> Self {
        Self {
            limits,
            state: State::Request,
            said: Said {
                old: false,
                connect: false,
                host: false,
                length: None,
                chunked: false,
                upgrade: false,
                connection_upgrade: false,
            },
            line: Vec::new(),
            size: 0,
            count: 0,
            extensions: 0,
            heads: 0,
            passed: 0,
            broken: None,
        }
    }

    /// Reads the next bytes of the connection. Call it before hyper sees them.
    ///
    /// # Errors
    /// The first [`Violation`]. It is final: every later call gives the same. Of these bytes, [`Framing::passed`] may
    /// still be handed on, so that requests before the refused one keep their answers; then the stream ends.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.passed = 0;
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        // Was the head of the request that is under way handed on before?
        let in_body = self.body_pending();
        let (mut rest, mut begun) = (bytes, None);
        while !rest.is_empty() {
            if self.is_between() {
                begun = Some(bytes.len() - rest.len());
            }
            match self.step(rest) {
                Ok(left) => rest = left,
                Err(violation) => {
                    self.passed = begun.unwrap_or_default();
                    if begun.is_some() || !in_body {
                        // Its head is not handed on whole, so none of its body is awaited.
                        self.state = State::Request;
                    }
                    self.broken = Some(violation);
                    self.line = Vec::new();
                    return Err(violation);
                }
            }
        }
        self.passed = bytes.len();
        Ok(())
    }

    /// How many bytes of the last [`Framing::feed`] may be handed on: all, or those of the requests before the one that broke
    /// the stream. No head is complete in them that was refused; of a body that came with its head, nothing.
    pub const fn passed(&self) -> usize {
        self.passed
    }

    /// The violation that ended the stream, if one did.
    pub const fn violation(&self) -> Option<Violation> {
        self.broken
    }

    /// Has a head begun that is not complete? The deadline for slow heads runs while it is true.
    pub const fn head_pending(&self) -> bool {
        match self.state {
            State::Request => !self.line.is_empty(),
            State::Header => true,
            _ => false,
        }
    }

    /// Is a body, or what belongs to one, still to come, of a request whose head was handed on?
    pub const fn body_pending(&self) -> bool {
        matches!(self.state, State::Body(_) | State::Size | State::Data(_) | State::DataEnd | State::Trailer)
    }

    /// Is nothing of a request under way?
    const fn is_between(&self) -> bool {
        matches!(self.state, State::Request) && self.line.is_empty()
    }

    /// How many heads were complete.
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// The upgrade or the tunnel that the last request asked for begins: what follows is no longer HTTP/1. Call it before the
    /// 101, or the 200 to a CONNECT, is sent.
    ///
    /// # Errors
    /// [`Violation::EarlyBytes`] if the last request asked for none, or bytes came behind it (HT11); then the upgrade must be
    /// refused.
    pub fn release(&mut self) -> Result<(), Violation> {
        if self.broken.is_some() || self.state != State::Upgrading {
            return Err(Violation::EarlyBytes);
        }
        self.state = State::Released;
        Ok(())
    }

    /// The upgrade or the tunnel that the last request asked for is refused, and HTTP/1 goes on. Call it before that answer
    /// is sent; a connection that does not is refused at its next request.
    pub const fn resume(&mut self) {
        if matches!(self.state, State::Upgrading) {
            self.state = State::Request;
        }
    }

    /// Reads at least one byte, and gives what is left.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        match self.state {
            State::Released => Ok(&[]),
            State::Upgrading => Err(Violation::EarlyBytes),
            State::Body(left) => {
                let (rest, left) = skip(bytes, left);
                self.state = if left == 0 { self.next_request() } else { State::Body(left) };
                Ok(rest)
            }
            State::Data(left) => {
                let (rest, left) = skip(bytes, left);
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                Ok(rest)
            }
            State::Request | State::Header | State::Size | State::DataEnd | State::Trailer => self.step_line(bytes),
        }
    }

    /// Reads up to the end of a line, or all there is of one.
    fn step_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        let end = memchr::memchr(b'\n', bytes);
        let (part, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
        // Bounds come before the end of the line is looked at, so that a split changes nothing.
        self.check_bounds(self.line.len() + part.len())?;
        let Some((_line_feed, rest)) = rest.split_first() else {
            self.line.extend_from_slice(part);
            return Ok(&[]);
        };
        if self.line.is_empty() {
            self.end_of_line(part)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(part);
            self.end_of_line(&line)?;
            line.clear();
            self.line = line;
        }
        Ok(rest)
    }

    /// `length`: of the line under way, without its line feed.
    const fn check_bounds(&self, length: usize) -> Result<(), Violation> {
        match self.state {
            State::Request if length > self.limits.target + AROUND_TARGET => Err(Violation::TargetTooLong),
            State::Request | State::Header if self.size + length >= self.limits.head => Err(Violation::HeadTooLong),
            State::Trailer if self.size + length >= self.limits.trailers => Err(Violation::HeadTooLong),
            State::Size if length > CHUNK_LINE => Err(Violation::ChunkExtension),
            State::DataEnd if length > 1 => Err(Violation::Chunk),
            _ => Ok(()),
        }
    }

    /// `line`: without its line feed.
    fn end_of_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let Some((b'\r', line)) = line.split_last() else {
            return Err(Violation::BareLineEnd);
        };
        self.size += line.len() + 2;
        self.whole_line(line).map_err(|violation| {
            // Nothing that is taken holds a carriage return; a line that does is another line for others.
            if memchr::memchr(b'\r', line).is_some() { Violation::BareLineEnd } else { violation }
        })
    }

    /// `line`: without its end.
    fn whole_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        match self.state {
            State::Request => {
                self.request_line(line)?;
                self.state = State::Header;
            }
            State::Header if line.is_empty() => self.state = self.end_of_head()?,
            State::Header => self.header_line(line)?,
            State::Size => self.state = self.chunk_size(line)?,
            State::DataEnd => self.state = State::Size,
            State::Trailer if line.is_empty() => self.state = self.next_request(),
            State::Trailer => {
                let (name, _) = self.field(line)?;
                if !headers::may_trail(name) {
                    return Err(Violation::Trailer);
                }
            }
            State::Body(_) | State::Data(_) | State::Upgrading | State::Released => {}
        }
        Ok(())
    }

    const fn next_request(&mut self) -> State {
        self.size = 0;
        self.count = 0;
        self.extensions = 0;
        State::Request
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        if line.is_empty() {
            return Err(Violation::EmptyLine);
        }
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Violation::RequestLine);
        };
        if method.len() > METHOD_CAP || !is_token(method) {
            return Err(Violation::RequestLine);
        }
        // Letters beyond ASCII, and marks that no URL holds plain: hyper takes some of them. A fragment never travels, and
        // what hyper cuts off there we would not see (RFC 9112, §3.2).
        let plain = |byte: u8| byte.is_ascii_graphic() & !matches!(byte, b'#' | b'<' | b'>' | b'`');
        if target.is_empty() || !target.iter().fold(true, |good, byte| good & plain(*byte)) {
            return Err(Violation::RequestLine);
        }
        let old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ if version.starts_with(b"HTTP/") => return Err(Violation::Version),
            _ => return Err(Violation::RequestLine),
        };
        self.said = Said { old, connect: method == b"CONNECT", ..Said::default() };
        Ok(())
    }

    /// Cuts a header line or a trailer line in two, and checks both parts. The value is as it stands, untrimmed.
    fn field<'a>(&mut self, line: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Violation> {
        self.count += 1;
        if self.count > self.limits.headers {
            return Err(Violation::TooManyHeaders);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Violation::Folded);
        }
        let (name, value) = memchr::memchr(b':', line)
            .and_then(|colon| line.split_at_checked(colon))
            .and_then(|(name, rest)| Some((name, rest.split_first()?.1)))
            .ok_or(Violation::HeaderName)?;
        if !is_token(name) {
            return Err(Violation::HeaderName);
        }
        if !is_value(value) {
            return Err(Violation::HeaderValue);
        }
        Ok((name, value))
    }

    fn header_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = self.field(line)?;
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => {
                let host = framing_value(value)?;
                once(&mut self.said.host, Violation::TwoHosts)?;
                if host.is_empty() {
                    return Err(Violation::NoAuthority);
                }
                if host.iter().any(|byte| matches!(byte, b' ' | b',')) {
                    return Err(Violation::Authority);
                }
            }
            7 if is(b"upgrade") => once(&mut self.said.upgrade, Violation::RepeatedHeader)?,
            10 if is(b"connection") => {
                self.said.connection_upgrade |=
                    value.split(|byte| *byte == b',').any(|token| trim(token).eq_ignore_ascii_case(b"upgrade"));
            }
            14 if is(b"content-length") => {
                let length = decimal(framing_value(value)?)?;
                if self.said.length.replace(length).is_some() {
                    return Err(Violation::ContentLength);
                }
            }
            // The names of the CGI and of what followed it: there `_` and `-` are one letter.
            14 if is(b"content_length") => return Err(Violation::HeaderName),
            17 if is(b"transfer-encoding") => {
                once(&mut self.said.chunked, Violation::TransferEncoding)?;
                if framing_value(value)? != b"chunked" {
                    return Err(Violation::TransferEncoding);
                }
            }
            17 if is(b"transfer_encoding") => return Err(Violation::HeaderName),
            _ => {}
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<State, Violation> {
        let Said { old, connect, host, length, chunked, upgrade, connection_upgrade } = self.said;
        if chunked && length.is_some() {
            return Err(Violation::LengthAndEncoding);
        }
        if chunked && old {
            return Err(Violation::TransferEncoding);
        }
        // HTTP/1.0 knows no Host, and the target of a CONNECT says it all: Python's pip asks its proxy so.
        if !(host || old && connect) {
            return Err(Violation::NoAuthority);
        }
        let has_body = chunked || length.is_some_and(|length| length > 0);
        if upgrade && (!connection_upgrade || old || has_body) || connect && (has_body || upgrade) {
            return Err(Violation::Upgrade);
        }
        self.heads += 1;
        let next = self.next_request();
        Ok(match length {
            _ if upgrade || connect => State::Upgrading,
            _ if chunked => State::Size,
            None | Some(0) => next,
            Some(length) => State::Body(length),
        })
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<State, Violation> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (number, extension) = line.split_at_checked(digits).ok_or(Violation::Chunk)?;
        if digits == 0 || digits > CHUNK_DIGITS {
            return Err(Violation::Chunk);
        }
        let size = number.iter().filter_map(|byte| hex(*byte)).fold(0u64, |size, digit| size << 4 | u64::from(digit));
        match extension {
            [] => {}
            [b';', rest @ ..] if rest.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
                self.extensions += extension.len();
                if self.extensions > self.limits.extensions {
                    return Err(Violation::ChunkExtension);
                }
            }
            _ => return Err(Violation::Chunk),
        }
        self.size = 0;
        Ok(if size == 0 {
            self.count = 0;
            State::Trailer
        } else {
            State::Data(size)
        })
    }
}

/// Drops up to `left` bytes.
fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (bytes.split_at_checked(here).map_or(&[], |(_, rest)| rest), left - here as u64)
}

/// Notes what may be said once.
fn once(said: &mut bool, violation: Violation) -> Result<(), Violation> {
    if std::mem::replace(said, true) { Err(violation) } else { Ok(()) }
}

/// The value of a header that frames the message: spaces around it, but no tab anywhere, which some do not trim.
fn framing_value(value: &[u8]) -> Result<&[u8], Violation> {
    if memchr::memchr(b'\t', value).is_some() { Err(Violation::HeaderValue) } else { Ok(trim(value)) }
}

/// A plain decimal number: no sign, no list, no zero before it that could make it octal.
fn decimal(value: &[u8]) -> Result<u64, Violation> {
    let plain = match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return Err(Violation::ContentLength);
    }
    Ok(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
