//! What documents select, by hazard HT09, and which are refused.

use super::{DEEPEST_DOCUMENT, GraphqlError, LARGEST_BATCH, Selection, quoting_paths, read, read_query};

fn told(selection: &Selection) -> String {
    let fields = selection.fields.iter().map(|field| {
        let answers: Vec<String> = field.answers.iter().map(|path| path.text().replace("$..data.", "")).collect();
        format!("{} {} [{}]", field.verb(), field.path, answers.join(" "))
    });
    let fields: Vec<String> = fields.collect();
    format!("{} d{} c{}: {}", selection.verb(), selection.depth, selection.cost, fields.join(", "))
}

fn post(document: &str) -> Result<String, GraphqlError> {
    let body = serde_json::json!({ "query": document }).to_string();
    read(Some("application/json"), body.as_bytes()).map(|selection| told(&selection))
}

#[test]
fn documents_select_fields() {
    let cases = [
        (
            "{ customer { email } }",
            "query d2 c2: query Query.customer [customer], query Query.customer.email [customer.email]",
        ),
        (
            "query Q($id: ID!) { customer(id: $id) { __typename email } }",
            "query d2 c3: query Query.customer [customer], query Query.customer.email [customer.email]",
        ),
        // Aliases: the real name is the resource, the alias the place.
        (
            "{ a: customer { x: email } b: customer { y: email } }",
            "query d2 c4: query Query.customer [a b], query Query.customer.email [a.x b.y]",
        ),
        ("{ id: secret }", "query d1 c1: query Query.secret [id]"),
        // Fragments.
        (
            "{ customer { ...F ... on Person { phone } ... @include(if: false) { iban } } } fragment F on Customer { email }",
            "query d2 c4: query Query.customer [customer], query Query.customer.email [customer.email], query Query.customer.phone [customer.phone], query Query.customer.iban [customer.iban]",
        ),
        (
            "{ customer { email @skip(if: true) } }",
            "query d2 c2: query Query.customer [customer], query Query.customer.email [customer.email]",
        ),
        // Costs.
        (
            "{ customers(first: 100) { orders(limit: 10) { id } } }",
            "query d3 c1101: query Query.customers [customers], query Query.customers.orders [customers.orders], query Query.customers.orders.id [customers.orders.id]",
        ),
        // What a server would take where the request says nothing, or says it inside of something.
        (
            "query Q($n: Int = 1000) { customers(first: $n) { id } }",
            "query d2 c1001: query Query.customers [customers], query Query.customers.id [customers.id]",
        ),
        (
            "{ customers(page: { size: 50, after: [{ first: 7 }] }) { id } }",
            "query d2 c51: query Query.customers [customers], query Query.customers.id [customers.id]",
        ),
        (
            "{ customers(first: -1) { id } }",
            "query d2 c18446744073709551615: query Query.customers [customers], query Query.customers.id [customers.id]",
        ),
        // Mutations: what they change, and what they answer.
        (
            "mutation { refund(id: 1) { id customer { email } } }",
            "mutation d3 c4: mutation Mutation.refund [], query Mutation.refund.id [refund.id], query Mutation.refund.customer [refund.customer], query Mutation.refund.customer.email [refund.customer.email]",
        ),
        (
            "mutation { rotate drop: destroy }",
            "mutation d1 c2: mutation Mutation.rotate [], mutation Mutation.destroy [], query Mutation.rotate [rotate], query Mutation.destroy [drop]",
        ),
        (
            "subscription { orders { id } }",
            "subscription d2 c2: subscription Subscription.orders [orders], subscription Subscription.orders.id [orders.id]",
        ),
        // Introspection is one operation.
        ("{ __schema { types { name fields { name } } } }", "query d4 c5: query Query.__schema [__schema]"),
        ("{ t: __type(name: \"Customer\") { name } }", "query d2 c2: query Query.__type [t]"),
        ("# comment {{{\n{ a(s: \"}{\\\"{\", b: \"\"\"{\\\"\"\"{\"\"\") }", "query d1 c1: query Query.a [a]"),
    ];
    for (document, expect) in cases {
        assert_eq!(post(document).as_deref(), Ok(expect), "{document}");
    }
}

#[test]
fn documents_that_are_refused() {
    use GraphqlError::{Fragment, Malformed, Operation, TooLarge, Unsupported};
    let wide: String = (0..600).map(|place| format!(" f{place}")).collect();
    let doubling: String =
        (0..20).map(|place| format!(" fragment F{place} on T {{ ...F{0} ...F{0} }}", place + 1)).collect();
    let cases = [
        ("", Unsupported),
        ("{", Malformed),
        ("{ a ", Malformed),
        ("{ a }}", Malformed),
        ("{ }", Malformed),
        ("type Query { a: Int }", Malformed),
        ("{ a } type T { a: Int }", Malformed),
        ("{ a } extend type T { a: Int }", Malformed),
        ("{ ...F }", Fragment),
        ("{ ...F } fragment F on T { ...F }", Fragment),
        ("{ ...F } fragment F on T { a { ...G } } fragment G on T { ...F }", Fragment),
        ("{ ...F } fragment F on T { a } fragment F on T { b }", Fragment),
        ("query A { a } query B { b }", Operation),
        ("query A { a } query A { b }", Operation),
        ("query A { a } { b }", Operation),
        ("fragment F on T { a }", Operation),
        ("{ a @defer { b } }", Unsupported),
        ("{ ... @defer { b } }", Unsupported),
        ("{ a @stream }", Unsupported),
        ("{ ...F @defer } fragment F on T { a }", Unsupported),
        (&format!("{{{wide} }}"), TooLarge),
        (&format!("{{ ...F0 }}{doubling} fragment F20 on T {{ a }}"), TooLarge),
        (&format!("{}a{}", "{a".repeat(100_000), "}".repeat(100_000)), TooLarge),
        (&format!("{{ a(x: {}1{}) }}", "[".repeat(5000), "]".repeat(5000)), TooLarge),
        (&format!("{{ a(x: {}1{}) }}", "{y:".repeat(5000), "}".repeat(5000)), TooLarge),
        (&format!("query ($a: {}Int{}) {{ a }}", "[".repeat(5000), "]".repeat(5000)), TooLarge),
        (&"{ a ".repeat(61), TooLarge),
        (&format!("{{ {} }}", "a,".repeat(30_000)), TooLarge),
    ];
    for (document, expect) in cases {
        let shown: String = document.chars().take(60).collect();
        assert_eq!(post(document), Err(expect), "{shown}");
    }
}

#[test]
fn envelopes() {
    use GraphqlError::{Envelope, Operation, TooLarge, Unsupported};
    let json = Some("application/json; charset=utf-8");
    let batch = format!("[{}]", vec![r#"{"query":"{a}"}"#; LARGEST_BATCH + 1].join(","));
    let ok = |text: &str| Ok(text.to_owned());
    let cases = [
        (json, r#"{"query":"query A{a} query B{b}","operationName":"B"}"#, ok("query d1 c1: query Query.b [b]")),
        (json, r#"{"query":"query A{a}","operationName":"C"}"#, Err(Operation)),
        (json, r#"{"query":"query A{a}","operationName":null,"variables":null}"#, ok("query d1 c1: query Query.a [a]")),
        (
            json,
            r#"{"query":"query($n:Int){a(first:$n){b}}","variables":{"n":50}}"#,
            ok("query d2 c51: query Query.a [a], query Query.a.b [a.b]"),
        ),
        // A batch does what its gravest does, and answers where each of them does.
        (
            json,
            r#" [{"query":"{a}"},{"query":"mutation{m{a}}"},{"query":"{x:a}"}]"#,
            ok("mutation d2 c4: mutation Mutation.m [], query Query.a [a x], query Mutation.m.a [m.a]"),
        ),
        (json, "[]", Err(Envelope)),
        (json, &batch, Err(TooLarge)),
        (json, r#"{"query":"{a}","query":"{b}"}"#, Err(Envelope)),
        (json, r#"{"query":"{a}","Query":"{b}"}"#, Err(Envelope)),
        (json, r#"{"query":"{a}","documentId":"x"}"#, Err(Envelope)),
        (json, r#"{"query":"{a}","extensions":{"persistedQuery":{"sha256Hash":"x"}}}"#, Err(Unsupported)),
        (json, r#"{"query":"{a}","extensions":{"trace":1}}"#, ok("query d1 c1: query Query.a [a]")),
        (json, r#"{"extensions":{}}"#, Err(Unsupported)),
        (json, r#"{"query":5}"#, Err(Envelope)),
        (json, "5", Err(Envelope)),
        (json, "", Err(Envelope)),
        (Some("application/graphql"), "{ a }", ok("query d1 c1: query Query.a [a]")),
        (Some("application/graphql-response+json"), r#"{"query":"{a}"}"#, ok("query d1 c1: query Query.a [a]")),
        (Some("multipart/form-data; boundary=x"), "", Err(Envelope)),
        (Some("application/json; charset=utf-16"), "{}", Err(Envelope)),
        (Some("text/plain"), r#"{"query":"{a}"}"#, Err(Envelope)),
        (None, r#"{"query":"{a}"}"#, Err(Envelope)),
    ];
    for (kind, body, expect) in cases {
        assert_eq!(read(kind, body.as_bytes()).map(|selection| told(&selection)), expect, "{body}");
    }
    let gets: [(&[(&str, &str)], _); 6] = [
        (&[("query", "{a}")], ok("query d1 c1: query Query.a [a]")),
        (
            &[("query", "query A{a} query B{b}"), ("operationName", "A"), ("variables", "{}")],
            ok("query d1 c1: query Query.a [a]"),
        ),
        (&[("query", "mutation{a}")], Err(GraphqlError::Method)),
        (&[("query", "{a}"), ("query", "{b}")], Err(Envelope)),
        (&[("query", "{a}"), ("id", "b")], Err(Envelope)),
        (&[], Err(Unsupported)),
    ];
    for (pairs, expect) in gets {
        assert_eq!(read_query(pairs.iter().copied()).map(|selection| told(&selection)), expect, "{pairs:?}");
    }
    assert_eq!(quoting_paths().len(), 3);
}

/// Fragments in fragments, each with as many inline fragments around the next as the text may nest.
#[test]
fn fragments_that_lead_on_are_bounded_together() {
    let open = "...{".repeat(DEEPEST_DOCUMENT - 2);
    let close = "}".repeat(DEEPEST_DOCUMENT - 2);
    let chain = |length: usize| {
        let mut document = String::from("{ ...F0 }");
        for place in 0..length {
            document.push_str(&format!(" fragment F{place} on T {{ {open} ...F{} {close} }}", place + 1));
        }
        document + &format!(" fragment F{length} on T {{ email }}")
    };
    assert_eq!(post(&chain(0)), Ok("query d1 c1: query Query.email [email]".to_owned()));
    assert_eq!(post(&chain(50)), Err(GraphqlError::TooLarge));
}

/// The requests of a batch share one allowance, and what they select is found without a walk over what was found before.
#[test]
fn batches_are_bounded_together() {
    let request = |place: usize| {
        let fields: String = (0..90).map(|field| format!("a{field}: b ")).collect();
        let spreads: String = (0..100).map(|spread| format!("r{place}x{spread}: q {{ ...F }} ")).collect();
        format!(r#"{{"query":"{{ {spreads} }} fragment F on T {{ {fields} }}"}}"#)
    };
    let batch = |length: usize| format!("[{}]", (0..length).map(request).collect::<Vec<_>>().join(","));
    assert!(read(Some("application/json"), batch(1).as_bytes()).is_ok());
    assert_eq!(read(Some("application/json"), batch(8).as_bytes()), Err(GraphqlError::TooLarge));
}
