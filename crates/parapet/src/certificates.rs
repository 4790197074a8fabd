//! The listener's certificate, its key and the authorities of its clients: read at the start, and again at every reload. What
//! cannot be used, or is not valid now, replaces nothing; open sessions go on either way.
//!
//! The handshake itself is `gateway::tls`; where the files are is said by `postgres.tls` and `http.tls`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use aws_lc_rs::digest::{Context, SHA256};
use gateway::login::trust_domains::TrustDomains;
use gateway::login::workload_api::OwnSvid;
use gateway::tls::{self, Offer, ServerTls, Shown, TlsError};
use gateway::upstream::secret::SecretError;
use kernel::audit::AppendError;
use kernel::time::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use store::log::{MasterKey, replace};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::config::checked::{ListenerTls, SecretSource};
use crate::kept_key::{KeptKey, KeptKeyError};
use crate::parts;

/// Why what stands in the files is not offered. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The certificate, its key or an authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key cannot be read.
    #[error("the key of the certificate: {0}")]
    Key(#[from] SecretError),
    /// The key of the gateway's own certificate does not open.
    #[error("the key of the certificate: {0}")]
    Kept(#[from] KeptKeyError),
    /// It would be refused by every client.
    #[error("the certificate counts from {from} to {until}, and not now")]
    NotNow {
        /// From then.
        from: Timestamp,
        /// Until then.
        until: Timestamp,
    },
    /// The log does not take that it is offered.
    #[error(transparent)]
    Unentered(#[from] AppendError),
}

/// What was read.
struct Read {
    config: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
    /// SHA-256 of the chain and the authorities. A key belongs to its certificate, so it need not be part of it.
    digest: Vec<u8>,
}

/// What comes from SPIFFE: it rotates by itself, and needs no reload.
#[derive(Clone, Debug)]
pub(crate) struct Svids {
    /// The gateway's own, where the Workload API brings it.
    pub(crate) own: Option<Arc<OwnSvid>>,
    /// The trust domains whose SVIDs clients may show.
    pub(crate) domains: Arc<TrustDomains>,
}

/// What the listener offers, and what that was read from.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Whose: the name of its table in the configuration.
    listener: &'static str,
    offer: Offer,
    svids: Svids,
    /// The key over that of a certificate of the gateway's own.
    master: Arc<MasterKey>,
    digest: Mutex<Vec<u8>>,
}

impl Certificates {
    /// Reads what a listener is to offer; none where it speaks no TLS. A certificate of the gateway's own is made if there
    /// is none yet.
    pub(crate) async fn open(
        listener: &'static str,
        tls: Option<&ListenerTls>,
        state: &Path,
        svids: Svids,
        master: &Arc<MasterKey>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(tls) = tls.filter(|tls| **tls != ListenerTls::Off) else { return Ok(None) };
        if *tls == ListenerTls::SelfSigned && !self_signed_path(state).is_file() {
            make_certificate(state, master)?;
        }
        let master = Arc::clone(master);
        if *tls == ListenerTls::Spiffe {
            let own = svids.own.clone().with_context(|| format!("`{listener}.tls`: no Workload API"))?;
            let config = ServerTls::showing(Shown::Svid(own), None, Some(Arc::clone(&svids.domains)))?;
            let config = spoken(listener, config);
            return Ok(Some(Self { listener, offer: Offer::new(config), svids, master, digest: Mutex::default() }));
        }
        let found = read(tls, state, &svids, &master).await.with_context(|| format!("`{listener}.tls`"))?;
        let Some(Read { config, digest, .. }) = found else { return Ok(None) };
        let config = spoken(listener, config);
        Ok(Some(Self { listener, offer: Offer::new(config), svids, master, digest: Mutex::new(digest) }))
    }

    /// Whose they are: the name of the listener's table in the configuration.
    pub(crate) fn listener(&self) -> &'static str {
        self.listener
    }

    /// What handshakes are given.
    pub(crate) fn offer(&self) -> Offer {
        self.offer.clone()
    }

    /// Reads the files again, and offers what they hold from the next handshake on. What it was, if it is another than
    /// before, which is entered first. A listener that is to have no TLS any more keeps it until the next start.
    pub(crate) async fn reload(
        &self,
        tls: Option<&ListenerTls>,
        state: &Path,
        now: Timestamp,
        enter: impl FnOnce(&str) -> Result<(), AppendError>,
    ) -> Result<Option<String>, Unusable> {
        // Held throughout, so that what was read last is what is offered.
        let mut offered = self.digest.lock().await;
        let Some(tls) = tls else { return Ok(None) };
        let Some(Read { config, leaf, digest }) = read(tls, state, &self.svids, &self.master).await? else {
            return Ok(None);
        };
        if digest == *offered {
            return Ok(None);
        }
        let (from, until) = tls::validity(&leaf).ok_or(TlsError::BadCertificate)?;
        if now < from || until < now {
            return Err(Unusable::NotNow { from, until });
        }
        let what = format!("{}, SHA-256 {}, until {until}", self.listener, fingerprint(&leaf));
        enter(&what)?;
        self.offer.replace(spoken(self.listener, config));
        *offered = digest;
        Ok(Some(what))
    }
}

/// The same, offering the protocols of a listener: HTTP's clients choose their version in the handshake.
fn spoken(listener: &str, config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if listener == "http" { ServerTls::speaking_http(&config) } else { config }
}

/// SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` has it, without colons and in lower case.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    kernel::approval::hex(aws_lc_rs::digest::digest(&SHA256, certificate).as_ref())
}

/// The files that a listener's TLS is read from.
pub(crate) fn files(tls: Option<&ListenerTls>, state: &Path) -> Vec<PathBuf> {
    match tls {
        None | Some(ListenerTls::Off | ListenerTls::Spiffe) => Vec::new(),
        Some(ListenerTls::SelfSigned) => {
            vec![self_signed_path(state), self_signed_key(state).path().to_owned()]
        }
        Some(ListenerTls::Certificate { certificate, key, client_ca }) => {
            let key = match key {
                SecretSource::File(path) => Some(path.clone()),
                SecretSource::Environment(_) | SecretSource::Command { .. } => None,
            };
            [Some(certificate.clone()), key, client_ca.clone()].into_iter().flatten().collect()
        }
    }
}

/// The certificate that the gateway makes for itself, in the state folder. Clients can pin it.
pub(crate) fn self_signed_path(state: &Path) -> PathBuf {
    state.join("tls/certificate.pem")
}

/// Its key, closed.
pub(crate) fn self_signed_key(state: &Path) -> KeptKey {
    KeptKey::new(state.join("tls/key.pem"), "key of the listener's certificate")
}

/// None where there is to be no TLS, or nothing to read for it.
async fn read(tls: &ListenerTls, state: &Path, svids: &Svids, master: &MasterKey) -> Result<Option<Read>, Unusable> {
    let (certificate, key, client_ca) = match tls {
        ListenerTls::Off | ListenerTls::Spiffe => return Ok(None),
        ListenerTls::SelfSigned => (&self_signed_path(state), self_signed_key(state).read(master)?, None),
        ListenerTls::Certificate { certificate, key, client_ca } => {
            let key = parts::secret(key).read().await?;
            (certificate, Zeroizing::new(key.expose().as_bytes().to_vec()), client_ca.as_deref())
        }
    };
    let chain = tls::read_certificates(certificate)?;
    let authorities = client_ca.map(tls::read_certificates).transpose()?;
    let leaf = chain.first().cloned().ok_or(TlsError::NoCertificate)?;
    let mut digest = Context::new(&SHA256);
    for certificate in chain.iter().chain(authorities.iter().flatten()) {
        digest.update(&certificate.len().to_le_bytes());
        digest.update(certificate);
    }
    // A certificate that moves from the chain to the authorities, or back, is a change, too.
    digest.update(&chain.len().to_le_bytes());
    let digest = digest.finish().as_ref().to_vec();
    let shown = Shown::Certificate(chain, tls::private_key(&key)?);
    let config = ServerTls::showing(shown, authorities, Some(Arc::clone(&svids.domains)))?;
    Ok(Some(Read { config, leaf, digest }))
}

fn make_certificate(state: &Path, master: &MasterKey) -> anyhow::Result<()> {
    let path = self_signed_path(state);
    let folder = path.parent().ok_or_else(|| anyhow!("the state folder has no place for a certificate"))?;
    fs::create_dir_all(folder)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = Zeroizing::new(made.signing_key.serialize_pem());
    self_signed_key(state).keep(master, key.as_bytes())?;
    replace(&path, made.cert.pem().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests;
