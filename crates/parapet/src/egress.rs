//! The egress gateway, joined: its listener, and the certificate authority in the state folder that clients are told to trust
//! (`egress/keys.rs`).

mod keys;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use gateway::listen::Host;
use gateway::protocol::egress::{
    CertificateAuthority, EgressGateway, EgressSettings, Interception, system_authorities,
};
use gateway::protocol::http::HttpGateway;
use gateway::upstream::address::Reach;
use kernel::ports::Clock;
use store::database::Database;
use store::log::MasterKey;

use crate::config::checked::{EgressPart, ListenerTls};
use crate::wiring::{self, House, session_parts};
use crate::{certificates, http, listening};

/// The certificate of the authority, which clients are to trust.
pub(crate) fn authority_path(state: &Path) -> PathBuf {
    state.join("egress/ca.pem")
}

/// The same with the authorities that this machine trusts, for variables that replace a client's authorities.
pub(crate) fn bundle_path(state: &Path) -> PathBuf {
    state.join("egress/bundle.pem")
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
        let authority = authority(&configuration.gateway.state, &part.tls, &house.master, &house.clock)?;
        if let Some(http) = apis {
            gateway = gateway.with_interception(Interception { http, authority: Arc::new(authority) });
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

fn reach(part: &EgressPart) -> Reach {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (name, address) in &part.hosts {
        hosts.entry(name.clone()).or_default().push(*address);
    }
    Reach::new(part.allow.clone(), hosts)
}

/// Opens the authority, or makes it, and writes what clients are told to trust.
fn authority(
    state: &Path,
    tls: &ListenerTls,
    master: &MasterKey,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<CertificateAuthority> {
    let label = || format!("{:08x}", clock.random() >> 32);
    let opened = keys::open(&state.join("egress"), master, clock.now(), label)
        .with_context(|| format!("the egress's certificate authority in {}", state.join("egress").display()))?;
    let authority = CertificateAuthority::new(&opened.certificate, &opened.key, Arc::clone(clock))?;
    fs::write(authority_path(state), &opened.trusted)?;
    let mut bundle = system_authorities() + &opened.trusted;
    if *tls == ListenerTls::SelfSigned {
        let own = certificates::self_signed_path(state);
        bundle += &fs::read_to_string(&own).with_context(|| format!("cannot read {}", own.display()))?;
    }
    fs::write(bundle_path(state), bundle)?;
    Ok(authority)
}
