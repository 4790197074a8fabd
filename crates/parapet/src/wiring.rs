//! Joins the crates into a running gateway. The only file that knows every crate.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gateway::budget::Budgets;
use gateway::lanes::Lanes;
use gateway::listen::Host;
use gateway::login::native::NativeLogins;
use gateway::login::oidc::Issuers;
use gateway::login::workload_api::WorkloadApi;
use gateway::protocol::http::HttpUpstream;
use gateway::protocol::postgres::{Guarded, PostgresGateway};
use gateway::session::Parts;
use gateway::sessions::{Cut, Sessions};
use gateway::tasks::Tasks;
use gateway::tls::Offer;
use gateway::upstream::dial::Dialler;
use kernel::audit::{AppendError, Batch, Entry, Event};
use kernel::ports::{AuditLog, Clock, Snapshots as _};
use kernel::secret::Secret;
use kernel::workload::Name;
use store::approvals::{Desk, DeskOptions};
use store::classes::ClassDecisions;
use store::database::Database;
use store::kept::KeptStore;
use store::log::{DiskLog, MasterKey};
use store::spent::SpentStore;
use store::tokens::Tokens;
use store::workloads::Workloads;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::certificates::{Certificates, Svids};
use crate::clock::SystemClock;
use crate::config::checked::ListenerTls;
use crate::config::{Configuration, Problems};
use crate::signals::SignalHouse;
use crate::snapshots::Publisher;
use crate::task_house::{self, TaskHouse};
use crate::{
    WORKER_STACK, admin, audit, classes, descriptors, dev_issuer, egress, http, listening, logs, parts, pdp, rekey,
    signals,
};

/// Where the configuration comes from, for a reload: how to read it, and the files that it stands in.
pub(crate) struct Origin {
    /// Reads every layer again.
    pub(crate) reread: Box<dyn Fn() -> Result<Configuration, Problems> + Send + Sync>,
    /// The files, present or not.
    pub(crate) files: Vec<PathBuf>,
}

/// How long the SPIFFE agent may take to bring a first SVID.
const FIRST_SVID: Duration = Duration::from_secs(15);
/// How often what results have suggested is written.
const SUGGESTIONS: Duration = Duration::from_secs(5);
/// How long the log may take to take its last entries.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// What a started gateway tells of itself.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Where the admin API listens.
    pub(crate) admin: SocketAddr,
    /// Where PostgreSQL clients connect.
    pub(crate) postgres: Option<SocketAddr>,
    /// Where clients of HTTP APIs connect.
    pub(crate) http: Option<SocketAddr>,
    /// Where jobs reach the outside.
    pub(crate) egress: Option<SocketAddr>,
    /// Where workloads exchange attestations for tokens.
    pub(crate) tokens: Option<SocketAddr>,
    /// Where others ask what policy says.
    pub(crate) pdp: Option<SocketAddr>,
    /// Where security events are pushed, and ours are read.
    pub(crate) signals: Option<SocketAddr>,
    /// Where the audit log is shown to strangers.
    pub(crate) tlog: Option<SocketAddr>,
    /// How many policies are loaded.
    pub(crate) policies: usize,
}

/// A running gateway.
pub(crate) struct Running {
    ready: Ready,
    tasks: Tasks,
    /// Sessions run there until they are drained.
    _lanes: Arc<Lanes>,
    sessions: Arc<Sessions>,
    desk: Arc<Desk>,
    log: Arc<DiskLog>,
    database: Database,
    drain: Duration,
    state: PathBuf,
}

/// What the running parts share, for the admin API and for reloads.
pub(crate) struct House {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<DiskLog>,
    /// The key over the keys that the gateway keeps.
    pub(crate) master: Arc<MasterKey>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) workloads: Arc<Workloads>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) native: Arc<NativeLogins>,
    pub(crate) tasks: TaskHouse,
    pub(crate) signals: SignalHouse,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) dialler: Dialler,
    pub(crate) upstreams: Vec<Arc<Guarded>>,
    pub(crate) apis: Vec<Arc<HttpUpstream>>,
    /// What workloads have used of their budgets, whatever protocol they use.
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) classes: Arc<ClassDecisions>,
    /// Requests that wait for people without their clients.
    pub(crate) kept: Arc<KeptStore>,
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) configuration: RwLock<Arc<Configuration>>,
    /// Held while files are read again and put into force.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// Who may call the admin API; the newest value counts from the next call on.
    pub(crate) people: watch::Sender<Arc<control::People>>,
    pub(crate) origin: Origin,
    /// For each listener whose clients connect by TLS.
    pub(crate) certificates: Vec<Certificates>,
    /// The client of the SPIFFE agent, if one is configured.
    pub(crate) workload_api: Option<Arc<WorkloadApi>>,
}

impl House {
    /// The configuration as it is.
    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        self.configuration.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What the handshakes of a listener are given; none where its clients connect without TLS.
    pub(crate) fn offer(&self, listener: &str) -> Option<Offer> {
        self.certificates.iter().find(|known| known.listener() == listener).map(Certificates::offer)
    }
}

/// Enters one event.
pub(crate) async fn enter(log: &dyn AuditLog, clock: &dyn Clock, event: Event<'_>) -> Result<(), AppendError> {
    let mut batch = Batch::default();
    batch.push(&Entry { at: clock.now(), event });
    log.append(&batch).await.map(drop)
}

/// Runs the gateway until it is told to stop.
pub(crate) async fn serve(configuration: Configuration, origin: Origin) -> anyhow::Result<()> {
    logs::start("info");
    let running = start(configuration, origin).await?;
    let ended = running.until_stopped().await;
    running.stop().await;
    ended
}

/// Resolves at SIGINT or SIGTERM.
async fn until_told() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Starts every part. When it returns, all listeners take connections.
pub(crate) async fn start(configuration: Configuration, origin: Origin) -> anyhow::Result<Running> {
    descriptors::raise_limit();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let state = configuration.gateway.state.clone();
    make_folder(&state)?;
    make_folder(&configuration.audit.folder)?;
    let (master, database, log) = open_kept(&configuration, &clock).await?;
    let as_log: Arc<dyn AuditLog> = log.clone();
    let workloads = Arc::new(Workloads::open(database.clone(), Arc::clone(&as_log), Arc::clone(&clock)).await?);
    let desk =
        Arc::new(Desk::open(database.clone(), Arc::clone(&as_log), Arc::clone(&clock), DeskOptions::default()).await);
    let tokens = Arc::new(Tokens::open(database.clone(), Arc::clone(&as_log), Arc::clone(&clock)).await?);
    let publisher = Arc::new(Publisher::new(&configuration, &workloads.standings())?);
    let sessions = Arc::new(Sessions::default());
    let dialler = Dialler::new();
    let (classes, learned) = classes::open(&publisher, &database, Arc::clone(&as_log), Arc::clone(&clock)).await?;
    let upstreams = parts::upstreams(&configuration, &clock, &learned, &master)?;
    let issuers = Arc::new(parts::issuers(&configuration, &dialler, &clock)?);
    let workload_api = parts::workload_api(&configuration, &issuers, &dialler, &clock);
    let svids = svids(workload_api.as_ref(), &issuers);
    let certificates = open_certificates(&configuration, &svids, &master).await?;
    let apis = http::upstreams(&configuration, &dialler, &clock, &master)?;
    let joined = task_house::Joined {
        configuration: &configuration,
        database: &database,
        log: &as_log,
        clock: &clock,
        issuers: &issuers,
        publisher: &publisher,
        master: &master,
    };
    let house = Arc::new(House {
        tasks: TaskHouse::open(joined).await?,
        clock: Arc::clone(&clock),
        log: Arc::clone(&log),
        master: Arc::clone(&master),
        desk: Arc::clone(&desk),
        workloads,
        signals: SignalHouse::open(&configuration, &database, &as_log, &clock, &tokens, &dialler, &master).await?,
        native: Arc::new(NativeLogins::new(tokens.clone(), Arc::clone(&clock))),
        tokens,
        publisher: Arc::clone(&publisher),
        sessions: Arc::clone(&sessions),
        dialler: dialler.clone(),
        upstreams,
        apis,
        budgets: Arc::default(),
        classes,
        kept: Arc::new(KeptStore::new(database.clone(), as_log.clone(), Arc::clone(&clock), Arc::clone(&master))),
        issuers,
        people: watch::Sender::new(Arc::new(admin::people(&configuration))),
        configuration: RwLock::new(Arc::new(configuration)),
        reloading: tokio::sync::Mutex::default(),
        origin,
        certificates,
        workload_api,
    });
    signals::hear(&house);
    let lists = signals::threat_lists(&house.configuration(), &dialler, &as_log, &clock).await?;
    house.publisher.threaten(lists.current());
    let tasks = Tasks::new();
    let lanes = Arc::new(Lanes::start(thread::available_parallelism()?, WORKER_STACK, &Handle::current())?);
    let host = || Host { tasks: tasks.clone(), lanes: Arc::clone(&lanes) };
    follow(&tasks, &house);
    signals::follow(&tasks, &house, lists);
    task_house::follow(&tasks, &house);
    let configuration = house.configuration();
    expect_svids(&house).await?;
    let admin = admin::bind(&configuration).await?;
    let public_url = admin::public_url(&configuration, &admin)?;
    let postgres = serve_postgres(host(), &house, &database, &public_url).await?;
    let apis = http::open(&host(), &house, &database, &public_url)?;
    let http = http::serve(host(), &house, apis.as_ref()).await?;
    let egress = egress::serve(host(), &house, &database, &public_url, apis).await?;
    // The first statement should not find an empty catalogue.
    for upstream in &house.upstreams {
        upstream.refresh(&house.dialler).await;
    }
    let tlog = audit::follow(&tasks, &configuration, &log, &clock, &dialler).await?;
    let signals = signals::serve(&tasks, &house, configuration.signals.listener.as_ref()).await?;
    let tokens = serve_tokens(host(), &house).await?;
    let pdp = serve_pdp(host(), &house, &database, public_url).await?;
    let listening = [("postgres", postgres), ("http", http), ("pdp", pdp), ("egress", egress)];
    let admin = admin::serve(&tasks, &house, admin, listening)?;
    let policies = publisher.current().policies().len();
    let ready = Ready { admin, postgres, http, egress, tokens, pdp, signals, tlog, policies };
    announce(&state, &ready)?;
    tracing::info!(%admin, ?postgres, ?http, ?egress, policies, "ready");
    Ok(Running {
        ready,
        tasks,
        _lanes: lanes,
        sessions,
        desk,
        log,
        database,
        drain: configuration.gateway.drain,
        state,
    })
}

/// Takes the log's lock, and opens what is kept: the master key, which is changed if that was begun, the store and the log.
async fn open_kept(
    configuration: &Configuration,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<MasterKey>, Database, Arc<DiskLog>)> {
    let (part, state) = (&configuration.audit, &configuration.gateway.state);
    let lock = audit::lock(configuration)?;
    let master = Arc::new(audit::master_key(part, state).await?);
    let database = Database::open(&state.join("parapet.db")).await.context("the store in the state folder")?;
    let rekeyed = rekey::close_anew(part, state, &lock, &master, &database).await.context("another master key")?;
    let log = audit::open(configuration, lock, clock, &master).await?;
    rekey::complete(part, state, &*log, &**clock, rekeyed).await?;
    Ok((master, database, log))
}

/// What handshakes take from SPIFFE.
fn svids(workload_api: Option<&Arc<WorkloadApi>>, issuers: &Issuers) -> Svids {
    Svids { own: workload_api.map(|api| Arc::clone(api.svid())), domains: Arc::clone(issuers.trust_domains()) }
}

/// What is offered by the listeners that end TLS for workloads.
async fn open_certificates(
    configuration: &Configuration,
    svids: &Svids,
    master: &Arc<MasterKey>,
) -> anyhow::Result<Vec<Certificates>> {
    let mut all = Vec::new();
    for (listener, tls) in configuration.listeners() {
        let state = &configuration.gateway.state;
        all.extend(Certificates::open(listener, tls, state, svids.clone(), master).await?);
    }
    Ok(all)
}

/// What the sessions of every protocol share.
pub(crate) fn session_parts(house: &House, database: &Database, public_url: Arc<str>) -> Parts {
    Parts {
        clock: Arc::clone(&house.clock),
        log: house.log.clone(),
        desk: house.desk.clone(),
        containment: Arc::new(house.signals.containment(Arc::clone(&house.workloads))),
        spent: Arc::new(SpentStore::new(database.clone(), Arc::clone(&house.clock))),
        snapshots: house.publisher.clone(),
        sessions: Arc::clone(&house.sessions),
        budgets: Arc::clone(&house.budgets),
        public_url,
    }
}

/// What PostgreSQL's sessions share.
fn postgres_gateway(house: &House, database: &Database, public_url: Arc<str>) -> Arc<PostgresGateway> {
    let (parts, tls) = (session_parts(house, database, public_url), house.offer("postgres"));
    let (issuers, upstreams) = (Arc::clone(&house.issuers), house.upstreams.clone());
    let gateway = PostgresGateway::new(parts, issuers, house.dialler.clone(), tls, upstreams)
        .with_native_tokens(Arc::clone(&house.native))
        .with_task_tokens(Arc::clone(&house.tasks.tokens))
        .with_bearer_logins(Arc::new(parts::bearer_logins(&house.configuration())));
    Arc::new(gateway)
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Runs what never ends by itself, until the process stops. If it does end, so does the process.
pub(crate) fn background(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let mut stopping = tasks.stopping();
    tasks.keep(name, async move {
        tokio::select! {
            () = stopping.begun() => {}
            () = work => {}
        }
    });
}

/// Waits for what SPIFFE brings, so that the first client finds it. A listener that shows the gateway's own SVID cannot
/// begin without one.
async fn expect_svids(house: &House) -> anyhow::Result<()> {
    house.issuers.trust_domains().load().await;
    let Some(api) = &house.workload_api else { return Ok(()) };
    let shown = house.configuration().listeners().into_iter().any(|(_, tls)| tls == Some(&ListenerTls::Spiffe));
    match api.ready(FIRST_SVID).await {
        Err(error) if shown => Err(error).context("the gateway's own SVID, from the Workload API"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Starts what keeps the parts up to date.
fn follow(tasks: &Tasks, house: &Arc<House>) {
    let mut standings = house.workloads.watch();
    let publisher = Arc::clone(&house.publisher);
    background(tasks, "standings", async move {
        while standings.changed().await.is_ok() {
            let now = standings.borrow_and_update().clone();
            publisher.restand(&now);
        }
    });
    let following = Arc::clone(house);
    background(tasks, "session cutter", async move {
        following.sessions.follow(&*following.publisher, &*following.clock).await;
    });
    let expiring = Arc::clone(house);
    background(tasks, "session expiry", async move { expiring.sessions.expire(&*expiring.clock).await });
    for upstream in &house.upstreams {
        let (upstream, dialler) = (Arc::clone(upstream), house.dialler.clone());
        background(tasks, "catalogue", async move { upstream.follow(&dialler).await });
    }
    let classes = Arc::clone(&house.classes);
    background(tasks, "suggestions", async move {
        loop {
            tokio::time::sleep(SUGGESTIONS).await;
            classes.write().await;
        }
    });
    let issuers = Arc::clone(&house.issuers);
    background(tasks, "issuer keys", async move { issuers.keep_fresh().await });
    let domains = Arc::clone(house.issuers.trust_domains());
    background(tasks, "trust domains", async move { domains.keep_fresh().await });
    if let Some(api) = house.workload_api.clone() {
        background(tasks, "workload api", async move { api.follow().await });
    }
    let reloading = Arc::clone(house);
    background(tasks, "reload", async move { crate::reload::follow(&reloading).await });
}

/// Listens for clients of PostgreSQL, if that is configured; where.
async fn serve_postgres(
    host: Host,
    house: &House,
    database: &Database,
    public_url: &Arc<str>,
) -> anyhow::Result<Option<SocketAddr>> {
    let configuration = house.configuration();
    let Some(listener) = &configuration.postgres else { return Ok(None) };
    let gateway = postgres_gateway(house, database, Arc::clone(public_url));
    let serve = move |stream, peer| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.handle(stream, peer).await }
    };
    listening::listen(host, listener.listen, ("postgres listener", "postgres session"), serve).await.map(Some)
}

/// Serves the token endpoint, if it is configured; where.
async fn serve_tokens(host: Host, house: &Arc<House>) -> anyhow::Result<Option<SocketAddr>> {
    let configuration = house.configuration();
    let Some(listener) = &configuration.tokens else { return Ok(None) };
    task_house::serve(host, house, listener, house.offer("postgres")).await.map(Some)
}

/// Serves the decision point, if it is configured; where.
async fn serve_pdp(
    host: Host,
    house: &Arc<House>,
    database: &Database,
    public_url: Arc<str>,
) -> anyhow::Result<Option<SocketAddr>> {
    let configuration = house.configuration();
    let Some(settings) = &configuration.pdp else { return Ok(None) };
    pdp::serve(host, house, database, public_url, settings).await.map(Some)
}

/// Leaves word in the state folder where the gateway listens: `admin.addr` for the command line, `ports.json` for scripts.
fn announce(state: &Path, ready: &Ready) -> anyhow::Result<()> {
    let ports = serde_json::json!({
        "admin": ready.admin.to_string(),
        "postgres": ready.postgres.map(|address| address.to_string()),
        "http": ready.http.map(|address| address.to_string()),
        "egress": ready.egress.map(|address| address.to_string()),
        "tokens": ready.tokens.map(|address| address.to_string()),
        "pdp": ready.pdp.map(|address| address.to_string()),
        "signals": ready.signals.map(|address| address.to_string()),
        "tlog": ready.tlog.map(|address| address.to_string()),
    });
    let write = |name: &str, text: &str| {
        let fresh = state.join(format!("{name}.new"));
        fs::write(&fresh, text)?;
        fs::rename(&fresh, state.join(name))
    };
    write("admin.addr", &ready.admin.to_string())?;
    write("ports.json", &ports.to_string()).map_err(|error| anyhow!("cannot write to the state folder: {error}"))
}

impl Running {
    /// What it tells of itself.
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Resolves when it is to be stopped: at SIGINT or SIGTERM, or with an error because a part of it has ended. Without the
    /// follower of revocations, say, it would let on who may no longer act: whoever started it starts it anew.
    pub(crate) async fn until_stopped(&self) -> anyhow::Result<()> {
        tokio::select! {
            told = until_told() => told,
            part = self.tasks.lost() => Err(anyhow!(
                "the gateway has stopped, because a part of it that must run has ended: {part}. Its log says more"
            )),
        }
    }

    /// Stops accepting, lets what runs finish until the deadline, cuts the rest, flushes the log. Where a part of it has ended,
    /// nothing is waited for.
    pub(crate) async fn stop(self) {
        // The next command must not find a gateway that is gone.
        for name in ["admin.addr", "ports.json"] {
            let _absent = fs::remove_file(self.state.join(name));
        }
        self.sessions.cut_all(Cut::Drained);
        let patience = if self.tasks.has_lost() { Duration::ZERO } else { self.drain };
        let drained = self.tasks.drain(patience).await;
        if !drained.cut.is_empty() {
            tracing::debug!(cut = ?drained.cut, "tasks were cut");
        }
        self.desk.close().await;
        if tokio::time::timeout(LAST_ENTRIES, self.log.close()).await.is_err() {
            tracing::error!("the audit log did not take its last entries in time");
        }
        self.database.close().await;
    }
}

/// A token for a workload, signed by the development issuer of a state folder; none if it has no such issuer.
pub(crate) fn mint_development_token(state: &Path, workload: &Name) -> anyhow::Result<Option<Secret<String>>> {
    dev_issuer::mint(state, workload, SystemClock.now())
}
