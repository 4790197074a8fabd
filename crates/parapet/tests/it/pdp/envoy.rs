//! A real Envoy asks by `ext_authz`, over gRPC with the body and over HTTP without: the same policies, the same log.

use std::path::Path;

use serde_json::{Value, json};

use super::bed::{Came, TOKEN, answered, backend, curl, envoy, nginx, pdp, shop};
use crate::bed::api::{ApiBed, HOST};

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// A listener on a socket that asks by this service.
fn listener(name: &str, socket: &Path, ask: Value) -> Value {
    let mut filter = json!({
        "@type": format!("{TYPES}.filters.http.ext_authz.v3.ExtAuthz"),
        "transport_api_version": "V3",
        "failure_mode_allow": false,
    });
    filter.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "backend" } }] }] },
        "http_filters": [
            { "name": "envoy.filters.http.ext_authz", "typed_config": filter },
            { "name": "envoy.filters.http.router",
              "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") } },
        ],
    });
    json!({
        "name": name,
        "address": { "pipe": { "path": socket } },
        "filter_chains": [{ "filters": [
            { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
        ] }],
    })
}

fn cluster(name: &str, address: Value, http2: bool) -> Value {
    let mut cluster = json!({
        "name": name,
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": { "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] },
    });
    if http2 {
        cluster["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": { "http2_protocol_options": {} },
        } });
    }
    cluster
}

fn bootstrap(bed: &ApiBed) -> Value {
    let folder = bed.folder.join("");
    let at = bed.gateway.listener("pdp");
    let point = json!({ "socket_address": { "address": "127.0.0.1", "port_value": at.port() } });
    let by_grpc = json!({
        "grpc_service": {
            "envoy_grpc": { "cluster_name": "pdp-grpc" },
            "timeout": "10s",
            "initial_metadata": [{ "key": "authorization", "value": format!("Bearer {TOKEN}") }],
        },
        "with_request_body": { "max_request_bytes": 4096, "allow_partial_message": true, "pack_as_bytes": true },
    });
    let by_http = json!({
        "http_service": {
            "server_uri": { "uri": "http://pdp", "cluster": "pdp-http", "timeout": "10s" },
            "path_prefix": "/ext_authz",
            "authorization_request": { "headers_to_add": [{ "key": "parapet-caller", "value": TOKEN }] },
            "authorization_response": {
                "allowed_upstream_headers": { "patterns": [{ "prefix": "parapet-" }] },
                "allowed_client_headers": {
                    "patterns": [{ "prefix": "parapet-" }, { "exact": "www-authenticate" }, { "exact": "content-type" }],
                },
            },
        },
    });
    json!({
        "static_resources": {
            "listeners": [
                listener("grpc", &folder.join("grpc.sock"), by_grpc),
                listener("http", &folder.join("http.sock"), by_http),
            ],
            "clusters": [
                cluster("backend", json!({ "pipe": { "path": folder.join("reached.sock") } }), false),
                cluster("pdp-grpc", point.clone(), true),
                cluster("pdp-http", point, false),
            ],
        },
    })
}

/// A certificate for clients in PEM, with its key: of this authority, or signed by itself.
fn client(by: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>, name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = match by {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.unwrap().pem(), key.serialize_pem())
}

/// Envoy ends TLS and takes any client's certificate: who vouches for it is for the gateway to say.
#[test]
fn a_certificate_that_envoy_passes_on_is_verified_by_the_gateway() {
    let table = pdp("certificates = true\n\n[[trust]]\nworkload = \"reporting\"\nissuer = \"certificate\"\n\
                     claims = { \"san:dns\" = \"reporting.example\" }\n");
    let api = shop("pdp-envoy-tls");
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let file = api.folder.write("clients.pem", &authority.pem());
    let issuer = rcgen::Issuer::new(params, authority_key);
    let table = table.replace("tls = \"off\"", &format!("tls = \"off\"\nclient_authorities = {file:?}"));
    let bed = api.also(&table).start();
    let folder = bed.folder.join("");
    let Some(_backend) = nginx(&folder, &backend(&folder.join("reached.sock")), &folder.join("reached.sock")) else {
        return;
    };
    let mut bootstrap = bootstrap(&bed);
    let (server, key) = client(None, HOST);
    for index in [0, 1] {
        let listener = &mut bootstrap["static_resources"]["listeners"][index];
        listener["filter_chains"][0]["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
                "common_tls_context": {
                    "tls_certificates": [
                        { "certificate_chain": { "inline_string": server }, "private_key": { "inline_string": key } },
                    ],
                    "validation_context": {
                        "trust_chain_verification": "ACCEPT_UNTRUSTED",
                        "trusted_ca": { "inline_string": authority.pem() },
                    },
                },
            },
        });
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["forward_client_cert_details"] = json!("SANITIZE_SET");
        manager["set_current_client_cert_details"] = json!({ "cert": true });
        manager["http_filters"][0]["typed_config"]["include_peer_certificate"] = json!(true);
        manager["http_filters"][0]["typed_config"]["allowed_headers"] =
            json!({ "patterns": [{ "exact": "x-forwarded-client-cert" }] });
    }
    let Some(_envoy) = envoy(&folder, &bootstrap) else { return };
    for (name, shown, status) in [
        ("ours", Some(client(Some(&issuer), "reporting.example")), 200),
        ("ours, for another name", Some(client(Some(&issuer), "stranger.example")), 401),
        ("its own", Some(client(None, "reporting.example")), 401),
        ("none", None, 401),
    ] {
        for by in ["grpc.sock", "http.sock"] {
            let (socket, url) = (folder.join(by).display().to_string(), format!("https://{HOST}/v1/things/7"));
            // What a client sends under the proxy's name is the proxy's to replace.
            let mut arguments = vec!["--unix-socket", &socket, "-k", "-H", "X-Forwarded-Client-Cert: Cert=\"x\""];
            let files = shown.as_ref().map(|(certificate, key)| {
                [bed.folder.write("client.crt", certificate), bed.folder.write("client.key", key)]
                    .map(|path| path.display().to_string())
            });
            if let Some([certificate, key]) = &files {
                arguments.extend(["--cert", certificate, "--key", key]);
            }
            arguments.push(&url);
            let came = curl(&arguments, "");
            assert_eq!(came.status, status, "{name} {by}: {came:?}");
            assert_eq!(came.body.starts_with("reached by reporting under dec_"), status == 200, "{came:?}");
        }
    }
    let subjects: Vec<Value> = answered(&bed).iter().map(|entry| entry["asked_by"]["subject"].clone()).collect();
    assert_eq!(subjects, [json!("certificate"), json!("certificate")]);
}

/// Whose token, method and path, body, and the status over gRPC and over HTTP.
type Case<'c> = (&'c str, &'c str, &'c str, String, u16, u16);

#[test]
fn what_envoy_lets_through_is_what_policy_permits() {
    let bed = shop("pdp-envoy").also(&pdp("")).start();
    let folder = bed.folder.join("");
    let Some(_backend) = nginx(&folder, &backend(&folder.join("reached.sock")), &folder.join("reached.sock")) else {
        return;
    };
    let Some(_envoy) = envoy(&folder, &bootstrap(&bed)) else { return };
    let ask = |by: &str, token: &str, method: &str, path: &str, body: &str| -> Came {
        let (socket, url) = (folder.join(by).display().to_string(), format!("http://{HOST}{path}"));
        let bearer = format!("Authorization: Bearer {token}");
        let json = "Content-Type: application/json";
        // What a client says of itself is replaced by what was proved.
        let own = "Parapet-Workload: root";
        curl(&["--unix-socket", &socket, "-X", method, "-H", &bearer, "-H", json, "-H", own, &url], body)
    };
    let (reporting, deploy) = (bed.token("reporting"), bed.token("deploy"));
    let refund = |amount: u32| format!("{{\"amount\":{amount}}}");
    let long = format!("{{\"note\":\"{}\",\"amount\":1}}", "x".repeat(8192));
    let cases: [Case<'_>; 11] = [
        (&reporting, "GET", "/v1/things/7?x=1", String::new(), 200, 200),
        (&deploy, "DELETE", "/v1/things/7", String::new(), 200, 200),
        (&reporting, "DELETE", "/v1/things/7", String::new(), 403, 403),
        // A policy reads the body, which comes by gRPC alone; what came in part, or is not JSON, cannot be judged.
        (&deploy, "POST", "/v1/refunds", refund(100), 200, 400),
        (&deploy, "POST", "/v1/refunds", refund(101), 403, 400),
        (&deploy, "POST", "/v1/refunds", long, 400, 400),
        (&deploy, "POST", "/v1/refunds", "{\"amount\":1,\"amount\":999}".to_owned(), 400, 400),
        (&reporting, "GET", "/v1/unlisted", String::new(), 403, 403),
        (&reporting, "GET", "/v1/things/..%2f..%2fadmin", String::new(), 400, 400),
        ("stolen", "GET", "/v1/things/7", String::new(), 401, 401),
        (&deploy, "POST", "/v1/things", "{}".to_owned(), 403, 403),
    ];
    for (token, method, path, body, by_grpc, by_http) in cases {
        for (by, status) in [("grpc.sock", by_grpc), ("http.sock", by_http)] {
            let came = ask(by, token, method, path, &body);
            assert_eq!(came.status, status, "{by} {method} {path} {body}: {came:?}");
            if status == 200 {
                let who = if token == deploy { "deploy" } else { "reporting" };
                assert!(came.body.starts_with(&format!("reached by {who} under dec_")), "{came:?}");
                continue;
            }
            assert!(!came.body.contains("reached"), "{came:?}");
            let problem = came.json();
            assert_eq!(problem["status"], status, "{problem}");
            if status == 401 {
                assert_eq!(came.header("www-authenticate"), Some("Bearer realm=\"parapet\""));
            }
            if status == 403 {
                assert_eq!(came.header("parapet-decision"), problem["decision"].as_str(), "{came:?}");
            }
        }
    }
    let entries = answered(&bed);
    assert!(
        entries.iter().all(|entry| entry["asked_by"]["name"] == "tests" && entry["asked_by"]["subject"] == "token")
    );
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains("amount\\\":") && !text.contains(&reporting), "values and tokens stand in no entry");
    // Where nobody answers, nothing passes.
    let mut gateway = bed.gateway;
    gateway.kill();
    for by in ["grpc.sock", "http.sock"] {
        let (socket, url) = (folder.join(by).display().to_string(), format!("http://{HOST}/v1/things/7"));
        let came = curl(&["--unix-socket", &socket, "-H", &format!("Authorization: Bearer {reporting}"), &url], "");
        assert!(came.status == 403 || came.status >= 500, "{by}: {came:?}");
        assert!(!came.body.contains("reached"), "{came:?}");
    }
}
