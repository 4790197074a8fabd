//! The HTTP listener, joined: its upstreams, what its sessions share with those of the other protocols, and what they have of
//! their own.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway::listen::Host;
use gateway::login::dpop::DpopProofs;
use gateway::login::logins::Logins;
use gateway::protocol::http::{HttpGateway, HttpLimits, HttpUpstream, Upgrades};
use gateway::tls::{self, UpstreamTls};
use gateway::upstream::credential::Credential;
use gateway::upstream::dial::Dialler;
use gateway::upstream::fetch::Fetcher;
use gateway::upstream::origin::Scheme;
use kernel::ports::Clock;
use kernel::verdict::Mask;
use store::database::Database;
use store::log::MasterKey;
use store::spent::SpentStore;
use wire::detect::Detector;
use wire::http::endpoint::Endpoints;
use wire::http::json_mask::Detect;
use wire::mask::MaskKey;

use crate::config::Configuration;
use crate::config::checked::{self, ApiEntry};
use crate::listening;
use crate::parts::{CONNECT, mask_key};
use crate::wiring::{self, House, session_parts};

/// The HTTP APIs under guard.
pub(crate) fn upstreams(
    configuration: &Configuration,
    dialler: &Dialler,
    clock: &Arc<dyn Clock>,
    master: &MasterKey,
) -> anyhow::Result<Vec<Arc<HttpUpstream>>> {
    if configuration.apis.is_empty() {
        return Ok(Vec::new());
    }
    let keys = mask_key(&configuration.gateway.state, master)?;
    // Token endpoints are on the public network, whatever authority signed the API's own certificate.
    let fetcher = Fetcher::new(dialler.clone(), Some(UpstreamTls::system()?));
    let one = |entry: &ApiEntry| {
        let key = Arc::new(keys.of(&entry.upstream.name));
        Ok(Arc::new(upstream(entry, key, &fetcher, clock)?))
    };
    configuration.apis.iter().map(one).collect()
}

fn upstream(
    entry: &ApiEntry,
    key: Arc<MaskKey>,
    fetcher: &Fetcher,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<HttpUpstream> {
    let name = &entry.upstream.name;
    let tls = match (entry.origin.scheme(), &entry.ca) {
        (Scheme::Http, _) => None,
        (Scheme::Https, None) => Some(UpstreamTls::system()?),
        (Scheme::Https, Some(file)) => Some(UpstreamTls::with_authorities(tls::read_certificates(file)?)?),
    };
    let endpoints = Endpoints::with_fields(name, entry.endpoints.clone(), entry.unlisted, &entry.everywhere)?;
    let credential = entry
        .credential
        .clone()
        .map(|kind| Credential::new(entry.origin.clone(), kind, Arc::clone(clock), fetcher.clone()).map(Arc::new));
    Ok(HttpUpstream {
        name: name.clone(),
        origin: entry.origin.clone(),
        // Whom only the egress leads to is asked for by its own name.
        hosts: if entry.hosts.is_empty() { vec![entry.origin.host().to_owned()] } else { entry.hosts.clone() },
        prefixes: entry.prefixes.clone(),
        endpoints: Arc::new(endpoints),
        store: entry.store,
        upgrades: Upgrades::new(entry.upgrades.iter().map(String::as_str)),
        tls,
        credential: credential.transpose()?,
        cookies: entry.cookies,
        mask_keys: key,
        detect: detect(entry.detect)?,
        keeps: entry.keeps.clone(),
        limits: HttpLimits {
            connect: CONNECT,
            answer: entry.answer,
            message: entry.max_message as u64,
            idle: entry.idle,
            body: entry.max_body,
            hold: entry.hold,
            sessions: entry.max_sessions as usize,
            ..HttpLimits::default()
        },
    })
}

/// What serves the HTTP APIs under guard, looks after its deadlines and carries out what it has kept; none where there is
/// neither an API nor a listener.
pub(crate) fn open(
    host: &Host,
    house: &Arc<House>,
    database: &Database,
    public_url: &Arc<str>,
) -> anyhow::Result<Option<Arc<HttpGateway>>> {
    if house.apis.is_empty() && house.configuration().http.is_none() {
        return Ok(None);
    }
    let gateway = Arc::new(gateway(host, house, database, Arc::clone(public_url))?);
    let looking = Arc::clone(&gateway);
    wiring::background(&host.tasks, "http deadlines", async move { looking.look_after().await });
    // It ends by itself when the process stops: what is being sent is finished first.
    let carrying = Arc::clone(&gateway);
    host.tasks.keep("kept requests", async move { carrying.carry_out_kept().await });
    Ok(Some(gateway))
}

/// What finds sensitive values in answers, and what is then done: as in results of databases, what is found is redacted.
fn detect(configured: checked::Detect) -> anyhow::Result<Option<(Detect, Arc<Detector>)>> {
    let detect = match configured {
        checked::Detect::Off => return Ok(None),
        checked::Detect::Signal => Detect::Signal,
        checked::Detect::Mask => Detect::Mask(Mask::Redact),
    };
    Ok(Some((detect, Arc::new(Detector::new()?))))
}

/// Listens for clients of HTTP APIs, if that is configured; where.
pub(crate) async fn serve(
    host: Host,
    house: &Arc<House>,
    gateway: Option<&Arc<HttpGateway>>,
) -> anyhow::Result<Option<SocketAddr>> {
    let configuration = house.configuration();
    let (Some(listener), Some(gateway)) = (&configuration.http, gateway) else { return Ok(None) };
    let gateway = Arc::clone(gateway);
    let serve = move |stream, peer| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.handle(stream, peer).await }
    };
    listening::listen(host, listener.listen, ("http listener", "http connection"), serve).await.map(Some)
}

/// How the tokens of workloads are verified, whatever header they come in.
pub(crate) fn logins(house: &House) -> Logins {
    Logins::new(Arc::clone(&house.issuers))
        .with_native_tokens(Arc::clone(&house.native))
        .with_task_tokens(Arc::clone(&house.tasks.tokens))
}

fn gateway(host: &Host, house: &House, database: &Database, public_url: Arc<str>) -> anyhow::Result<HttpGateway> {
    let (logins, parts) = (logins(house), session_parts(house, database, public_url));
    let (tls, dialler) = (house.offer("http"), house.dialler.clone());
    let gateway = HttpGateway::new(parts, logins, dialler, tls, &house.apis, host.tasks.clone())?;
    let spent = SpentStore::new(database.clone(), Arc::clone(&house.clock));
    let gateway = gateway.with_dpop(Arc::new(DpopProofs::new(Arc::new(spent), Arc::clone(&house.clock))));
    Ok(gateway.with_kept_requests(house.kept.clone()))
}
