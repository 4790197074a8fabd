//! A real nginx in front of an API asks by `auth_request`: what it lets through, what it tells its clients, and what a client
//! cannot pretend.

use super::bed::{Came, TOKEN, answered, backend, curl, nginx, pdp, shop};
use crate::bed::api::{ApiBed, HOST};

/// The front: every request is asked about first.
fn front(bed: &ApiBed) -> String {
    let folder = bed.folder.join("");
    format!(
        "{backend}\nserver {{ listen unix:{front};\nlocation / {{\nauth_request /ask;\n\
         auth_request_set $decision $upstream_http_parapet_decision;\nauth_request_set $workload $upstream_http_parapet_workload;\n\
         add_header Parapet-Decision $decision always;\nproxy_set_header Parapet-Decision $decision;\n\
         proxy_set_header Parapet-Workload $workload;\nproxy_pass http://unix:{reached}:;\n}}\n\
         location = /ask {{\ninternal;\nproxy_pass http://{pdp}/auth_request;\nproxy_pass_request_body off;\n\
         proxy_set_header Content-Length \"\";\nproxy_set_header Parapet-Caller {TOKEN};\n\
         proxy_set_header X-Original-Method $request_method;\nproxy_set_header X-Original-URI $request_uri;\n\
         proxy_set_header X-Original-Host $http_host;\n}}\n}}",
        backend = backend(&folder.join("reached.sock")),
        front = folder.join("front.sock").display(),
        reached = folder.join("reached.sock").display(),
        pdp = bed.gateway.listener("pdp"),
    )
}

#[test]
fn what_nginx_lets_through_is_what_policy_permits() {
    let bed = shop("pdp-nginx").also(&pdp("")).start();
    let folder = bed.folder.join("");
    let socket = folder.join("front.sock");
    let Some(_nginx) = nginx(&folder, &front(&bed), &socket) else { return };
    let ask = |token: &str, path: &str, also: &[&str]| -> Came {
        let (socket, url) = (socket.display().to_string(), format!("http://{HOST}{path}"));
        let bearer = format!("Authorization: Bearer {token}");
        let mut arguments = vec!["--unix-socket", &socket, "-H", &bearer];
        arguments.extend(also);
        arguments.push(&url);
        curl(&arguments, "")
    };
    let (reporting, deploy) = (bed.token("reporting"), bed.token("deploy"));
    for (token, path, also, status) in [
        (&*reporting, "/v1/things/7?x=1", &[][..], 200),
        (&deploy, "/v1/things/7", &["-X", "DELETE"], 200),
        (&reporting, "/v1/things/7", &["-X", "DELETE"], 403),
        (&reporting, "/v1/unlisted", &[], 403),
        // Two readers could take this for two paths.
        (&reporting, "/v1/things/..%2f..%2fadmin", &[], 403),
        (&reporting, "/v1/things/7", &["-H", "Host: elsewhere.example"], 403),
        // A policy reads the body, and nginx does not pass it on.
        (&deploy, "/v1/refunds", &["-d", "{\"amount\":1}"], 403),
        // Whom it asks for is held until somebody says yes.
        (&deploy, "/v1/things", &["-d", "{}"], 403),
        ("stolen", "/v1/things/7", &[], 401),
        // What a client adds of the headers that count makes it less, never more.
        (&reporting, "/v1/things/7", &["-H", "X-Original-URL: http://shop.internal/v1/things/8"], 403),
        (&reporting, "/v1/things/7", &["-X", "DELETE", "-H", "X-Original-Method: GET"], 403),
        ("stolen", "/v1/things/7", &["-H", "Parapet-Caller: x", "-H", "Parapet-Workload: deploy"], 401),
    ] {
        let came = ask(token, path, also);
        assert_eq!(came.status, status, "{path} {also:?}: {came:?}");
        match status {
            200 => {
                let decision = came.header("parapet-decision").unwrap();
                let who = if token == deploy { "deploy" } else { "reporting" };
                assert_eq!(came.body, format!("reached by {who} under {decision}"));
            }
            401 => assert_eq!(came.header("www-authenticate"), Some("Bearer realm=\"parapet\"")),
            _ => assert!(!came.body.contains("reached"), "{came:?}"),
        }
    }
    // A client that names itself is named by what was proved.
    let came = ask(&reporting, "/v1/things/7", &["-H", "Parapet-Workload: deploy"]);
    assert!(came.body.starts_with("reached by reporting under dec_"), "{came:?}");
    let entries = answered(&bed);
    assert!(entries.iter().all(|entry| entry["asked_by"]["subject"] == "token"), "{entries:?}");
    let approval = bed.gateway.cli(&["approvals", "list", "-o", "id"]);
    let approval = approval.out.trim();
    assert_eq!(bed.gateway.cli_as("dana@example.com", &["approvals", "approve", approval]).code, 0, "{approval}");
    assert_eq!(ask(&deploy, "/v1/things", &["-d", "{}"]).status, 200);
    assert_eq!(ask(&deploy, "/v1/things", &["-d", "{}"]).status, 403, "one use");
}
