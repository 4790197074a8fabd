//! The admin API's parts, joined: what the control crate needs of the running house.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use control::{
    ControlParts, DecideRefusal, ForeseeRefusal, Foreseen, Hypothetical, ListenerView, People, PersonEntry, TokenHash,
    UpstreamView,
};
use gateway::login::oidc::IssuerHealth;
use gateway::login::workload_api::SvidHealth;
use gateway::protocol::http::HttpUpstream;
use gateway::protocol::postgres::Guarded;
use gateway::tasks::Tasks;
use gateway::upstream::dial::Dialler;
use kernel::ports::{Check, PortFuture, Snapshots as _, UpstreamProbe};
use kernel::verdict::Content;
use kernel::workload::Name;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::config::Configuration;
use crate::config::checked::{ListenerTls, UpstreamAddress};
use crate::dry_run::DryRun;
use crate::wiring::House;
use crate::{certificates, classes, dry_run, recorded, rekey};

/// Takes the port, before anything is told where it is. Nothing is served yet.
pub(crate) async fn bind(configuration: &Configuration) -> anyhow::Result<TcpListener> {
    let address = configuration.admin.listen;
    TcpListener::bind(address).await.with_context(|| format!("the admin API cannot listen on {address}"))
}

/// What links in refusals begin with. What is configured, unless that leads nowhere: port 0, or the built-in address while
/// the API listens elsewhere.
pub(crate) fn public_url(configuration: &Configuration, listener: &TcpListener) -> anyhow::Result<Arc<str>> {
    const BUILT_IN: &str = "http://127.0.0.1:18000";
    let (configured, bound) = (configuration.gateway.public_url.as_str(), listener.local_addr()?);
    let leads_nowhere = configured == BUILT_IN || configured.ends_with(":0");
    Ok(if leads_nowhere { format!("http://{bound}").into() } else { configured.into() })
}

/// Serves; where it listens.
pub(crate) fn serve(
    tasks: &Tasks,
    house: &Arc<House>,
    listener: TcpListener,
    listening: [(&'static str, Option<SocketAddr>); 4],
) -> anyhow::Result<SocketAddr> {
    let configuration = house.configuration();
    let bound = listener.local_addr()?;
    let parts = control_parts(house, &configuration, listening);
    let mut stopping = tasks.stopping();
    tasks.keep("admin API", async move {
        if let Err(error) = control::serve(listener, parts, async move { stopping.begun().await }).await {
            tracing::error!(%error, "the admin API ended");
        }
    });
    Ok(bound)
}

fn control_parts(
    house: &Arc<House>,
    configuration: &Configuration,
    listening: [(&'static str, Option<SocketAddr>); 4],
) -> ControlParts {
    let (explaining, deciding, foreseeing, listing, reloading) =
        (Arc::clone(house), Arc::clone(house), Arc::clone(house), Arc::clone(house), Arc::clone(house));
    ControlParts {
        version: gateway::VERSION,
        began: house.clock.now(),
        listeners: listeners(configuration, listening),
        hosts: hosts(configuration),
        people: house.people.subscribe(),
        clock: Arc::clone(&house.clock),
        snapshots: house.publisher.clone(),
        sessions: house.sessions.clone(),
        probe: Arc::new(Probe {
            upstreams: house.upstreams.clone(),
            apis: house.apis.clone(),
            dialler: house.dialler.clone(),
        }),
        log: Arc::clone(&house.log),
        desk: Arc::clone(&house.desk),
        kept: Arc::clone(&house.kept),
        workloads: Arc::clone(&house.workloads),
        tokens: Arc::clone(&house.tokens),
        signals: house.signals.control(),
        tasks: crate::task_house::parts(house),
        end_token: Arc::new({
            let native = Arc::clone(&house.native);
            move |id: &str| native.cut(id)
        }),
        issuers: Arc::new({
            let (issuers, api) = (Arc::clone(&house.issuers), house.workload_api.clone());
            move || {
                let own = api.as_ref().map(|api| svid(&api.svid().health()));
                issuers.health().iter().map(issuer).chain(own).collect::<Vec<Value>>()
            }
        }),
        upstreams: Arc::new(move || upstreams(&listing)),
        class_decisions: Arc::clone(&house.classes),
        classes: Arc::new({
            let house = Arc::clone(house);
            move |upstream: &Name, view| classes::list(&house, upstream, view)
        }),
        scan: Arc::new({
            let house = Arc::clone(house);
            move |upstream| {
                let house = Arc::clone(&house);
                Box::pin(async move { classes::scan(&house, &upstream).await })
            }
        }),
        knows_column: Arc::new({
            let house = Arc::clone(house);
            move |upstream: &Name, column: &[Arc<str>; 3]| classes::knows(&house, upstream, column)
        }),
        explain: Arc::new(move |entry| recorded::explanation(&explaining.publisher.current(), entry)),
        decide: Arc::new(move |request| {
            let house = Arc::clone(&deciding);
            Box::pin(async move { decide(&house, &request).map(|judged| judged.entry()) })
        }),
        foresee: Arc::new(move |request| {
            let house = Arc::clone(&foreseeing);
            Box::pin(async move { foresee(&house, &request) })
        }),
        renew_master_key: Arc::new({
            let (house, one) = (Arc::clone(house), Arc::new(Mutex::new(())));
            move || {
                let (configuration, one) = (house.configuration(), Arc::clone(&one));
                rekey::may_begin(&configuration.audit, &configuration.gateway.state)?;
                Ok(Box::new(move || {
                    let _one_at_a_time = one.lock().unwrap_or_else(PoisonError::into_inner);
                    rekey::begin(&configuration.audit, &configuration.gateway.state)
                }))
            }
        }),
        reload: Arc::new(move || {
            let house = Arc::clone(&reloading);
            Box::pin(async move {
                match house.reload().await {
                    Ok(()) => Ok(json!({ "digest": house.configuration().digest })),
                    Err(refused) => Err(vec![Value::String(refused.told)]),
                }
            })
        }),
    }
}

/// The gateway's own SVID, as people see it, beside the issuers.
fn svid(health: &SvidHealth) -> Value {
    json!({
        "svid": health.id,
        "since": health.since.map(|at| at.to_string()),
        "until": health.expires.map(|at| at.to_string()),
        "failed": health.failed.as_ref().map(ToString::to_string),
    })
}

/// An issuer, as people see it.
fn issuer(health: &IssuerHealth) -> Value {
    json!({
        "issuer": health.issuer,
        "keys": health.keys.keys,
        "authorities": health.keys.authorities,
        "since": health.keys.since.map(|at| at.to_string()),
        "until": health.keys.until.map(|at| at.to_string()),
        "failed": health.keys.failed.as_ref().map(ToString::to_string),
    })
}

/// Who may call the API.
pub(crate) fn people(configuration: &Configuration) -> People {
    let entries = configuration.people.iter().filter_map(|entry| {
        // Without a token nobody can call as this person; they still count as an owner or an approver elsewhere.
        let token = TokenHash::from_bytes(entry.token_hash?);
        Some(PersonEntry { person: entry.person.clone(), groups: entry.groups.clone(), admin: entry.admin, token })
    });
    People::new(entries.collect())
}

fn listeners(configuration: &Configuration, listening: [(&'static str, Option<SocketAddr>); 4]) -> Vec<ListenerView> {
    let own = certificates::self_signed_path(&configuration.gateway.state);
    let view = |(protocol, address): (&'static str, Option<SocketAddr>)| {
        let tls = configuration.listener_tls(protocol)?;
        Some(ListenerView {
            protocol,
            address: address?,
            tls: *tls != ListenerTls::Off,
            certificate: (*tls == ListenerTls::SelfSigned).then(|| own.clone()),
        })
    };
    listening.into_iter().filter_map(view).collect()
}

/// The host of the public URL may stand in a `Host` header.
fn hosts(configuration: &Configuration) -> Vec<String> {
    let url = &configuration.gateway.public_url;
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    rest.split(['/', ':']).next().map(str::to_owned).into_iter().collect()
}

fn upstreams(house: &House) -> Vec<UpstreamView> {
    let configuration = house.configuration();
    let view = |entry: &crate::config::checked::UpstreamEntry| UpstreamView {
        name: entry.upstream.name.clone(),
        protocol: "postgres",
        address: match &entry.connection.address {
            UpstreamAddress::Tcp { host, port } => format!("{host}:{port}"),
            UpstreamAddress::Unix(folder) => folder.display().to_string(),
        },
        environment: entry.upstream.environment.clone(),
        mode: entry.upstream.mode,
        would_be_denied: house.sessions.observed(&entry.upstream.name),
    };
    let api = |entry: &crate::config::checked::ApiEntry| UpstreamView {
        name: entry.upstream.name.clone(),
        protocol: "http",
        address: entry.origin.to_string(),
        environment: entry.upstream.environment.clone(),
        mode: entry.upstream.mode,
        would_be_denied: house.sessions.observed(&entry.upstream.name),
    };
    configuration.upstreams.iter().map(view).chain(configuration.apis.iter().map(api)).collect()
}

fn decide(house: &House, request: &Hypothetical) -> Result<DryRun, DecideRefusal> {
    let snapshot = house.publisher.current();
    if snapshot.workload(&request.workload).is_none() {
        return Err(DecideRefusal::NoWorkload);
    }
    let around = recorded::hypothetical(house.clock.now());
    if let Some(question) = &request.http {
        let control::HttpQuestion { line, headers, body } = question.clone();
        let question = dry_run::Question { line, headers, body };
        let (on, workload) = (request.upstream.as_ref(), &request.workload);
        let configuration = house.configuration();
        let egress = configuration.egress.as_ref().map(|egress| &egress.upstream.name);
        if let Some(egress) = egress.filter(|egress| Some(*egress) == on) {
            return Ok(dry_run::egress::ask(egress, &snapshot, workload, &question, &around));
        }
        return dry_run::ask(&house.apis, on, &snapshot, workload, &question, &around).map_err(|astray| match astray {
            dry_run::Astray::Nowhere => DecideRefusal::NoUpstream,
            dry_run::Astray::Elsewhere => DecideRefusal::OtherUpstream,
        });
    }
    let on = request.upstream.as_ref().ok_or(DecideRefusal::NoUpstream)?;
    let guarded = house.upstreams.iter().find(|guarded| guarded.upstream.name == *on);
    let guarded = guarded.ok_or(DecideRefusal::NoUpstream)?;
    let catalogue = guarded.catalogue().ok_or(DecideRefusal::Unavailable)?;
    Ok(dry_run::run(&snapshot, &catalogue, &request.workload, on, &request.sql, &around))
}

/// What people are asked ahead: the terms of the same evaluation as on the wire, and the digest of the content that the wire
/// would make of this text, without bound values.
fn foresee(house: &House, request: &Hypothetical) -> Result<Foreseen, ForeseeRefusal> {
    let judged = decide(house, request).map_err(ForeseeRefusal::NotJudged)?;
    match (judged.evaluation.verdict, &judged.evaluation.approval, &judged.asked) {
        ("permit", _, _) => Err(ForeseeRefusal::Permitted),
        ("ask", Some(terms), Some(asked)) => {
            let (upstream, content) = bound(house, request).ok_or(ForeseeRefusal::NotBound)?;
            Ok(Foreseen {
                digest: kernel::approval::hex(&content.digest(&upstream)),
                upstream,
                text: content.text.to_string(),
                summary: wire::refusal::what(asked.operations.get(judged.evaluation.operation)),
                template: asked.template.to_string(),
                terms: (**terms).clone(),
            })
        }
        _ => Err(ForeseeRefusal::Denied),
    }
}

/// What a grant binds of it, and for which upstream.
fn bound(house: &House, request: &Hypothetical) -> Option<(Name, Content)> {
    let Some(question) = &request.http else {
        return Some((request.upstream.clone()?, Content { text: request.sql.as_str().into(), ..Content::default() }));
    };
    let control::HttpQuestion { line, headers, body } = question.clone();
    let question = dry_run::Question { line, headers, body };
    let snapshot = house.publisher.current();
    let (upstream, bound) = dry_run::bound(&house.apis, request.upstream.as_ref(), &snapshot, &question)?;
    Some((upstream, Content { text: bound.text.into(), values: bound.values, ..Content::default() }))
}

/// Tests upstreams with the gateway's own connections.
struct Probe {
    upstreams: Vec<Arc<Guarded>>,
    apis: Vec<Arc<HttpUpstream>>,
    dialler: Dialler,
}

impl UpstreamProbe for Probe {
    fn test(&self, upstream: &Name) -> PortFuture<'_, Option<Vec<Check>>> {
        let found = self.upstreams.iter().find(|guarded| guarded.upstream.name == *upstream).cloned();
        let api = self.apis.iter().find(|api| api.name == *upstream).cloned();
        Box::pin(async move {
            match (found, api) {
                (Some(guarded), _) => Some(guarded.test(&self.dialler).await),
                (None, Some(api)) => Some(api.test(&self.dialler).await),
                (None, None) => None,
            }
        })
    }
}
