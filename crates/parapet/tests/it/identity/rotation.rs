//! Issuers that are slow, and floods of unknown keys: they stall nobody else's login, and cost the issuer next to nothing.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::Bed;
use crate::bed::folder::Folder;
use crate::bed::issuer::{self, Issuer};
use crate::bed::keys::KeyServer;
use crate::bed::raw::Raw;
use crate::bed::wait;

const SLOW: &str = "https://slow.example";
const BUSY: &str = "https://busy.example";

fn table(name: &str, port: u16) -> String {
    format!(
        "\n[issuers.\"{name}\"]\naudience = \"parapet\"\njwks = \"http://127.0.0.1:{port}/keys\"\n\n[[trust]]\n\
         workload = \"reporting\"\nissuer = \"{name}\"\nclaims = {{ sub = \"workload:reporting\" }}\n"
    )
}

fn token(by: &Issuer, issuer: &str, kid: &str) -> String {
    let (mut header, mut claims) = (issuer::header(), issuer::claims("reporting", Duration::from_secs(600)));
    header["kid"] = json!(kid);
    claims["iss"] = json!(issuer);
    by.sign(&header, &claims)
}

#[test]
fn floods_and_slow_issuers_stall_nobody() {
    let folders = [Folder::new("identity-flood-slow"), Folder::new("identity-flood-busy")];
    let [slow, busy] = [Issuer::new(&folders[0]), Issuer::new(&folders[1])];
    // Takes every connection and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = KeyServer::start(&std::fs::read_to_string(busy.jwks()).unwrap());
    let tables = table(SLOW, silent.local_addr().unwrap().port()) + &table(BUSY, server.port());
    let Some(bed) = Bed::start_with("identity-flood", |setup| setup.also(tables)) else { return };
    let port = bed.gateway.postgres();
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        // Six clients of the slow issuer, and six that show keys that nobody has.
        for client in 0..12_usize {
            let (slow, busy, over) = (&slow, &busy, &over);
            scope.spawn(move || {
                let mut attempt = 0;
                while !over.load(Ordering::SeqCst) {
                    attempt += 1;
                    let kid = format!("unknown-{client}-{attempt}");
                    let shown = if client % 2 == 0 { token(slow, SLOW, &kid) } else { token(busy, BUSY, &kid) };
                    Raw::try_log_in(port, "reporting", &shown).map(drop).unwrap_err();
                }
            });
        }
        // Two others, of which one has the very issuer that is flooded.
        for round in 0..60 {
            let shown = if round % 2 == 0 { bed.token("reporting") } else { token(&busy, BUSY, "test-key-1") };
            let asked = Instant::now();
            let logged_in = Raw::try_log_in(port, "reporting", &shown);
            longest = longest.max(asked.elapsed());
            if let Err(error) = logged_in {
                over.store(true, Ordering::SeqCst);
                panic!("round {round}: {}", error.field(b'M'));
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    // Who waits for the slow issuer waits for five seconds, as long as keys may take to come.
    assert!(longest < wait::PUSHED, "a login took {longest:?}");
    // At the start, and once in ten seconds.
    let most = 4 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    assert!(server.asked() <= most, "the flooded issuer was asked {} times", server.asked());
}
