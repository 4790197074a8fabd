//! Stock clients against real servers, through the gateway: curl, httpx, Node's fetch, gRPC and WebSocket clients, over HTTP/1.1 and
//! HTTP/2, with large bodies both ways, events, trailers, interim answers, and connections that are kept or half closed.

use std::process::Command;

use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed, HOST, said};
use crate::bed::authority;
use crate::bed::clients::run;
use crate::bed::folder::Folder;
use crate::bed::peer::{self, Peer};
use crate::bed::raw_http::{self, Kept};

/// The gateway in front of Node's server: in clear as `shop.internal`, over TLS with HTTP/2 as `two.internal`.
struct Shop {
    bed: ApiBed,
    origin: Peer,
    _certificates: Folder,
}

fn shop(name: &str, also: &str) -> Option<Shop> {
    let certificates = Folder::new(&format!("{name}-origin"));
    let ca = authority::issue(&certificates, &["localhost"]);
    certificates.make("files");
    let origin = Peer::start("origin.mjs", &certificates)?;
    let secure = format!("hosts = [\"two.internal\"]\nca = {ca:?}\nunlisted = \"allow\"\n");
    let bed = Api::new(name)
        .upstream(
            "shop-api",
            &format!("http://localhost:{}", origin.port("http")),
            &format!("unlisted = \"allow\"\n{also}"),
        )
        .upstream("two-api", &format!("https://localhost:{}", origin.port("https")), &secure)
        .start();
    Some(Shop { bed, origin, _certificates: certificates })
}

fn header<'a>(came: &'a Value, name: &str) -> Option<&'a str> {
    let headers = came["headers"].as_array().unwrap();
    headers.iter().find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name)).and_then(|pair| pair[1].as_str())
}

fn body(came: &Value) -> Value {
    serde_json::from_str(came["body"].as_str().unwrap_or_else(|| panic!("no body: {came}")))
        .unwrap_or_else(|_| panic!("{came}"))
}

/// What a client of one kind gets: an answer, a refusal in its own words, and what it sent as it was.
fn stock(name: &str, came: &[Value], shop: &Shop) {
    let [hello, echo, refused, upload, download] = came else { panic!("{name}: {came:?}") };
    assert_eq!((hello["status"].as_u64(), body(hello)), (Some(200), json!({"hello": "world"})), "{name}");
    assert!(header(hello, "parapet-decision").is_some_and(|id| id.starts_with("dec_")), "{name}: {hello}");
    assert_eq!(header(hello, "set-cookie"), None, "{name}: the upstream's cookie came through");
    let echoed = body(echo);
    assert_eq!((&echoed["method"], &echoed["path"]), (&json!("POST"), &json!("/echo?a=b")), "{name}");
    assert_eq!(echoed["body"], "{\"a\": \"b\"}", "{name}");
    assert!(!echoed.to_string().contains("authorization"), "{name}: the token reached the upstream: {echoed}");
    assert_eq!(refused["status"], 403, "{name}: {refused}");
    assert_eq!(header(refused, "content-type"), Some("application/problem+json"), "{name}");
    assert_eq!(header(refused, "cache-control"), Some("no-store"), "{name}");
    let problem = body(refused);
    assert_eq!(problem["policy"], "agents-never-delete", "{name}: {problem}");
    assert_eq!(problem["retryable"], false, "{name}: {problem}");
    let id = problem["decision"].as_str().unwrap();
    assert_eq!(header(refused, "parapet-decision"), Some(id), "{name}");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("[{id}]")), "{name}: {problem}");
    let explained = shop.bed.gateway.cli(&["explain", id]);
    assert!(explained.out.contains("agents-never-delete"), "{name}: {explained:?}");
    assert_eq!(body(upload)["length"], 20_000_000, "{name}");
    assert!(download["length"].as_u64().unwrap() > 20_000_000, "{name}: {download}");
}

fn steps() -> Value {
    json!([
        {"path": "/hello"},
        {"method": "POST", "path": "/echo?a=b", "body": "{\"a\": \"b\"}", "headers": {"content-type": "application/json"}},
        {"method": "DELETE", "path": "/orders/7"},
        {"method": "POST", "path": "/upload", "upload": 20_000_000},
        {"path": "/big?bytes=20000000"},
    ])
}

/// A workload that may write, but never delete.
const AGENT: &str = r#"
@id("agents-write")
permit (principal == Workload::"triage-bot", action in Action::"write", resource);
"#;

fn agents_shop(name: &str) -> Option<Shop> {
    let certificates = Folder::new(&format!("{name}-origin"));
    let ca = authority::issue(&certificates, &["localhost"]);
    let origin = Peer::start("origin.mjs", &certificates)?;
    let secure = format!("hosts = [\"two.internal\"]\nca = {ca:?}\nunlisted = \"allow\"\n");
    let bed = Api::new(name)
        .upstream("shop-api", &format!("http://localhost:{}", origin.port("http")), "unlisted = \"allow\"\n")
        .upstream("two-api", &format!("https://localhost:{}", origin.port("https")), &secure)
        .policies(AGENT)
        .start();
    Some(Shop { bed, origin, _certificates: certificates })
}

#[test]
fn httpx_over_http_1_and_2() {
    let Some(shop) = agents_shop("http-httpx") else { return };
    for http2 in [false, true] {
        let came = shop.bed.httpx("triage-bot", http2, steps()).unwrap();
        let version = if http2 { "HTTP/2" } else { "HTTP/1.1" };
        assert_eq!(came[0]["version"], version);
        stock(&format!("httpx {version}"), &came, &shop);
    }
    let deletes = shop.origin.seen().iter().filter(|seen| seen["method"] == "DELETE").count();
    assert_eq!(deletes, 0, "a refused request reached the upstream");
}

#[test]
fn fetch_of_node() {
    let Some(shop) = agents_shop("http-fetch") else { return };
    let came = shop.bed.fetch("triage-bot", steps()).unwrap();
    stock("fetch", &came, &shop);
}

#[test]
fn curl_over_http_1_and_2() {
    let Some(shop) = agents_shop("http-curl") else { return };
    for (version, said) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let ran = shop.bed.curl("triage-bot", "/hello", &[version, "-w", "\n%{http_version}"]);
        assert_eq!(ran.out.trim_end(), format!("{{\"hello\":\"world\"}}\n{said}"), "{ran:?}");
        let ran = shop.bed.curl("triage-bot", "/orders/7", &[version, "-X", "DELETE", "-f"]);
        assert_eq!(ran.code, 22, "curl -f takes the refusal for success: {ran:?}");
        let ran = shop.bed.curl("triage-bot", "/orders/7", &[version, "-X", "DELETE", "-H", "Accept: text/html", "-i"]);
        assert!(ran.out.contains("text/html") && ran.out.contains("agents-never-delete"), "{ran:?}");
        // No credential, one that proves nothing, and a good one beside another.
        let token = format!("Authorization: Bearer {}", shop.bed.token("triage-bot"));
        for (status, lines) in [
            (" 401", vec![]),
            (" 401", vec!["-H", "Authorization: Bearer nonsense"]),
            (" 401", vec!["-H", "Authorization: Basic dHJpYWdlLWJvdDp4"]),
            (" 400", vec!["-H", &token, "-H", "Authorization: Bearer nonsense"]),
        ] {
            let mut command = Command::new("curl");
            command.args(["-sS", "-i", "--max-time", "20", "--noproxy", "*", version, "-H", &format!("Host: {HOST}")]);
            let ran = run(command.args(&lines).arg(format!("http://127.0.0.1:{}/hello", shop.bed.port())));
            let head = ran.out.to_lowercase();
            assert!(head.contains(status), "{lines:?}: {ran:?}");
            assert!(status == " 400" || head.contains("www-authenticate: bearer"), "{lines:?}: {ran:?}");
            assert!(!head.contains("hello"), "{lines:?}: {ran:?}");
        }
    }
}

/// What a large body is made of arrives as it was, in either direction and version, from an upstream of either version.
#[test]
fn large_bodies_arrive_as_they_were() {
    let Some(shop) = shop("http-large", "") else { return };
    let file = shop.bed.folder.write("upload", &"0123456789abcdef".repeat(4_000_000));
    let sum = run(Command::new("sha256sum").arg(&file)).out[..64].to_owned();
    for host in [HOST, "two.internal"] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            for coding in [&[][..], &["-H", "Transfer-Encoding: chunked"]] {
                if version != "--http1.1" && !coding.is_empty() {
                    continue;
                }
                let data = format!("@{}", file.display());
                let named = format!("Host: {host}");
                let mut arguments = vec![version, "-H", &named, "--data-binary", &data];
                arguments.extend(coding);
                let ran = shop.bed.curl("deploy", "/upload", &arguments);
                let came: Value =
                    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{host} {version}: {ran:?}"));
                assert_eq!((&came["length"], &came["sha256"]), (&json!(64_000_000), &json!(sum)), "{host} {version}");
            }
            let ran = shop.bed.curl(
                "deploy",
                "/big?bytes=50000000",
                &[version, "-H", &format!("Host: {host}"), "-o", "/dev/null", "-w", "%{size_download} %{http_code}"],
            );
            let (size, status) = ran.out.split_once(' ').unwrap_or_else(|| panic!("{ran:?}"));
            assert!(size.parse::<u64>().unwrap() > 50_000_000 && status == "200", "{host} {version}: {ran:?}");
        }
    }
}

/// Each event is here before the next is sent, over either version and from an upstream of either.
#[test]
fn events_come_as_they_are_sent() {
    let Some(shop) = shop("http-events", "") else { return };
    for http2 in [false, true] {
        let name = format!("events-{http2}");
        let came = shop
            .bed
            .httpx("deploy", http2, json!([{"path": format!("/events?name={name}"), "release": name}]))
            .unwrap();
        assert_eq!(came[0]["lines"].as_array().map(Vec::len), Some(3), "{came:?}");
    }
}

#[test]
fn trailers_and_interim_answers_pass() {
    let Some(shop) = shop("http-trailers", "") else { return };
    for host in [HOST, "two.internal"] {
        let lines = format!("Host: {host}\r\nAuthorization: Bearer {}\r\n", shop.bed.token("deploy"));
        let request = format!("GET /trailers HTTP/1.1\r\n{lines}TE: trailers\r\nConnection: close, TE\r\n\r\n");
        let answer = raw_http::send(shop.bed.port(), request.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.text().contains("part two") && answer.text().ends_with("0\r\nx-sum: 2\r\n\r\n"),
            "{host}: {:?}",
            answer.text()
        );
        // From the client: trailers behind chunks.
        let request = format!(
            "POST /echo HTTP/1.1\r\n{lines}Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: x-mine\r\n\r\n4\r\nabcd\r\n0\r\nx-mine: 3\r\n\r\n"
        );
        let answer = raw_http::send(shop.bed.port(), request.as_bytes());
        assert!(answer.text().contains("\"x-mine\":\"3\""), "{host}: {}", answer.text());
    }
}

/// `100 Continue` comes when the request may be sent, not before: a refused one is refused without its body.
#[test]
fn a_body_is_asked_for_after_the_decision() {
    let Some(shop) = agents_shop("http-continue") else { return };
    let ask = |method: &str| {
        let mut client = Kept::open(shop.bed.port());
        let head = format!(
            "{method} /echo HTTP/1.1\r\n{}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n",
            shop.bed.lines("triage-bot")
        );
        client.write(head.as_bytes());
        client
    };
    let mut client = ask("POST");
    let interim = String::from_utf8(client.until(b"\r\n\r\n")).unwrap();
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    client.write(b"abcd");
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("\"length\":4"), "{}", answer.text());
    let refused = ask("DELETE").answer();
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(shop.origin.seen().iter().all(|seen| seen["method"] != "DELETE"));
}

#[test]
fn connections_are_kept_and_half_closed() {
    let Some(shop) = agents_shop("http-kept") else { return };
    let mut client = Kept::open(shop.bed.port());
    let lines = shop.bed.lines("triage-bot");
    for number in 0..50 {
        // A refusal does not cost the connection, nor the order of answers.
        let method = if number % 5 == 4 { "DELETE" } else { "GET" };
        client.write(format!("{method} /hello HTTP/1.1\r\n{lines}\r\n").as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, if method == "GET" { 200 } else { 403 }, "{answer:?}");
    }
    // Three at once, in order.
    let three = ["GET /status/201", "DELETE /b", "GET /status/202"]
        .map(|line| format!("{line} HTTP/1.1\r\n{lines}\r\n"))
        .concat();
    client.write(three.as_bytes());
    assert_eq!([client.answer().status, client.answer().status, client.answer().status], [201, 403, 202]);
    // A client that has said all may close its side, and still gets its answer.
    let answer = raw_http::send_half_closed(shop.bed.port(), format!("GET /hello HTTP/1.1\r\n{lines}\r\n").as_bytes());
    assert_eq!((answer.status, answer.closed), (200, true), "{answer:?}");
    assert!(answer.text().ends_with("{\"hello\":\"world\"}"), "{answer:?}");
}

/// An upstream that dies in its answer does not look like one that ended.
#[test]
fn an_answer_that_was_cut_is_no_answer() {
    let Some(shop) = shop("http-cut", "") else { return };
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let ran = shop.bed.curl("deploy", "/broken", &[version, "-f"]);
        // Refused as the upstream's failure if nothing of it had left yet.
        assert!([18, 22, 52, 56, 92, 95].contains(&ran.code), "{version}: {ran:?}");
    }
}

#[test]
fn grpc_calls_of_every_kind() {
    let Some(client) = peer::command("grpc_client.py") else { return };
    let folder = Folder::new("http-grpc-server");
    let ca = authority::issue(&folder, &["localhost"]);
    let server = Peer::start("grpc_server.py", &folder).unwrap();
    let also = format!("ca = {ca:?}\nunlisted = \"allow\"\n");
    let policy = "@id(\"not-fail\")\n@reason(\"Nobody calls it\")\nforbid (principal, action, resource)\n\
                  when { context has http && context.http.path == \"/shop.Shop/Forbidden\" };\n";
    let bed = Api::new("http-grpc")
        .upstream("shop-api", &format!("https://localhost:{}", server.port("grpc")), &also)
        .policies(policy)
        .start();
    let calls = json!([
        ["unary", "Echo", "hello"],
        ["server", "Count", "5"],
        ["client", "Collect", "a", "b", "c"],
        ["chat", "Chat", "x", "y"],
        ["unary", "Fail", "x"],
        ["unary", "Forbidden", "x"],
    ]);
    let given = json!({"port": bed.port(), "authority": HOST, "token": bed.token("deploy"), "calls": calls});
    let came: Vec<Value> = said(client, &given).unwrap();
    assert_eq!(came[0]["answers"], json!(["hello"]), "{came:?}");
    assert_eq!(came[0]["trailers"], json!([["x-sum", "5"]]), "{came:?}");
    assert_eq!(came[1]["answers"], json!(["0", "1", "2", "3", "4"]), "{came:?}");
    assert_eq!(came[2]["answers"], json!(["a,b,c"]), "{came:?}");
    assert_eq!(came[3]["answers"], json!(["heard x", "heard y"]), "{came:?}");
    assert_eq!((&came[4]["code"], &came[4]["details"]), (&json!("NOT_FOUND"), &json!("no such thing")), "{came:?}");
    assert_eq!(came[5]["code"], "PERMISSION_DENIED", "{came:?}");
    assert!(came[5]["details"].as_str().unwrap().contains("blocked by policy \"not-fail\""), "{came:?}");
    assert!(came[5]["trailers"].to_string().contains("grpc-status-details-bin"), "{came:?}");
    let seen = server.seen();
    assert!(seen.iter().all(|call| !call.to_string().contains("authorization")), "{seen:?}");
    assert!(seen.iter().all(|call| call["method"] != "Forbidden"), "{seen:?}");
}
