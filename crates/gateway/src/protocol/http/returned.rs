//! What an upstream answered becomes what the client gets: the head as it may leave, the body masked, looked at or as it is, or
//! a change of protocol. What may not leave is refused.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_RANGE, HeaderMap, HeaderValue};
use hyper::header::{LOCATION, SEC_WEBSOCKET_EXTENSIONS, UPGRADE, WWW_AUTHENTICATE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use kernel::id::DecisionId;
use kernel::verdict::{Terms, Undecidable};
use wire::http::classify::Classified;
use wire::http::head::Head;
use wire::http::headers::{self, ResponseRules};
use wire::http::json_mask::{Detect, Masks};
use wire::http::refuse::{Refusal, announce};

use super::answer::Answer;
use super::connection::Caller;
use super::echo::{self, Echo};
use super::forward::Forwarded;
use super::masking::{Findings, Masking};
use super::refuse::{self, Answered, Reached};
use super::slot::Slot;
use super::tunnel::{Change, tunnel};

/// Why what an upstream answered does not leave.
pub(super) enum Unfit {
    /// It cannot be masked.
    Unmaskable,
    /// It has more bytes than policy lets one answer have.
    TooLong(u64),
}

impl Unfit {
    /// What the client gets instead.
    pub(super) fn refuse(self, caller: &Caller, slot: &Slot, head: &Head, decision: DecisionId) -> Answered {
        let mut answered = match self {
            Self::Unmaskable => {
                tracing::warn!(%decision, "an answer cannot be masked, and is withheld");
                let url = &caller.gateway.parts.public_url;
                let refusal = Refusal::undecided(Undecidable::CannotMask, Some(decision), url);
                refuse::reply(caller, head.accepts, &refusal)
            }
            Self::TooLong(most) => {
                tracing::info!(upstream = %slot.upstream.name, %decision, most, "an answer is longer than policy allows");
                let line = format!("blocked, the answer has more than {most} bytes [{decision}]");
                let mut answered = refuse::reply(caller, head.accepts, &Refusal::blocked(&line));
                announce(answered.headers_mut(), decision, [], Some(&format!("bytes={most}")));
                answered
            }
        };
        answered.extensions_mut().insert(Reached::Answered);
        answered
    }
}

/// Makes the client's answer of the upstream's.
pub(super) fn answer(
    caller: &Arc<Caller>,
    slot: &Arc<Slot>,
    head: &Head,
    classified: &Classified,
    forwarded: Forwarded,
    changes: Option<OnUpgrade>,
) -> Result<Answered, Unfit> {
    let Forwarded { decision, terms, response, link } = forwarded;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(change(caller, slot, head, classified, (decision, &terms), response, changes));
    }
    let (mut parts, body) = response.into_parts();
    let paths = classified.masks(&terms.masks);
    let masked = !paths.is_empty();
    // A part was not asked for, and says nothing of the places that its values have in the whole (HT14).
    let is_part = parts.headers.contains_key(CONTENT_RANGE)
        || matches!(parts.status, StatusCode::IM_USED | StatusCode::PARTIAL_CONTENT);
    if masked && is_part {
        return Err(Unfit::Unmaskable);
    }
    let detects = matches!(slot.upstream.detect, Some((Detect::Mask(_), _)));
    headers::from_upstream(
        &mut parts.headers,
        ResponseRules { cookies: slot.upstream.cookies, masked: masked || detects },
    );
    keep_credential(slot, parts.status, &mut parts.headers, &classified.template);
    let limited = terms.limits.bytes.map(|bytes| format!("bytes={bytes}"));
    let names: Vec<&str> = paths.iter().map(|(path, _)| path.text().as_ref()).collect();
    announce(&mut parts.headers, decision, names, limited.as_deref());
    let most = terms.limits.bytes;
    if let Some(most) = most
        && body.size_hint().lower() > most
    {
        return Err(Unfit::TooLong(most));
    }
    if classified.reveals() {
        parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let (detect, detector) =
        slot.upstream.detect.as_ref().map_or((Detect::Off, None), |(what, with)| (*what, Some(with)));
    let replaces = masked || matches!(detect, Detect::Mask(_));
    let looks = detect == Detect::Signal && slot.looks();
    // A mask by place needs no detector that only counts.
    let detect = if detect == Detect::Signal && !looks { Detect::Off } else { detect };
    let is_empty = has_no_body(head, parts.status) || body.is_end_stream();
    let answer = if !(replaces || looks) || is_empty {
        Answer::stream(body, slot, link, most)
    } else {
        let masks = Masks::new(&paths, Arc::clone(&slot.upstream.mask_keys), detect, detector.map(Arc::clone));
        let findings = Findings { slot: Arc::clone(slot), template: Arc::clone(&classified.template) };
        match Masking::new(body, &mut parts.headers, masks, replaces) {
            Ok(masking) => Answer::masked(masking.telling(findings), slot, link, most),
            // Detectors are a signal: what they cannot read passes.
            Err(body) if !masked => Answer::stream(body, slot, link, most),
            Err(_body) => return Err(Unfit::Unmaskable),
        }
    };
    let echo = if is_empty { None } else { Echo::of(slot, &parts.headers, is_part, &classified.template) };
    let mut response = Response::from_parts(parts, answer.without_echo(echo));
    *response.version_mut() = hyper::Version::default();
    Ok(response)
}

fn has_no_body(head: &Head, status: StatusCode) -> bool {
    head.method == hyper::Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The gateway's own credential stays between it and the upstream.
fn keep_credential(slot: &Slot, status: StatusCode, headers: &mut HeaderMap, template: &Arc<str>) {
    let Some(credential) = &slot.upstream.credential else { return };
    echo::tell(slot, "header", template, credential.take_out_of(headers));
    if status == StatusCode::UNAUTHORIZED {
        credential.rejected();
        // The client is not to send a credential of its own for the upstream.
        headers.remove(WWW_AUTHENTICATE);
    }
    let Some(name) = credential.query_parameter() else { return };
    for place in [LOCATION, hyper::header::CONTENT_LOCATION, hyper::header::REFRESH, hyper::header::LINK] {
        let echoes = headers
            .get_all(&place)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.split(['?', '&']).any(|pair| pair.starts_with(name))));
        if echoes {
            headers.remove(place);
        }
    }
}

/// The upstream changes to the protocol that was asked for: from now on messages pass.
fn change(
    caller: &Arc<Caller>,
    slot: &Arc<Slot>,
    head: &Head,
    classified: &Classified,
    (decision, terms): (DecisionId, &Terms),
    mut response: Response<Incoming>,
    changes: Option<OnUpgrade>,
) -> Answered {
    let url = &caller.gateway.parts.public_url;
    let failed = || refuse::reply(caller, head.accepts, &Refusal::upstream_failed(Some(decision), url));
    let (Some(client), Some(asked)) = (changes, head.upgrade.as_deref()) else { return failed() };
    let given = response.headers().get(UPGRADE).and_then(|given| given.to_str().ok());
    // An extension that nobody offered would hide what is said.
    let extended = response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS);
    if extended || !given.is_some_and(|given| given.eq_ignore_ascii_case(asked)) || caller.line.release().is_err() {
        return failed();
    }
    let upstream = hyper::upgrade::on(&mut response);
    let mut headers = std::mem::take(response.headers_mut());
    headers::from_upstream(&mut headers, ResponseRules { cookies: slot.upstream.cookies, masked: false });
    if let Some(credential) = &slot.upstream.credential {
        echo::tell(slot, "header", &classified.template, credential.take_out_of(&mut headers));
    }
    if let Ok(protocol) = HeaderValue::try_from(asked) {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let (paths, limits) = (classified.masks(&terms.masks), terms.limits);
    let names: Vec<&str> = paths.iter().map(|(path, _)| path.text().as_ref()).collect();
    let limited = [limits.rows.map(|rows| format!("rows={rows}")), limits.bytes.map(|bytes| format!("bytes={bytes}"))];
    let limited: Vec<String> = limited.into_iter().flatten().collect();
    announce(&mut headers, decision, names, Some(limited.join(",").as_str()).filter(|said| !said.is_empty()));
    let (slot, gateway, classified) = (Arc::clone(slot), Arc::clone(&caller.gateway), classified.clone());
    caller.set_tunnel(tunnel(Change { slot, gateway, client, upstream, classified, paths, limits }));
    refuse::empty(StatusCode::SWITCHING_PROTOCOLS, headers)
}
