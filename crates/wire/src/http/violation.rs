//! Why a request is not taken: what two parsers could read in two ways, what is malformed, what is beyond a bound.
//!
//! One enum for framing, heads and bodies, each with the hazard that it is about (the design's `hazards.md`), the status
//! that the client gets, and what the decision says. Without data: no byte of the request stands in it.

use kernel::verdict::Undecidable;

/// A request that is not taken. The gateway answers and, where the framing is in doubt, closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    // HT01: framing of HTTP/1.
    /// A line feed without a carriage return before it, or a carriage return inside of a line.
    #[error("a line does not end in CR LF")]
    BareLineEnd,
    /// A head that begins with an empty line.
    #[error("an empty line stands before the request line")]
    EmptyLine,
    /// Not `METHOD SP target SP HTTP/1.1`.
    #[error("the request line is malformed")]
    RequestLine,
    /// Another version than HTTP/1.0 and 1.1.
    #[error("the version of HTTP is not served")]
    Version,
    /// A line that continues the one before.
    #[error("a header line is folded")]
    Folded,
    /// Not a token, or white space before the colon.
    #[error("the name of a header is malformed")]
    HeaderName,
    /// A control character in a value, or a tab around one that frames the message.
    #[error("the value of a header is malformed")]
    HeaderValue,
    /// `Content-Length` with `Transfer-Encoding`.
    #[error("the length of the body is said twice: content-length and transfer-encoding")]
    LengthAndEncoding,
    /// `Content-Length` more than once, as a list, or not a plain decimal number.
    #[error("the content-length is repeated or not a plain number")]
    ContentLength,
    /// `Transfer-Encoding` other than exactly `chunked`, once, in HTTP/1.1.
    #[error("the transfer-encoding is not exactly `chunked`")]
    TransferEncoding,
    /// A chunk whose size is odd or overflows, or whose data does not end where it says.
    #[error("a chunk is malformed")]
    Chunk,
    /// Chunk extensions beyond their bound.
    #[error("the extensions of a chunk are too long")]
    ChunkExtension,
    /// A trailer field that must stand in the head.
    #[error("a trailer field may not stand in trailers")]
    Trailer,
    /// A request head or trailer section beyond its bound.
    #[error("the head of the request is too long")]
    HeadTooLong,
    /// More header lines than may be.
    #[error("the request has too many header lines")]
    TooManyHeaders,
    /// A request target beyond its bound.
    #[error("the target of the request is too long")]
    TargetTooLong,
    // HT02: HTTP/2.
    /// A header that belongs to a connection of HTTP/1, or a pseudo-header that is missing.
    #[error("a header has no place in http/2")]
    ConnectionHeader,
    // HT04: path.
    /// An escape that is not `%` and two hexadecimal digits.
    #[error("the path or the query has a malformed percent-escape")]
    Escape,
    /// An escaped `/` or `\`, or a plain `\`.
    #[error("a separator stands inside of a segment of the path")]
    PathSeparator,
    /// A segment `.` or `..`, escaped or not.
    #[error("the path has a dot segment")]
    PathDots,
    /// `//`.
    #[error("the path has an empty segment")]
    PathEmpty,
    /// `;`, escaped or not.
    #[error("a segment of the path has parameters")]
    PathParameter,
    /// An escape inside of an escape.
    #[error("the path is escaped twice")]
    PathTwice,
    /// A control character, or a letter that others read as a separator or a dot.
    #[error("the path has a character that may be read in two ways")]
    PathCharacter,
    /// Not UTF-8 after the escapes; overlong forms are among these.
    #[error("the path is not valid utf-8")]
    PathNotUtf8,
    /// A target in a form that has no place here, such as `*`.
    #[error("the form of the request target is not served")]
    TargetForm,
    // HT05: authority.
    /// No `Host` and no `:authority`, or an empty one.
    #[error("the request names no host")]
    NoAuthority,
    /// More than one `Host`.
    #[error("the request names its host twice")]
    TwoHosts,
    /// Characters, user information, a port or an address form that a host does not have.
    #[error("the host of the request is malformed")]
    Authority,
    /// Target, `Host` and `:authority` do not name the same.
    #[error("the request names two different hosts")]
    AuthoritiesDiffer,
    /// The name that the TLS handshake asked for is not the one that the request asks for.
    #[error("the host of the request is not the one that the connection was made to")]
    ServerName,
    /// The scheme of the target is not the connection's.
    #[error("the scheme of the request is not the connection's")]
    Scheme,
    // HT06: overrides.
    /// A parameter such as `_method`.
    #[error("a parameter would override the method")]
    Override,
    // HT07: hop-by-hop.
    /// `Connection` names a header that is not a connection's.
    #[error("`connection` names a header that must reach the end")]
    Nominated,
    // HT08: duplicates.
    /// A header that may stand once stands twice.
    #[error("a header that may stand once is repeated")]
    RepeatedHeader,
    /// A parameter of the query or the form, a cookie or a part has a name that another has too.
    #[error("a parameter is repeated")]
    RepeatedParameter,
    /// A separator of parameters that not every parser takes as one.
    #[error("the parameters may be read in two ways")]
    AmbiguousParameters,
    // HT08, HT09: bodies.
    /// Two members of one object have one name.
    #[error("a member of an object is repeated")]
    RepeatedMember,
    /// Not what its content type says, or a form that parsers read in two ways.
    #[error("the body is not what its content type says")]
    Body,
    /// The type of the content is not one that rules can read.
    #[error("the type of the body cannot be read")]
    BodyType,
    /// Deeper than may be.
    #[error("the body is nested too deeply")]
    BodyDepth,
    /// Longer than what may be read.
    #[error("the body is too long to be read")]
    BodyTooLong,
    // HT10.
    /// A coding of the content that is not known, or one inside of another.
    #[error("the coding of the content is not known")]
    ContentCoding,
    /// More came out of a compressed body than may.
    #[error("the compressed body grows too much")]
    Inflation,
    // HT11.
    /// A method that is not served.
    #[error("the method is not served")]
    Method,
    /// An upgrade that is malformed, has a body, or is not declared.
    #[error("the upgrade is not served")]
    Upgrade,
    /// Bytes behind a request for an upgrade, before its answer.
    #[error("bytes came before the upgrade was answered")]
    EarlyBytes,
    /// An expectation other than `100-continue`.
    #[error("the expectation is not known")]
    Expectation,
    /// `Authorization` without a scheme and a token.
    #[error("the credential is malformed")]
    Credential,
}

impl Violation {
    /// The hazard that the refusal defends against, as the design numbers them.
    pub const fn hazard(self) -> &'static str {
        self.meaning().0
    }

    /// What the decision says. A page of the documentation stands behind each.
    pub const fn undecidable(self) -> Undecidable {
        self.meaning().1
    }

    const fn meaning(self) -> (&'static str, Undecidable) {
        use Undecidable as U;
        use Violation as V;
        match self {
            V::BareLineEnd
            | V::EmptyLine
            | V::RequestLine
            | V::Version
            | V::Folded
            | V::HeaderName
            | V::HeaderValue
            | V::LengthAndEncoding
            | V::ContentLength
            | V::TransferEncoding
            | V::Chunk
            | V::ChunkExtension
            | V::Trailer => ("HT01", U::AmbiguousFraming),
            V::ConnectionHeader => ("HT02", U::AmbiguousFraming),
            V::HeadTooLong | V::TooManyHeaders | V::TargetTooLong => ("HT03", U::TooLarge),
            V::Escape
            | V::PathSeparator
            | V::PathDots
            | V::PathEmpty
            | V::PathParameter
            | V::PathTwice
            | V::PathCharacter
            | V::PathNotUtf8
            | V::TargetForm => ("HT04", U::AmbiguousPath),
            V::NoAuthority | V::TwoHosts | V::Authority | V::AuthoritiesDiffer | V::ServerName | V::Scheme => {
                ("HT05", U::AmbiguousAuthority)
            }
            V::Override => ("HT06", U::Method),
            V::Nominated => ("HT07", U::AmbiguousFraming),
            V::RepeatedHeader => ("HT08", U::AmbiguousFraming),
            V::RepeatedParameter | V::AmbiguousParameters | V::RepeatedMember => ("HT08", U::AmbiguousBody),
            V::Body | V::BodyType | V::BodyDepth => ("HT09", U::AmbiguousBody),
            V::BodyTooLong => ("HT09", U::TooLarge),
            V::ContentCoding | V::Inflation => ("HT10", U::AmbiguousBody),
            V::Method => ("HT11", U::Method),
            V::Upgrade | V::EarlyBytes => ("HT11", U::Upgrade),
            V::Expectation => ("HT11", U::AmbiguousFraming),
            V::Credential => ("HT13", U::AmbiguousFraming),
        }
    }

    /// The status of the answer: 400, but where another says better what to change.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::BodyTooLong => 413,
            Self::TargetTooLong => 414,
            Self::BodyType | Self::ContentCoding => 415,
            Self::Expectation => 417,
            Self::HeadTooLong | Self::TooManyHeaders => 431,
            Self::Version => 505,
            _ => 400,
        }
    }
}
