//! Tasks by the admin API, and the token endpoint: who may, what is refused for its form, and what callers are told.

use std::net::SocketAddr;

use kernel::id::TaskId;
use kernel::ports::{NewTask, TaskRecords as _};
use kernel::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::parts::{TaskAsked, TaskGiven};
use crate::token_endpoint::{Caller, ExchangeGiven, Refusal, TokenEndpoint, TokenEndpointParts};

/// What the wiring would do, without a signature.
pub(super) async fn issue(tasks: &Tasks, asked: TaskAsked) -> Result<TaskGiven, String> {
    if asked.details.goal.as_deref() == Some("beyond") {
        return Err("no policy could permit that".to_owned());
    }
    let id = TaskId::new(START, u64::try_from(tasks.list().len()).unwrap());
    let task = NewTask {
        id,
        workload: asked.workload.clone(),
        issued_at: START,
        issued_by: Some(asked.person.clone()),
        expires_at: START.after(asked.life),
        chain: vec![asked.person.0.clone(), asked.workload.as_str().into()],
        details: asked.details,
        bound: asked.jkt.is_some(),
    };
    tasks.add(&task).await.map_err(|error| error.to_string())?;
    Ok(TaskGiven { task: id, token: Secret::new(format!("token of {id}")) })
}

fn wanted(goal: &str) -> Value {
    json!({
        "reason": "a test",
        "life_ms": 900_000,
        "authorization_details": [{ "type": "parapet_task", "locations": ["shop-db"], "actions": ["read"], "goal": goal }],
    })
}

#[tokio::test]
async fn owners_and_administrators_issue_and_end_tasks() {
    let house = house().await;
    let path = "/v1/workloads/triage/tasks";
    let (status, given) = house.call("mara", "POST", path, wanted("look")).await;
    assert_eq!((status, &given["workload"], &given["state"]), (200, &json!("triage"), &json!("active")), "{given}");
    assert!(given["token"].as_str().unwrap().starts_with("token of tsk_"));
    assert_eq!(given["chain"], json!(["mara@example.com", "triage"]));
    // Neither another's owner nor a stranger.
    for who in ["bob", "eve"] {
        assert_eq!(house.call(who, "POST", path, wanted("look")).await.0, 403, "{who}");
    }
    let (_, second) = house.call("ann", "POST", path, wanted("again")).await;
    let (_, beyond) = house.call("ann", "POST", path, wanted("beyond")).await;
    assert_eq!(beyond["code"], "PAR0331", "{beyond}");
    for (member, to) in [
        ("authorization_details", json!([{ "type": "other" }])),
        ("jkt", json!("short")),
        ("reason", json!("")),
        ("goal", json!("x")),
    ] {
        let mut wrong = wanted("look");
        wrong[member] = to;
        assert_eq!(house.call("ann", "POST", path, wrong).await.0, 400, "{member}");
    }
    let listed = |who: &'static str| {
        let house = &house;
        async move { house.get(who, "/v1/tasks").await.1["items"].as_array().unwrap().len() }
    };
    assert_eq!((listed("ann").await, listed("mara").await, listed("bob").await), (2, 2, 0));
    let id = given["id"].as_str().unwrap().to_owned();
    let (_, shown) = house.get("mara", &format!("/v1/tasks/{id}")).await;
    assert_eq!((&shown["goal"], &shown["token"]), (&json!("look"), &Value::Null));
    assert_eq!(house.get("bob", &format!("/v1/tasks/{id}")).await.0, 404);
    assert_eq!(house.get("ann", "/v1/tasks/last").await.1["id"], second["id"]);
    let revoke = format!("/v1/tasks/{id}/revoke");
    let reason = json!({ "reason": "over" });
    assert_eq!(house.call("bob", "POST", &revoke, reason.clone()).await.0, 404);
    assert_eq!(house.call("mara", "POST", &revoke, reason.clone()).await.1["state"], "revoked");
    assert_eq!(house.call("mara", "POST", &revoke, reason).await.0, 404);
    let entered = house.entered().await;
    assert!(entered.contains(&"mara@example.com tasks issue triage a test".to_owned()), "{entered:?}");
    assert!(entered.contains(&format!("mara@example.com tasks revoke {id} over")), "{entered:?}");
    assert!(!entered.concat().contains("token of"), "{entered:?}");
}

fn endpoint() -> TokenEndpoint {
    let (_, people) = watch::channel(Arc::new(People::default()));
    TokenEndpoint::new(TokenEndpointParts {
        issuer: "https://parapet.example".to_owned(),
        url: "http://127.0.0.1:1".to_owned(),
        exchange: Arc::new(|asked| {
            Box::pin(async move {
                match asked.subject.expose().as_str() {
                    "good" => Ok(ExchangeGiven {
                        token: Secret::new("minted".to_owned()),
                        dpop: asked.key.is_some(),
                        life: Duration::from_secs(900),
                        details: asked.details.map(|details| details.value()).unwrap_or_default(),
                    }),
                    _ => Err(Refusal {
                        code: "invalid_request",
                        told: "what was shown is not accepted".to_owned(),
                        decision: Some("dec_1".to_owned()),
                    }),
                }
            })
        }),
        prove: Arc::new(|shown| {
            Box::pin(async move {
                let refused = |code| Refusal { code, told: "no".to_owned(), decision: None };
                match (shown.proof.as_str(), shown.place.as_str()) {
                    ("proof", "http://127.0.0.1:1/token") => Ok("thumb".to_owned()),
                    ("stale", _) => Err(refused("use_dpop_nonce")),
                    _ => Err(refused("invalid_dpop_proof")),
                }
            })
        }),
        nonce: Arc::new(|| "nonce-1".to_owned()),
        introspect: Arc::new(|token| json!({ "active": token == "good" })),
        is_workload: Arc::new(|token, _, key| token == "workload" && key.is_none()),
        end: Arc::new(|token, _, _| {
            Box::pin(async move {
                match token.expose().as_str() {
                    "narrowed" => {
                        Err(Refusal { code: "unsupported_token_type", told: "no".to_owned(), decision: None })
                    }
                    _ => Ok(()),
                }
            })
        }),
        jwks: Arc::new(|| json!({ "keys": [] })),
        people,
        clock: Arc::new(StoppedClock::at(START)),
    })
}

/// One request on a connection of its own: status, headers as text, and the body.
async fn ask(endpoint: &TokenEndpoint, head: &str, body: &str) -> (u16, String, Value) {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let caller = Caller { address: SocketAddr::from(([127, 0, 0, 1], 9)), certificate: None };
    let request = format!("{head}Host: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let asking = async {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(endpoint.clone().serve(server, caller), asking);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=good\
    &subject_token_type=urn:ietf:params:oauth:token-type:jwt";

#[tokio::test]
async fn exchanges_are_asked_for_in_one_form() {
    let endpoint = endpoint();
    let task = "&authorization_details=%5B%7B%22type%22%3A%22parapet_task%22%2C%22goal%22%3A%22look+at+it%22%7D%5D";
    let post = format!("POST /token HTTP/1.1\r\n{FORM}");
    let (status, head, given) =
        ask(&endpoint, &post, &format!("{EXCHANGE}{task}&audience=shop-db&audience=other-db")).await;
    assert_eq!(
        (status, &given["access_token"], &given["token_type"]),
        (200, &json!("minted"), &json!("Bearer")),
        "{given}"
    );
    assert_eq!(given["authorization_details"][0]["goal"], "look at it");
    assert_eq!(given["expires_in"], 900);
    assert!(head.contains("cache-control: no-store"), "{head}");
    let proved = format!("{post}DPoP: proof\r\n");
    let (_, head, given) = ask(&endpoint, &proved, EXCHANGE).await;
    assert_eq!(given["token_type"], "DPoP");
    assert!(head.contains("dpop-nonce: nonce-1"), "{head}");
    for (what, head, body, code) in [
        ("a wrong token", post.clone(), EXCHANGE.replace("good", "bad"), "invalid_request"),
        ("no grant", post.clone(), EXCHANGE.replace("grant_type", "grant"), "invalid_request"),
        ("another grant", post.clone(), EXCHANGE.replace("token-exchange", "jwt-bearer"), "unsupported_grant_type"),
        ("no subject", post.clone(), EXCHANGE.replace("subject_token=", "subject="), "invalid_request"),
        ("a SAML assertion", post.clone(), EXCHANGE.replace(":jwt", ":saml2"), "invalid_request"),
        ("a parameter twice", post.clone(), format!("{EXCHANGE}&subject_token=good"), "invalid_request"),
        ("an actor without its type", post.clone(), format!("{EXCHANGE}&actor_token=good"), "invalid_request"),
        ("a scope", post.clone(), format!("{EXCHANGE}&scope=all"), "invalid_scope"),
        (
            "another type",
            post.clone(),
            format!("{EXCHANGE}{}", task.replace("parapet_task", "payment")),
            "invalid_authorization_details",
        ),
        ("no upstream's name", post.clone(), format!("{EXCHANGE}&audience=https%3A%2F%2Felse"), "invalid_target"),
        ("half a byte", post.clone(), format!("{EXCHANGE}&x=%4"), "invalid_request"),
        (
            "JSON",
            "POST /token HTTP/1.1\r\nContent-Type: application/json\r\n".to_owned(),
            "{}".to_owned(),
            "invalid_request",
        ),
        ("a web page", format!("{post}Origin: https://evil.example\r\n"), EXCHANGE.to_owned(), "invalid_request"),
        ("an old proof", format!("{post}DPoP: stale\r\n"), EXCHANGE.to_owned(), "use_dpop_nonce"),
        ("a bad proof", format!("{post}DPoP: other\r\n"), EXCHANGE.to_owned(), "invalid_dpop_proof"),
        ("two proofs", format!("{post}DPoP: proof\r\nDPoP: proof\r\n"), EXCHANGE.to_owned(), "invalid_dpop_proof"),
    ] {
        let (status, head, told) = ask(&endpoint, &head, &body).await;
        assert_eq!((status, told["error"].as_str()), (400, Some(code)), "{what}: {told}");
        assert_eq!(told["status"], 400, "{what}");
        assert!(told["access_token"].is_null() && head.contains("no-store"), "{what}");
        assert!(!told.to_string().contains("good"), "{what}: {told}");
    }
}

#[tokio::test]
async fn keys_metadata_introspection_and_revocation() {
    let endpoint = endpoint();
    let (status, _, metadata) = ask(&endpoint, "GET /.well-known/oauth-authorization-server HTTP/1.1\r\n", "").await;
    assert_eq!((status, &metadata["issuer"]), (200, &json!("https://parapet.example")));
    assert_eq!(metadata["authorization_details_types_supported"], json!(["parapet_task"]));
    assert_eq!(ask(&endpoint, "GET /jwks HTTP/1.1\r\n", "").await.2, json!({ "keys": [] }));
    let introspect = |credential: &str| format!("POST /introspect HTTP/1.1\r\n{FORM}Authorization: {credential}\r\n");
    for (credential, body, status, active) in [
        ("Bearer workload", "token=good", 200, Some(true)),
        ("Bearer workload", "token=bad", 200, Some(false)),
        ("Bearer stranger", "token=good", 401, None),
        ("DPoP workload", "token=good", 401, None),
        ("Basic d29ya2xvYWQ=", "token=good", 401, None),
        ("Bearer workload", "", 400, None),
    ] {
        let (found, _, told) = ask(&endpoint, &introspect(credential), body).await;
        assert_eq!((found, told["active"].as_bool()), (status, active), "{credential} {body}: {told}");
    }
    let revoke = format!("POST /revoke HTTP/1.1\r\n{FORM}");
    assert_eq!(ask(&endpoint, &revoke, "token=good&token_type_hint=access_token").await.0, 200);
    assert_eq!(ask(&endpoint, &revoke, "token=narrowed").await.2["error"], "unsupported_token_type");
    // Nothing of the admin API is here.
    for path in ["/v1/status", "/v1/tasks", "/"] {
        assert_eq!(ask(&endpoint, &format!("GET {path} HTTP/1.1\r\n"), "").await.0, 404, "{path}");
    }
    assert_eq!(ask(&endpoint, "GET /token HTTP/1.1\r\n", "").await.0, 405);
}

#[tokio::test]
async fn an_address_calls_so_often_and_no_more() {
    let endpoint = endpoint();
    let post = format!("POST /token HTTP/1.1\r\n{FORM}");
    for _ in 0..600 {
        assert_eq!(ask(&endpoint, &post, EXCHANGE).await.0, 200);
    }
    let (status, _, told) = ask(&endpoint, &post, EXCHANGE).await;
    assert_eq!((status, told["error"].as_str()), (429, Some("slow_down")));
}
