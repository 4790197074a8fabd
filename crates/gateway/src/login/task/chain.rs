//! Narrowing without asking the server: who holds a token that is bound to a key signs a narrower one with that key. The
//! child carries its parent, so that the whole chain is verified here, link by link, from Parapet's own signature on.
//!
//! That no link is wider than the one before it, the kernel's `Task::new` holds.

use std::sync::Arc;

use kernel::task::{Details, Link, MOST_LINKS};
use kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::jose::{KeyError, KeyPair, Signed};
use super::{Confirmation, Root, TaskRefusal, TaskTokens};

/// The `typ` of a token that its holder made.
pub(super) const NARROWED: &str = "parapet-task+jwt";
/// The longest name of who acts with a narrowed token.
const LONGEST_NAME: usize = 64;

/// The claims of a narrowed token. What else stands there is refused: its maker meant something by it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'t> {
    parent: String,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    cnf: Option<Confirmation>,
    #[serde(borrow)]
    authorization_details: &'t RawValue,
}

/// What a chain proves.
pub(super) struct Proven {
    pub(super) root: Root,
    pub(super) links: Vec<Link>,
    /// Who narrowed it, or for whom.
    pub(super) actors: Vec<Arc<str>>,
    /// How the last link is bound to who shows it.
    pub(super) confirmation: Option<Confirmation>,
    /// The id of the last link.
    pub(super) id: String,
}

/// Verifies a token and everything that it was narrowed from.
pub(super) fn verify(tokens: &TaskTokens, text: &str, now: Timestamp) -> Result<Proven, TaskRefusal> {
    let mut texts = vec![text.to_owned()];
    // From the outside in: nothing is believed yet but the form.
    let root = loop {
        let text = texts.last().ok_or(TaskRefusal::Form)?;
        if super::jose::typ(text).as_deref() != Some(NARROWED) {
            break texts.pop().ok_or(TaskRefusal::Form)?;
        }
        if texts.len() >= MOST_LINKS {
            return Err(TaskRefusal::TooMany);
        }
        let signed = Signed::parse(text, NARROWED).ok_or(TaskRefusal::Form)?;
        let parent = serde_json::from_slice::<Claims<'_>>(signed.claims()).map_err(|_| TaskRefusal::Claims)?.parent;
        texts.push(parent);
    };
    let mut root = tokens.verify_root(&root, now)?;
    let mut proven = Proven {
        confirmation: root.confirmation.clone(),
        id: root.id.clone(),
        links: std::mem::take(&mut root.links),
        actors: Vec::new(),
        root,
    };
    for text in texts.iter().rev() {
        proven.narrow(text, now)?;
    }
    Ok(proven)
}

impl Proven {
    /// Verifies one more link: signed by the key that the last one is bound to, and by nothing else.
    fn narrow(&mut self, text: &str, now: Timestamp) -> Result<(), TaskRefusal> {
        let signed = Signed::parse(text, NARROWED).ok_or(TaskRefusal::Form)?;
        let key = signed.key.as_ref().ok_or(TaskRefusal::Form)?;
        let Some(Confirmation { jkt: Some(bound), x5t: None }) = &self.confirmation else {
            return Err(TaskRefusal::NotHolder);
        };
        if bound != key.thumbprint() || !signed.is_by(key.key()) {
            return Err(TaskRefusal::NotHolder);
        }
        let claims: Claims<'_> = serde_json::from_slice(signed.claims()).map_err(|_| TaskRefusal::Claims)?;
        let expires = super::lifetime(claims.iat, claims.exp, now)?;
        if !super::is_id(&claims.jti) {
            return Err(TaskRefusal::Claims);
        }
        let details = Details::parse(claims.authorization_details.get())?;
        let actor = match &claims.sub {
            Some(name) if is_name(name) => format!("sub-agent {name}"),
            Some(_) => return Err(TaskRefusal::Claims),
            None => format!("key {}", key.thumbprint().get(..8).unwrap_or_default()),
        };
        self.links.push(Link { mark: signed.mark(), details, expires });
        self.actors.push(actor.into());
        self.confirmation = claims.cnf.map(Confirmation::checked).transpose()?;
        self.id = claims.jti;
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(letter)
}

/// What a holder asks of a narrower token.
#[derive(Clone, Debug)]
pub struct Narrowing<'a> {
    /// The token that is narrowed, which must be bound to the holder's key.
    pub parent: &'a str,
    /// What the child allows.
    pub details: &'a Details,
    /// The child's `jti`.
    pub id: &'a str,
    /// Who will act with it, for the chain.
    pub name: Option<&'a str>,
    /// The thumbprint of the key that the child is bound to; none: whoever has it can use it.
    pub key: Option<&'a str>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Signs a narrower token with the holder's key. Says nothing about whether it will be accepted: that is found out where it is
/// shown.
pub fn narrow(pair: &KeyPair, wanted: &Narrowing<'_>) -> Result<String, KeyError> {
    let mut claims = json!({
        "parent": wanted.parent,
        "iat": wanted.from.millis() / 1000,
        "exp": wanted.until.millis() / 1000,
        "jti": wanted.id,
        "authorization_details": wanted.details.value(),
    });
    if let Some(members) = claims.as_object_mut() {
        members.extend(wanted.name.map(|name| ("sub".to_owned(), json!(name))));
        members.extend(wanted.key.map(|key| ("cnf".to_owned(), json!({ "jkt": key }))));
    }
    pair.sign(NARROWED, true, &claims)
}

/// What a token says of itself, unverified: for its holder, who narrows it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// What it allows.
    pub authorization_details: Value,
    /// Until when, in seconds since 1970.
    pub exp: i64,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<String>,
}

/// Reads what a token says of itself; none if it is no token of this sort.
pub fn shown(token: &str) -> Option<Shown> {
    let typ = super::jose::typ(token).filter(|typ| typ == NARROWED || typ == super::ISSUED)?;
    let signed = Signed::parse(token, &typ)?;
    let claims: Value = serde_json::from_slice(signed.claims()).ok()?;
    Some(Shown {
        authorization_details: claims.get("authorization_details")?.clone(),
        exp: claims.get("exp")?.as_i64()?,
        jkt: claims.pointer("/cnf/jkt").and_then(Value::as_str).map(str::to_owned),
    })
}
