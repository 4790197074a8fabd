//! The egress gateway, joined: its listener, and the certificate authority in the state folder that clients are told to trust
//! (`egress/keys.rs`, `egress/rotation.rs`).

mod keys;
mod rotation;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::listen::Host;
use gateway::protocol::egress::{CertificateAuthority, EgressGateway, EgressSettings, Interception};
use gateway::protocol::http::HttpGateway;
use gateway::upstream::address::Reach;
use store::database::Database;
use store::log::{MasterKey, Rekeyed};

use crate::config::checked::{EgressPart, ListenerTls};
use crate::egress::rotation::Rotation;
use crate::wiring::{self, House, session_parts};
use crate::{http, listening};

/// The certificate of the authority, which clients are to trust.
pub(crate) fn authority_path(state: &Path) -> PathBuf {
    state.join("egress/ca.pem")
}

/// The same with the authorities that this machine trusts, for variables that replace a client's authorities.
pub(crate) fn bundle_path(state: &Path) -> PathBuf {
    state.join("egress/bundle.pem")
}

/// The file that the keys of its authorities stand in.
pub(crate) fn keys_path(state: &Path) -> PathBuf {
    keys::path(&folder(state))
}

/// Closes the keys of its authorities anew, where the master key changes.
pub(crate) fn rekey(state: &Path, master: &MasterKey) -> anyhow::Result<Rekeyed> {
    keys::rekey(&folder(state), master)
}

/// Where the authorities stand.
fn folder(state: &Path) -> PathBuf {
    state.join("egress")
}

/// Serves the egress, if it is configured; where it listens.
pub(crate) async fn serve(
    host: Host,
    house: &Arc<House>,
    database: &Database,
    public_url: &Arc<str>,
    apis: Option<Arc<HttpGateway>>,
) -> anyhow::Result<Option<SocketAddr>> {
    let configuration = house.configuration();
    let Some(part) = &configuration.egress else { return Ok(None) };
    let parts = session_parts(house, database, Arc::clone(public_url));
    let settings = EgressSettings {
        name: part.upstream.name.clone(),
        reach: reach(part),
        max_sessions: part.max_sessions as usize,
    };
    let (tls, dialler) = (house.offer("egress"), house.dialler.clone());
    let mut gateway = EgressGateway::new(parts, http::logins(house), dialler, tls, settings);
    if part.intercept {
        let authority = authority(&host, house, part.tls == ListenerTls::SelfSigned).await?;
        if let Some(http) = apis {
            gateway = gateway.with_interception(Interception { http, authority });
        }
    }
    let gateway = Arc::new(gateway);
    let looking = Arc::clone(&gateway);
    wiring::background(&host.tasks, "egress idleness", async move { looking.look_after().await });
    let serve = move |stream, peer| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.handle(stream, peer).await }
    };
    listening::listen(host, part.listen, ("egress listener", "egress connection"), serve).await.map(Some)
}

/// The certificate authority that clients are told to trust, followed by the next one in time.
async fn authority(host: &Host, house: &House, shows_own: bool) -> anyhow::Result<Arc<CertificateAuthority>> {
    let (state, master) = (&house.configuration().gateway.state, Arc::clone(&house.master));
    let (rotation, steps) = Rotation::open(state, shows_own, master, Arc::clone(&house.clock))?;
    rotation::enter(&*house.log, &*house.clock, &steps).await;
    let (authority, log) = (rotation.authority(), Arc::clone(&house.log));
    wiring::background(&host.tasks, "egress authority", rotation::follow(Arc::new(rotation), log));
    Ok(authority)
}

fn reach(part: &EgressPart) -> Reach {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (name, address) in &part.hosts {
        hosts.entry(name.clone()).or_default().push(*address);
    }
    Reach::new(part.allow.clone(), hosts)
}
