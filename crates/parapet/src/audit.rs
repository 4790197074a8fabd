//! The audit log's parts, joined: its keys, the listener on which heads and tiles are read, and the witnesses that are asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use control::TlogParts;
use gateway::tasks::Tasks;
use gateway::tls::UpstreamTls;
use gateway::upstream::dial::Dialler;
use gateway::upstream::fetch::{Fetcher, Location};
use kernel::audit::{Event, VerifierKey};
use kernel::ports::{AuditLog, Clock};
use store::log::{
    ContentReader, DiskLog, LogLock, LogOptions, MasterKey, Opened, ProveError, SigningKeys, Witness, submission,
};
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;

use crate::config::Configuration;
use crate::config::checked::AuditPart;
use crate::parts;
use crate::wiring::enter;

/// Where the log's signing keys stand, closed under the master key.
pub(crate) fn keys_path(state: &Path) -> PathBuf {
    state.join("audit.keys")
}

/// Where the key over the keys stands, unless the configuration says otherwise.
pub(crate) fn master_path(state: &Path) -> PathBuf {
    state.join("master.key")
}

/// Reads the content beside a log where the key over its keys stands in the state folder around it, as it does unless it was
/// configured otherwise.
pub(crate) fn contents_beside(log: &Path) -> Option<ContentReader> {
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(master_path(log.parent()?)).ok()?);
    Some(ContentReader::new(log, MasterKey::from_text(&text).ok()?))
}

/// Reads the content beside a log of this configuration; none where the key over its keys cannot be had. It makes no key.
pub(crate) async fn contents(configuration: &Configuration, log: &Path) -> Option<ContentReader> {
    let part = &configuration.audit;
    if part.master_key.is_none() {
        return contents_beside(log);
    }
    Some(ContentReader::new(log, master_key(part, &configuration.gateway.state).await.ok()?))
}

/// Takes the log's folder for this process. Whatever stands closed under the master key is read after that, and the master key.
pub(crate) fn lock(configuration: &Configuration) -> anyhow::Result<LogLock> {
    let folder = &configuration.audit.folder;
    LogLock::take(folder).with_context(|| format!("audit log in {}", folder.display()))
}

/// Opens the log and what signs it. Its first entries are the configuration, what recovery found, and a key of its own that is new.
pub(crate) async fn open(
    configuration: &Configuration,
    lock: LogLock,
    clock: &Arc<dyn Clock>,
    master: &Arc<MasterKey>,
) -> anyhow::Result<Arc<DiskLog>> {
    // A limit on the size of files must make a write fail, which denies, and not end the process. The handler stays.
    let _handler = tokio::signal::unix::signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let (part, state) = (&configuration.audit, &configuration.gateway.state);
    let keys = SigningKeys::open(&keys_path(state), Arc::clone(master), part.origin.as_deref(), clock.now())
        .context("the signing keys of the audit log")?;
    let fresh_key = if keys.is_fresh() { keys.current().cloned() } else { None };
    let options = LogOptions { durability: part.durability, ..LogOptions::default() };
    let (log, opened) = DiskLog::open_locked(lock, options, Arc::clone(clock), keys)
        .await
        .with_context(|| format!("audit log in {}", part.folder.display()))?;
    enter(&log, &**clock, Event::Configuration { result: "loaded", digest: &configuration.digest }).await?;
    note_recovery(&log, &**clock, &opened).await?;
    if let Some(key) = fresh_key {
        let object = key.to_string();
        enter(&log, &**clock, Event::Admin { by: None, action: "audit key", object: &object, reason: None }).await?;
    }
    Ok(Arc::new(log))
}

/// What the log's recovery found stands in the log, too.
async fn note_recovery(log: &dyn AuditLog, clock: &dyn Clock, opened: &Opened) -> anyhow::Result<()> {
    if let Some(torn) = &opened.torn {
        let object = format!("a torn record of {} bytes at {}", torn.bytes, torn.seq);
        tracing::warn!(object, "cut off the audit log");
        enter(log, clock, Event::Admin { by: None, action: "audit recover", object: &object, reason: None }).await?;
    }
    if opened.head_was_missing && opened.entries > 0 {
        let object = "head.json was missing";
        enter(log, clock, Event::Admin { by: None, action: "audit recover", object, reason: None }).await?;
    }
    Ok(())
}

/// The key over the keys that are kept. Made in the state folder, unless the configuration says where it is.
pub(crate) async fn master_key(part: &AuditPart, state: &Path) -> anyhow::Result<MasterKey> {
    const WHAT: &str = "the key over those that are kept";
    if let Some(source) = &part.master_key {
        let text = parts::secret(source).read().await.context(WHAT)?;
        return MasterKey::from_text(text.expose()).context(WHAT);
    }
    let path = master_path(state);
    if !path.is_file() {
        // On the disk before anything is closed under it.
        store::log::replace(&path, MasterKey::fresh_text()?.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).context(WHAT)?);
    MasterKey::from_text(&text).context(WHAT)
}

/// Starts what shows the log to others, and what asks its witnesses. Where it listens.
pub(crate) async fn follow(
    tasks: &Tasks,
    configuration: &Configuration,
    log: &Arc<DiskLog>,
    clock: &Arc<dyn Clock>,
    dialler: &Dialler,
) -> anyhow::Result<Option<SocketAddr>> {
    let part = &configuration.audit;
    for (url, key) in &part.witnesses {
        let location: Location = url.parse()?;
        let tls = if url.starts_with("https://") { Some(UpstreamTls::system()?) } else { None };
        let fetcher = Fetcher::new(dialler.clone(), tls);
        let (log, key, mut stopping) = (Arc::clone(log), key.clone(), tasks.stopping());
        tasks.keep("audit witness", async move {
            tokio::select! {
                () = stopping.begun() => {}
                () = ask(&log, &fetcher, &location, &key) => {}
            }
        });
    }
    let Some(address) = part.listen else { return Ok(None) };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("the audit log cannot be shown on {address}"))?;
    let bound = listener.local_addr()?;
    let witness = if part.witnessed.is_empty() {
        None
    } else {
        let dir = configuration.gateway.state.join("witnessed");
        Some(Arc::new(Witness::open(&dir, Arc::clone(log), part.witnessed.clone()).context("what was witnessed")?))
    };
    let parts = TlogParts { dir: log.dir().to_owned(), clock: Arc::clone(clock), witness };
    let mut stopping = tasks.stopping();
    tasks.keep("audit listener", async move {
        control::serve_tlog(listener, parts, async move { stopping.begun().await }).await;
    });
    Ok(Some(bound))
}

/// Asks one witness to cosign each new head, at most every few seconds.
async fn ask(log: &DiskLog, fetcher: &Fetcher, location: &Location, key: &VerifierKey) {
    const PAUSE: Duration = Duration::from_secs(2);
    let mut heads = log.watch_checkpoint();
    heads.mark_changed();
    // The witness says where it stands.
    let mut cosigned = 0;
    let mut told = false;
    while heads.changed().await.is_ok() {
        match ask_once(log, fetcher, location, key, cosigned).await {
            Ok(Asked::Cosigned(size)) => cosigned = size,
            Ok(Asked::StandsAt(size)) => {
                cosigned = size;
                heads.mark_changed();
            }
            Ok(Asked::Beyond(size)) if !told => {
                log.rolled_back(key.name(), size);
                told = true;
            }
            Ok(Asked::Beyond(_)) => {}
            Err(error) => tracing::warn!(witness = key.name(), %error, "the witness does not cosign"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What came of asking.
enum Asked {
    /// It cosigned the first so many entries.
    Cosigned(u64),
    /// It cosigned these before, and goes on from there.
    StandsAt(u64),
    /// It has cosigned more than there is.
    Beyond(u64),
}

async fn ask_once(
    log: &DiskLog,
    fetcher: &Fetcher,
    location: &Location,
    key: &VerifierKey,
    cosigned: u64,
) -> anyhow::Result<Asked> {
    const LONGEST: usize = 64 * 1024;
    const WITHIN: Duration = Duration::from_secs(10);
    let (body, head) = match submission(log.dir(), cosigned) {
        Ok(submission) => submission,
        Err(ProveError::Beyond { .. }) => return Ok(Asked::Beyond(cosigned)),
        Err(error) => return Err(error.into()),
    };
    let answer = fetcher.post(location, "text/plain", None, body.clone().into(), LONGEST, WITHIN).await?;
    let text = String::from_utf8(answer.body).unwrap_or_default();
    match answer.status {
        200 => match log.take_cosignatures(&body, &text, key)? {
            Some(_) => Ok(Asked::Cosigned(head.size)),
            None => Err(anyhow::anyhow!("its answer has no signature of its key that holds")),
        },
        409 => match text.trim_end().parse::<u64>() {
            Ok(size) if size > head.size => Ok(Asked::Beyond(size)),
            // The same size and another root: this log is not the one that was cosigned.
            Ok(size) if size == cosigned => Ok(Asked::Beyond(size)),
            Ok(size) => Ok(Asked::StandsAt(size)),
            Err(_) => Err(anyhow::anyhow!("its answer says no size")),
        },
        422 => Ok(Asked::Beyond(cosigned)),
        status => Err(anyhow::anyhow!("it answers with status {status}")),
    }
}
