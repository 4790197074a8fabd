//! The log in the hands of strangers: Go's own packages accept its heads, tiles and proofs, and a browser without a network
//! verifies an export.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bed::clients::{Ran, run};
use crate::bed::gateway::Gateway;
use crate::bed::{Bed, raw, skip, wait};

/// The address on which a gateway shows its log.
pub(super) fn shown_at(folder: &Path) -> String {
    let ports: Value = serde_json::from_str(&fs::read_to_string(folder.join("state/ports.json")).unwrap()).unwrap();
    format!("http://{}", ports["tlog"].as_str().unwrap())
}

/// The public key that signs a gateway's log.
pub(super) fn key(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.audit().join("keys")).unwrap().trim_end().to_owned()
}

/// Waits until a signed head covers so many entries.
pub(super) fn signed(gateway: &Gateway, size: u64) -> Value {
    wait::until("a signed head", wait::PATIENCE, || {
        let head: Value = serde_json::from_str(&gateway.cli(&["audit", "head", "-o", "json"]).out).ok()?;
        (head["signed"]["size"].as_u64()? >= size).then_some(head)
    })
}

/// A program that another language's tests were built into; `None` if it was not built.
fn tlog_check() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/it-go/tlog-check");
    let found = [target].into_iter().find(|path| path.exists());
    if found.is_none() {
        skip("Go's transparency log packages: scripts/install.sh go");
    }
    found
}

#[test]
fn go_accepts_heads_tiles_and_proofs() {
    let Some(check) = tlog_check() else { return };
    let shown = |setup: crate::bed::gateway::Setup| {
        setup.also("\n[audit]\norigin = \"shop.example/audit\"\nlisten = \"127.0.0.1:0\"\n".to_owned())
    };
    let Some(bed) = Bed::start_with("audit-go", shown) else { return };
    let mut raw = bed.raw("reporting");
    for number in 0..120 {
        raw.query(&format!("select 1 as n{number}"));
    }
    signed(&bed.gateway, 120);
    let kept = bed.gateway.cli(&["audit", "head", "--signed"]);
    kept.assert_done();
    let kept = bed.folder.write("kept", &kept.out);
    for number in 0..500 {
        assert_eq!(raw::tags(&raw.query(&format!("select total from orders where id = -{number}"))), "TCZ");
    }
    signed(&bed.gateway, 620);
    let proof = bed.folder.join("entry.tlog-proof");
    let arguments = ["audit", "prove", "300", "--out", proof.to_str().unwrap()];
    bed.gateway.cli(&arguments).assert_done();
    let (url, key) = (shown_at(&bed.folder.join("")), key(&bed.gateway));
    assert!(key.starts_with("shop.example/audit+"), "{key}");
    let ran = run(Command::new(&check).arg(&url).arg(&key).arg(&proof).arg(&kept));
    assert!(ran.code == 0 && ran.out.contains("entry 300"), "{ran:?}");
    // What it accepts it would refuse of another.
    let other = key.replace("shop.example", "shup.example");
    assert_ne!(run(Command::new(&check).arg(&url).arg(other).arg(&proof).arg(&kept)).code, 0);
    let text = fs::read_to_string(&proof).unwrap().replacen("index 300", "index 301", 1);
    let moved = bed.folder.write("moved", &text);
    let ran = run(Command::new(&check).arg(&url).arg(&key).arg(&moved).arg(&kept));
    assert!(ran.code == 1 && ran.out.contains("REFUSED"), "{ran:?}");
    // The same proofs, by Parapet.
    bed.gateway.cli(&["audit", "verify", proof.to_str().unwrap(), "--key", &key]).assert_done();
    let moved = bed.gateway.cli(&["audit", "verify", moved.to_str().unwrap(), "--key", &key]);
    assert_eq!(moved.code, 8, "{moved:?}");
    bed.gateway.cli(&["audit", "prove", "--since", kept.to_str().unwrap()]).assert_done();
    let verified = bed.gateway.cli(&["audit", "verify", "--since", kept.to_str().unwrap()]);
    assert!(verified.code == 0 && verified.out.contains("a beginning of this log"), "{verified:?}");
}

/// A stock browser without any network: in a network namespace of its own where the system lets us have one.
fn browse(page: &Path, fragment: &str, profile: &Path) -> Option<Ran> {
    let chromium = ["chromium", "chromium-browser"].into_iter().find(|name| {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|one| one.join(name).exists()))
    });
    let Some(chromium) = chromium else {
        skip("a browser: scripts/install.sh chromium");
        return None;
    };
    let alone = run(Command::new("unshare").args(["-rn", "true"])).code == 0;
    let mut command = if alone {
        let mut command = Command::new("unshare");
        command.args(["-rn", chromium]);
        command
    } else {
        Command::new(chromium)
    };
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        // Where it has no namespace of its own, every name and proxy leads nowhere.
        .args(["--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=60000", "--dump-dom"])
        .arg(format!("file://{}{fragment}", page.display()));
    // Its clock runs ahead of the page's threads: it may show the document before they are done.
    Some(wait::until("the page to have verified", wait::PATIENCE * 4, || {
        let ran = run(&mut command);
        (!ran.out.contains(">… verifying</p>")).then_some(ran)
    }))
}

#[test]
fn a_browser_without_a_network_verifies_an_export() {
    let Some(mut bed) = Bed::start("audit-page") else { return };
    let mut raw = bed.raw("reporting");
    for number in 0..30 {
        raw.query(&format!("select 1 as n{number}"));
    }
    // Text that would run if a page took it for its own.
    raw.query("select 1 as \"</script><script>document.title='taken'</script>\"");
    signed(&bed.gateway, 30);
    let key = key(&bed.gateway);
    bed.gateway.stop();
    for (part, expect) in
        [(&["--from", "0"][..], "from 0, all of them"), (&["--from", "7", "--to", "23"], "16 entries from 7")]
    {
        let page = bed.folder.join("export.html");
        let mut arguments = vec!["audit", "export", page.to_str().unwrap(), "--html"];
        arguments.extend(part);
        bed.gateway.cli(&arguments).assert_done();
        let Some(ran) = browse(&page, &format!("#key={}", encoded(&key)), &bed.folder.join("profile")) else { return };
        assert!(ran.out.contains("✓ verified") && ran.out.contains(expect), "{ran:?}");
        assert!(!ran.out.contains("<title>taken"), "{ran:?}");
    }
    // The same export as a file, by Parapet without a gateway; and changed, by both.
    let file = bed.folder.join("export");
    bed.gateway.cli(&["audit", "export", file.to_str().unwrap()]).assert_done();
    bed.gateway.cli(&["audit", "verify", file.to_str().unwrap(), "--key", &key]).assert_done();
    let text = fs::read_to_string(&file).unwrap().replacen("\"reporting\"", "\"repasting\"", 1);
    let bad = text.lines().position(|line| line.contains("repasting")).unwrap() - 1;
    let changed = bed.folder.write("changed", &text);
    let ran = bed.gateway.cli(&["audit", "verify", changed.to_str().unwrap(), "--key", &key]);
    assert!(ran.code == 8 && ran.out.contains(&format!("record {bad}:")), "{ran:?}");
    let page = bed.folder.join("export.html");
    bed.gateway.cli(&["audit", "export", page.to_str().unwrap(), "--html"]).assert_done();
    let html = fs::read_to_string(&page).unwrap();
    let (before, rest) = html.split_once("id=\"export\">").unwrap();
    let (_, after) = rest.split_once('<').unwrap();
    fs::write(&page, format!("{before}id=\"export\">{}<{after}", base64(&text))).unwrap();
    let ran = browse(&page, "", &bed.folder.join("profile")).unwrap();
    assert!(ran.out.contains(&format!("✗ failed: record {bad}: it was changed")), "{ran:?}");
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn encoded(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
