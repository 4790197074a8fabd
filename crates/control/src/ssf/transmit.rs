//! Our own streams (SSF 1.0, section 8): what we are, one stream for each configured receiver, its status, verification
//! events, and polling (RFC 8936).
//!
//! A receiver shows a token of its own, and sees and changes its stream and no other. Where events are pushed is the
//! operator's to say: a receiver that could choose the place could make us call anything (hazard: SSRF).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::ports::PortFuture;
use kernel::signal::CAEP;
use kernel::workload::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::outgoing::Outbox;

use super::{SsfParts, shows};

/// The events that we make.
pub const SUPPORTED: [&str; 3] = ["session-revoked", "credential-change", "risk-level-change"];
/// How long a poll without news is held.
const HELD: Duration = Duration::from_secs(10);
/// The most events of one answer.
const MOST: u32 = 100;
const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";

/// A receiver as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The `aud` of what it gets.
    pub audience: String,
    /// SHA-256 of its token; none if it neither polls nor manages.
    pub token: Option<[u8; 32]>,
    /// Where it is pushed to; none if it polls.
    pub endpoint: Option<String>,
}

/// Makes a verification event with the state that the receiver gave, if it gave one.
pub type Verify = Arc<dyn Fn(Name, Option<String>) -> PortFuture<'static, bool> + Send + Sync>;

/// What we transmit.
pub struct Transmitting {
    /// Our `iss`, which leads to these endpoints.
    pub issuer: String,
    /// Our public keys.
    pub jwks: Value,
    /// Those who listen.
    pub receivers: BTreeMap<Name, Listening>,
    /// What waits for them.
    pub outbox: Arc<Outbox>,
    /// Makes verification events.
    pub verify: Verify,
}

impl std::fmt::Debug for Transmitting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmitting").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What a receiver has chosen of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chosen {
    /// The URIs of the events that it wants; none for all.
    pub events_requested: Option<Vec<String>>,
    /// Its words about the stream.
    pub description: Option<String>,
    /// `enabled`, `paused` or `disabled`.
    pub status: Status,
    /// It deleted the stream.
    pub deleted: bool,
}

/// The status of a stream (SSF 1.0, section 8.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Events are made and delivered.
    #[default]
    Enabled,
    /// Events are made, and wait.
    Paused,
    /// No events are made.
    Disabled,
}

impl Chosen {
    /// As it was stored; what cannot be read counts as nothing chosen.
    pub fn read(settings: Option<&str>) -> Self {
        settings.and_then(|settings| serde_json::from_str(settings).ok()).unwrap_or_default()
    }

    /// Is an event of this URI made for the stream?
    pub fn wants(&self, uri: &str) -> bool {
        let asked = self.events_requested.as_ref().is_none_or(|asked| asked.iter().any(|asked| asked == uri));
        !self.deleted && self.status != Status::Disabled && asked
    }

    /// Is what waits delivered?
    pub fn delivers(&self) -> bool {
        !self.deleted && self.status == Status::Enabled
    }
}

/// The URI of an event that we make.
pub fn uri(event: &str) -> String {
    format!("{CAEP}{event}")
}

/// A call of a receiver: who, and what it has chosen.
struct Call<'p> {
    name: &'p Name,
    listening: &'p Listening,
    transmitting: &'p Transmitting,
    stored: bool,
    chosen: Chosen,
}

async fn call<'p>(parts: &'p SsfParts, headers: &HeaderMap) -> Result<Call<'p>, StatusCode> {
    let refused = || StatusCode::UNAUTHORIZED;
    let transmitting = parts.transmitting.as_ref().ok_or_else(refused)?;
    let mut found = None;
    // Each is compared, so that the time says nothing about which one it was.
    for (name, listening) in &transmitting.receivers {
        if shows(headers, listening.token.as_ref()) {
            found = Some((name, listening));
        }
    }
    let (name, listening) = found.ok_or_else(refused)?;
    let settings = transmitting.outbox.settings(name.as_str()).await.map_err(|_| unavailable())?;
    let chosen = Chosen::read(settings.as_deref());
    Ok(Call { name, listening, transmitting, stored: settings.is_some(), chosen })
}

fn unavailable() -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body.to_string())
        .into_response()
}

impl Call<'_> {
    fn view(&self) -> Value {
        let delivered: Vec<String> = SUPPORTED.map(uri).into_iter().filter(|uri| self.chosen.wants(uri)).collect();
        let delivery = match &self.listening.endpoint {
            Some(endpoint) => json!({ "method": PUSH, "endpoint_url": endpoint }),
            None => {
                let endpoint = format!("{}/ssf/poll/{}", self.transmitting.issuer.trim_end_matches('/'), self.name);
                json!({ "method": POLL, "endpoint_url": endpoint })
            }
        };
        json!({
            "stream_id": self.name,
            "iss": self.transmitting.issuer,
            "aud": self.listening.audience,
            "events_supported": SUPPORTED.map(uri),
            "events_requested": self.chosen.events_requested.clone().unwrap_or_else(|| SUPPORTED.map(uri).to_vec()),
            "events_delivered": delivered,
            "delivery": delivery,
            "description": self.chosen.description,
        })
    }

    async fn keep(&mut self, chosen: Chosen) -> Result<(), StatusCode> {
        let settings = serde_json::to_string(&chosen).map_err(|_| unavailable())?;
        let kept = self.transmitting.outbox.choose(self.name.as_str(), &settings).await;
        kept.map_err(|_| unavailable())?;
        self.chosen = chosen;
        Ok(())
    }

    /// Does the body name this stream, or none?
    fn is_named(&self, stream: Option<&str>) -> bool {
        stream.is_none_or(|stream| stream == self.name.as_str())
    }

    /// May events be delivered as the receiver wants? The place is the operator's to say.
    fn delivers_by(&self, wanted: Option<&Delivery>) -> bool {
        match (wanted, &self.listening.endpoint) {
            (None, _) => true,
            (Some(wanted), Some(endpoint)) => {
                wanted.method == PUSH && wanted.endpoint_url.as_ref().is_none_or(|url| url == endpoint)
            }
            (Some(wanted), None) => wanted.method == POLL,
        }
    }
}

/// What a receiver says of its stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    stream_id: Option<String>,
    events_requested: Option<Vec<String>>,
    description: Option<String>,
    delivery: Option<Delivery>,
    status: Option<Status>,
    state: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    method: String,
    endpoint_url: Option<String>,
}

fn read(body: &Bytes) -> Result<Wanted, StatusCode> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > 1024);
    let many = wanted.events_requested.as_ref().is_some_and(|events| events.len() > 100);
    if long(&wanted.description) || long(&wanted.state) || many {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(wanted)
}

/// Either is the answer.
fn either(result: Result<Response, StatusCode>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}

pub(super) async fn configuration(State(parts): State<Arc<SsfParts>>) -> Response {
    let Some(transmitting) = &parts.transmitting else { return StatusCode::NOT_FOUND.into_response() };
    let at = |path: &str| format!("{}{path}", transmitting.issuer.trim_end_matches('/'));
    let body = json!({
        "spec_version": "1_0",
        "issuer": transmitting.issuer,
        "jwks_uri": at("/ssf/jwks"),
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": at("/ssf/stream"),
        "status_endpoint": at("/ssf/status"),
        "verification_endpoint": at("/ssf/verify"),
        "critical_subject_members": [],
        "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6750" }],
        "default_subjects": "ALL",
    });
    answer(StatusCode::OK, &body)
}

pub(super) async fn jwks(State(parts): State<Arc<SsfParts>>) -> Response {
    match &parts.transmitting {
        Some(transmitting) => answer(StatusCode::OK, &transmitting.jwks),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn show(State(parts): State<Arc<SsfParts>>, headers: HeaderMap) -> Response {
    match call(&parts, &headers).await {
        Ok(call) if call.chosen.deleted => StatusCode::NOT_FOUND.into_response(),
        Ok(call) => answer(StatusCode::OK, &call.view()),
        Err(refused) => refused.into_response(),
    }
}

pub(super) async fn create(State(parts): State<Arc<SsfParts>>, headers: HeaderMap, body: Bytes) -> Response {
    either(
        async {
            let mut call = call(&parts, &headers).await?;
            let wanted = read(&body)?;
            if call.stored && !call.chosen.deleted {
                return Err(StatusCode::CONFLICT);
            }
            if !call.delivers_by(wanted.delivery.as_ref()) {
                return Err(StatusCode::BAD_REQUEST);
            }
            let (events_requested, description) = (wanted.events_requested, wanted.description);
            call.keep(Chosen { events_requested, description, ..Chosen::default() }).await?;
            Ok(answer(StatusCode::CREATED, &call.view()))
        }
        .await,
    )
}

/// PATCH changes what is named; PUT replaces everything.
pub(super) async fn change(
    State(parts): State<Arc<SsfParts>>,
    method: axum::http::Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    either(
        async {
            let mut call = call(&parts, &headers).await?;
            let wanted = read(&body)?;
            if call.chosen.deleted || !call.is_named(wanted.stream_id.as_deref()) {
                return Err(StatusCode::NOT_FOUND);
            }
            if !call.delivers_by(wanted.delivery.as_ref()) {
                return Err(StatusCode::BAD_REQUEST);
            }
            let mut chosen = call.chosen.clone();
            let whole = method == axum::http::Method::PUT;
            if whole || wanted.events_requested.is_some() {
                chosen.events_requested = wanted.events_requested;
            }
            if whole || wanted.description.is_some() {
                chosen.description = wanted.description;
            }
            call.keep(chosen).await?;
            Ok(answer(StatusCode::OK, &call.view()))
        }
        .await,
    )
}

pub(super) async fn delete(State(parts): State<Arc<SsfParts>>, headers: HeaderMap) -> Response {
    either(
        async {
            let mut call = call(&parts, &headers).await?;
            if call.chosen.deleted {
                return Err(StatusCode::NOT_FOUND);
            }
            call.keep(Chosen { deleted: true, ..Chosen::default() }).await?;
            call.transmitting.outbox.forget(call.name.as_str()).await.map_err(|_| unavailable())?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        .await,
    )
}

pub(super) async fn status(State(parts): State<Arc<SsfParts>>, headers: HeaderMap) -> Response {
    match call(&parts, &headers).await {
        Ok(call) if call.chosen.deleted => StatusCode::NOT_FOUND.into_response(),
        Ok(call) => answer(StatusCode::OK, &json!({ "stream_id": call.name, "status": call.chosen.status })),
        Err(refused) => refused.into_response(),
    }
}

pub(super) async fn set_status(State(parts): State<Arc<SsfParts>>, headers: HeaderMap, body: Bytes) -> Response {
    either(
        async {
            let mut call = call(&parts, &headers).await?;
            let wanted = read(&body)?;
            if call.chosen.deleted || !call.is_named(wanted.stream_id.as_deref()) {
                return Err(StatusCode::NOT_FOUND);
            }
            let status = wanted.status.ok_or(StatusCode::BAD_REQUEST)?;
            call.keep(Chosen { status, ..call.chosen.clone() }).await?;
            Ok(answer(StatusCode::OK, &json!({ "stream_id": call.name, "status": status })))
        }
        .await,
    )
}

pub(super) async fn verify(State(parts): State<Arc<SsfParts>>, headers: HeaderMap, body: Bytes) -> Response {
    either(
        async {
            let call = call(&parts, &headers).await?;
            let wanted = read(&body)?;
            if call.chosen.deleted || !call.is_named(wanted.stream_id.as_deref()) {
                return Err(StatusCode::NOT_FOUND);
            }
            match (call.transmitting.verify)(call.name.clone(), wanted.state).await {
                true => Ok(StatusCode::NO_CONTENT.into_response()),
                false => Err(unavailable()),
            }
        }
        .await,
    )
}

/// What a receiver that polls says (RFC 8936, section 2.2).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Poll {
    max_events: Option<u32>,
    return_immediately: bool,
    ack: Vec<String>,
    set_errs: BTreeMap<String, Value>,
}

pub(super) async fn poll(
    State(parts): State<Arc<SsfParts>>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    either(
        async {
            let call = call(&parts, &headers).await?;
            if !call.is_named(Some(&stream)) || call.chosen.deleted || call.listening.endpoint.is_some() {
                return Err(StatusCode::NOT_FOUND);
            }
            let asked: Poll = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
            let (outbox, name) = (&call.transmitting.outbox, call.name.as_str());
            if !asked.set_errs.is_empty() {
                tracing::error!(receiver = name, count = asked.set_errs.len(), "a receiver refuses our events");
            }
            let had: Vec<String> = asked.ack.into_iter().chain(asked.set_errs.into_keys()).collect();
            outbox.done(name, &had).await.map_err(|_| unavailable())?;
            let most = asked.max_events.unwrap_or(MOST).min(MOST);
            let mut news = outbox.watch();
            let mut waiting = waiting(&call, most).await?;
            if waiting.is_empty() && !asked.return_immediately && most > 0 {
                drop(tokio::time::timeout(HELD, news.changed()).await);
                waiting = self::waiting(&call, most).await?;
            }
            let more = waiting.len() > most as usize;
            let sets: BTreeMap<String, String> = waiting.into_iter().take(most as usize).collect();
            Ok(answer(StatusCode::OK, &json!({ "sets": sets, "moreAvailable": more })))
        }
        .await,
    )
}

/// One more than is asked for, to know whether there is more.
async fn waiting(call: &Call<'_>, most: u32) -> Result<Vec<(String, String)>, StatusCode> {
    if !call.chosen.delivers() {
        return Ok(Vec::new());
    }
    call.transmitting.outbox.waiting(call.name.as_str(), most + 1).await.map_err(|_| unavailable())
}
