//! One session of HTTP: one credential on one connection to one upstream, with the connections upstream that it uses.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use kernel::policy::HttpReads;
use kernel::ports::Detection;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::verdict::Receipt;
use kernel::workload::Name;
use tokio::sync::OwnedSemaphorePermit;
use wire::http::classify::Classified;
use wire::http::endpoint::Match;
use wire::http::head::Head;
use wire::http::understand::{Wanted, are_alike};

use super::forward::{Link, Pool, Speaks, fits};
use super::upstream::{HttpUpstream, Served};
use crate::session::Session;
use crate::sessions::{Cut, Live};

/// How long a session may be idle on a connection that others use.
const IDLE: Duration = Duration::from_secs(300);
/// Findings that wait to be entered. What is more is left out: they are a signal, and are found again.
const MOST_FOUND: usize = 64;

/// So many answers of a session are looked at by detectors that only look, and after them one in so many.
const LOOKED: u64 = 32;
/// Sorts of requests that a session remembers.
const MOST_KNOWN: usize = 16;

/// What is known of a sort of request: those to one endpoint that are alike to all policies.
#[derive(Debug)]
struct Known {
    alike: Alike,
    reads: Arc<HttpReads>,
    classified: Classified,
}

/// What makes requests to an upstream alike, where `wire::http::understand` says that nothing else does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alike {
    endpoint: usize,
    method: Method,
    host: Arc<str>,
    content_type: Option<HeaderValue>,
}

impl Alike {
    /// None where the endpoint's requests are not.
    pub(super) fn of(head: &Head, matched: &Match<'_>, reads: &HttpReads, wanted: &Wanted) -> Option<Self> {
        let is = head.upgrade.is_none() && are_alike(matched, reads, wanted);
        is.then(|| Self {
            // The upstream's endpoints live as long as the session.
            endpoint: Arc::as_ptr(matched.endpoint).addr(),
            method: head.method.clone(),
            host: Arc::clone(head.authority.host()),
            content_type: head.headers.get(CONTENT_TYPE).cloned(),
        })
    }
}

/// What a session was opened with.
#[derive(Debug)]
pub(super) enum Opener {
    /// The connection's own certificate.
    Certificate,
    /// A token, and the thumbprint of the key whose possession is proved with each request.
    Token(Secret<String>, Option<String>),
}

impl Opener {
    /// Is it the same proof?
    fn is(&self, token: Option<&str>, key: Option<&str>) -> bool {
        match (self, token) {
            (Self::Certificate, None) => true,
            (Self::Token(known, bound), Some(token)) => {
                verify_slices_are_equal(known.expose().as_bytes(), token.as_bytes()).is_ok() && bound.as_deref() == key
            }
            (Self::Certificate, Some(_)) | (Self::Token(..), None) => false,
        }
    }
}

/// A session.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) upstream: Arc<HttpUpstream>,
    pub(super) served: Arc<Served>,
    pub(super) live: Arc<Live>,
    opener: Opener,
    workload: Name,
    until: Option<Timestamp>,
    /// Held for as long as a request is judged and entered, so that each sees what the one before has left. None when it
    /// has ended.
    session: tokio::sync::Mutex<Option<Session>>,
    /// That the session may connect stands in the log: the right by which its connections are opened.
    _right: Receipt,
    links: Mutex<Vec<Link>>,
    pool: Arc<Pool>,
    /// Bytes that left towards the client and are not counted in the session's history yet.
    sent: AtomicU64,
    /// Answers that began and are not counted yet: each is one row, where a policy or a task counts rows.
    answers: AtomicU64,
    /// Answers that detectors might have looked at.
    looked: AtomicU64,
    /// What detectors found in answers and is not entered yet.
    found: Mutex<Vec<Detection>>,
    /// When it was last asked for.
    used: AtomicI64,
    /// What was found out about requests whose next one asks for the same.
    known: Mutex<Vec<Known>>,
    _place: OwnedSemaphorePermit,
}

impl Slot {
    pub(super) fn new(
        session: Session,
        right: Receipt,
        served: &Arc<Served>,
        opener: Opener,
        pool: &Arc<Pool>,
        place: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        Arc::new(Self {
            upstream: Arc::clone(&served.upstream),
            served: Arc::clone(served),
            live: Arc::clone(session.live()),
            opener,
            workload: session.who().workload().clone(),
            until: session.who().until(),
            session: tokio::sync::Mutex::new(Some(session)),
            _right: right,
            links: Mutex::default(),
            pool: Arc::clone(pool),
            sent: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            found: Mutex::default(),
            used: AtomicI64::new(0),
            known: Mutex::default(),
            _place: place,
        })
    }

    pub(super) fn workload(&self) -> &Name {
        &self.workload
    }

    /// Does it serve this upstream, for who shows this?
    pub(super) fn is_for(&self, served: &Arc<Served>, token: Option<&str>, key: Option<&str>) -> bool {
        Arc::ptr_eq(&self.served, served) && self.opener.is(token, key)
    }

    /// May it still be used?
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.cut().is_none() && self.until.is_none_or(|until| now < until)
    }

    /// Why it is cut, if what runs must stop. A drain lets it finish.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.live.is_cut().filter(|cut| *cut != Cut::Drained)
    }

    /// Resolves when what runs must stop.
    pub(super) async fn gone(&self) -> Cut {
        self.live.until_cut(|cut| cut != Cut::Drained).await
    }

    /// The session, for one request at a time.
    pub(super) async fn session(&self) -> tokio::sync::MutexGuard<'_, Option<Session>> {
        let mut session = self.session.lock().await;
        let sent = self.sent.swap(0, Ordering::Relaxed);
        let answers = self.answers.swap(0, Ordering::Relaxed);
        if let (1.., Some(session)) = (answers | sent, session.as_mut()) {
            session.count_rows(answers, sent);
        }
        let found = std::mem::take(&mut *self.found());
        if let Some(session) = session.as_mut() {
            for found in &found {
                session.note_detection(found);
            }
        }
        session
    }

    fn found(&self) -> MutexGuard<'_, Vec<Detection>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what detectors found, to be entered with what comes next.
    pub(super) fn detected(&self, detection: Detection) {
        let mut found = self.found();
        if found.len() < MOST_FOUND {
            found.push(detection);
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What such a request asks for, if one was understood under policies that read the same.
    pub(super) fn recall(&self, alike: &Alike, reads: &Arc<HttpReads>) -> Option<Classified> {
        let known = self.known();
        let same = |one: &&Known| Arc::ptr_eq(&one.reads, reads) && one.alike == *alike;
        known.iter().find(same).map(|one| one.classified.clone())
    }

    /// Remembers what such a request asks for.
    pub(super) fn remember(&self, alike: Alike, reads: &Arc<HttpReads>, classified: &Classified) {
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.remove(0);
        }
        known.push(Known { alike, reads: Arc::clone(reads), classified: classified.clone() });
    }

    /// Notes that it is asked for.
    pub(super) fn touch(&self, now: Timestamp) {
        self.used.store(now.millis(), Ordering::Relaxed);
    }

    /// Was it not asked for in a long time?
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.used.load(Ordering::Relaxed))) >= IDLE
    }

    /// Do detectors that only look, look at this answer? At each of the first, and then at some.
    pub(super) fn looks(&self) -> bool {
        let count = self.looked.fetch_add(1, Ordering::Relaxed);
        count < LOOKED || count.is_multiple_of(LOOKED)
    }

    /// Counts an answer that begins.
    pub(super) fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts messages of a WebSocket that left towards the client: each is one row.
    pub(super) fn count_messages(&self, messages: u64, bytes: u64) {
        self.answers.fetch_add(messages, Ordering::Relaxed);
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that left towards the client.
    pub(super) fn count(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is at rest, or one that can be shared.
    pub(super) fn take_link(&self, speaks: Speaks) -> Option<Link> {
        let mut links = self.links();
        links.retain(|link| !link.is_closed());
        let place = links.iter().rposition(|link| fits(link, speaks))?;
        match links.get(place) {
            Some(Link::Http2(sender)) => Some(Link::Http2(sender.clone())),
            Some(Link::Http1(_)) => Some(links.swap_remove(place)),
            None => None,
        }
    }

    /// Gives a connection back.
    pub(super) fn give_link(&self, link: Link) {
        let mut links = self.links();
        let is_shared = matches!(link, Link::Http2(_));
        let is_known = is_shared && links.iter().any(|known| matches!(known, Link::Http2(_)));
        if !link.is_closed() && !is_known {
            links.push(link);
        }
    }

    /// Enters the end of the session.
    pub(super) async fn end(&self, why: &'static str) {
        let why = self.live.is_cut().map_or(why, Cut::as_str);
        let session = self.session().await.take();
        // What was cut may be in the middle of something; the others can be used again by the same workload.
        let links = std::mem::take(&mut *self.links());
        if self.cut().is_none() {
            self.pool.give(&self.workload, &self.upstream.name, links);
        }
        if let Some(session) = session {
            session.end(why).await;
        }
    }
}
