//! Large answers in bounded memory: 2 GiB stream through while the gateway stays small, masked or not, whoever is slow.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;

use crate::bed::api::Api;
use crate::bed::authority;
use crate::bed::folder::Folder;
use crate::bed::peer::Peer;
use crate::bed::raw_http::Kept;
use crate::bed::wait;

/// What the gateway may grow by, in KiB: its buffers, and what its allocator keeps.
const GROWTH: u64 = 64 * 1024;
const TWO_GIB: u64 = 2 << 30;

#[test]
fn two_gigabytes_pass_through_a_small_gateway() {
    let folder = Folder::new("http-memory-origin");
    authority::issue(&folder, &["localhost"]);
    let Some(origin) = Peer::start("origin.mjs", &folder) else { return };
    let url = format!("http://localhost:{}", origin.port("http"));
    let masked = "hosts = [\"masked.internal\"]\nunlisted = \"allow\"\n[upstreams.masked-api.fields]\n\"$.customers[*].email\" = [\"pii\"]\n";
    let bed = Api::new("http-memory")
        .upstream("shop-api", &url, "unlisted = \"allow\"\ndetect = \"off\"\n")
        .upstream("masked-api", &url, masked)
        .start();
    let before = bed.gateway.memory();
    // A quarter as much where each byte is read: a build without optimization is slow at that.
    for (host, bytes, version) in [
        ("shop.internal", TWO_GIB, "--http1.1"),
        ("masked.internal", TWO_GIB / 4, "--http1.1"),
        ("shop.internal", TWO_GIB / 10, "--http2-prior-knowledge"),
    ] {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            version,
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
            "--noproxy",
            "*",
            "--max-time",
            "240",
        ]);
        command.args([
            "-H",
            &format!("Host: {host}"),
            "-H",
            &format!("Authorization: Bearer {}", bed.token("reporting")),
        ]);
        let mut child = command
            .arg(format!("http://127.0.0.1:{}/big?bytes={bytes}", bed.port()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut most = 0;
        wait::until("the download", std::time::Duration::from_secs(260), || {
            most = most.max(bed.gateway.memory());
            child.try_wait().unwrap()
        });
        let mut size = String::new();
        child.stdout.take().unwrap().read_to_string(&mut size).unwrap();
        assert!(size.parse::<u64>().unwrap() >= bytes - bytes / 5, "{host}: only {size} bytes came");
        eprintln!("{host} {version}: {bytes} bytes, the gateway grew by {} KiB", most.saturating_sub(before));
        assert!(most < before + GROWTH, "{host}: from {before} to {most} KiB");
    }
}

/// A client that does not read holds its upstream back; nothing is piled up for it.
#[test]
fn a_client_that_does_not_read_costs_no_memory() {
    let folder = Folder::new("http-slow-origin");
    authority::issue(&folder, &["localhost"]);
    let Some(origin) = Peer::start("origin.mjs", &folder) else { return };
    let bed = Api::new("http-slow")
        .upstream("shop-api", &format!("http://localhost:{}", origin.port("http")), "unlisted = \"allow\"\n")
        .start();
    let before = bed.gateway.memory();
    let lines = bed.lines("reporting");
    let slow: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", bed.port())).unwrap();
            std::io::Write::write_all(
                &mut stream,
                format!("GET /big?bytes=200000000 HTTP/1.1\r\n{lines}\r\n").as_bytes(),
            )
            .unwrap();
            let mut first = [0; 1];
            stream.read_exact(&mut first).unwrap();
            stream
        })
        .collect();
    // Others are served meanwhile, a thousand times.
    let mut client = Kept::open(bed.port());
    for _ in 0..1000 {
        client.write(format!("GET /hello HTTP/1.1\r\n{lines}\r\n").as_bytes());
        assert_eq!(client.answer().status, 200);
    }
    let after = bed.gateway.memory();
    assert!(after < before + GROWTH, "from {before} to {after} KiB with {} clients that do not read", slow.len());
}
