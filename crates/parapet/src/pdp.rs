//! The decision point, joined: what control answers, with what the gateway verifies and understands.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use control::pdp::{
    Connected, DecisionPoint, HttpAsked, HttpNotUnderstood, HttpUnderstood, Identified, PdpParts, Settings, ShownProof,
    Unidentified,
};
use gateway::budget::Draws;
use gateway::listen::{Host, accept_loop};
use gateway::login::logins::Logins;
use gateway::login::passed_on::{PassedOn, PassedOnLogins, Verified};
use gateway::protocol::http::{HttpRoutes, NotUnderstood, Told};
use gateway::session::Parts;
use gateway::signals::accept;
use gateway::tasks::Stopping;
use gateway::tls::{self, Offer, ServerTls};
use kernel::ports::AuditLog;
use kernel::resource::{Kin, Resource, ResourceKind};
use kernel::secret::Secret;
use kernel::verdict::Undecidable;
use rustls::pki_types::CertificateDer;
use store::database::Database;
use store::log::MasterKey;
use tokio::net::{TcpListener, TcpStream};

use crate::config::checked::PdpPart;
use crate::kept_key::KeptKey;
use crate::wiring::{House, session_parts};

/// So many connections are served at once.
const MOST_CONNECTIONS: usize = 2048;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves the decision point; where it listens.
pub(crate) async fn serve(
    host: Host,
    house: &Arc<House>,
    database: &Database,
    public_url: Arc<str>,
    settings: &PdpPart,
) -> anyhow::Result<SocketAddr> {
    let address = settings.listen;
    let listener = TcpListener::bind(address).await.with_context(|| format!("`pdp.listen`: {address}"))?;
    let bound = listener.local_addr()?;
    let offer = house.offer("pdp");
    let scheme = if offer.is_some() { "https" } else { "http" };
    let url = settings.url.clone().unwrap_or_else(|| format!("{scheme}://{bound}"));
    let parts = session_parts(house, database, public_url);
    let authorities = match &settings.client_authorities {
        None => Vec::new(),
        Some(file) => tls::read_certificates(file).context("`pdp.client_authorities`")?,
    };
    let point = DecisionPoint::new(point_parts(house, parts, url, authorities)?);
    let (tasks, stopping) = (host.tasks.clone(), host.tasks.stopping());
    let accept = accept_loop(listener, MOST_CONNECTIONS, host, "decision point", move |stream, peer| {
        connection(point.clone(), offer.clone(), stopping.clone(), stream, peer)
    });
    tasks.keep("decision point listener", accept);
    Ok(bound)
}

async fn connection(
    point: DecisionPoint,
    offer: Option<Offer>,
    mut stopping: Stopping,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let source = peer.ip().to_canonical();
    let Some(offer) = offer else {
        let connected = Connected { source, tls: false, certificates: Vec::new() };
        return point.serve(stream, connected, async move { stopping.begun().await }).await;
    };
    let config = ServerTls::speaking_http(&offer.current());
    let Ok(Some(stream)) = tokio::time::timeout(HANDSHAKE, accept::handshake(stream, config)).await else { return };
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = shown.iter().map(|certificate| certificate.to_vec()).collect();
    let connected = Connected { source, tls: true, certificates };
    point.serve(stream, connected, async move { stopping.begun().await }).await;
}

fn point_parts(
    house: &Arc<House>,
    parts: Parts,
    url: String,
    authorities: Vec<CertificateDer<'static>>,
) -> anyhow::Result<PdpParts> {
    let (setting, finding, listing) = (Arc::clone(house), Arc::clone(house), Arc::clone(house));
    let routes = HttpRoutes::new(&house.apis)?;
    let logins = Logins::new(Arc::clone(&house.issuers))
        .with_native_tokens(Arc::clone(&house.native))
        .with_task_tokens(Arc::clone(&house.tasks.tokens));
    let log: Arc<dyn AuditLog> = house.log.clone();
    let budgets = Arc::clone(&house.budgets);
    let (public_url, containment) = (parts.public_url.to_string(), Arc::clone(&parts.containment));
    let proving = Arc::new(PassedOnLogins::new(parts, Arc::clone(&house.issuers), logins, authorities)?);
    Ok(PdpParts {
        url,
        public_url,
        key: key(&house.configuration().gateway.state, &house.master)?,
        settings: Arc::new(move || {
            let configuration = setting.configuration();
            configuration.pdp.as_ref().map_or_else(|| Arc::new(Settings::default()), |pdp| Arc::clone(&pdp.settings))
        }),
        people: house.people.subscribe(),
        clock: Arc::clone(&house.clock),
        snapshots: house.publisher.clone(),
        log,
        desk: Arc::clone(&house.desk),
        containment,
        identify: Arc::new(move |shown| {
            let proving = Arc::clone(&proving);
            Box::pin(async move { identified(&proving, shown).await })
        }),
        classify: Arc::new(move |asked, snapshot| {
            routes.understand(snapshot, told(asked)).map(understood).map_err(not_understood)
        }),
        take_budgets: Arc::new(move |asked| {
            let draws = Draws { budgets: asked.budgets, operations: asked.operations, workload: asked.workload };
            budgets.take_all(draws, asked.now).map_err(|(budget, used_up)| (budget, used_up.frees_in))
        }),
        kin: Arc::new(move |resource| kin(&finding, resource)),
        known: Arc::new(move |kind| known(&listing, kind)),
    })
}

/// The key of what the decision point gives out, which outlives the process: a task is asked after for days.
fn key(state: &Path, master: &MasterKey) -> anyhow::Result<Secret<Vec<u8>>> {
    Ok(Secret::new(kept_key(state).random(master)?.to_vec()))
}

/// Where it stands.
pub(crate) fn kept_key(state: &Path) -> KeptKey {
    KeptKey::new(state.join("pdp.key"), "key of the decision point")
}

async fn identified(proving: &PassedOnLogins, shown: ShownProof) -> Result<Identified, Unidentified> {
    let certificates: Vec<CertificateDer<'static>> = shown.certificates.into_iter().map(CertificateDer::from).collect();
    let passed = PassedOn {
        token: shown.token.as_ref().map(|token| token.expose().as_str()),
        certificates: &certificates,
        verified: if shown.passed_on { Verified::ByNobody } else { Verified::ByHandshake },
        source: shown.source,
        costs: shown.costs,
    };
    let (who, left) = proving.identify(passed).await.map_err(Unidentified)?;
    Ok(Identified { workload: who.workload().clone(), provenance: who.provenance().cloned(), left })
}

fn told(asked: &HttpAsked) -> Told<'_> {
    Told {
        method: &asked.method,
        authority: &asked.authority,
        target: &asked.target,
        headers: &asked.headers,
        body: asked.body.as_deref(),
        tls: asked.tls,
    }
}

fn understood(understood: gateway::protocol::http::Understood) -> HttpUnderstood {
    HttpUnderstood {
        upstream: understood.upstream,
        operations: understood.operations,
        template: understood.template.into(),
        text: understood.text.into(),
    }
}

fn not_understood(why: NotUnderstood) -> HttpNotUnderstood {
    match why {
        NotUnderstood::Malformed(violation) => {
            tracing::debug!(%violation, "a request that was passed on cannot be read");
            HttpNotUnderstood::Malformed
        }
        NotUnderstood::NoUpstream => HttpNotUnderstood::NoUpstream,
        NotUnderstood::Undecidable { upstream, why } => HttpNotUnderstood::Undecidable { upstream, why },
    }
}

/// What a table or a column of a database shares its classes with.
fn kin(house: &House, resource: &Resource) -> Result<Option<Kin>, Undecidable> {
    let guarded = house.upstreams.iter().find(|guarded| guarded.upstream.name == resource.upstream);
    let catalogue = guarded.ok_or(Undecidable::NoSnapshot)?.catalogue().ok_or(Undecidable::NoCatalogue)?;
    let [database, schema, table, rest @ ..] = &*resource.path else { return Err(Undecidable::UnknownRelation) };
    let relation = catalogue.relation(schema, table).filter(|_| database == catalogue.database());
    let relation = relation.ok_or(Undecidable::UnknownRelation)?;
    match rest.first() {
        Some(column) if !relation.columns.iter().any(|known| known.name == *column) => {
            Err(Undecidable::UnknownRelation)
        }
        _ => Ok(catalogue.kin(schema, table)),
    }
}

/// What a search goes through: configured endpoints, and the tables and columns of databases.
fn known(house: &House, kind: ResourceKind) -> Vec<Resource> {
    match kind {
        ResourceKind::Endpoint => {
            let endpoints = house.apis.iter().flat_map(|api| {
                api.endpoints.all().iter().map(|endpoint| Resource::clone(&endpoint.resource(&api.name)))
            });
            endpoints.filter(|resource| resource.kind == kind).collect()
        }
        ResourceKind::Table | ResourceKind::Column => {
            let mut found = Vec::new();
            for guarded in &house.upstreams {
                let Some(catalogue) = guarded.catalogue() else { continue };
                let name = &guarded.upstream.name;
                for relation in catalogue.relations() {
                    let path = [catalogue.database(), &relation.schema, &relation.name];
                    if kind == ResourceKind::Table {
                        found.push(Resource::new(kind, name, path));
                        continue;
                    }
                    let columns = relation.columns.iter();
                    found.extend(
                        columns.map(|column| Resource::new(kind, name, path.into_iter().chain([&column.name]))),
                    );
                }
            }
            found
        }
        _ => Vec::new(),
    }
}
