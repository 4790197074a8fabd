//! Joins what signals are made of: threat lists, the streams of security events, how risky workloads are, and what follows for
//! the snapshot and for open sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use control::ssf::{Accept, Connection, PushRefusal, SsfParts};
use control::{SignalParts, StreamView};
use gateway::login::jwks::JwksSource;
use gateway::login::security_event::{StreamSettings, Streams, discovery};
use gateway::signals::accept;
use gateway::signals::lists::{ListSettings, Place, ThreatLists};
use gateway::signals::poll::{Asking, Poller};
use gateway::signals::receive::{NotTaken, Receiver};
use gateway::signals::rejudge;
use gateway::tasks::Tasks;
use gateway::tasks::together;
use gateway::tls::{self, ServerTls, UpstreamTls};
use gateway::upstream::dial::Dialler;
use gateway::upstream::fetch::Fetcher;
use kernel::ports::{AuditLog, Clock, Containment, ContainmentError, PortFuture, Snapshots as _};
use kernel::risk::RiskReason;
use kernel::signal::{Effects, Mapping, SecurityEvent};
use kernel::time::Timestamp;
use kernel::verdict::Deciding;
use kernel::workload::Name;
use store::database::Database;
use store::incidents::Incidents;
use store::log::MasterKey;
use store::risk::Risks;
use store::signals::{OLDEST, Signals, Taken};
use store::tokens::Tokens;
use store::workloads::{StandingError, Workloads};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::config::Configuration;
use crate::config::checked::{self, ListPlace, SignalListener, StreamEntry, ThreatEntry};
use crate::snapshots::Publisher;
use crate::transmit::Transmitter;
use crate::wiring::{House, background};
use crate::{parts, transmit};

/// How often it is looked whether risks have faded so far that a score changes.
const FADING: Duration = Duration::from_secs(30);

/// What the house keeps of signals.
pub(crate) struct SignalHouse {
    /// How risky workloads are.
    pub(crate) risks: Arc<Risks>,
    /// The events that were taken.
    pub(crate) signals: Arc<Signals>,
    /// The streams as they are configured; a reload puts others there.
    streaming: watch::Sender<Arc<Streaming>>,
    /// Threat lists that a reload has opened, on their way to who follows them.
    lists: (mpsc::Sender<ThreatLists>, Mutex<Option<mpsc::Receiver<ThreatLists>>>),
    transmitter: Option<Arc<Transmitter>>,
    /// What sessions note, on its way to the risks.
    noted: (mpsc::Sender<Noted>, Mutex<Option<mpsc::Receiver<Noted>>>),
}

/// The streams of a configuration.
struct Streaming {
    streams: Arc<Streams>,
    entries: Vec<StreamEntry>,
    fetcher: Fetcher,
}

impl Streaming {
    fn open(configuration: &Configuration, dialler: &Dialler, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        let fetcher = fetcher(configuration, dialler)?;
        let entries = configuration.signals.streams.clone();
        let settings = entries.iter().map(stream_settings).collect::<anyhow::Result<Vec<_>>>()?;
        let streams = Arc::new(Streams::new(settings, &fetcher, Arc::clone(clock)));
        Ok(Arc::new(Self { streams, entries, fetcher }))
    }
}

/// What a reload has opened and not put into force yet.
pub(crate) struct Reopened {
    lists: Option<ThreatLists>,
    streaming: Option<Arc<Streaming>>,
}

impl Reopened {
    /// The threat lists, if they are others than before.
    pub(crate) fn threats(&self) -> Option<Arc<kernel::threats::Threats>> {
        self.lists.as_ref().map(ThreatLists::current)
    }
}

/// Opens what a new configuration says of threat lists and streams, as far as it says something new. A list that cannot be had
/// is a mistake of the configuration, as it is at the start. Where we listen, and who receives our events, changes at a start.
pub(crate) async fn reopen(house: &House, configuration: &Configuration) -> anyhow::Result<Reopened> {
    let before = house.configuration();
    let log: Arc<dyn AuditLog> = Arc::<store::log::DiskLog>::clone(&house.log);
    let (dialler, clock) = (&house.dialler, &house.clock);
    let lists = if configuration.threats == before.threats {
        None
    } else {
        Some(threat_lists(configuration, dialler, &log, clock).await?)
    };
    let streaming = if configuration.signals.streams == before.signals.streams {
        None
    } else {
        Some(Streaming::open(configuration, dialler, clock)?)
    };
    Ok(Reopened { lists, streaming })
}

/// Lets what was opened be followed, in place of what was.
pub(crate) async fn replace(house: &House, reopened: Reopened) {
    if let Some(lists) = reopened.lists
        && house.signals.lists.0.send(lists).await.is_err()
    {
        tracing::error!("nobody follows the threat lists any more");
    }
    if let Some(streaming) = reopened.streaming {
        house.signals.streaming.send_replace(streaming);
    }
}

/// A workload, and what makes it riskier.
type Noted = (Name, RiskReason);

/// How many notes may wait; more of them say nothing new.
const MOST_NOTES: usize = 256;
/// How long the same voice about the same workload is not heard again.
const NOTED_AGAIN: Duration = Duration::from_secs(60);

/// Quarantines as the store does, and takes notes.
pub(crate) struct Containing {
    workloads: Arc<Workloads>,
    incidents: Arc<Incidents>,
    notes: mpsc::Sender<Noted>,
}

impl Containment for Containing {
    fn quarantine(&self, workload: &Name, because: &Deciding) -> PortFuture<'_, Result<(), ContainmentError>> {
        let (workload, because) = (workload.clone(), because.clone());
        Box::pin(async move {
            let reason = format!("policy \"{}\"", because.policy);
            match self.workloads.quarantine(&workload, None, &reason).await {
                Ok(()) => {}
                // It is the incident of whoever came first.
                Err(StandingError::QuarantinedAlready | StandingError::Retired) => return Ok(()),
                Err(StandingError::Unavailable | StandingError::NotQuarantined) => return Err(ContainmentError),
            }
            // The quarantine holds either way; without its incident it is released by itself.
            if let Err(error) = self.incidents.note_quarantine(&workload, &because.policy).await {
                tracing::error!(%workload, %error, "a quarantine stands in no incident");
            }
            Ok(())
        })
    }

    fn note(&self, workload: &Name, reason: RiskReason) {
        // Full means that there is enough to write already.
        let _full = self.notes.try_send((workload.clone(), reason));
    }
}

/// Writes what sessions note, each voice once a minute.
async fn write_notes(house: &House, mut notes: mpsc::Receiver<Noted>) {
    let mut last: BTreeMap<(Name, Arc<str>), Timestamp> = BTreeMap::new();
    while let Some((workload, reason)) = notes.recv().await {
        let now = reason.at;
        last.retain(|_, at| now.since(*at) < NOTED_AGAIN);
        if last.contains_key(&(workload.clone(), Arc::clone(&reason.by))) {
            continue;
        }
        last.insert((workload.clone(), Arc::clone(&reason.by)), now);
        if let Err(error) = house.signals.risks.add(&workload, reason).await {
            tracing::error!(%workload, %error, "a reason for risk could not be stored");
        }
    }
}

impl SignalHouse {
    /// Reads what is stored.
    pub(crate) async fn open(
        configuration: &Configuration,
        database: &Database,
        log: &Arc<dyn AuditLog>,
        clock: &Arc<dyn Clock>,
        tokens: &Arc<Tokens>,
        dialler: &Dialler,
        master: &MasterKey,
    ) -> anyhow::Result<Self> {
        let risks = Arc::new(Risks::open(database.clone(), Arc::clone(log), Arc::clone(clock)).await?);
        let signals =
            Signals::new(database.clone(), Arc::clone(log), Arc::clone(clock), Arc::clone(&risks), Arc::clone(tokens));
        let streaming = watch::Sender::new(Streaming::open(configuration, dialler, clock)?);
        let (replaced, replacing) = mpsc::channel(1);
        let lists = (replaced, Mutex::new(Some(replacing)));
        let (notes, noting) = mpsc::channel(MOST_NOTES);
        let noted = (notes, Mutex::new(Some(noting)));
        let transmitter = Transmitter::open(configuration, database, clock, master)?;
        Ok(Self { risks, signals: Arc::new(signals), streaming, lists, transmitter, noted })
    }

    /// What the gateway asks to contain workloads.
    pub(crate) fn containment(&self, workloads: Arc<Workloads>) -> Containing {
        let incidents = Arc::clone(self.signals.incidents());
        Containing { workloads, incidents, notes: self.noted.0.clone() }
    }

    /// What the admin API works on.
    pub(crate) fn control(&self) -> SignalParts {
        let streaming = self.streaming.subscribe();
        let views = move || {
            let now = Arc::clone(&streaming.borrow());
            let health = now.streams.health();
            let view = |entry: &StreamEntry| {
                let keys = health.iter().find(|(name, _)| *name == entry.name).map(|(_, keys)| keys);
                StreamView {
                    name: entry.name.clone(),
                    issuer: entry.issuer.clone(),
                    delivery: if entry.poll.is_some() { "poll" } else { "push" },
                    silent_after: entry.silent_after,
                    failed: keys.and_then(|keys| keys.failed.as_ref()).map(ToString::to_string),
                }
            };
            now.entries.iter().map(view).collect()
        };
        SignalParts { risks: Arc::clone(&self.risks), signals: Arc::clone(&self.signals), streams: Arc::new(views) }
    }
}

/// Fetches lists, keys and events. What needs authorities is only asked for where something is behind HTTPS.
fn fetcher(configuration: &Configuration, dialler: &Dialler) -> anyhow::Result<Fetcher> {
    let signals = &configuration.signals;
    let remote = configuration.threats.iter().any(|list| matches!(list.place, ListPlace::Url(_)))
        || !signals.streams.is_empty()
        || !signals.receivers.is_empty();
    let tls = if remote { Some(UpstreamTls::system()?) } else { None };
    Ok(Fetcher::new(dialler.clone(), tls))
}

fn stream_settings(entry: &StreamEntry) -> anyhow::Result<StreamSettings> {
    let jwks = match &entry.jwks {
        checked::JwksSource::Url(url) => JwksSource::Url(url.parse()?),
        checked::JwksSource::Discovery(issuer) => discovery(issuer)?,
        checked::JwksSource::File(path) => JwksSource::File(path.clone()),
    };
    Ok(StreamSettings {
        name: entry.name.clone(),
        issuer: entry.issuer.clone(),
        audience: entry.audience.clone(),
        jwks,
        critical: entry.critical_members.clone(),
        oldest: OLDEST,
    })
}

/// Reads the threat lists. One that cannot be had stops the start: a gateway that knows a threat by name only would let it in.
pub(crate) async fn threat_lists(
    configuration: &Configuration,
    dialler: &Dialler,
    log: &Arc<dyn AuditLog>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<ThreatLists> {
    let state = &configuration.gateway.state;
    let settings =
        configuration.threats.iter().map(|entry| list_settings(entry, state)).collect::<anyhow::Result<Vec<_>>>()?;
    let fetcher = fetcher(configuration, dialler)?;
    Ok(ThreatLists::open(settings, fetcher, Arc::clone(clock), Arc::clone(log)).await?)
}

fn list_settings(entry: &ThreatEntry, state: &Path) -> anyhow::Result<ListSettings> {
    let place = match &entry.place {
        ListPlace::File(path) => Place::File(path.clone()),
        ListPlace::Url(url) => Place::Url {
            location: url.parse()?,
            // A query could hold a key of the list's provider.
            shown: url.split(['?', '#']).next().unwrap_or_default().into(),
            every: entry.refresh,
            cache: state.join("threats").join(entry.name.as_str()),
        },
    };
    Ok(ListSettings {
        name: entry.name.clone(),
        place,
        format: entry.format.clone(),
        max_age: entry.max_age,
        most: entry.max_networks,
        time: |text| crate::config::timestamp(text).ok(),
    })
}

/// Puts into force what is known of risks and revocations.
pub(crate) fn hear(house: &House) {
    let heard = || {
        let book = house.signals.risks.book();
        (book.scores(house.clock.now()), book.revocations())
    };
    house.publisher.hear(|| house.workloads.standings(), heard);
}

/// Starts what keeps signals in force.
pub(crate) fn follow(tasks: &Tasks, house: &Arc<House>, lists: ThreatLists) {
    let fading = Arc::clone(house);
    background(tasks, "risk", async move {
        let mut book = fading.signals.risks.watch();
        loop {
            // Whatever wakes it, what is known is put into force.
            drop(tokio::time::timeout(FADING, book.changed()).await);
            hear(&fading);
        }
    });
    let notes = house.signals.noted.1.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(notes) = notes {
        let writing = Arc::clone(house);
        background(tasks, "risk notes", async move { write_notes(&writing, notes).await });
    }
    let replacing = house.signals.lists.1.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(replacing) = replacing {
        background(tasks, "threat lists", follow_lists(Arc::clone(&house.publisher), lists, replacing));
    }
    let looking = Arc::clone(house);
    background(tasks, "second look", async move {
        let containing = looking.signals.containment(Arc::clone(&looking.workloads));
        rejudge::follow(&looking.sessions, &*looking.publisher, &containing, &*looking.clock).await;
    });
    if let Some(transmitter) = &house.signals.transmitter {
        let fetcher = house.signals.streaming.borrow().fetcher.clone();
        transmit::follow(tasks, house, transmitter, &fetcher);
    }
    let streaming = Arc::clone(house);
    background(tasks, "streams", async move { follow_streams(&streaming).await });
}

/// Follows the threat lists, and those that replace them. Never returns.
async fn follow_lists(publisher: Arc<Publisher>, mut lists: ThreatLists, mut replacing: mpsc::Receiver<ThreatLists>) {
    loop {
        let fresh = tokio::select! {
            () = lists.follow(|threats| publisher.threaten(threats)) => None,
            fresh = replacing.recv() => fresh,
        };
        let Some(fresh) = fresh else { return };
        // Between the reload and this the old ones may have published once more.
        publisher.threaten(fresh.current());
        lists = fresh;
    }
}

/// Keeps the keys of streams fresh, polls them and asks whether they live; those of the newest configuration. Never returns.
async fn follow_streams(house: &Arc<House>) {
    let mut streaming = house.signals.streaming.subscribe();
    loop {
        let now = Arc::clone(&streaming.borrow_and_update());
        let mut following: Vec<PortFuture<'static, ()>> = Vec::new();
        let keys = Arc::clone(&now.streams);
        following.push(Box::pin(async move { keys.keep_fresh().await }));
        for entry in &now.entries {
            match asking(entry) {
                Ok(asking) => following.extend(poll(house, &now, asking)),
                Err(error) => tracing::error!(stream = %entry.name, %error, "a stream cannot be asked"),
            }
        }
        let all = async {
            together(following).await;
            std::future::pending().await
        };
        tokio::select! {
            () = all => {}
            changed = streaming.changed() => if changed.is_err() { return },
        }
    }
}

fn asking(entry: &StreamEntry) -> anyhow::Result<Asking> {
    let endpoint = match &entry.poll {
        Some((url, _)) => Some(url.parse()?),
        None => None,
    };
    let verification = match &entry.verification {
        Some((url, every)) => Some((url.parse()?, *every)),
        None => None,
    };
    Ok(Asking {
        stream: entry.name.clone(),
        endpoint,
        every: entry.poll.as_ref().map_or(FADING, |(_, every)| *every),
        verification,
        stream_id: entry.stream_id.clone(),
        authorization: entry.authorization.as_ref().map(parts::secret),
    })
}

/// Polls a stream, and asks whether it lives.
fn poll(house: &Arc<House>, streaming: &Streaming, asking: Asking) -> [PortFuture<'static, ()>; 2] {
    let noting = Arc::clone(house);
    let note_asked = Arc::new(move |stream| {
        let house = Arc::clone(&noting);
        let noted: kernel::ports::PortFuture<'static, ()> = Box::pin(async move {
            if let Err(error) = house.signals.signals.note_asked(&stream).await {
                tracing::error!(%stream, %error, "it is not noted that a stream was asked");
            }
        });
        noted
    });
    let receiver = receiver(house, &streaming.streams);
    let poller = Poller::new(asking, streaming.fetcher.clone(), receiver, Arc::clone(&house.clock), note_asked);
    let poller = Arc::new(poller);
    let polling = Arc::clone(&poller);
    [Box::pin(async move { polling.follow().await }), Box::pin(async move { poller.verify().await })]
}

fn receiver(house: &Arc<House>, streams: &Arc<Streams>) -> Receiver {
    let (taking, refusing) = (Arc::clone(house), Arc::clone(house));
    Receiver::new(
        Arc::clone(streams),
        Arc::new(move |event| {
            let house = Arc::clone(&taking);
            Box::pin(async move { take(&house, event).await })
        }),
        Arc::new(move |stream, why| {
            let house = Arc::clone(&refusing);
            Box::pin(async move {
                if let Err(error) = house.signals.signals.note_refused(&stream, &why).await {
                    tracing::error!(%stream, %error, "a refused security event is not noted");
                }
            })
        }),
    )
}

/// Makes an event effective: durable first, then in force, then acknowledged.
async fn take(house: &House, event: SecurityEvent) -> Result<(), NotTaken> {
    let streaming = Arc::clone(&house.signals.streaming.borrow());
    let entry = streaming.entries.iter().find(|entry| entry.name == event.stream).ok_or(NotTaken)?;
    let mapping = Mapping { subjects: entry.subjects.clone(), owner_domains: entry.owner_domains.clone() };
    let workloads = mapping.workloads(&house.publisher.current(), &event);
    let effects = Effects::of(&event, house.clock.now());
    if effects.quarantine {
        let why = format!("{} by stream {}", event.kind.as_str(), event.stream);
        for workload in &workloads {
            match house.workloads.quarantine(workload, None, &why).await {
                Ok(()) | Err(StandingError::QuarantinedAlready | StandingError::Retired) => {}
                Err(StandingError::NotQuarantined | StandingError::Unavailable) => return Err(NotTaken),
            }
        }
    }
    match house.signals.signals.take(&event, &workloads, &effects).await {
        Ok(Taken::Effective { tokens }) => {
            hear(house);
            // The transmitter may count on it: after the acknowledgement nothing more is asked by what it ended.
            house.publisher.restand(&house.workloads.standings());
            house.sessions.cut_ended(&house.publisher.current(), house.clock.now());
            for token in &tokens {
                house.native.cut(token);
            }
            Ok(())
        }
        Ok(Taken::Repeated) => Ok(()),
        Err(error) => {
            tracing::error!(stream = %event.stream, %error, "a security event is not taken");
            Err(NotTaken)
        }
    }
}

/// Takes the port of security events, and serves it; where it listens.
pub(crate) async fn serve(
    tasks: &Tasks,
    house: &Arc<House>,
    listener: Option<&SignalListener>,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(settings) = listener else { return Ok(None) };
    let address = settings.listen;
    let listener = TcpListener::bind(address).await.with_context(|| format!("`signals.listen`: {address}"))?;
    let bound = listener.local_addr()?;
    let accept = accept_by(settings).await?;
    let receiving = Arc::clone(house);
    let receive = Arc::new(move |stream, set: String| {
        let receiver = receiver(&receiving, &receiving.signals.streaming.borrow().streams);
        let received: kernel::ports::PortFuture<'static, Result<(), PushRefusal>> = Box::pin(async move {
            receiver
                .receive(&stream, &set)
                .await
                .map_err(|error| error.code().map_or(PushRefusal::Later, PushRefusal::Refused))
        });
        received
    });
    let pushing = house.signals.streaming.subscribe();
    let streams = move || {
        let now = pushing.borrow();
        now.entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.token_hash?))).collect()
    };
    let transmitting = house.signals.transmitter.as_ref().map(Transmitter::transmitting);
    let parts = SsfParts { streams: Arc::new(streams), receive, transmitting };
    let mut stopping = tasks.stopping();
    tasks.keep("security events", async move {
        control::ssf::serve(listener, accept, parts, async move { stopping.begun().await }).await;
    });
    Ok(Some(bound))
}

async fn accept_by(settings: &SignalListener) -> anyhow::Result<Accept> {
    let Some((certificate, key)) = &settings.certificate else {
        return Ok(Arc::new(|stream| Box::pin(std::future::ready(Some(Box::new(stream) as Box<dyn Connection>)))));
    };
    let key = parts::secret(key).read().await.context("`signals.key`")?;
    let chain = tls::read_certificates(certificate).context("`signals.certificate`")?;
    let config = ServerTls::new(chain, tls::private_key(key.expose().as_bytes())?, None)?;
    let config = accept::for_http(&config);
    Ok(Arc::new(move |stream| {
        let config = Arc::clone(&config);
        Box::pin(async move {
            accept::handshake(stream, config).await.map(|stream| Box::new(stream) as Box<dyn Connection>)
        })
    }))
}
