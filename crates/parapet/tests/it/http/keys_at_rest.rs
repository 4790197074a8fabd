//! The keys that the gateway makes for itself and keeps: no file of the state folder holds one in clear, and those that a gateway of
//! before kept so go on to be used.

use std::process::Command;

use crate::bed::api::{Api, ApiBed, HOST};
use crate::bed::clients::{Ran, run};
use crate::bed::tripwire::{Tripwire, find};

/// The keys of the decision point and of masks, as they stood in files.
const PDP_KEY: &str = "canary-key-of-the-decision-point-of-before";
const MASK_KEY: &str = "canary-key-of-the-masks-of-a-gateway-of-before";

const EGRESS_AND_PDP: &str = "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"self-signed\"\nenvironment = \"production\"\n\
                              \n[pdp]\nlisten = \"127.0.0.1:0\"\ntls = \"self-signed\"\n\
                              \n[signals]\nissuer = \"https://parapet.example\"\n";

fn start(name: &str, before: impl FnOnce(&Api)) -> (ApiBed, Tripwire) {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let api = Api::new(name).listener("tls = \"self-signed\"").upstream("shop-api", &url, "unlisted = \"allow\"\n");
    let api = api.also(EGRESS_AND_PDP);
    before(&api);
    (api.start(), tripwire)
}

/// Asks by a client that trusts the listener's own certificate, and nothing else.
fn ask(bed: &ApiBed) -> Ran {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"]);
    command.arg("--cacert").arg(bed.folder.join("state/tls/certificate.pem"));
    command.args(["-H", &format!("Authorization: Bearer {}", bed.token("deploy")), "-H", &format!("Host: {HOST}")]);
    run(command.args(["--http1.1", &format!("https://127.0.0.1:{}/a", bed.port())]))
}

fn assert_in_no_file(bed: &ApiBed, what: &[u8]) {
    for (path, bytes) in bed.everything_written() {
        assert!(find(&bytes, what).is_none(), "{} holds a key", path.display());
    }
}

#[test]
fn no_private_key_stands_in_clear() {
    let (mut bed, _tripwire) = start("keys-fresh", |_api| {});
    for _start in 0..2 {
        assert_in_no_file(&bed, b"PRIVATE KEY");
        for name in ["tls/key.wrapped", "pdp.wrapped", "mask.wrapped", "egress/authorities.json", "audit.keys"] {
            assert!(bed.folder.join("state").join(name).is_file(), "{name}");
        }
        // As PKCS #8 they say what they are for: keys of elliptic curves, and of RSA.
        for what in [
            &b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d"[..],
            b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82",
        ] {
            assert_in_no_file(&bed, what);
        }
        let ran = ask(&bed);
        assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
        assert!(bed.gateway.stop().success());
        bed.gateway.restart();
    }
}

#[test]
fn keys_that_stood_in_clear_are_closed_and_go_on_to_be_used() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), HOST.to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let (mut bed, _tripwire) = start("keys-before", |api| {
        api.folder.make("state");
        api.folder.make("state/tls");
        api.folder.write("state/tls/certificate.pem", &certificate);
        api.folder.write("state/tls/key.pem", &key);
        api.folder.write("state/pdp.key", PDP_KEY);
        api.folder.write("state/mask.key", MASK_KEY);
    });
    for _start in 0..2 {
        let lines = key.lines().filter(|line| !line.starts_with("-----")).map(|line| line.as_bytes().to_vec());
        for part in
            lines.chain([b"PRIVATE KEY".to_vec(), own.signing_key.serialize_der(), PDP_KEY.into(), MASK_KEY.into()])
        {
            assert_in_no_file(&bed, &part);
        }
        assert_eq!(std::fs::read_to_string(bed.folder.join("state/tls/certificate.pem")).unwrap(), certificate);
        let ran = ask(&bed);
        assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
        assert!(bed.gateway.stop().success());
        bed.gateway.restart();
    }
}
