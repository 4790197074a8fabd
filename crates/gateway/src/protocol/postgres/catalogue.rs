//! What the gateway knows of an upstream's database: its catalogue, read over a connection of the gateway's own and read
//! again when it changes, and the templates of statements that were analysed with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{Context, SHA256};
use kernel::operation::Operation;
use kernel::policy::{ClassSource, DeclaredClass};
use kernel::ports::{Check, Classes, Clock};
use kernel::verdict::Undecidable;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};
use wire::mask::MaskKey;
use wire::postgres::message::{BackendMessage, DataRow, EncodeError, Query};
use wire::sql::{
    Analysis, CATALOGUE_FINGERPRINT, CATALOGUE_LACKS, Catalogue, CatalogueError, CatalogueQuery, CatalogueRow,
    CatalogueRows, Refused, Templates,
};

use super::channel::Channel;
use super::connect::{ConnectError, Opened, PostgresUpstream, Right};
use super::stream::UpstreamStream;
use super::watch::Watchers;
use crate::upstream::dial::Dialler;

/// A catalogue message may be this long.
const CAP: u32 = 64 << 20;
/// How long one catalogue query may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The least time between two looks at the catalogue.
const FLOOR: Duration = Duration::from_millis(100);
/// How often the catalogue is looked at without cause.
const EVERY: Duration = Duration::from_secs(5);

/// The settings of the gateway's own connection. With an empty path nothing outside `pg_catalog` answers to a name; a
/// definition that another session holds locked must not keep the catalogue waiting; compiling these queries costs more
/// than running them.
const SETTINGS: &str = "SET search_path = ''; SET lock_timeout = '2s'; SET jit = off";
/// All queries see one state of the catalogue. The comments say in the server's log whose transaction it is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY /* pg_catalog. */";
const COMMIT: &str = "COMMIT /* pg_catalog. */";

/// Why the catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogueFault {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The upstream answered a catalogue query with an error.
    #[error("the upstream refused a catalogue query with SQLSTATE {0}")]
    Refused(String),
    /// The upstream's answer has an unexpected form.
    #[error("the upstream's answer to a catalogue query has an unexpected form")]
    Form,
    /// A row has an unexpected form.
    #[error(transparent)]
    Row(#[from] CatalogueError),
}

/// A PostgreSQL upstream under guard: how to reach it, and what is known of it.
pub struct Guarded {
    /// How to reach it.
    pub upstream: PostgresUpstream,
    catalogue: ArcSwapOption<Catalogue>,
    templates: Templates,
    /// The gateway's own connection, and the fingerprint of the catalogue that was read last.
    reader: Mutex<Reader>,
    /// Somebody wants it read, and does not wait for it.
    soon: Notify,
    epoch: AtomicU64,
    clock: Arc<dyn Clock>,
    mask_key: Arc<MaskKey>,
    places: Arc<Semaphore>,
    /// Who is told what the database declares of its columns.
    classes: Option<Arc<dyn Classes>>,
    /// Who looks at values in results.
    watchers: Option<Watchers>,
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("upstream", &self.upstream.name).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Reader {
    connection: Option<Channel<UpstreamStream>>,
    server_major: u32,
    fingerprint: String,
    /// Digest of the rows that the catalogue was made from.
    digest: Vec<u8>,
    read_at: Option<kernel::time::Timestamp>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Guarded {
    /// An upstream of which nothing is known yet: every statement is denied until [`Self::refresh`] has read it.
    pub fn new(upstream: PostgresUpstream, clock: Arc<dyn Clock>, mask_key: Arc<MaskKey>) -> Self {
        let places = Arc::new(Semaphore::new(upstream.max_sessions.min(Semaphore::MAX_PERMITS)));
        let watchers = Watchers::new(upstream.detect);
        Self {
            upstream,
            catalogue: ArcSwapOption::empty(),
            templates: Templates::default(),
            reader: Mutex::default(),
            soon: Notify::new(),
            epoch: AtomicU64::new(0),
            clock,
            mask_key,
            places,
            classes: None,
            watchers,
        }
    }

    /// Tells these what the database declares of its columns' classes, before anything is judged by its catalogue.
    #[must_use]
    pub fn with_classes(self, classes: Arc<dyn Classes>) -> Self {
        Self { classes: Some(classes), ..self }
    }

    /// Counts up whenever the catalogue has changed.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The clock.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Who looks at values in results.
    pub(super) fn watchers(&self) -> Option<&Watchers> {
        self.watchers.as_ref()
    }

    /// Who is told of classes.
    pub(super) fn classes(&self) -> Option<&Arc<dyn Classes>> {
        self.classes.as_ref()
    }

    /// A place for one more session; none if there are as many as may be.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The key of its hashes and tokens.
    pub(super) fn mask_key(&self) -> &Arc<MaskKey> {
        &self.mask_key
    }

    /// The catalogue, if it has been read.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.catalogue.load_full()
    }

    /// What a text asks for, by the current catalogue.
    pub fn analyse(&self, text: &str) -> Result<Arc<Analysis>, Refused> {
        let catalogue = self.catalogue.load();
        let Some(catalogue) = catalogue.as_ref() else {
            return Err(Refused { why: Undecidable::NoCatalogue, position: None });
        };
        self.templates.analyse(text, catalogue, &self.upstream.name)
    }

    /// The characters before what asks for an operation of a text, by the current catalogue.
    pub(super) fn locate(&self, text: &str, operation: &Operation) -> Option<u32> {
        wire::sql::locate(text, self.catalogue.load().as_ref()?, &self.upstream.name, operation)
    }

    /// Looks whether the catalogue has changed, and reads it if so. Failures are logged: the old one stays, and a
    /// statement whose result does not fit it is cut before its first row.
    pub async fn refresh(&self, dialler: &Dialler) {
        if let Err(error) = self.try_refresh(dialler).await {
            tracing::warn!(upstream = %self.upstream.name, %error, "the catalogue could not be read");
        }
    }

    async fn try_refresh(&self, dialler: &Dialler) -> Result<(), CatalogueFault> {
        let asked_at = self.clock.now();
        let mut reader = self.reader.lock().await;
        // Somebody else has read it while we waited for the lock.
        if reader.read_at.is_some_and(|at| at > asked_at) {
            return Ok(());
        }
        let now = self.clock.now();
        if let Some(at) = reader.read_at
            && now.since(at) < FLOOR
        {
            tokio::time::sleep(FLOOR.saturating_sub(now.since(at))).await;
        }
        // Taken out, and given back when all of its answers are read: who fails, or stops in the middle, leaves none of them to
        // the next.
        let mut channel = match reader.connection.take() {
            Some(channel) => channel,
            None => self.connect(&mut reader, dialler).await?,
        };
        self.read(&mut reader, &mut channel).await?;
        reader.connection = Some(channel);
        Ok(())
    }

    async fn connect(&self, reader: &mut Reader, dialler: &Dialler) -> Result<Channel<UpstreamStream>, CatalogueFault> {
        let opened = self.upstream.open(dialler, Right::Catalogue, &[]).await?;
        // Another server may answer now, whose rows have the same versions by chance.
        reader.fingerprint = String::new();
        reader.server_major = server_major(&opened);
        let mut channel = Channel::with_read_ahead(opened.stream, opened.read_ahead);
        rows(&mut channel, SETTINGS).await?;
        Ok(channel)
    }

    async fn read(&self, reader: &mut Reader, channel: &mut Channel<UpstreamStream>) -> Result<(), CatalogueFault> {
        let read_at = self.clock.now();
        let seen = fingerprint(channel).await?;
        if seen != reader.fingerprint || self.catalogue.load().is_none() {
            rows(channel, BEGIN).await?;
            let seen = fingerprint(channel).await?;
            let mut all = CatalogueRows::new();
            let mut digest = Context::new(&SHA256);
            for query in CatalogueQuery::ALL {
                let rows = rows(channel, query.text(reader.server_major)).await?;
                add(&mut digest, &rows);
                all.put(query, rows);
            }
            rows(channel, COMMIT).await?;
            let digest = digest.finish().as_ref().to_vec();
            // TRUNCATE and its kin give rows new versions and change nothing that matters here: what was analysed stays.
            if digest != reader.digest || self.catalogue.load().is_none() {
                self.publish(reader.server_major, &all)?;
                reader.digest = digest;
            }
            reader.fingerprint = seen;
        }
        reader.read_at = Some(read_at);
        Ok(())
    }

    /// Makes a catalogue of the rows and puts it in the place of the old one, in one step: who analyses, keeps the one
    /// that it began with.
    fn publish(&self, server_major: u32, rows: &CatalogueRows) -> Result<(), CatalogueFault> {
        let epoch = self.epoch() + 1;
        let catalogue = Catalogue::read(&self.upstream.database, server_major, epoch, rows)?;
        let relations = catalogue.relations().len();
        if let Some(classes) = &self.classes {
            // First: nothing may be analysed by this catalogue while its classes do not count.
            classes.declare(&self.upstream.name, self.declared(&catalogue));
        }
        self.catalogue.store(Some(Arc::new(catalogue)));
        self.epoch.store(epoch, Ordering::Release);
        tracing::info!(upstream = %self.upstream.name, epoch, relations, "read the catalogue");
        Ok(())
    }

    /// What comments declare, and security labels of the providers that are asked.
    fn declared(&self, catalogue: &Catalogue) -> Vec<DeclaredClass> {
        let mut declared = Vec::new();
        for label in catalogue.labels() {
            let source = match &label.provider {
                None => ClassSource::Comment,
                Some(provider) if self.upstream.label_providers.iter().any(|asked| **asked == **provider) => {
                    ClassSource::Label
                }
                Some(_) => continue,
            };
            declared.extend(label.classes.iter().map(|class| DeclaredClass {
                schema: Arc::clone(&label.schema),
                table: Arc::clone(&label.relation),
                column: label.column.clone(),
                class: Arc::clone(class),
                source,
            }));
        }
        declared.sort();
        declared.dedup();
        declared
    }

    /// Keeps the catalogue fresh. Never returns.
    pub async fn follow(&self, dialler: &Dialler) {
        loop {
            self.refresh(dialler).await;
            let patience = if self.catalogue.load().is_some() { EVERY } else { Duration::from_secs(1) };
            // Whichever comes first.
            drop(tokio::time::timeout(patience, self.soon.notified()).await);
        }
    }

    /// Has [`Self::follow`] look at once, for who cannot wait for it.
    pub(super) fn read_soon(&self) {
        self.soon.notify_one();
    }

    /// Tests whether the upstream can be reached and read.
    pub async fn test(&self, dialler: &Dialler) -> Vec<Check> {
        let mut checks = Vec::new();
        let opened = match self.upstream.open(dialler, Right::Catalogue, &[]).await {
            Ok(opened) => opened,
            Err(error) => {
                let check = match error {
                    ConnectError::Dial(_) | ConnectError::Channel(_) => "reach",
                    ConnectError::NoTls => "tls",
                    _ => "login",
                };
                let fix = "check address, TLS and credential of this upstream in parapet.toml".to_owned();
                checks.push(Check { check, passed: false, detail: error.to_string(), fix: Some(fix) });
                return checks;
            }
        };
        let tls = if self.upstream.tls.is_some() { "verified" } else { "off (loopback or Unix socket)" };
        checks.push(Check { check: "tls", passed: true, detail: tls.to_owned(), fix: None });
        let version =
            opened.parameters.get("server_version").map(|version| String::from_utf8_lossy(version).into_owned());
        let detail = format!("PostgreSQL {}", version.unwrap_or_default());
        checks.push(Check { check: "login", passed: true, detail, fix: None });
        let superuser = opened.parameters.get("is_superuser").is_some_and(|value| value == b"on");
        checks.push(Check {
            check: "least privilege",
            passed: !superuser,
            detail: if superuser { "the gateway logs in as a superuser" } else { "not a superuser" }.to_owned(),
            fix: superuser.then(|| {
                "give the gateway a role of its own: policy is the first wall, rights are the second".to_owned()
            }),
        });
        match lacks(opened).await {
            Ok(lacking) => checks.extend(lacking.into_iter().map(|what| what.check(&self.upstream.user))),
            Err(error) => checks.push(unreadable(&error)),
        }
        if checks.iter().all(|check| check.check != "catalogue") {
            checks.push(match self.try_refresh(dialler).await {
                Ok(()) => {
                    let relations = self.catalogue().map_or(0, |catalogue| catalogue.relations().len());
                    let detail = format!("read: {relations} relations");
                    Check { check: "catalogue", passed: true, detail, fix: None }
                }
                Err(error) => unreadable(&error),
            });
        }
        checks
    }
}

/// What the role of a fresh connection may not read of that which the catalogue queries read.
async fn lacks(opened: Opened) -> Result<Vec<Lacking>, CatalogueFault> {
    let mut channel = Channel::with_read_ahead(opened.stream, opened.read_ahead);
    rows(&mut channel, SETTINGS).await?;
    let found = rows(&mut channel, CATALOGUE_LACKS).await?;
    found
        .into_iter()
        .map(|row| match row.as_slice() {
            [Some(kind), Some(name)] => Ok(Lacking { function: kind == "function", name: name.clone() }),
            _ => Err(CatalogueFault::Form),
        })
        .collect()
}

/// Something in `pg_catalog` that the role may not read.
struct Lacking {
    function: bool,
    name: String,
}

impl Lacking {
    fn check(&self, role: &str) -> Check {
        let name = &self.name;
        let (right, on) =
            if self.function { ("EXECUTE", format!("FUNCTION {name}")) } else { ("SELECT", name.clone()) };
        Check {
            check: "catalogue",
            passed: false,
            detail: format!("the role `{role}` lacks {right} on {name}"),
            fix: Some(format!("in this database, as its owner: GRANT {right} ON {on} TO \"{role}\"")),
        }
    }
}

fn unreadable(error: &CatalogueFault) -> Check {
    let fix = match error {
        CatalogueFault::Refused(code) if code == "55P03" => {
            "a definition is locked by another session; it is tried again by itself"
        }
        _ => "the role needs to read pg_catalog",
    };
    Check { check: "catalogue", passed: false, detail: error.to_string(), fix: Some(fix.to_owned()) }
}

/// Adds rows to a digest, so that no two lists of rows have the same bytes.
fn add(digest: &mut Context, rows: &[CatalogueRow]) {
    digest.update(&rows.len().to_le_bytes());
    for row in rows {
        digest.update(&row.len().to_le_bytes());
        for value in row {
            // No length is as great as that of an absent value.
            digest.update(&value.as_ref().map_or(usize::MAX, String::len).to_le_bytes());
            digest.update(value.as_deref().unwrap_or_default().as_bytes());
        }
    }
}

async fn fingerprint(channel: &mut Channel<UpstreamStream>) -> Result<String, CatalogueFault> {
    let mut found = rows(channel, CATALOGUE_FINGERPRINT).await?;
    found.pop().and_then(|mut row| row.pop().flatten()).ok_or(CatalogueFault::Form)
}

fn server_major(opened: &Opened) -> u32 {
    let version = opened.parameters.get("server_version").map(Vec::as_slice).unwrap_or_default();
    let digits: String = version.iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Runs one of the gateway's own constant queries; the rows in text format.
async fn rows(channel: &mut Channel<UpstreamStream>, text: &'static str) -> Result<Vec<CatalogueRow>, CatalogueFault> {
    let mut out = Vec::new();
    Query { text }.encode(&mut out).map_err(|_: EncodeError| CatalogueFault::Form)?;
    channel.send(&out, PATIENCE).await.map_err(ConnectError::from)?;
    let (mut rows, mut refused) = (Vec::new(), None);
    loop {
        let message = channel.receive(CAP, PATIENCE).await.map_err(ConnectError::from)?;
        match BackendMessage::decode(message.tag, &message.body).map_err(|_malformed| CatalogueFault::Form)? {
            BackendMessage::DataRow(row) => rows.push(read_row(&row)?),
            BackendMessage::ErrorResponse(fields) => refused = Some(fields.sqlstate().unwrap_or("?????").to_owned()),
            BackendMessage::ReadyForQuery(_) => break,
            BackendMessage::RowDescription(_)
            | BackendMessage::CommandComplete(_)
            | BackendMessage::NoticeResponse(_)
            | BackendMessage::ParameterStatus(_) => {}
            _ => return Err(CatalogueFault::Form),
        }
    }
    refused.map_or(Ok(rows), |code| Err(CatalogueFault::Refused(code)))
}

fn read_row(row: &DataRow<'_>) -> Result<CatalogueRow, CatalogueFault> {
    row.columns()
        .map(|value| match value {
            None => Ok(None),
            Some(bytes) => String::from_utf8(bytes.to_vec()).map(Some).map_err(|_not_text| CatalogueFault::Form),
        })
        .collect()
}
