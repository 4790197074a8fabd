//! Why something cannot be decided, which always denies it: each reason with its code, and its words for people.

use serde::Serialize;

/// Why something cannot be decided. Each has a stable code `PARnnnn` with a page of its own in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecidable {
    /// The statement does not parse.
    Unparseable,
    /// The statement has a form that the analysis does not know.
    UnknownForm,
    /// The statement names a relation that the catalogue does not hold.
    UnknownRelation,
    /// The statement is longer, deeper or wider than the analysis takes.
    TooLarge,
    /// Text is not valid UTF-8.
    NotUtf8,
    /// A message that is unknown, malformed or not supported.
    UnsupportedMessage,
    /// A setting that changes how statements are read may not change.
    PinnedSetting,
    /// The catalogue of the upstream is not loaded.
    NoCatalogue,
    /// No policies are loaded, or the workload or upstream is not in them.
    NoSnapshot,
    /// The audit log does not take entries.
    AuditUnavailable,
    /// The approval desk cannot be reached.
    DeskUnavailable,
    /// A masked value would leave in a form that cannot be masked.
    CannotMask,
    /// A value that a mask made would be stored where the real one is.
    MaskedValue,
    /// Where a request ends could be read in two ways.
    AmbiguousFraming,
    /// The path or query could be read in two ways.
    AmbiguousPath,
    /// Which host is meant could be read in two ways.
    AmbiguousAuthority,
    /// The body could be read in two ways, or not at all, and a policy reads it.
    AmbiguousBody,
    /// No endpoint of the upstream is configured for the path.
    UnknownEndpoint,
    /// A method that is not let through.
    Method,
    /// A change of protocol that the upstream's configuration does not name.
    Upgrade,
    /// The destination is an address that is never dialled for a client.
    ForbiddenAddress,
}

/// Whose it is to change something, where nothing can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's: the request cannot be read, or not in one way.
    Unreadable,
    /// The client's: a method that is not let through.
    Method,
    /// The client's: the request is too large.
    Size,
    /// Nobody's: what is asked for is not to be had.
    Refused,
    /// The gateway's, or its operator's.
    Gateway,
}

impl Undecidable {
    /// Whose it is to change something, if the request came by HTTP.
    pub const fn fault_by_http(self) -> Fault {
        match self {
            Self::AmbiguousFraming
            | Self::AmbiguousPath
            | Self::AmbiguousAuthority
            | Self::AmbiguousBody
            | Self::Upgrade
            | Self::NotUtf8 => Fault::Unreadable,
            Self::Method => Fault::Method,
            Self::TooLarge => Fault::Size,
            Self::UnknownEndpoint | Self::ForbiddenAddress | Self::MaskedValue => Fault::Refused,
            Self::Unparseable
            | Self::UnknownForm
            | Self::UnknownRelation
            | Self::UnsupportedMessage
            | Self::PinnedSetting
            | Self::NoCatalogue
            | Self::NoSnapshot
            | Self::AuditUnavailable
            | Self::DeskUnavailable
            | Self::CannotMask => Fault::Gateway,
        }
    }

    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::Unparseable,
        Self::UnknownForm,
        Self::UnknownRelation,
        Self::TooLarge,
        Self::NotUtf8,
        Self::UnsupportedMessage,
        Self::PinnedSetting,
        Self::NoCatalogue,
        Self::NoSnapshot,
        Self::AuditUnavailable,
        Self::DeskUnavailable,
        Self::CannotMask,
        Self::MaskedValue,
        Self::AmbiguousFraming,
        Self::AmbiguousPath,
        Self::AmbiguousAuthority,
        Self::AmbiguousBody,
        Self::UnknownEndpoint,
        Self::Method,
        Self::Upgrade,
        Self::ForbiddenAddress,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unparseable => "PAR0201",
            Self::UnknownForm => "PAR0202",
            Self::UnknownRelation => "PAR0203",
            Self::TooLarge => "PAR0204",
            Self::NotUtf8 => "PAR0205",
            Self::UnsupportedMessage => "PAR0206",
            Self::PinnedSetting => "PAR0207",
            Self::NoCatalogue => "PAR0208",
            Self::NoSnapshot => "PAR0209",
            Self::AuditUnavailable => "PAR0210",
            Self::DeskUnavailable => "PAR0211",
            Self::CannotMask => "PAR0212",
            Self::MaskedValue => "PAR0213",
            Self::AmbiguousFraming => "PAR0220",
            Self::AmbiguousPath => "PAR0221",
            Self::AmbiguousAuthority => "PAR0222",
            Self::AmbiguousBody => "PAR0223",
            Self::UnknownEndpoint => "PAR0224",
            Self::Method => "PAR0225",
            Self::Upgrade => "PAR0226",
            Self::ForbiddenAddress => "PAR0227",
        }
    }

    /// What happened, in a sentence without data.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Unparseable => "the statement does not parse",
            Self::UnknownForm => "the statement has a form that Parapet does not know",
            Self::UnknownRelation => "the upstream's catalogue has no relation of that name",
            Self::TooLarge => "the statement is larger or deeper than Parapet analyses",
            Self::NotUtf8 => "the text is not valid UTF-8",
            Self::UnsupportedMessage => "the message is malformed or not supported",
            Self::PinnedSetting => "the setting changes how statements are read, and is pinned",
            Self::NoCatalogue => "the upstream's catalogue is not loaded yet",
            Self::NoSnapshot => "no policies are loaded for this workload and upstream",
            Self::AuditUnavailable => "the audit log does not take entries",
            Self::DeskUnavailable => "the approval desk cannot be reached",
            Self::CannotMask => "a masked value would leave in a form that cannot be masked",
            Self::MaskedValue => "a value that a mask made would be stored where the real one is",
            Self::AmbiguousFraming => "two readers of the request could disagree on where it ends",
            Self::AmbiguousPath => "the path or the query can be read in more than one way",
            Self::AmbiguousAuthority => "the request does not say one host in one way",
            Self::AmbiguousBody => {
                "a policy reads the body, or masks are sought in it, and it cannot be read in one way"
            }
            Self::UnknownEndpoint => "the upstream has no endpoint of that method and path",
            Self::Method => "the method is not let through, or a parameter or a field such as `_method` says another",
            Self::Upgrade => "the upstream is not configured for a change to that protocol",
            Self::ForbiddenAddress => "the destination is an address that is never dialled for a client",
        }
    }

    /// What to do next, in a sentence.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Unparseable => "check the statement's syntax",
            Self::UnknownForm => "rewrite the statement, or report it",
            Self::UnknownRelation => "check the spelling; after a definition through another way, retry in a second",
            Self::TooLarge => "split the statement",
            Self::NotUtf8 => "send text as UTF-8",
            Self::UnsupportedMessage => "use simple or extended queries or COPY",
            Self::PinnedSetting => "leave the setting as it is",
            Self::NoCatalogue => "retry in a moment; see `parapet upstreams test`",
            Self::NoSnapshot => "see `parapet policy check`",
            Self::AuditUnavailable => "see `parapet doctor`: disk space and permissions of the audit folder",
            Self::DeskUnavailable => "see `parapet doctor`",
            Self::CannotMask => "leave the masked column out, or use another format",
            Self::MaskedValue => "write only the columns that you change, and never what was read masked",
            Self::AmbiguousFraming => "send one length, or one chunked coding, and plain line ends",
            Self::AmbiguousPath => {
                "send the path in its plain form: no encoded slashes, dots or controls, and each query name once"
            }
            Self::AmbiguousAuthority => "send one Host (or :authority) that is the name of TLS and of the upstream",
            Self::AmbiguousBody => "send plain JSON, each name once, numbers as numbers",
            Self::UnknownEndpoint => {
                "check the spelling, and upper and lower case; `parapet upstreams list` says what is known"
            }
            Self::Method => "use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE",
            Self::Upgrade => "leave Upgrade out, or name the protocol in the upstream's `upgrades`",
            Self::ForbiddenAddress => "ask for a public name; private networks are named in `[egress]`",
        }
    }
}
