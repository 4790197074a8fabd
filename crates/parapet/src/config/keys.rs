//! Every key of the configuration: its path, what it takes, its built-in value, and one line about it.
//!
//! Reading, suggestions, `config explain` and the reference page all follow this table, so that they cannot disagree. In a
//! path `*` stands for a name that the user chooses, and `[]` for an element of a list of tables.

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// Text, or a table whose keys are listed on their own.
    TextOrTable,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    List,
    /// A table from any name to text, a number or a boolean.
    TextMap,
    /// A table from any name to a list of texts.
    ListMap,
}

impl Kind {
    /// What people call it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextOrTable => "text or a table",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::List => "a list of texts",
            Self::TextMap => "a table of texts",
            Self::ListMap => "a table of lists of texts",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its path, such as `upstreams.*.address`.
    pub(crate) path: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Must it be there where its table is?
    pub(crate) required: bool,
    /// Its value where nobody sets it.
    pub(crate) default: Option<&'static str>,
    /// Could its value be a secret that was put there by mistake? Then no message shows it.
    pub(crate) secret: bool,
    /// What it is, in a line.
    pub(crate) about: &'static str,
}

impl Key {
    /// The variable that sets it: only keys whose path has no chosen name have one.
    pub(crate) fn variable(&self) -> Option<String> {
        let chosen = self.path.contains('*') || self.path.contains("[]");
        (!chosen).then(|| format!("PARAPET_{}", self.path.replace('.', "_").to_ascii_uppercase()))
    }

    /// The path's segments.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('.')
    }
}

/// The key that a variable sets.
pub(crate) fn for_variable(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.variable().as_deref() == Some(name))
}

/// The key of a pattern path.
pub(crate) fn at(pattern: &[&str]) -> Option<&'static Key> {
    ALL.iter().find(|key| key.segments().eq(pattern.iter().copied()))
}

/// What may stand below a pattern path, without repetition.
pub(crate) fn children(pattern: &[&str]) -> Vec<&'static str> {
    let mut children = Vec::new();
    for key in ALL {
        let segments: Vec<&'static str> = key.segments().collect();
        if segments.starts_with(pattern)
            && let Some(child) = segments.get(pattern.len())
            && !children.contains(child)
        {
            children.push(child);
        }
    }
    children
}

const fn key(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, required: false, default: None, secret: false, about }
}

const fn required(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { required: true, ..key(path, kind, about) }
}

const fn defaulted(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { default: Some(default), ..key(path, kind, about) }
}

const fn secret(path: &'static str, about: &'static str) -> Key {
    Key { secret: true, ..key(path, Kind::Text, about) }
}

/// Every key, in the order of the reference page.
pub(crate) const ALL: &[Key] = &[
    defaulted(
        "gateway.state",
        Kind::Text,
        "/var/lib/parapet",
        "folder for everything that Parapet keeps; only its own user may read it",
    ),
    defaulted(
        "gateway.public_url",
        Kind::Text,
        "http://127.0.0.1:18000",
        "what the links in refusals and approvals begin with",
    ),
    defaulted("gateway.drain", Kind::Text, "30s", "how long running requests may go on after a stop was asked for"),
    defaulted("admin.listen", Kind::Text, "127.0.0.1:18000", "address of the admin API; loopback only"),
    key(
        "tokens.listen",
        Kind::Text,
        "address on which workloads exchange attestations for tokens; without it there is no such listener",
    ),
    defaulted(
        "tokens.tls",
        Kind::Text,
        "postgres",
        "`postgres`: the certificate of the PostgreSQL listener; or `off` (loopback only)",
    ),
    key(
        "tokens.url",
        Kind::Text,
        "what workloads call it, and the `iss` of its tokens; unless set, `gateway.public_url` is the `iss`",
    ),
    key("postgres.listen", Kind::Text, "address on which PostgreSQL clients connect; without it there is no listener"),
    defaulted(
        "postgres.tls",
        Kind::TextOrTable,
        "self-signed",
        "`self-signed`, `spiffe` (the gateway's own SVID), `off` (loopback only), or a table with a certificate and its key",
    ),
    required("postgres.tls.certificate", Kind::Text, "PEM file of the certificate chain, leaf first"),
    Key {
        required: true,
        ..secret("postgres.tls.key", "where the private key is: `file:///…`, `env://NAME` or `command:///…`")
    },
    key("postgres.tls.client_ca", Kind::Text, "PEM file of the authorities whose client certificates are accepted"),
    key(
        "postgres.oauthbearer",
        Kind::List,
        "names that log in by OAUTHBEARER (RFC 7628) instead of a password; `*` is every name",
    ),
    key("audit.folder", Kind::Text, "folder of the audit log; `audit` in the state folder unless set"),
    key(
        "audit.origin",
        Kind::Text,
        "the log's name in what is signed, such as `parapet.example/audit`; one of its own unless set at the first start",
    ),
    defaulted(
        "audit.durability",
        Kind::Text,
        "process",
        "an entry survives `process` (its death) or `disk` (loss of power) before what it permits is sent",
    ),
    secret(
        "audit.master_key",
        "where the key over the log's keys is: `file:///…`, `env://NAME` or `command:///…`; `master.key` in the state folder unless set",
    ),
    key(
        "audit.listen",
        Kind::Text,
        "address on which signed heads and tiles are read, and others' logs witnessed; none unless set",
    ),
    required(
        "audit.witnesses.*.url",
        Kind::Text,
        "where the witness takes checkpoints: `https://…`, or `http://` on loopback",
    ),
    required("audit.witnesses.*.key", Kind::Text, "the witness's public key, as `name+id+base64`"),
    required(
        "audit.witnessed.*.key",
        Kind::Text,
        "the public key of a log that this node witnesses, as `name+id+base64`",
    ),
    defaulted(
        "policies.folders",
        Kind::List,
        "[\"./policies\"]",
        "folders of Cedar policies (`*.cedar`), read in this order",
    ),
    defaulted("upstreams.*.protocol", Kind::Text, "postgres", "what the upstream speaks: `postgres`"),
    required("upstreams.*.address", Kind::Text, "`host:port`, or `unix:///folder/of/the/socket`"),
    required("upstreams.*.database", Kind::Text, "the database that sessions are opened on"),
    required("upstreams.*.environment", Kind::Text, "the environment that it stands in, such as `production`"),
    defaulted("upstreams.*.mode", Kind::Text, "enforce", "`enforce`, or `observe` while a team rolls out"),
    defaulted(
        "upstreams.*.disclosure",
        Kind::Text,
        "full",
        "how much a refusal tells the client: `full`, `policy` or `id`",
    ),
    required("upstreams.*.user", Kind::Text, "the user that Parapet logs in as"),
    secret("upstreams.*.password", "where the password is: `env://NAME`, `file:///…` or `command:///…`"),
    defaulted("upstreams.*.tls", Kind::Text, "verify-full", "`verify-full`, or `off` (loopback and Unix sockets only)"),
    key("upstreams.*.ca", Kind::Text, "PEM file of the authorities for its certificate; the system's unless set"),
    defaulted("upstreams.*.channel_binding", Kind::Text, "prefer", "SCRAM channel binding: `prefer` or `require`"),
    key(
        "upstreams.*.classes",
        Kind::ListMap,
        "for each class, such as `pii`, globs over `schema.table.column` or `schema.table`",
    ),
    key(
        "upstreams.*.label_providers",
        Kind::List,
        "providers of security labels whose labels name classes; none unless set",
    ),
    defaulted(
        "upstreams.*.detect",
        Kind::Text,
        "signal",
        "values that look sensitive in columns without a class: `off`, `signal`, or `mask` (each row is looked at)",
    ),
    defaulted(
        "upstreams.*.hold",
        Kind::Text,
        "5m",
        "how long a request may wait for its approval with the client attached",
    ),
    defaulted(
        "upstreams.*.max_message",
        Kind::Text,
        "16MiB",
        "the longest message of a client; longer ones are refused",
    ),
    defaulted("upstreams.*.max_sessions", Kind::Integer, "1000", "how many sessions may be open at once"),
    required("workloads.*.owner", Kind::Text, "the one person who answers for it"),
    required("workloads.*.kind", Kind::Text, "`service`, `ci`, `agent`, `bot` or `device`"),
    required("workloads.*.environment", Kind::Text, "the environment that it belongs to"),
    required("workloads.*.purpose", Kind::Text, "what it is for, in a sentence"),
    key("workloads.*.groups", Kind::List, "groups that policies may name"),
    key("workloads.*.expires", Kind::Text, "from then on it is denied, RFC 3339, such as `2027-01-01T00:00:00Z`"),
    required("trust.[].workload", Kind::Text, "the workload that such an attestation then is"),
    key(
        "trust.[].template",
        Kind::Text,
        "`github-actions`, `gitlab`, `kubernetes`, `gcp`, `azure`, `aws`, `spiffe` or `spiffe-jwt`: what its issuers write is known",
    ),
    key(
        "trust.[].issuer",
        Kind::Text,
        "a configured issuer, `spiffe://` and a trust domain, or `certificate` for client certificates",
    ),
    required(
        "trust.[].claims",
        Kind::TextMap,
        "claims that must all be present and equal; at least one that cannot be reassigned",
    ),
    defaulted("trust.[].once", Kind::Boolean, "false", "each token opens one session, by its `jti`"),
    defaulted(
        "trust.[].bound",
        Kind::Boolean,
        "false",
        "the token must be bound to the client's certificate (RFC 8705); a bare bearer token is refused",
    ),
    defaulted(
        "trust.[].task_life",
        Kind::Text,
        "15m",
        "the life of a token for a task that such an attestation is exchanged for; 1h at most",
    ),
    key("issuers.*.audience", Kind::Text, "the `aud` that its tokens must have; required"),
    defaulted(
        "issuers.*.algorithms",
        Kind::List,
        "[\"ES256\"]",
        "signature algorithms that are accepted: `RS256`, `PS256`, `ES256`, `EdDSA`",
    ),
    key("issuers.*.jwks", Kind::Text, "where its keys are: `https://…` or `file:///…`; found by discovery unless set"),
    defaulted(
        "issuers.*.max_age",
        Kind::Text,
        "24h",
        "the longest life of a token, from `iat` to `exp`, that is accepted",
    ),
    required(
        "spiffe.*.bundle",
        Kind::Text,
        "the trust domain's bundle: `https://…` (its bundle endpoint), `file:///…`, or `workload-api`",
    ),
    key(
        "spiffe.*.audience",
        Kind::Text,
        "the `aud` that JWT-SVIDs must have; without it only X.509-SVIDs are accepted",
    ),
    defaulted("spiffe.*.max_age", Kind::Text, "1h", "the longest that a JWT-SVID may still be valid for"),
    key("workload_api.socket", Kind::Text, "the socket of the SPIFFE agent: `unix:///…`"),
    key("workload_api.id", Kind::Text, "which of the agent's SVIDs is the gateway's own; the first unless set"),
    required("threats.*.source", Kind::Text, "where the list is: `file:///…` or `https://…`"),
    defaulted(
        "threats.*.format",
        Kind::Text,
        "lines",
        "`lines` (a network a line), `csv`, or `stix` (a bundle of STIX 2.1)",
    ),
    key(
        "threats.*.column",
        Kind::Text,
        "the column of a `csv`, by the name in its first line; without it the first column, and no heading",
    ),
    defaulted("threats.*.refresh", Kind::Text, "1h", "how often a URL is fetched; files are read when they change"),
    defaulted(
        "threats.*.max_age",
        Kind::Text,
        "7d",
        "an older list is too old: policies find its name in `context.source.stale`",
    ),
    defaulted("threats.*.max_networks", Kind::Integer, "10000000", "a list that names more networks is refused"),
    key("signals.listen", Kind::Text, "address on which transmitters push security events, and receivers read ours"),
    key(
        "signals.certificate",
        Kind::Text,
        "PEM file of its certificate chain, leaf first; without it only loopback, behind a proxy that ends TLS",
    ),
    secret("signals.key", "where the certificate's key is: `file:///…`, `env://NAME` or `command:///…`"),
    key(
        "signals.issuer",
        Kind::Text,
        "the `iss` of our own security events, and the URL that leads to `signals.listen`; without it none are made",
    ),
    required("signals.streams.*.issuer", Kind::Text, "the exact `iss` of its events"),
    required("signals.streams.*.audience", Kind::Text, "the `aud` that they must have, alone"),
    key(
        "signals.streams.*.jwks",
        Kind::Text,
        "where its keys are: `https://…` or `file:///…`; found by `ssf-configuration` unless set",
    ),
    defaulted("signals.streams.*.delivery", Kind::Text, "push", "`push` (RFC 8935) or `poll` (RFC 8936)"),
    secret(
        "signals.streams.*.token_hash",
        "for `push`: `sha256:` and the SHA-256 of the bearer token that the transmitter shows",
    ),
    key("signals.streams.*.endpoint", Kind::Text, "for `poll`: where its events are fetched"),
    defaulted("signals.streams.*.poll_every", Kind::Text, "10s", "for `poll`: the pause where nothing is new"),
    secret(
        "signals.streams.*.authorization",
        "the bearer token that we show to the transmitter: `file:///…`, `env://NAME` or `command:///…`",
    ),
    key(
        "signals.streams.*.verification",
        Kind::Text,
        "its verification endpoint; without it only events show that the stream lives",
    ),
    defaulted(
        "signals.streams.*.verify_every",
        Kind::Text,
        "1h",
        "how often a verification event is asked for, besides the start",
    ),
    key("signals.streams.*.stream_id", Kind::Text, "the transmitter's id of the stream"),
    defaulted(
        "signals.streams.*.silent_after",
        Kind::Text,
        "3h",
        "a stream that brought nothing for so long is a fault that `parapet doctor` shows",
    ),
    key(
        "signals.streams.*.subjects",
        Kind::TextMap,
        "for each opaque id or `sub` that the stream may speak of, the workload",
    ),
    key(
        "signals.streams.*.owner_domains",
        Kind::List,
        "domains of the owners whose workloads it may speak of by e-mail address",
    ),
    key(
        "signals.streams.*.critical_members",
        Kind::List,
        "members of subjects without which its events must not be acted on",
    ),
    required("signals.receivers.*.audience", Kind::Text, "the `aud` of what this receiver gets"),
    secret(
        "signals.receivers.*.token_hash",
        "`sha256:` and the SHA-256 of the bearer token that it shows to manage and poll its stream",
    ),
    key("signals.receivers.*.endpoint", Kind::Text, "where our events are pushed; without it they wait to be polled"),
    secret(
        "signals.receivers.*.authorization",
        "the bearer token that we show when we push: `file:///…`, `env://NAME` or `command:///…`",
    ),
    key("people.*.groups", Kind::List, "groups that `@approve` may name"),
    defaulted("people.*.admin", Kind::Boolean, "false", "may use the administrative verbs"),
    defaulted(
        "people.*.left",
        Kind::Boolean,
        "false",
        "they have left: the workloads that they own are denied until they have another owner",
    ),
    secret("people.*.token_hash", "`sha256:` and the SHA-256 of their API token in hexadecimal"),
];
