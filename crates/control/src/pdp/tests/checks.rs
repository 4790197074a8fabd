//! What proxies pass on: Envoy over HTTP and gRPC, and `auth_request`. Only a proved workload and a permit let a request pass.

use axum::http::StatusCode;
use prost::Message as _;
use serde_json::json;

use super::grpc::messages::{
    Address, Attributes, CheckRequest, CheckResponse, HeaderMap, HeaderValue, HttpRequest, Peer, Request as Asked,
    SocketAddress,
};
use super::*;

const ENVOY: (&str, &str) = ("parapet-caller", "envoy-token");
const HOST: (&str, &str) = ("host", "api.example");
const TRIAGE: (&str, &str) = ("authorization", "Bearer triage's");

#[tokio::test]
async fn envoy_asks_over_http() {
    let house = house().await;
    for (method, path, headers, status) in [
        ("GET", "/v1/things", &[ENVOY, HOST, TRIAGE][..], 200),
        ("GET", "/", &[ENVOY, HOST, TRIAGE], 200),
        ("GET", "/v1/things?x=1", &[ENVOY, HOST, TRIAGE, ("origin", "https://page.example")], 200),
        ("PUT", "/v1/things", &[ENVOY, HOST, TRIAGE], 403),
        ("POST", "/v1/things", &[ENVOY, HOST, TRIAGE], 403),
        ("GET", "/v1/../things", &[ENVOY, HOST, TRIAGE], 400),
        ("BREW", "/v1/things", &[ENVOY, HOST, TRIAGE], 400),
        ("GET", "/v1/things", &[ENVOY, ("host", "other.example"), TRIAGE], 403),
        // Whose request it is, is not proved.
        ("GET", "/v1/things", &[ENVOY, HOST], 401),
        ("GET", "/v1/things", &[ENVOY, HOST, ("authorization", "Bearer stranger's")], 401),
        ("GET", "/v1/things", &[ENVOY, HOST, ("authorization", "Basic dHJpYWdl")], 401),
        ("GET", "/v1/things", &[ENVOY, HOST, TRIAGE, TRIAGE], 400),
        // Who asks is no proxy, or nobody: the client's own token is not the proxy's.
        ("GET", "/v1/things", &[HOST, TRIAGE], 401),
        ("GET", "/v1/things", &[HOST, ("authorization", "Bearer envoy-token")], 401),
        ("GET", "/v1/things", &[("parapet-caller", "searcher-token"), HOST, TRIAGE], 403),
    ] {
        let reply = house.pass(method, &format!("/ext_authz{path}"), headers).await;
        assert_eq!(reply.status, status, "{method} {path} {headers:?}: {}", reply.json());
        assert_eq!(reply.header("parapet-workload"), (status == 200).then_some("triage"));
        if status == 200 || path.contains("..") {
            assert!(reply.header("parapet-decision").unwrap().starts_with("dec_"));
        }
    }
    let subjects: BTreeSet<String> =
        house.entered("decision").iter().map(|entry| entry["asked_by"]["subject"].to_string()).collect();
    assert_eq!(subjects, ["\"token\"".to_owned()].into());
    assert_eq!(house.entered("login_refused").len(), 3);
}

/// Each failure costs a verification and an entry: a client that goes on failing gets neither. Others are not kept waiting.
#[tokio::test]
async fn clients_that_prove_nobody_wait() {
    let house = house().await;
    let from = |client| ("x-forwarded-for", client);
    let stranger = ("authorization", "Bearer stranger's");
    for _ in 0..FAILURES {
        assert_eq!(house.pass("GET", "/ext_authz/", &[ENVOY, HOST, stranger, from("10.9.9.9")]).await.status, 401);
    }
    for (client, token, status) in
        [("10.9.9.9", stranger, 429), ("10.9.9.9", TRIAGE, 429), ("10.9.9.8", stranger, 401), ("10.9.9.8", TRIAGE, 200)]
    {
        let reply = house.pass("GET", "/ext_authz/", &[ENVOY, HOST, token, from(client)]).await;
        assert_eq!(reply.status, status, "{client}: {}", reply.json());
        assert_eq!(reply.header("retry-after"), (status == 429).then_some("60"));
    }
    assert_eq!(house.entered("login_refused").len(), FAILURES as usize + 1);
}

#[tokio::test]
async fn a_certificate_counts_by_the_word_of_a_proxy_that_is_trusted_with_it() {
    let house = house().await;
    let pem = "-----BEGIN%20CERTIFICATE-----%0AdHJpYWdl%0A-----END%20CERTIFICATE-----%0A";
    let cert = format!("By=spiffe://x/y;Hash=00;Cert=\"{pem}\";URI=spiffe://x/triage");
    let two = format!("{cert},{cert}");
    for (caller, xfcc, status) in [
        ("envoy-token", &*cert, 200),
        // The word of this one is not taken.
        ("app-token", &cert, 401),
        // A name alone proves nothing, and of two elements one is the client's own.
        ("envoy-token", "URI=spiffe://x/triage", 401),
        ("envoy-token", &two, 401),
        ("envoy-token", "Cert=\"x\"", 401),
    ] {
        let headers = [("parapet-caller", caller), HOST, ("x-forwarded-client-cert", xfcc)];
        assert_eq!(house.pass("GET", "/ext_authz/v1/things", &headers).await.status, status, "{caller} {xfcc}");
    }
    assert_eq!(house.entered("decision")[0]["asked_by"]["subject"], "certificate");
}

#[tokio::test]
async fn a_quarantine_follows_from_a_proved_token_alone() {
    let house = house().await;
    assert_eq!(house.pass("DELETE", "/ext_authz/v1/things", &[ENVOY, HOST, TRIAGE]).await.status, 403);
    assert_eq!(*house.fixed.quarantined.lock().unwrap(), ["triage"]);
}

#[tokio::test]
async fn what_asks_people_passes_once_they_have_said_yes() {
    let house = house().await;
    let post = async || house.pass("POST", "/ext_authz/v1/things?n=1", &[ENVOY, HOST, TRIAGE]).await;
    let held = post().await.json();
    assert_eq!(held["type"], "https://parapet.example/problems/approval-required");
    let approval = held["approval"]["id"].as_str().unwrap().to_owned();
    assert_eq!(post().await.json()["approval"]["id"], json!(approval), "the same request joins it");
    house.approve(&approval).await;
    let other = house.pass("POST", "/ext_authz/v1/things?n=2", &[ENVOY, HOST, TRIAGE]).await;
    assert_ne!(other.json()["approval"]["id"], json!(approval), "another request is another question");
    assert_eq!(post().await.status, 200);
    assert_eq!(post().await.status, 403, "one use");
}

#[tokio::test]
async fn nginx_and_others_ask_by_headers() {
    let house = house().await;
    let app = ("parapet-caller", "app-token");
    let line = [("x-original-method", "GET"), ("x-original-host", "api.example"), ("x-original-uri", "/v1/things?x=1")];
    let url = ("x-original-url", "https://api.example/v1/things");
    let get = line[0];
    let forwarded =
        [("x-forwarded-method", "GET"), ("x-forwarded-host", "api.example"), ("x-forwarded-uri", "/v1/things")];
    let traefik = ("parapet-caller", "traefik-token");
    for (headers, status) in [
        ([&[app, TRIAGE][..], &line].concat(), 204),
        (vec![app, TRIAGE, get, url], 204),
        ([&[traefik, TRIAGE][..], &forwarded].concat(), 204),
        // The other family's headers may be the client's own.
        ([&[app, TRIAGE][..], &forwarded].concat(), 403),
        ([&[traefik, TRIAGE][..], &line].concat(), 403),
        ([&[app, TRIAGE, url][..], &line].concat(), 403),
        ([&[app, TRIAGE, get][..], &line].concat(), 403),
        (vec![app, TRIAGE, get, ("x-original-host", "api.example")], 403),
        ([&[app][..], &line].concat(), 401),
        ([&[TRIAGE][..], &line].concat(), 403),
        // nginx knows 401 and 403, and takes everything else for a failure.
        (vec![app, TRIAGE, get, ("x-original-url", "https://api.example/v1/../x")], 403),
        (vec![app, TRIAGE, ("x-original-method", "DELETE"), url], 403),
    ] {
        let reply = house.pass("GET", "/auth_request", &headers).await;
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.json());
        assert_eq!(reply.header("parapet-workload"), (status == 204).then_some("triage"));
        if status == 401 {
            assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"parapet\""));
        }
    }
}

fn http_request(method: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        path: "/v1/things".to_owned(),
        host: "api.example".to_owned(),
        scheme: "https".to_owned(),
        ..HttpRequest::default()
    }
}

fn frame(http: HttpRequest) -> Vec<u8> {
    let address = Address { socket: Some(SocketAddress { address: "10.1.2.3".to_owned() }) };
    let source = Peer { address: Some(address), certificate: String::new() };
    let attributes = Attributes { source: Some(source), request: Some(Asked { http: Some(http) }) };
    framed(&CheckRequest { attributes: Some(attributes) }.encode_to_vec())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

impl House {
    /// The status of the call, and the answer.
    async fn call(&self, token: &str, kind: &str, body: Vec<u8>) -> (Option<String>, Option<CheckResponse>) {
        let request = Request::post("/envoy.service.auth.v3.Authorization/Check")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind);
        let reply = self.send(request.body(Body::from(body)).unwrap()).await;
        let answer = reply.bytes.get(5..).and_then(|message| CheckResponse::decode(message).ok());
        (reply.header("grpc-status").map(str::to_owned), answer.filter(|answer| answer.status.is_some()))
    }
}

#[tokio::test]
async fn envoy_asks_over_grpc() {
    let house = house().await;
    let raw = HttpRequest {
        headers: BTreeMap::new(),
        header_map: Some(HeaderMap {
            headers: vec![HeaderValue {
                key: "authorization".to_owned(),
                raw_value: b"Bearer triage's".to_vec(),
                ..HeaderValue::default()
            }],
        }),
        ..http_request("GET", &[])
    };
    for (http, status) in [
        (http_request("GET", &[TRIAGE]), StatusCode::OK),
        (raw, StatusCode::OK),
        (http_request("PUT", &[TRIAGE]), StatusCode::FORBIDDEN),
        (http_request("GET", &[]), StatusCode::UNAUTHORIZED),
        // Two of them, as Envoy joins them.
        (http_request("GET", &[("authorization", "Bearer triage's,Bearer triage's")]), StatusCode::UNAUTHORIZED),
    ] {
        let (failed, answer) = house.call("envoy-token", "application/grpc", frame(http.clone())).await;
        let answer = answer.unwrap();
        assert_eq!(failed, None);
        match answer.denied {
            None => {
                let option = &answer.ok.as_ref().unwrap().headers;
                assert_eq!((status, answer.status.unwrap().code), (StatusCode::OK, 0), "{http:?}");
                let said = |name: &str| {
                    let found = option.iter().find(|one| one.header.as_ref().unwrap().key == name).unwrap();
                    // It replaces what the client sent under that name.
                    assert_eq!(found.append_action, 2);
                    found.header.clone().unwrap().value
                };
                assert!(said("parapet-decision").starts_with("dec_"));
                assert_eq!(said("parapet-workload"), "triage");
            }
            Some(denied) => {
                assert_eq!(denied.status.unwrap().code, i32::from(status.as_u16()), "{http:?}");
                assert_ne!(answer.status.unwrap().code, 0);
                assert_eq!(answer.ok, None);
                assert_eq!(serde_json::from_str::<Value>(&denied.body).unwrap()["status"], status.as_u16());
            }
        }
    }
    let around = house.entered("decision")[0]["around"].clone();
    assert_eq!((&around["source"], &around["tls"]), (&json!("10.1.2.3"), &json!(true)));
}

/// An Envoy that passes on no bodies leaves the client's own word that the body is whole.
#[tokio::test]
async fn a_body_that_was_not_passed_on_is_not_empty() {
    let house = house().await;
    let said = ("x-envoy-auth-partial-body", "false");
    for (headers, body, status) in [
        (&[TRIAGE, said][..], "", 400),
        (&[TRIAGE], "{}", 400),
        (&[TRIAGE, ("x-envoy-auth-partial-body", "true")], "{}", 400),
        (&[TRIAGE, said], "{}", 200),
    ] {
        let asked = HttpRequest {
            path: "/v1/things?reads-body".to_owned(),
            body: body.to_owned(),
            ..http_request("GET", headers)
        };
        let answer = house.call("envoy-token", "application/grpc", frame(asked)).await.1.unwrap();
        let code = answer.denied.map_or(200, |denied| denied.status.unwrap().code);
        assert_eq!(code, status, "gRPC {headers:?} {body:?}");
        let request = [ENVOY, HOST]
            .iter()
            .chain(headers)
            .fold(Request::get("/ext_authz/v1/things?reads-body"), |request, (name, value)| {
                request.header(*name, *value)
            });
        let reply = house.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.status, u16::try_from(status).unwrap(), "HTTP {headers:?} {body:?}: {}", reply.json());
    }
}

#[tokio::test]
async fn what_is_no_call_lets_nothing_pass() {
    let house = house().await;
    let good = frame(http_request("GET", &[TRIAGE]));
    let mut compressed = good.clone();
    compressed[0] = 1;
    let mut longer = good.clone();
    longer.push(0);
    let empty = framed(&CheckRequest::default().encode_to_vec());
    for (token, kind, body, failed) in [
        ("nobody", "application/grpc", good.clone(), Some("16")),
        ("searcher-token", "application/grpc", good.clone(), Some("7")),
        ("envoy-token", "application/grpc", compressed, Some("3")),
        ("envoy-token", "application/grpc", longer, Some("3")),
        ("envoy-token", "application/grpc", Vec::new(), Some("3")),
        ("envoy-token", "application/grpc", empty, Some("3")),
        ("envoy-token", "application/grpc", framed(b"\xff\xff\xff"), Some("3")),
        ("envoy-token", "application/json", good, None),
    ] {
        assert_eq!(house.call(token, kind, body).await, (failed.map(str::to_owned), None), "{token} {kind}");
    }
    house.log.fail(Some(kernel::audit::AppendError::Unwritable));
    let unheard = house.call("envoy-token", "application/grpc", frame(http_request("GET", &[TRIAGE]))).await;
    assert_eq!(unheard, (Some("13".to_owned()), None));
}
