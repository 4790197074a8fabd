//! What HTTP costs: masks in answers, facts of bodies, heads, endpoints, operations, GraphQL. `cargo bench -p parapet-wire --bench http`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use kernel::policy::HttpReads;
use kernel::verdict::Mask;
use kernel::workload::Name;
use parapet_wire::detect::Detector;
use parapet_wire::http::body::{self, BodyField};
use parapet_wire::http::classify::{Request, classify};
use parapet_wire::http::endpoint::{Endpoint, Endpoints, Field, Template, Unlisted};
use parapet_wire::http::graphql;
use parapet_wire::http::head::{Arrived, read_raw};
use parapet_wire::http::json_mask::{Detect, Form, JsonMasker, Masks};
use parapet_wire::http::json_path::JsonPath;
use parapet_wire::mask::MaskKey;

/// Pieces as they come from a socket.
const PIECE: usize = 16 << 10;

/// Seconds of the best of several runs.
fn best(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Nanoseconds of one of many.
fn each(name: &str, mut run: impl FnMut()) {
    const MANY: u32 = 10_000;
    let seconds = best(|| (0..MANY).for_each(|_| run()));
    println!("{name:>44} {:>8.0} ns", seconds / f64::from(MANY) * 1e9);
}

fn customers() -> Vec<u8> {
    let one = r#"{"id":"cus_8f14e45f","email":"marie.dupont@example.com","name":"Marie Dupont","address":{"city":"Lyon","street":"12 rue de la République","zip":"69001"},"created":1763731200,"balance":-1250,"tags":["gold","b2b"],"note":"Prefers to be called in the morning; nobody minds.","live":true}"#;
    let mut body = b"{\"customers\":[".to_vec();
    for place in 0..16_000 {
        body.extend(if place == 0 { &b""[..] } else { b"," });
        body.extend(one.as_bytes());
    }
    body.extend(b"]}");
    body
}

fn masking() {
    let body = customers();
    let key = Arc::new(MaskKey::new(b"a key"));
    let detector = Arc::new(Detector::new().unwrap());
    type Case<'c> = (&'c str, &'c [(&'c str, Mask)], Detect);
    let cases: [Case<'_>; 8] = [
        ("no place in it", &[("$.orders[*].email", Mask::Redact)], Detect::Off),
        ("redact one field", &[("$.customers[*].email", Mask::Redact)], Detect::Off),
        ("partial one field", &[("$.customers[*].email", Mask::Partial)], Detect::Off),
        ("hash one field", &[("$.customers[*].email", Mask::Hash)], Detect::Off),
        ("redact at any depth", &[("$..email", Mask::Redact)], Detect::Off),
        ("an object of each", &[("$.customers[*].address", Mask::Null)], Detect::Off),
        ("detectors as a signal", &[], Detect::Signal),
        ("detectors mask", &[], Detect::Mask(Mask::Partial)),
    ];
    for (name, paths, detect) in cases {
        let paths: Vec<_> = paths.iter().map(|(path, mask)| (JsonPath::parse(path).unwrap(), *mask)).collect();
        let masks = Masks::new(&paths, key.clone(), detect, Some(detector.clone()));
        let mut out = Vec::with_capacity(PIECE * 2);
        let seconds = best(|| {
            let mut masker = JsonMasker::new(masks.clone(), Form::Json);
            for piece in body.chunks(PIECE) {
                out.clear();
                masker.feed(black_box(piece), &mut out).unwrap();
            }
            masker.finish(&mut out).unwrap();
        });
        println!("{name:>44} {:>8.0} MB/s", body.len() as f64 / 1e6 / seconds);
    }
}

fn endpoints(upstream: &Name) -> Endpoints {
    let endpoint = |method: &str, path: &str| Endpoint::new(method, Template::parse(path).unwrap());
    let mut all: Vec<Endpoint> =
        (0..300).map(|place| endpoint("GET", &format!("/v1/thing{place}/{{id}}/parts/{{part}}"))).collect();
    let mut refund = endpoint("POST", "/v1/refunds/{id}");
    refund.body = vec![BodyField::parse("amount", "$.amount: integer").unwrap()];
    let mut customer = endpoint("GET", "/v1/customers/{id}");
    let field = |path: &str| Field { path: JsonPath::parse(path).unwrap(), classes: Vec::new() };
    customer.fields = vec![field("$.email"), field("$.address"), field("$.name")];
    all.extend([refund, customer]);
    Endpoints::new(upstream, all, Unlisted::Deny).unwrap()
}

fn requests() {
    let upstream: Name = "payments".parse().unwrap();
    let endpoints = endpoints(&upstream);
    let fields: [(&str, &[u8]); 6] = [
        ("host", b"payments.internal"),
        ("user-agent", b"python-httpx/0.28.1"),
        ("accept", b"application/json"),
        ("accept-encoding", b"gzip, deflate, br"),
        ("authorization", b"Bearer abcdefghijklmnopqrstuvwxyz0123456789"),
        ("content-type", b"application/json"),
    ];
    each("a head", || {
        black_box(read_raw("POST", black_box("/v1/refunds/re_17?expand=charge"), &fields, Arrived::default()));
    });
    each("an endpoint of 302", || {
        black_box(endpoints.find("GET", black_box(&["v1", "thing250", "17", "parts", "4"])));
    });
    let amount = br#"{"charge":"ch_1NirD82eZvKYlo2CIvbtLWuY","amount":2500,"currency":"eur","reason":"requested_by_customer","metadata":{"order":"6735"}}"#;
    let refund = endpoints.find("POST", &["v1", "refunds", "re_17"]).unwrap();
    each("facts of a body of 130 bytes", || {
        black_box(body::read(Some("application/json"), black_box(amount), &refund.endpoint.body)).unwrap();
    });
    for (name, method, segments) in [
        ("operations: one", "POST", ["v1", "refunds", "re_17"]),
        ("operations: four", "GET", ["v1", "customers", "17"]),
    ] {
        let matched = endpoints.find(method, &segments).unwrap();
        let reads = HttpReads::default();
        each(name, || {
            let request = Request {
                upstream: &upstream,
                method,
                host: "payments.internal",
                path: "/v1",
                matched: &matched,
                query: Default::default(),
                body: Default::default(),
                graphql: None,
                secrets: &[],
                size: None,
                content_type: Some("application/json"),
                upgrade: None,
            };
            black_box(classify(black_box(&request), &reads)).unwrap();
        });
    }
    let document = br#"{"query":"query Q($n: Int!) { customers(first: $n) { edges { node { id email orders(first: 3) { id total } } } } }","variables":{"n":20}}"#;
    each("a graphql document", || {
        black_box(graphql::read(Some("application/json"), black_box(document))).unwrap();
    });
}

fn main() {
    masking();
    requests();
}
