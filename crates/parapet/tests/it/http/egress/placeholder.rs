//! A job that has a placeholder for a key: the API gets the real one, and it stands nowhere else. What is searched, is searched
//! byte by byte, also for the forms in which a key travels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{KEY, Outside};
use crate::bed::clients::run;
use crate::bed::gateway::{BINARY, token_of};
use crate::bed::tripwire::find;

/// What the job does: it says its environment, and that of its ancestors as far as it may see it, and asks the API, also for what
/// it was shown.
const JOB: &str = r#"
env
cat /proc/self/environ /proc/$PPID/environ /proc/$PPID/cmdline > environment
curl -sS -i --max-time 30 --trace-ascii trace-h2 -H "Authorization: Bearer $API_KEY" https://api.test/hello.txt
curl -sS --http1.1 --max-time 30 --trace-ascii trace-h1 -H "X-Api-Key: $API_KEY" -u "user:$API_KEY" https://api.test/hello.txt
for how in json text chunked; do
    curl -sS --max-time 30 --trace-ascii trace-$how --compressed https://api.test/shown/$how
    curl -sS --http1.1 --max-time 30 https://api.test/shown/$how
done
! curl -sS --max-time 30 --trace-ascii trace-gzip --compressed https://api.test/shown/gzip
"#;

/// The forms of the key that would give it away: as it is, and in base64 wherever it begins in what is encoded.
fn forms() -> Vec<Vec<u8>> {
    let encoded = [(0, 0), (1, 2), (2, 3)].map(|(ahead, whole)| {
        let text = STANDARD_NO_PAD.encode([&b"::"[..ahead], KEY.as_bytes()].concat());
        // The characters at the ends hold bits of what stands beside it.
        text.as_bytes()[whole..text.len() - 1].to_vec()
    });
    [vec![KEY.as_bytes().to_vec()], encoded.to_vec()].concat()
}

fn assert_absent(bytes: &[u8], place: &str) {
    for form in forms() {
        assert!(find(bytes, &form).is_none(), "the key stands in {place}");
    }
}

/// The files below a folder.
fn below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_job_with_a_placeholder_reaches_the_api_with_the_real_key() {
    let Some(outside) = Outside::start("egress-placeholder", "") else { return };
    let home = outside.folder.join("job");
    outside.folder.make("job");
    // As a job would: `parapet run` says where the egress is and whom to trust; the key is a placeholder.
    let mut job = Command::new(BINARY);
    let ran = run(job
        .current_dir(&home)
        .env("HOME", &home)
        .env("NO_COLOR", "1")
        .env("PARAPET_CONFIG", outside.bed.folder.join("parapet.toml"))
        .env("PARAPET_TOKEN", token_of("root@example.com"))
        .env("PARAPET_WORKLOAD_TOKEN", outside.bed.token("deploy"))
        .env("API_KEY", "placeholder")
        .arg("--state-folder")
        .arg(outside.bed.folder.join("state"))
        .args(["run", "--as", "deploy", "--", "sh", "-c", JOB]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.out.matches("hello from the web").count(), 2, "{ran:?}");
    assert!(ran.out.contains("SSL_CERT_FILE=") && ran.out.contains("NODE_EXTRA_CA_CERTS="), "{ran:?}");
    // The API repeats what it was shown, in a header. That the test sees it there says that there was something to take out.
    let seen = outside.seen("/hello.txt");
    assert_eq!(seen.len(), 2);
    for headers in &seen {
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        assert!(headers.get("proxy-authorization").is_none());
    }
    // And in bodies, where it is overwritten.
    let overwritten = format!("Bearer {}", "*".repeat(KEY.len()));
    assert_eq!(ran.out.matches(&overwritten).count(), 6, "{ran:?}");
    let seen = outside.seen("/shown/gzip");
    assert_eq!((seen.len(), &seen[0]["accept-encoding"]), (1, &"identity".into()), "{seen:?}");
    assert_eq!(seen[0]["authorization"], format!("Bearer {KEY}"));

    // What the job was given, has sent and got: its traces hold heads and bodies as they are inside TLS.
    assert_absent(ran.out.as_bytes(), "the job's output");
    assert_absent(ran.err.as_bytes(), "the job's messages");
    let files = below(&home);
    for (path, bytes) in &files {
        assert_absent(bytes, &path.display().to_string());
    }
    for (name, what) in [
        ("trace-h2", "placeholder"),
        ("trace-h1", "placeholder"),
        ("trace-chunked", "*****"),
        ("trace-gzip", "/shown/gzip"),
        ("environment", "API_KEY="),
    ] {
        let (_, bytes) = files.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        assert!(find(bytes, what.as_bytes()).is_some(), "{name} holds nothing to search");
    }

    // What the gateway has written, says, and was started with.
    let written = outside.bed.everything_written();
    assert!(written.iter().any(|(path, _)| path.extension().is_some_and(|extension| extension == "log")));
    for (path, bytes) in written.iter().chain(&below(&outside.bed.folder.join(""))) {
        assert_absent(bytes, &path.display().to_string());
    }
    let process = PathBuf::from(format!("/proc/{}", outside.bed.gateway.process()));
    for name in ["environ", "cmdline"] {
        assert_absent(&fs::read(process.join(name)).unwrap(), name);
    }
    let export = outside.folder.join("export");
    outside.bed.gateway.cli(&["audit", "export", export.to_str().unwrap()]).assert_done();
    assert_absent(&fs::read(&export).unwrap(), "the exported log");
    // Each request was judged as one to the API, not as a tunnel; the entries, with what stands encrypted beside them.
    let text = serde_json::to_string(&outside.bed.gateway.entries()).unwrap();
    assert!(text.contains("\"detector\":\"upstream-credential\""), "{text}");
    assert!(text.contains("http:GET") && text.contains("\"resource\":\"api/**\""), "{text}");
    assert_absent(text.as_bytes(), "the entries");
}

#[test]
fn who_does_not_trust_the_gateway_is_not_deceived() {
    let Some(outside) = Outside::start("egress-distrust", "") else { return };
    let mut distrustful = outside.through("deploy", "curl");
    let refused =
        run(distrustful.args(["-sS", "--max-time", "30", "--cacert", &outside.authority(), "https://api.test/"]));
    assert_eq!(refused.code, 60, "{refused:?}");
    assert!(outside.seen("/").is_empty());
    let printed = outside.bed.gateway.cli(&["egress", "ca"]);
    assert!(printed.out.starts_with("-----BEGIN CERTIFICATE-----") && !printed.out.contains("PRIVATE"), "{printed:?}");
}
