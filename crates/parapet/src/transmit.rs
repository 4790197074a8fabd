//! Makes our own security events (SSF 1.0, CAEP 1.0) and delivers them: a quarantine is `session-revoked` and a risk level of
//! HIGH, its end a risk level of LOW, a retirement `session-revoked`, a native token that is revoked `credential-change`.
//!
//! What was told of each thing is stored with the events themselves, so that a crash neither loses one nor makes it twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::ssf::transmit::{Chosen, Listening, Transmitting, uri};
use gateway::signals::deliver::{Delivered, push};
use gateway::tasks::Tasks;
use gateway::upstream::fetch::{Fetcher, Location};
use gateway::upstream::secret::SecretSource;
use kernel::ports::Clock;
use kernel::time::Timestamp;
use kernel::workload::{Name, WorkloadStatus};
use serde_json::{Value, json};
use store::database::Database;
use store::log::MasterKey;
use store::outgoing::{Outbox, OutboxError, Outgoing};

use crate::config::Configuration;
use crate::config::checked::ReceiverEntry;
use crate::kept_key::KeptKey;
use crate::parts;
use crate::wiring::{House, background};

/// How often it is looked whether something is to be told, besides when a workload's standing changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Tokens that were revoked longer ago are old news.
const NEWS: Duration = Duration::from_secs(86_400);
/// The pauses after failed deliveries: from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// What SSF's verification event is called.
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// Where the key that signs our events stands.
pub(crate) fn kept_key(state: &Path) -> KeptKey {
    KeptKey::new(state.join("signals.key"), "key of security events")
}

/// Signs our events.
struct Signer {
    key: RsaKeyPair,
    kid: String,
}

impl Signer {
    /// The key of the state folder; made if there is none.
    fn open(state: &Path, master: &MasterKey) -> anyhow::Result<Self> {
        let kept = kept_key(state);
        let key = match kept.find(master)? {
            Some(der) => RsaKeyPair::from_pkcs8(&der).map_err(|_| anyhow!("{} holds no key", kept.path().display()))?,
            None => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no key could be made"))?;
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
                    key.as_der().map_err(|_| anyhow!("the key could not be written"))?;
                kept.keep(master, der.as_ref())?;
                key
            }
        };
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, key.public_key().as_ref()));
        Ok(Self { key, kid })
    }

    fn jwks(&self) -> Value {
        let public = self.key.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e }] })
    }

    fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({ "alg": "RS256", "typ": "secevent+jwt", "kid": self.kid });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What makes and keeps our events.
pub(crate) struct Transmitter {
    issuer: String,
    signer: Signer,
    receivers: Vec<ReceiverEntry>,
    outbox: Arc<Outbox>,
    clock: Arc<dyn Clock>,
}

/// An event that is to be made for whoever wants it.
struct News<'a> {
    event: &'static str,
    workload: &'a Name,
    payload: Value,
}

impl Transmitter {
    /// None where no issuer is configured.
    pub(crate) fn open(
        configuration: &Configuration,
        database: &Database,
        clock: &Arc<dyn Clock>,
        master: &MasterKey,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let Some(issuer) = configuration.signals.issuer.clone() else { return Ok(None) };
        let signer = Signer::open(&configuration.gateway.state, master)?;
        let receivers = configuration.signals.receivers.clone();
        let outbox = Arc::new(Outbox::new(database.clone()));
        Ok(Some(Arc::new(Self { issuer, signer, receivers, outbox, clock: Arc::clone(clock) })))
    }

    /// What the endpoints work on.
    pub(crate) fn transmitting(self: &Arc<Self>) -> Transmitting {
        let listening = |entry: &ReceiverEntry| {
            let endpoint = entry.push.as_ref().map(|(url, _)| url.clone());
            (entry.name.clone(), Listening { audience: entry.audience.clone(), token: entry.token_hash, endpoint })
        };
        let verifying = Arc::clone(self);
        Transmitting {
            issuer: self.issuer.clone(),
            jwks: self.signer.jwks(),
            receivers: self.receivers.iter().map(listening).collect(),
            outbox: Arc::clone(&self.outbox),
            verify: Arc::new(move |receiver, state| {
                let transmitter = Arc::clone(&verifying);
                Box::pin(async move { transmitter.verify(&receiver, state).await })
            }),
        }
    }

    /// Makes a verification event for one receiver.
    async fn verify(&self, receiver: &Name, state: Option<String>) -> bool {
        let Some(entry) = self.receivers.iter().find(|entry| entry.name == *receiver) else { return false };
        let mut payload = json!({});
        if let Some(state) = state {
            crate::recorded::set(&mut payload, "state", state);
        }
        let subject = json!({ "format": "opaque", "id": receiver });
        match self.event(entry, VERIFICATION, &payload, &subject) {
            Some(event) => self.outbox.put(&event, self.clock.now()).await.is_ok(),
            None => false,
        }
    }

    fn event(&self, receiver: &ReceiverEntry, uri: &str, payload: &Value, subject: &Value) -> Option<Outgoing> {
        let now = self.clock.now();
        let jti = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        let claims = json!({
            "iss": self.issuer,
            "aud": receiver.audience,
            "iat": now.millis().div_euclid(1000),
            "jti": jti,
            "sub_id": subject,
            "events": { uri: payload },
        });
        Some(Outgoing { receiver: receiver.name.to_string(), jti, token: self.signer.sign(&claims)? })
    }

    /// Lets everyone who wants to know be told how a thing stands, once.
    async fn tell(&self, thing: &str, status: &str, news: &[News<'_>]) -> Result<(), OutboxError> {
        if self.outbox.told(thing).await?.as_deref() == Some(status) {
            return Ok(());
        }
        let mut events = Vec::new();
        for receiver in &self.receivers {
            let settings = self.outbox.settings(receiver.name.as_str()).await?;
            let chosen = Chosen::read(settings.as_deref());
            for one in news.iter().filter(|one| chosen.wants(&uri(one.event))) {
                let subject = json!({ "format": "iss_sub", "iss": self.issuer, "sub": one.workload });
                events.push(self.event(receiver, &uri(one.event), &one.payload, &subject).ok_or(OutboxError)?);
            }
        }
        self.outbox.tell(thing, status, &events, self.clock.now()).await
    }

    /// Tells what has changed of workloads and tokens since it was last told.
    async fn look(&self, house: &House) -> Result<(), OutboxError> {
        let now = self.clock.now();
        for (workload, change) in &house.workloads.standings().workloads {
            let (status, level) = match change.status {
                Some(WorkloadStatus::Quarantined) => ("quarantined", Some(("HIGH", "LOW"))),
                Some(WorkloadStatus::Retired) => ("retired", None),
                _ => ("free", Some(("LOW", "HIGH"))),
            };
            let thing = format!("workload {workload}");
            // One that never was in quarantine is not told to be free of it.
            if status == "free" && self.outbox.told(&thing).await?.as_deref() != Some("quarantined") {
                continue;
            }
            let at = seconds(change.at);
            let by = if change.by.is_some() { "admin" } else { "policy" };
            let mut news = Vec::new();
            if status != "free" {
                let payload = json!({ "event_timestamp": at, "initiating_entity": by });
                news.push(News { event: "session-revoked", workload, payload });
            }
            if let Some((current, previous)) = level {
                let payload = json!({
                    "event_timestamp": at, "initiating_entity": by,
                    "principal": "WORKLOAD", "current_level": current, "previous_level": previous,
                });
                news.push(News { event: "risk-level-change", workload, payload });
            }
            self.tell(&thing, status, &news).await?;
        }
        for token in house.tokens.list() {
            let Some(revoked) = token.revoked_at.filter(|revoked| now.since(*revoked) < NEWS) else { continue };
            let payload = json!({
                "event_timestamp": seconds(revoked), "initiating_entity": "admin",
                "credential_type": "app", "change_type": "revoke", "friendly_name": token.id,
            });
            let news = News { event: "credential-change", workload: &token.workload, payload };
            self.tell(&format!("token {}", token.id), "revoked", &[news]).await?;
        }
        Ok(())
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1000)
}

/// Starts what makes and delivers our events.
pub(crate) fn follow(tasks: &Tasks, house: &Arc<House>, transmitter: &Arc<Transmitter>, fetcher: &Fetcher) {
    let (looking, telling) = (Arc::clone(house), Arc::clone(transmitter));
    background(tasks, "transmitter", async move {
        let mut standings = looking.workloads.watch();
        loop {
            if let Err(error) = telling.look(&looking).await {
                tracing::error!(%error, "our security events are not made");
            }
            drop(tokio::time::timeout(LOOK_EVERY, standings.changed()).await);
        }
    });
    for receiver in &transmitter.receivers {
        let Some((url, authorization)) = &receiver.push else { continue };
        let Ok(location) = url.parse::<Location>() else {
            tracing::error!(receiver = %receiver.name, "its endpoint is no place that may be asked");
            continue;
        };
        let pushing = Pushing {
            outbox: Arc::clone(&transmitter.outbox),
            receiver: receiver.name.to_string(),
            location,
            authorization: authorization.as_ref().map(parts::secret),
            fetcher: fetcher.clone(),
        };
        background(tasks, "push", async move { pushing.follow().await });
    }
}

/// Pushes what waits for one receiver.
struct Pushing {
    outbox: Arc<Outbox>,
    receiver: String,
    location: Location,
    authorization: Option<SecretSource>,
    fetcher: Fetcher,
}

impl Pushing {
    async fn follow(&self) {
        let mut news = self.outbox.watch();
        let mut pause = PAUSES.0;
        loop {
            news.mark_unchanged();
            match self.deliver().await {
                Ok(()) => {
                    pause = PAUSES.0;
                    // Whatever wakes it, it looks.
                    drop(tokio::time::timeout(PAUSES.1, news.changed()).await);
                }
                Err(why) => {
                    tracing::warn!(receiver = self.receiver, why, "our security events are not delivered");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Delivers everything that waits, in order.
    async fn deliver(&self) -> Result<(), String> {
        const AT_ONCE: u32 = 50;
        let failed = |error: OutboxError| error.to_string();
        loop {
            let settings = self.outbox.settings(&self.receiver).await.map_err(failed)?;
            let waiting = match Chosen::read(settings.as_deref()).delivers() {
                true => self.outbox.waiting(&self.receiver, AT_ONCE).await.map_err(failed)?,
                false => Vec::new(),
            };
            if waiting.is_empty() {
                return Ok(());
            }
            let token = match &self.authorization {
                Some(source) => Some(source.read().await.map_err(|error| error.to_string())?),
                None => None,
            };
            for (jti, set) in waiting {
                match push(&self.fetcher, &self.location, token.as_ref(), &set).await {
                    Delivered::Acknowledged => {}
                    Delivered::Refused => tracing::error!(receiver = self.receiver, jti, "an event of ours is refused"),
                    Delivered::Later { why } => return Err(why),
                }
                self.outbox.done(&self.receiver, &[jti]).await.map_err(failed)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    #[test]
    fn the_key_stays_and_signs() {
        let state = std::env::temp_dir().join(format!("parapet-transmit-{}", std::process::id()));
        fs::create_dir_all(&state).unwrap();
        let master = MasterKey::from_text(&"a".repeat(64)).unwrap();
        let (one, two) = (Signer::open(&state, &master).unwrap(), Signer::open(&state, &master).unwrap());
        assert_eq!((one.kid.len(), &one.kid, one.jwks()), (43, &two.kid, two.jwks()));
        let token = one.sign(&json!({ "jti": "1" })).unwrap();
        assert_eq!(token.split('.').count(), 3);
        let claims: BTreeMap<String, String> =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
        assert_eq!(claims["jti"], "1");
        fs::remove_dir_all(&state).unwrap();
    }
}
