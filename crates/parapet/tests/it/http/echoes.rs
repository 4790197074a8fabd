//! HT13: APIs that repeat the credential which the gateway shows them, behind the reverse gateway. Whatever the credential, the version,
//! the framing and the coding, what the client gets is searched for it byte by byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed, HOST, said};
use crate::bed::authority;
use crate::bed::folder::Folder;
use crate::bed::peer::{self, Peer};
use crate::bed::tripwire::find;

/// The credential: base64, as most are.
const KEY: &str = "c4n4ry+k3y/0a1b2c3d4e5f==";

/// How a credential is shown: the host that it is for, and the lines that configure it.
const KINDS: [(&str, &str); 4] = [
    ("bearer.internal", "kind = \"bearer\"\nsecret"),
    ("basic.internal", "kind = \"basic\"\nuser = \"job\"\nsecret"),
    ("header.internal", "kind = \"header\"\nname = \"x-api-key\"\nsecret"),
    ("query.internal", "kind = \"query\"\nname = \"key\"\nsecret"),
];

/// The forms of the key that give it away: all that it is between what encoders escape, and the beginning of the pair in base64.
fn forms() -> [Vec<u8>; 3] {
    let pair = STANDARD_NO_PAD.encode(format!("job:{KEY}"));
    [b"0a1b2c3d4e5f".to_vec(), b"c4n4ry".to_vec(), pair.into_bytes()]
}

fn assert_absent(bytes: &[u8], place: &str) {
    for form in forms() {
        assert!(find(bytes, &form).is_none(), "the key stands in {place}: {}", String::from_utf8_lossy(bytes));
    }
}

/// The lines of an upstream with a credential.
fn keyed(host: &str, credential: &str, folder: &Folder, also: &str) -> String {
    let key = folder.write("key", KEY).display().to_string();
    // The table of the credential is an array's row, so that its place among the keys is free.
    let name = host.split('.').next().unwrap();
    format!(
        "hosts = [\"{host}\"]\nunlisted = \"allow\"\n{also}[upstreams.{name}-api.credential]\n{credential} = \"file://{key}\"\n"
    )
}

fn start(name: &str, scheme: &str) -> Option<(ApiBed, Peer, Folder)> {
    let folder = Folder::new(&format!("{name}-origin"));
    let ca = authority::issue(&folder, &["localhost"]);
    folder.make("files");
    let origin = Peer::start("origin.mjs", &folder)?;
    let url = format!("{scheme}://localhost:{}", origin.port(scheme));
    let also = if scheme == "https" { format!("ca = {ca:?}\n") } else { String::new() };
    let api = KINDS.iter().fold(Api::new(name), |api, (host, credential)| {
        let upstream = format!("{}-api", host.split('.').next().unwrap());
        api.upstream(&upstream, &url, &keyed(host, credential, &folder, &also))
    });
    Some((api.start(), origin, folder))
}

/// Every kind of credential, in every form that the API repeats it in, by both versions on the client's side.
fn nothing_comes_back(bed: &ApiBed, origin: &Peer) {
    for (host, _) in KINDS {
        let named = format!("Host: {host}");
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            for how in ["json", "escaped", "html", "pieces", "events", "identity"] {
                let place = format!("{host} {version} {how}");
                let arguments = ["-i", "--compressed", version, "-H", &named];
                let ran = bed.curl("deploy", &format!("/shown/{how}"), &arguments);
                assert_eq!(ran.code, 0, "{place}: {ran:?}");
                assert_absent(ran.out.as_bytes(), &place);
                assert!(ran.out.contains("**********"), "{place}: {ran:?}");
            }
            // Asked for none of these, it sends them all the same.
            for how in ["gzip", "deflate", "br"] {
                let place = format!("{host} {version} {how}");
                for compressed in [&["--compressed"][..], &[]] {
                    let arguments = [&["-i", version, "-H", &named][..], compressed].concat();
                    let ran = bed.curl("deploy", &format!("/shown/{how}"), &arguments);
                    assert_ne!(ran.code, 0, "{place}: {ran:?}");
                    assert_absent(ran.out.as_bytes(), &place);
                }
                let arguments = ["--compressed", version, "-H", &named];
                let ran = bed.curl("deploy", &format!("/customers?encoding={how}"), &arguments);
                assert!(ran.code == 0 && ran.out.contains("\"Customer 2\""), "{place}: {ran:?}");
            }
        }
    }
    // There was something to take out.
    let seen = origin.seen();
    let shown = |what: &str| seen.iter().filter(|seen| seen.to_string().contains(what)).count();
    let encoded = STANDARD_NO_PAD.encode(format!("job:{KEY}"));
    for form in [
        &format!("\"authorization\":\"Bearer {KEY}\""),
        &format!("\"authorization\":\"Basic {encoded}"),
        &format!("\"x-api-key\":\"{KEY}\""),
        "key=c4n4ry%2Bk3y%2F0a1b2c3d4e5f%3D%3D",
    ] {
        assert_eq!(shown(form), 30, "{form}");
    }
    assert_eq!(shown("\"accept-encoding\":\"identity\""), seen.len());
    for (path, bytes) in bed.everything_written() {
        assert_absent(&bytes, &path.display().to_string());
    }
    let entries = serde_json::to_string(&bed.gateway.entries()).unwrap();
    assert!(entries.contains("\"detector\":\"upstream-credential\""), "{entries}");
}

#[test]
fn answers_do_not_repeat_the_credential() {
    let Some((bed, origin, _folder)) = start("http-echoes", "http") else { return };
    nothing_comes_back(&bed, &origin);
}

#[test]
fn answers_over_http2_do_not_repeat_the_credential() {
    let Some((bed, origin, _folder)) = start("http-echoes-h2", "https") else { return };
    nothing_comes_back(&bed, &origin);
}

#[test]
fn messages_do_not_repeat_the_credential() {
    let folder = Folder::new("http-echoes-websocket");
    let Some(server) = Peer::start("websocket_server.py", &folder) else { return };
    let url = format!("http://localhost:{}", server.port("websocket"));
    let (host, credential) = KINDS[0];
    let also = keyed(host, credential, &folder, "upgrades = [\"websocket\"]\n");
    let bed = Api::new("http-echoes-ws").upstream("bearer-api", &url, &also).start();
    let given = json!({
        "port": bed.port(), "host": host, "path": "/shown", "token": bed.token("deploy"), "messages": ["one", "two"], "wait": false
    });
    let came: Value = said(peer::command("websocket_client.py").unwrap(), &given).unwrap();
    let stars = "*".repeat(KEY.len());
    assert_eq!(came["heard"][0], format!("one by Bearer {stars}"), "{came}");
    assert_eq!(came["heard"][1], format!("two by Bearer {stars}"), "{came}");
    assert_absent(came.to_string().as_bytes(), "messages");
    assert!(server.seen()[0].to_string().contains(KEY));
}

#[test]
fn calls_do_not_repeat_the_credential() {
    let Some(client) = peer::command("grpc_client.py") else { return };
    let folder = Folder::new("http-echoes-grpc");
    let ca = authority::issue(&folder, &["localhost"]);
    let server = Peer::start("grpc_server.py", &folder).unwrap();
    let (_, credential) = KINDS[0];
    let also = keyed("bearer.internal", credential, &folder, &format!("ca = {ca:?}\n"));
    let url = format!("https://localhost:{}", server.port("grpc"));
    let bed =
        Api::new("http-echoes-calls").upstream("bearer-api", &url, &also.replace("bearer.internal", HOST)).start();
    let calls = json!([["unary", "Shown", "hello"], ["unary", "Shown", "gzip"], ["unary", "Echo", "hello"]]);
    let given = json!({"port": bed.port(), "authority": HOST, "token": bed.token("deploy"), "calls": calls});
    let came: Vec<Value> = said(client, &given).unwrap();
    let answer = came[0]["answers"][0].as_str().unwrap_or_else(|| panic!("{came:?}"));
    assert!(answer.ends_with(&format!("hello by Bearer {}", "*".repeat(KEY.len()))), "{came:?}");
    assert_eq!((&came[0]["trailers"], &came[2]["answers"]), (&json!([]), &json!(["hello"])), "{came:?}");
    // Asked for none that is compressed, it sends one all the same.
    assert!(came[1]["code"].is_string(), "{came:?}");
    assert_absent(json!(came).to_string().as_bytes(), "answers");
    assert!(server.seen()[0].to_string().contains(KEY));
}
