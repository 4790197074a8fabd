//! Who asks, over real connections: callers that prove themselves by their own certificate, and addresses that prove nobody. And what a
//! caller's own words mean where the upstream's configuration knows the endpoint.

use serde_json::{Value, json};

use super::bed::{Came, answered, curl, pdp, post};
use crate::bed::api::{Api, ApiBed};
use crate::bed::authority;

/// A certificate of this authority for clients, in PEM, with its key.
fn client(by: &rcgen::Issuer<'_, rcgen::KeyPair>, name: &str) -> [String; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    [params.signed_by(&key, by).unwrap().pem(), key.serialize_pem()]
}

/// An authority, and what it signs with.
fn issuer(name: &str) -> (String, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, rcgen::Issuer::new(params, key))
}

struct Asker<'b> {
    bed: &'b ApiBed,
    ca: String,
}

impl Asker<'_> {
    /// Asks whether `deploy` may read, showing these files.
    fn ask(&self, shown: &[String], also: &[&str]) -> Came {
        let asked = json!({
            "subject": { "type": "workload", "id": "deploy" }, "action": { "name": "http:GET" },
            "resource": { "type": "Endpoint", "id": "shop/v1/things/{id}" },
            "context": { "http": { "method": "GET", "template": "/v1/things/{id}" } },
        });
        let at = self.bed.gateway.listener("pdp");
        let to = format!("localhost:{}:127.0.0.1", at.port());
        let url = format!("https://localhost:{}/access/v1/evaluation", at.port());
        let mut arguments = vec!["--cacert", &self.ca, "--resolve", &to, "-H", "Content-Type: application/json"];
        if let [certificate, key] = shown {
            arguments.extend(["--cert", certificate, "--key", key]);
        }
        arguments.extend(also);
        arguments.push(&url);
        curl(&arguments, &asked.to_string())
    }
}

#[test]
fn callers_prove_themselves_by_their_certificate() {
    let api = super::bed::shop("pdp-mtls");
    let ca = authority::issue(&api.folder, &["localhost"]).display().to_string();
    let [server, key] = ["server.crt", "server.key"].map(|name| api.folder.join(name).display().to_string());
    let ((ours, by), (_, others)) = (issuer("the callers' authority"), issuer("somebody's authority"));
    let clients = api.folder.write("clients.pem", &ours).display().to_string();
    let tls = format!("tls = {{ certificate = {server:?}, key = \"file://{key}\", client_ca = {clients:?} }}");
    let table = pdp(
        "\n[pdp.callers.mesh]\nworkload = \"reporting\"\nmay = [\"evaluate\"]\n\n[[trust]]\nworkload = \"reporting\"\n\
                     issuer = \"certificate\"\nclaims = { \"san:dns\" = \"mesh.example\" }\n",
    );
    let bed = api.also(&table.replace("tls = \"off\"", &tls)).start();
    let files = |name: &str, pair: [String; 2]| {
        let [certificate, key] = pair;
        [bed.folder.write(&format!("{name}.crt"), &certificate), bed.folder.write(&format!("{name}.key"), &key)]
            .map(|path| path.display().to_string())
    };
    let asker = Asker { bed: &bed, ca };
    let mesh = files("mesh", client(&by, "mesh.example"));
    let answer = asker.ask(&mesh, &[]);
    assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!(true)), "{answer:?}");
    // A trusted authority's certificate for somebody else, none, and a token that is none.
    assert_eq!(asker.ask(&files("stranger", client(&by, "stranger.example")), &[]).status, 401);
    assert_eq!(asker.ask(&[], &[]).status, 401);
    assert_eq!(asker.ask(&mesh, &["-H", "Authorization: Bearer wrong"]).status, 401);
    // Its certificate is its own, and gives it no more than it may.
    let at = format!("https://localhost:{}/access/v1/search/subject", bed.gateway.listener("pdp").port());
    let to = format!("localhost:{}:127.0.0.1", bed.gateway.listener("pdp").port());
    let mut search = vec!["--cacert", &*asker.ca, "--resolve", &to, "--cert", &mesh[0], "--key", &mesh[1]];
    search.extend(["-H", "Content-Type: application/json", &at]);
    assert_eq!(curl(&search, "{}").status, 403);
    let entries = answered(&bed);
    assert_eq!((entries.len(), &entries[0]["asked_by"]["name"]), (1, &json!("mesh")));
    // A certificate of another authority does not get through the handshake.
    let foreign = files("foreign", client(&others, "mesh.example"));
    let at = format!("https://localhost:{}/access/v1/evaluation", bed.gateway.listener("pdp").port());
    let mut command = std::process::Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", &asker.ca, "--resolve", &to]);
    let refused = command.args(["--cert", &foreign[0], "--key", &foreign[1], "-d", "{}", &at]).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
}

/// The gateway's endpoint is in the group `destroy`, has an id, and its answers a classed field: the caller's word `purge` is that.
#[test]
fn own_words_are_the_endpoints_of_the_configuration() {
    let endpoints = "unlisted = \"deny\"\n[upstreams.records.fields]\n\"GET /records/{id} $.email\" = [\"pii\"]\n\
                     [[upstreams.records.endpoints]]\nid = \"show\"\nmethod = \"GET\"\npath = \"/records/{id}\"\n\
                     [[upstreams.records.endpoints]]\nid = \"purge\"\nmethod = \"POST\"\npath = \"/records/{id}/purge\"\ngroup = \"destroy\"\n";
    let words = "\n[pdp.resources.record]\nupstream = \"records\"\n\
                 actions = { show = \"GET /records/{id}\", purge = \"POST /records/{id}/purge\" }\n";
    let policies = "\n@id(\"writers\") permit (principal, action in Action::\"write\", resource in Upstream::\"records\");\n\
                    @id(\"deploy-purges\") permit (principal == Workload::\"deploy\", action in Action::\"destroy\", resource in Upstream::\"records\");\n";
    let api = Api::new("pdp-own-words").upstream("records", "http://127.0.0.1:9", endpoints);
    let bed = api.policies(policies).also(&pdp(words)).start();
    let ask = |who: &str, action: &str, context: Value| {
        let asked = json!({
            "subject": { "type": "user", "id": who }, "action": { "name": action },
            "resource": { "type": "record", "id": "7" }, "context": context,
        });
        post(&bed, "/access/v1/evaluation", &asked).json()
    };
    // As the gateway would: a permit to write is none to destroy.
    assert_eq!(ask("reporting", "purge", json!({}))["context"]["reason"], "no_permit");
    assert_eq!(ask("deploy", "purge", json!({}))["decision"], true);
    // What would have to be masked is told as an obligation, and binds whoever does not promise to.
    let shown = ask("reporting", "show", json!({}));
    let obligation = &shown["context"]["obligations"][0];
    assert_eq!(
        (&shown["decision"], &shown["context"]["reason"]),
        (&json!(false), &json!("unmet_obligations")),
        "{shown}"
    );
    assert_eq!(
        (&obligation["action"], &obligation["mask"], &obligation["paths"]),
        (&json!("mask"), &json!("redact"), &json!(["records/records/{id} $.email"])),
        "{shown}"
    );
    assert_eq!(ask("reporting", "show", json!({ "obligations_supported": ["custom"] }))["decision"], true);
    assert_eq!(ask("auditor", "show", json!({}))["decision"], true, "pii readers see it");
    let entries = answered(&bed);
    assert_eq!(entries[0]["operations"][0]["action"], "http:destroy");
    assert_eq!(entries[2]["operations"][0]["facts"]["http"]["operation"], "show");
}
