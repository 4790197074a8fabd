//! From requests to calls, and back. Nothing is decided here but the form of a request.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use kernel::secret::Secret;
use kernel::task::Details;
use kernel::workload::Name;
use serde_json::json;

use super::answer::{DPOP_NONCE, json_of, refusal, refused};
use super::form::Form;
use super::{Caller, ExchangeAsked, LONGEST, ProofShown, Refusal, Shared};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPES: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:access_token",
];
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const DPOP: HeaderName = HeaderName::from_static("dpop");

type SharedState = State<Arc<Shared>>;

/// `POST /token`
pub(super) async fn token(
    State(shared): SharedState,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = async {
        let form = admitted(&shared, &caller, &headers, &body)?;
        let key = proved(&shared, &headers, "/token", None).await?;
        let asked = exchange_asked(form, key, &caller, &shared.parts.issuer)?;
        tokio::time::timeout(LONGEST, (shared.parts.exchange)(asked))
            .await
            .map_err(|_elapsed| refusal("server_error", "it took too long"))?
    };
    let mut response = match asked.await {
        Err(why) => refused(&why),
        Ok(given) => json_of(
            StatusCode::OK,
            &json!({
                "access_token": given.token.expose(),
                "issued_token_type": ACCESS_TOKEN,
                "token_type": if given.dpop { "DPoP" } else { "Bearer" },
                "expires_in": given.life.as_secs(),
                "authorization_details": given.details,
            }),
        ),
    };
    with_nonce(&shared, &headers, &mut response);
    response
}

/// `POST /introspect`: for workloads with a token of Parapet's, and for administrators.
pub(super) async fn introspect(
    State(shared): SharedState,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let looked = async {
        let mut form = admitted(&shared, &caller, &headers, &body)?;
        authorized(&shared, &caller, &headers, "/introspect").await?;
        let token = form.take("token").ok_or_else(|| refusal("invalid_request", "`token` is missing"))?;
        Ok::<_, Refusal>((shared.parts.introspect)(&token))
    };
    let mut response = match looked.await {
        Err(why) => refused(&why),
        Ok(view) => json_of(StatusCode::OK, &view),
    };
    with_nonce(&shared, &headers, &mut response);
    response
}

/// `POST /revoke`: whoever may show a token may end its task.
pub(super) async fn revoke(
    State(shared): SharedState,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let ended = async {
        let mut form = admitted(&shared, &caller, &headers, &body)?;
        let token = form.take("token").ok_or_else(|| refusal("invalid_request", "`token` is missing"))?;
        let key = proved(&shared, &headers, "/revoke", None).await?;
        (shared.parts.end)(Secret::new(token), caller.certificate.clone(), key).await
    };
    let mut response = match ended.await {
        Err(why) => refused(&why),
        // What is no token, or none any more, is ended already (RFC 7009, section 2.2).
        Ok(()) => json_of(StatusCode::OK, &json!({})),
    };
    with_nonce(&shared, &headers, &mut response);
    response
}

/// `GET /jwks`
pub(super) async fn jwks(State(shared): SharedState) -> Response {
    json_of(StatusCode::OK, &(shared.parts.jwks)())
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414)
pub(super) async fn metadata(State(shared): SharedState) -> Response {
    let url = &shared.parts.url;
    json_of(
        StatusCode::OK,
        &json!({
            "issuer": shared.parts.issuer,
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/jwks"),
            "introspection_endpoint": format!("{url}/introspect"),
            "revocation_endpoint": format!("{url}/revoke"),
            "grant_types_supported": [GRANT],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_details_types_supported": ["parapet_task"],
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
            "tls_client_certificate_bound_access_tokens": true,
        }),
    )
}

pub(super) async fn no_route() -> Response {
    crate::problem::not_found()
}

pub(super) async fn no_method() -> Response {
    crate::problem::no_method()
}

/// What every call must be: not too many, of no web page, and a form.
fn admitted(shared: &Shared, caller: &Caller, headers: &HeaderMap, body: &Bytes) -> Result<Form, Refusal> {
    if !shared.rates.admit(caller.address.ip(), shared.parts.clock.now()) {
        return Err(refusal("slow_down", "too many calls from this address; try again in a minute"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(refusal("invalid_request", "requests of web pages are refused"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind.split(';').next().is_some_and(|kind| kind.trim() == "application/x-www-form-urlencoded");
    let form = is_form.then(|| Form::read(body)).flatten();
    form.ok_or_else(|| refusal("invalid_request", "the body is no form, or has a parameter twice"))
}

/// The key that a DPoP proof proves, if one is shown.
async fn proved(
    shared: &Shared,
    headers: &HeaderMap,
    path: &str,
    token: Option<Secret<String>>,
) -> Result<Option<String>, Refusal> {
    let mut shown = headers.get_all(DPOP).iter();
    let Some(proof) = shown.next() else { return Ok(None) };
    let proof = proof.to_str().ok().filter(|_| shown.next().is_none());
    let proof = proof.ok_or_else(|| refusal("invalid_dpop_proof", "`DPoP` stands there twice, or is no text"))?;
    let place = format!("{}{path}", shared.parts.url);
    (shared.parts.prove)(ProofShown { proof: proof.to_owned(), method: "POST", place, token }).await.map(Some)
}

/// May the caller introspect?
async fn authorized(shared: &Shared, caller: &Caller, headers: &HeaderMap, path: &str) -> Result<(), Refusal> {
    let unauthorized = || refusal("invalid_token", "introspection is for workloads and administrators");
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let credential = credentials.next().and_then(|value| value.to_str().ok()).ok_or_else(unauthorized)?;
    if credentials.next().is_some() {
        return Err(unauthorized());
    }
    let (scheme, token) = credential.split_once(' ').ok_or_else(unauthorized)?;
    let key = match scheme {
        "Bearer" => None,
        // The proof must be for this very token.
        "DPoP" => {
            Some(proved(shared, headers, path, Some(Secret::new(token.to_owned()))).await?.ok_or_else(unauthorized)?)
        }
        _ => return Err(unauthorized()),
    };
    let people = shared.parts.people.borrow().clone();
    let admin = scheme == "Bearer" && people.find(token).is_some_and(|person| person.admin);
    let workload = || (shared.parts.is_workload)(token, caller.certificate.as_deref(), key.as_deref());
    if admin || workload() { Ok(()) } else { Err(unauthorized()) }
}

/// Whoever shows a proof is told the nonce for the next.
fn with_nonce(shared: &Shared, headers: &HeaderMap, response: &mut Response) {
    if headers.contains_key(DPOP)
        && let Ok(nonce) = HeaderValue::from_str(&(shared.parts.nonce)())
    {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
}

fn exchange_asked(
    mut form: Form,
    key: Option<String>,
    caller: &Caller,
    issuer: &str,
) -> Result<ExchangeAsked, Refusal> {
    let invalid = |told: &str| refusal("invalid_request", told);
    match form.take("grant_type").as_deref() {
        Some(GRANT) => {}
        Some(_) => return Err(refusal("unsupported_grant_type", "the only grant is token exchange")),
        None => return Err(invalid("`grant_type` is missing")),
    }
    let subject = form.take("subject_token").ok_or_else(|| invalid("`subject_token` is missing"))?;
    let of_known_type = |kind: Option<String>| kind.is_some_and(|kind| TOKEN_TYPES.contains(&kind.as_str()));
    if !of_known_type(form.take("subject_token_type")) {
        return Err(invalid("`subject_token_type` is missing or not supported"));
    }
    let actor = form.take("actor_token");
    let actor_type = form.take("actor_token_type");
    if actor.is_some() != actor_type.is_some() || actor_type.is_some_and(|kind| !of_known_type(Some(kind))) {
        return Err(invalid("`actor_token` and `actor_token_type` stand together, and the type must be supported"));
    }
    if form.take("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN && kind != TOKEN_TYPES[0]) {
        return Err(invalid("`requested_token_type` is not supported"));
    }
    if form.take("scope").is_some() {
        return Err(refusal("invalid_scope", "rights are asked for by `authorization_details`"));
    }
    let details = match form.take("authorization_details") {
        Some(text) => {
            Some(Details::parse(&text).map_err(|error| refusal("invalid_authorization_details", &error.to_string()))?)
        }
        None => None,
    };
    let mut audience = Vec::new();
    for target in form.take_all("audience").into_iter().chain(form.take_all("resource")) {
        if target == issuer {
            continue;
        }
        let name = target.strip_prefix(issuer).and_then(|rest| rest.strip_prefix("/upstreams/")).unwrap_or(&target);
        audience.push(name.parse::<Name>().map_err(|_| refusal("invalid_target", "an audience is no upstream"))?);
    }
    Ok(ExchangeAsked {
        subject: Secret::new(subject),
        actor: actor.map(Secret::new),
        audience,
        details,
        key,
        certificate: caller.certificate.clone(),
        source: caller.address.ip(),
    })
}
