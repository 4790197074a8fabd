//! The test bed: a real PostgreSQL with a private folder, the real gateway binary, an issuer of tokens, stock clients.
//!
//! Every test starts its own and owns it until the end. On failure the folder and its logs stay, and the path is printed.
//! A server or driver that the machine lacks is a visible skip; with `CI=true` it is a failure.

pub(crate) mod apart;
pub(crate) mod api;
pub(crate) mod authority;
pub(crate) mod clients;
pub(crate) mod folder;
pub(crate) mod gateway;
pub(crate) mod issuer;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod peer;
pub(crate) mod postgres;
pub(crate) mod raw;
pub(crate) mod raw_http;
pub(crate) mod shapes;
pub(crate) mod shop;
pub(crate) mod spire;
pub(crate) mod superuser;
pub(crate) mod transmitter;
pub(crate) mod tripwire;
pub(crate) mod wait;

use std::time::Duration;

use folder::Folder;
use gateway::{Gateway, Setup};
use issuer::Issuer;
use postgres::Postgres;

/// A guarded shop: upstream, issuer and gateway.
#[derive(Debug)]
pub(crate) struct Bed {
    // Fields drop in this order: the gateway before its upstream, the folder last.
    pub(crate) gateway: Gateway,
    pub(crate) postgres: Postgres,
    pub(crate) issuer: Issuer,
    pub(crate) folder: Folder,
}

impl Bed {
    /// A bed with the tests' base policies; `None` if the machine has no PostgreSQL.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::start_with(name, |setup| setup)
    }

    /// A bed whose configuration `change` adapts.
    pub(crate) fn start_with(name: &str, change: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        Self::start_on(postgres::Server::System, name, change)
    }

    /// The same on one of the servers.
    pub(crate) fn start_on(server: postgres::Server, name: &str, change: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        let folder = Folder::new(name);
        let postgres = Postgres::start_on(server, &folder)?;
        let issuer = Issuer::new(&folder);
        let setup = change(Setup::new(&folder, &postgres, &issuer));
        let gateway = Gateway::start(setup);
        Some(Self { gateway, postgres, issuer, folder })
    }

    /// A token that makes its bearer the workload, for ten minutes.
    pub(crate) fn token(&self, workload: &str) -> String {
        self.issuer.token(workload, Duration::from_secs(600))
    }

    /// A raw session of the workload, logged in and ready.
    pub(crate) fn raw(&self, workload: &str) -> raw::Raw {
        raw::Raw::log_in(self.gateway.postgres(), workload, &self.token(workload))
    }

    /// Answers the one request for approval that waits, as the person, from another terminal. Its id.
    pub(crate) fn answer(&self, person: &str, verb: &[&str]) -> String {
        let id = self.waiting_approval();
        let mut arguments = vec!["approvals", verb[0], &id];
        arguments.extend(&verb[1..]);
        let ran = self.gateway.cli_as(person, &arguments);
        assert_eq!(ran.code, 0, "parapet {arguments:?}: {ran:?}");
        id
    }

    /// The id of the one request for approval that waits.
    pub(crate) fn waiting_approval(&self) -> String {
        wait::until("a request for approval", Duration::from_secs(20), || {
            let ran = self.gateway.cli(&["approvals", "list", "-o", "id"]);
            let ids: Vec<&str> = ran.out.lines().filter(|line| !line.is_empty()).collect();
            (ids.len() == 1).then(|| ids[0].to_owned())
        })
    }
}

/// Says that something is not tested here; in CI that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must not skip: {why}");
    eprintln!("SKIPPED: {why}");
}
