//! A scripted agent on a Unix socket: what the gateway asks it, and what it makes of the answers.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::*;
use crate::login::jwks::{Freshness, JwksSource};
use crate::login::scripted::{IssuerKey, ScriptedClock, key_set};
use crate::login::trust_domains::TrustDomainSettings;
use crate::tasks::Tasks;
use crate::upstream::fetch::Fetcher;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn svid(&self, id: &str) -> X509Svid {
        let mut params = CertificateParams::default();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_after = rcgen::date_time_ymd(2027, 1, 16);
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        X509Svid {
            spiffe_id: id.to_owned(),
            x509_svid: certificate.der().to_vec(),
            x509_svid_key: key.serialize_der(),
            bundle: self.0.der().to_vec(),
        }
    }
}

/// What the agent does with the next message of a stream.
enum Next {
    Message(Vec<u8>),
    Status(&'static str),
    Close,
}

/// An agent that serves one connection after the other; each takes its messages from the script.
struct Agent {
    socket: PathBuf,
    script: mpsc::Sender<Next>,
    asked: mpsc::Receiver<String>,
    _tasks: Tasks,
}

impl Agent {
    fn start(name: &str) -> Self {
        let socket = std::env::temp_dir().join(format!("parapet-{name}-{}.sock", std::process::id()));
        drop(std::fs::remove_file(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        let (script, mut next) = mpsc::channel(10);
        let (asking, asked) = mpsc::channel(100);
        let tasks = Tasks::new();
        tasks.spawn("agent", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, &mut next, &asking).await;
            }
        });
        Self { socket, script, asked, _tasks: tasks }
    }

    async fn say(&self, next: Next) {
        self.script.send(next).await.unwrap();
    }

    async fn give(&self, svids: &[X509Svid]) {
        let message = X509Svids { svids: svids.to_vec(), ..X509Svids::default() };
        self.say(Next::Message(message.encode_to_vec())).await;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.socket));
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// Answers FetchX509SVID by the script, and FetchJWTBundles with one set; both streams stay open.
async fn serve(stream: tokio::net::UnixStream, script: &mut mpsc::Receiver<Next>, asking: &mpsc::Sender<String>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut streams = Vec::new();
    let (mut svids, mut early) = (None, None);
    loop {
        tokio::select! {
            request = connection.accept() => {
                let Some(Ok((request, mut respond))) = request else { return };
                let header = request.headers().get("workload.spiffe.io").and_then(|value| value.to_str().ok());
                let told = format!("{} {}", request.uri().path(), header.unwrap_or("without"));
                asking.try_send(told).unwrap();
                let response = hyper::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                if request.uri().path().ends_with("FetchX509SVID") {
                    svids = Some(respond);
                    continue;
                }
                let mut send = respond.send_response(response, false).unwrap();
                let mut jwk = IssuerKey::ec().jwk("k");
                jwk["use"] = json!("jwt-svid");
                let bundles = [("spiffe://one.example".to_owned(), key_set(&[jwk]).into_bytes())].into();
                send.send_data(framed(&JwtBundles { bundles }.encode_to_vec()), false).unwrap();
                streams.push(send);
            }
            next = script.recv(), if svids.is_some() || early.is_some() => match (next.unwrap(), svids.take()) {
                (Next::Message(message), Some(mut respond)) => {
                    let mut send = respond.send_response(hyper::Response::new(()), false).unwrap();
                    send.send_data(framed(&message), false).unwrap();
                    early = Some(send);
                }
                (Next::Message(message), None) => {
                    early.as_mut().unwrap().send_data(framed(&message), false).unwrap();
                }
                (Next::Status(status), Some(mut respond)) => {
                    let response = hyper::Response::builder().header("grpc-status", status).body(()).unwrap();
                    respond.send_response(response, true).unwrap();
                }
                (Next::Status(status), None) => {
                    let mut trailers = hyper::HeaderMap::new();
                    trailers.insert("grpc-status", status.parse().unwrap());
                    early.take().unwrap().send_trailers(trailers).unwrap();
                }
                (Next::Close, _) => return,
            },
        }
    }
}

fn client(agent: &Agent, id: Option<&str>) -> (Arc<WorkloadApi>, Arc<TrustDomains>) {
    let clock = ScriptedClock::new() as Arc<dyn Clock>;
    let settings = ["one.example", "two.example"].map(|name| TrustDomainSettings {
        trust_domain: name.to_owned(),
        audience: Some("parapet".to_owned()),
        bundle: JwksSource::WorkloadApi,
        max_lifetime: Duration::from_secs(3600),
        freshness: Freshness::default(),
        endpoint: None,
    });
    let fetcher = Fetcher::new(Dialler::new(), None);
    let domains = Arc::new(TrustDomains::new(settings.into(), &fetcher, Arc::clone(&clock)).unwrap());
    let address = Address::Unix(agent.socket.clone());
    let api = WorkloadApi::new(address, id.map(str::to_owned), Arc::clone(&domains), Dialler::new(), clock);
    (Arc::new(api), domains)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}

fn follow(tasks: &Tasks, api: &Arc<WorkloadApi>) {
    let api = Arc::clone(api);
    tasks.spawn("following", async move { api.follow().await });
}

fn leaf(svid: &X509Svid) -> CertificateDer<'static> {
    CertificateDer::from(svid.x509_svid.clone())
}

#[tokio::test]
async fn svids_and_bundles_are_followed() {
    let mut agent = Agent::start("workload-api");
    let (api, domains) = client(&agent, Some("spiffe://one.example/gateway"));
    let tasks = Tasks::new();
    follow(&tasks, &api);
    let (old, new) = (Authority::new(), Authority::new());
    let other = old.svid("spiffe://one.example/other");
    agent.give(&[other.clone(), old.svid("spiffe://one.example/gateway")]).await;
    api.ready(Duration::from_secs(10)).await.unwrap();
    let mut asked = [agent.asked.recv().await.unwrap(), agent.asked.recv().await.unwrap()];
    asked.sort();
    assert_eq!(asked, ["/SpiffeWorkloadAPI/FetchJWTBundles true", "/SpiffeWorkloadAPI/FetchX509SVID true"]);
    // The second is the gateway's own; the bundle admits the others of its domain.
    assert_eq!(api.svid().health().id.as_deref(), Some("spiffe://one.example/gateway"));
    assert_eq!(api.svid().health().failed, None);
    assert!(domains.attest(&[leaf(&other)]).is_ok());
    until("the keys of JWT-SVIDs", || domains.health()[0].keys.keys == 1).await;
    assert_eq!(domains.health()[1].keys.failed, Some(KeysErrorOf::no_bundle()));
    // A rotation replaces the SVID, and the authorities with it.
    let shown = api.svid().current.load_full().unwrap();
    let renewed = new.svid("spiffe://one.example/gateway");
    agent.give(std::slice::from_ref(&renewed)).await;
    until("the rotation", || domains.attest(&[leaf(&renewed)]).is_ok()).await;
    assert!(domains.attest(&[leaf(&other)]).is_err());
    assert!(!Arc::ptr_eq(&shown, &api.svid().current.load_full().unwrap()));
    // The agent goes, and what is known stays; it comes again, and is followed again.
    agent.say(Next::Close).await;
    until("the agent's end", || api.svid().health().failed == Some(WorkloadApiError::Broken)).await;
    assert!(domains.attest(&[leaf(&renewed)]).is_ok());
    assert_eq!(api.svid().health().id.as_deref(), Some("spiffe://one.example/gateway"));
    agent.give(&[old.svid("spiffe://one.example/gateway")]).await;
    until("the agent's return", || api.svid().health().failed.is_none()).await;
    assert!(domains.attest(&[leaf(&other)]).is_ok() && domains.attest(&[leaf(&renewed)]).is_err());
}

struct KeysErrorOf;

impl KeysErrorOf {
    fn no_bundle() -> crate::login::jwks::KeysError {
        WorkloadApiError::NoBundle.into()
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_and_replaces_nothing() {
    let authority = Authority::new();
    let good = || authority.svid("spiffe://one.example/gateway");
    let with = |change: &dyn Fn(&mut X509Svid)| {
        let mut svid = good();
        change(&mut svid);
        Next::Message(X509Svids { svids: vec![svid], ..X509Svids::default() }.encode_to_vec())
    };
    let other_key = KeyPair::generate().unwrap().serialize_der();
    for (number, (next, expected)) in [
        (Next::Status("7"), WorkloadApiError::NoIdentity),
        (Next::Status("14"), WorkloadApiError::Status(14)),
        (Next::Status("x"), WorkloadApiError::Broken),
        (Next::Close, WorkloadApiError::Broken),
        (Next::Message(Vec::new()), WorkloadApiError::OtherId("spiffe://one.example/gateway".to_owned())),
        (Next::Message(vec![0xff; 20]), WorkloadApiError::Message),
        (with(&|svid| svid.x509_svid_key.clone_from(&other_key)), WorkloadApiError::BadSvid),
        (with(&|svid| svid.x509_svid_key.clear()), WorkloadApiError::BadSvid),
        (with(&|svid| svid.x509_svid.push(0)), WorkloadApiError::BadSvid),
        (with(&|svid| svid.x509_svid = authority.0.der().to_vec()), WorkloadApiError::BadSvid),
        (with(&|svid| svid.bundle = svid.x509_svid.clone()), WorkloadApiError::BadBundle),
    ]
    .into_iter()
    .enumerate()
    {
        let agent = Agent::start(&format!("workload-api-{number}"));
        let (api, _domains) = client(&agent, Some("spiffe://one.example/gateway"));
        let tasks = Tasks::new();
        follow(&tasks, &api);
        agent.say(next).await;
        until("a failure", || api.svid().health().failed.as_ref() == Some(&expected)).await;
    }
}

/// A private key must not reach a log by way of a debug line.
#[test]
fn a_key_is_not_shown() {
    let svid = Authority::new().svid("spiffe://one.example/gateway");
    let shown = format!("{svid:?}");
    assert!(shown.contains("spiffe://one.example/gateway") && !shown.contains(&format!("{:?}", svid.x509_svid_key)));
    assert!(!shown.contains(&URL_SAFE_NO_PAD.encode(&svid.x509_svid_key)) && !shown.contains("key"));
}
