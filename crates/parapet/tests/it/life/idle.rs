//! Thousands of sessions that do nothing: bounded memory, a clear refusal of the one too many, and room for the next ones.
//!
//! Memory is `RssAnon`, what the gateway itself allocated: the rest of the resident set is pages of its file, which the
//! system shares and takes back, and which a first use of some code adds to no matter how many sessions there are. A debug
//! build, which tests mostly run, has bounds of its own; `./bench.sh --only idle` measures the release build.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::mock::{HELD, Mock};
use crate::bed::gateway::Gateway;
use crate::bed::raw::{self, Raw, message, startup};
use crate::bed::{Bed, shop, skip, wait};

/// How many sessions the plain test opens.
const MANY: u64 = 5_000;
/// How many with TLS.
const MANY_TLS: u64 = 500;
/// What an idle session may take, in KiB: the promise where the build is optimized. The futures of a debug build are larger,
/// as nothing that they no longer need gives up its place.
const PLAIN: u64 = if cfg!(debug_assertions) { 32 } else { 16 };
const TLS: u64 = if cfg!(debug_assertions) { 48 } else { 35 };
/// How many threads log in at once.
const THREADS: u64 = 8;
/// One of so many keeps its backend, and is asked something at the end.
const AWAKE: u64 = 100;

/// How long a slow machine may take for what follows by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the gateway allocated and has touched, in KiB.
fn anonymous(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.process())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Opens so many sessions, several at once.
fn open<T: Send>(many: u64, log_in: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let log_in = &log_in;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                let numbers = (first..many).step_by(usize::try_from(THREADS).unwrap());
                scope.spawn(move || numbers.map(|number| (number, log_in(number))).collect::<Vec<_>>())
            })
            .collect();
        let mut opened: Vec<(u64, T)> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        opened.sort_by_key(|(number, _)| *number);
        opened.into_iter().map(|(_, session)| session).collect()
    })
}

/// Lets this process have two descriptors for each session: a client's and the mock's. False if it may not.
fn descriptors_suffice() -> bool {
    let needed = MANY * 2 + 1_000;
    let limit = getrlimit(Resource::Nofile);
    let suffice = limit.maximum.is_none_or(|maximum| maximum >= needed);
    if suffice {
        let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }).unwrap();
    }
    suffice
}

#[test]
fn five_thousand_idle_sessions() {
    let mock = OnceLock::new();
    let behind = |server: u16| {
        let (started, port) = Mock::start(server);
        mock.set(started).unwrap();
        port
    };
    // The gateway starts with the limit of descriptors that it was given, and raises its own.
    let many = u32::try_from(MANY).unwrap();
    let started = Bed::start_with("idle-many", |setup| setup.max_sessions(many).upstream_behind(behind));
    let (Some(bed), Some(mock)) = (started, mock.get()) else { return };
    // SCRAM's thousands of hashes, unoptimized, would take most of the test's time, and leave nothing in a session.
    fs::write(bed.folder.join("pg/pg_hba.conf"), "local all all trust\nhost all all 127.0.0.1/32 trust\n").unwrap();
    assert_eq!(bed.postgres.sql("select pg_reload_conf()"), "t");
    if !descriptors_suffice() {
        return skip("5,000 sessions: the hard limit of open files is below 11,000 (ulimit -Hn)");
    }
    let token = bed.token("reporting");
    let try_log_in = |number: u64| {
        let name = if number.is_multiple_of(AWAKE) { "awake" } else { HELD };
        let parameters = [("user", "reporting"), ("database", shop::NAME), ("application_name", name)];
        Raw::try_log_in_with(bed.gateway.postgres(), &parameters, &token)
    };
    let log_in = |number: u64| match try_log_in(number) {
        Ok(session) => session,
        Err(error) => panic!("session {number}: {} {}", error.field(b'C'), error.field(b'M')),
    };
    let all_gone = || wait::until("the sessions to end", PATIENCE, || (mock.held() == 0).then_some(()));
    // What the first sessions bring to life for all later ones is none of theirs.
    drop(open(64, log_in));
    all_gone();
    let before = anonymous(&bed.gateway);

    let begun = Instant::now();
    let mut sessions = open(MANY, log_in);
    let most = anonymous(&bed.gateway);
    eprintln!(
        "{MANY} idle sessions: {:.1} KiB each ({before} KiB before, {most} KiB with them), opened in {:.1?}",
        most.saturating_sub(before) as f64 / MANY as f64,
        begun.elapsed()
    );
    let awake = usize::try_from(MANY / AWAKE).unwrap();
    // The last client is ready a moment before the mock has let go of its backend.
    let held = sessions.len() - awake;
    wait::until("the upstream to have all sessions", PATIENCE, || (mock.held() == held).then_some(()));
    assert!(most <= before + MANY * PLAIN, "more than {PLAIN} KiB a session: from {before} to {most} KiB");

    let error = try_log_in(0).unwrap_err();
    assert_eq!((error.field(b'S').as_str(), error.field(b'C').as_str()), ("FATAL", "53300"));
    assert!(error.field(b'M').contains("as many sessions as it may"), "{}", error.field(b'M'));
    assert!(error.field(b'H').contains("max_sessions"), "{}", error.field(b'H'));

    for session in sessions.iter_mut().step_by(usize::try_from(AWAKE).unwrap()) {
        let replies = session.query("select count(*) from products");
        assert_eq!(raw::tags(&replies), "TDCZ", "{:?}", raw::errors(&replies));
    }

    drop(sessions);
    all_gone();
    let after = anonymous(&bed.gateway);
    // The places of those that are gone can be taken, and so can their memory.
    let mut again = wait::until("a place to become free", PATIENCE, || try_log_in(0).ok());
    assert_eq!(raw::tags(&again.query("select 1")), "TDCZ");
    let others = open(MANY / 5, |number| log_in(number * AWAKE + 1));
    let reused = anonymous(&bed.gateway);
    eprintln!("after all have ended: {after} KiB; with {} new ones: {reused} KiB", others.len());
    // The allocator keeps what was freed. Were the memory of the ended sessions lost, the new ones would add a fifth.
    let bound = most + most / 20;
    assert!(after <= bound && reused <= bound, "from {most} to {after} KiB after the end, then {reused} KiB");
}

/// TLS on both sides, to a real PostgreSQL.
#[test]
fn idle_sessions_with_tls() {
    let Some(bed) = Bed::start_with("idle-tls", |setup| setup.tls()) else { return };
    let token = bed.token("reporting");
    let config = Arc::new(client_config());
    let log_in = |_number: u64| Secured::log_in(&config, bed.gateway.postgres(), "reporting", &token);
    drop(open(64, log_in));
    let backends = || bed.postgres.sql("select count(*) from pg_stat_activity where usename = 'parapet'");
    // The catalogue's own connection stays.
    wait::until("the sessions to end", PATIENCE, || (backends() == "1").then_some(()));
    let before = anonymous(&bed.gateway);
    let mut sessions = open(MANY_TLS, log_in);
    let most = anonymous(&bed.gateway);
    eprintln!(
        "{MANY_TLS} idle sessions with TLS on both sides: {:.1} KiB each ({before} KiB before, {most} KiB with them)",
        most.saturating_sub(before) as f64 / MANY_TLS as f64
    );
    assert!(most <= before + MANY_TLS * TLS, "more than {TLS} KiB a session: from {before} to {most} KiB");
    for session in sessions.iter_mut().step_by(50) {
        session.send(&raw::query("select 1"));
        assert_eq!(session.until_ready(), "TDCZ");
    }
}

/// A session over TLS, as small as a client can be.
#[derive(Debug)]
struct Secured {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Secured {
    fn log_in(config: &Arc<ClientConfig>, port: u16, user: &str, token: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        // SSLRequest.
        stream.write_all(&[&8_u32.to_be_bytes()[..], &80_877_103_u32.to_be_bytes()].concat()).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"S", "the gateway does not speak TLS");
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut session = Self { stream: StreamOwned::new(tls, stream) };
        session.send(&startup(&[("user", user), ("database", shop::NAME)]));
        assert_eq!(session.receive(), b'R');
        session.send(&message(b'p', &[token.as_bytes(), b"\0"]));
        let tags = session.until_ready();
        assert!(!tags.contains('E'), "the login failed: {tags}");
        session
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The tag of the next message.
    fn receive(&mut self) -> u8 {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).unwrap();
        head[0]
    }

    /// The tags of the messages up to ReadyForQuery, or to an error.
    fn until_ready(&mut self) -> String {
        let mut tags = String::new();
        while !tags.ends_with(['Z', 'E']) {
            tags.push(char::from(self.receive()));
        }
        tags
    }
}

fn client_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
}

/// Takes any certificate: who the gateway is matters to other tests.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
