//! The decision point's own words: what they stand for is what the upstream's configuration says.

use kernel::operation::Action;

use super::*;

/// An upstream with endpoints of several sorts, and an action in a caller's words.
fn words(action: &str) -> String {
    format!(
        "[policies]\nfolders = [\"./policies\"]\n[pdp]\nlisten = \"127.0.0.1:18003\"\ntls = \"off\"\n\
         [pdp.resources.record]\nupstream = \"records\"\nactions = {{ asked = \"{action}\" }}\n\
         [upstreams.records]\nprotocol = \"http\"\nenvironment = \"e\"\nurl = \"https://records.example\"\n\
         [upstreams.records.fields]\n\"GET /records/{{id}} $.email\" = [\"pii\"]\n\"$.key\" = [\"secret\"]\n\
         [[upstreams.records.endpoints]]\nid = \"read\"\nmethod = \"GET\"\npath = \"/records/{{id}}\"\n\
         [[upstreams.records.endpoints]]\nid = \"purge\"\nmethod = \"POST\"\npath = \"/records/{{id}}/purge\"\ngroup = \"destroy\"\n\
         [[upstreams.records.endpoints]]\nmethod = \"*\"\npath = \"/any/{{id}}\"\ngroup = \"execute\"\n\
         [[upstreams.records.endpoints]]\nmethod = \"GET\"\npath = \"/users/{{user}}\"\n\
         [[upstreams.records.endpoints]]\nmethod = \"POST\"\npath = \"/graphql\"\ngraphql = true\n"
    )
}

#[test]
fn own_words_stand_for_what_the_upstream_says() {
    for (action, expected, id, fields) in [
        ("GET /records/{id}", Action::HttpGet, Some("read"), &["$.email", "$.key"][..]),
        ("POST /records/{id}/purge", Action::HttpDestroy, Some("purge"), &["$.key"]),
        ("PUT /any/{id}", Action::HttpExecute, None, &["$.key"]),
        // What no endpoint names keeps the method's action.
        ("DELETE /records/{id}", Action::HttpDelete, None, &["$.key"]),
        ("PUT /elsewhere", Action::HttpPut, None, &["$.key"]),
    ] {
        let configuration = load(Sources::text("parapet.toml", folder(), &words(action))).unwrap();
        let settings = &configuration.pdp.as_ref().unwrap().settings;
        let endpoint = &settings.types["record"].actions["asked"];
        assert_eq!((endpoint.action, endpoint.operation.as_deref()), (expected, id), "{action}");
        let names: Vec<&str> = endpoint.fields.iter().map(|field| field.name()).collect();
        assert_eq!(names, fields, "{action}");
    }
    for action in ["GET /users/{id}", "POST /graphql", "GET /records/{id", "GET /a//b"] {
        assert_eq!(codes(&words(action)), ["PAR0405"], "{action}");
    }
}
