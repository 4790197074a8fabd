//! What the inputs of each fuzz target grow from: a few that are in order.

/// Of a client's side (`>`) or a server's (`<`) of captured sessions, each part as it was sent.
fn captured(side: u8) -> Vec<Vec<u8>> {
    let captures: [&[u8]; 3] = [
        include_bytes!("../postgres/testdata/psql-15-simple.bin"),
        include_bytes!("../postgres/testdata/pgbench-15-extended.bin"),
        include_bytes!("../postgres/testdata/pgbench-15-pipeline.bin"),
    ];
    let mut parts = Vec::new();
    for mut capture in captures {
        while let Some(from) = capture.split_off_first() {
            let length = u32::from_be_bytes(*capture.split_off(..4).unwrap().first_chunk().unwrap());
            let part = capture.split_off(..length as usize).unwrap();
            if *from == side {
                parts.push(part.to_vec());
            }
        }
    }
    parts
}

/// A frame of a WebSocket with a short payload; masked, by a key of zeros, or not.
fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut out = vec![first, payload.len() as u8 | if masked { 0x80 } else { 0 }];
    if masked {
        out.extend([0; 4]);
    }
    out.extend_from_slice(payload);
    out
}

/// Where to cut, whose side (1 is the client's) and what is done, and frames.
fn frames(how: u8, all: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = vec![5, how];
    all.iter().for_each(|(first, payload)| out.extend(frame(*first, payload, how & 1 == 1)));
    out
}

const FRAMING: [&str; 6] = [
    "GET / HTTP/1.1\r\nhost: a\r\n\r\nHEAD /b?c=d HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\n\r\n",
    "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA;n=v\r\n0123456789\r\n0\r\nx-t: y\r\n\r\n",
    "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x01\x02",
    "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
    "PUT /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
];

const HEADS: [&str; 5] = [
    "GET\n/v1/customers/7?fields=a,b&x=%20\nhost: a\naccept: text/html,application/json;q=0.9",
    "POST\nhttp://a.example:8080/%7Euser/../b/./c;d\nhost: a.example:8080\ncontent-type: application/json\nprefer: wait=5, respond-async",
    "DELETE\n/a//b%2Fc\nhost: [::1]:80\nauthorization: Bearer abc\nx-forwarded-for: 10.0.0.1\nconnection: x-a, close\nx-a: b",
    "OPTIONS\n*\nhost: a",
    "PATCH\n/caf%C3%A9?_method=PUT\nhost: a\ncookie: a=b\nauthorization: DPoP x\ndpop: y\nparapet-approval: apr_x",
];

const MASKED: [&str; 5] = [
    "\x05\x00{\"a\":\"canary\",\"b\":{\"c\":1.5e3,\"d\":[true,null,{}]},\"e\":[{\"a\":[1,2]}]}\n{\"b\":[1,\"x\"]}\n",
    "\x09\x00[{\"\\u0061\":\"can\\u00e9\\ud83d\\ude00\"},-0,1E+2,\"\\\"\\\\\"]",
    "\x07\x01event: x\ndata: {\"a\":\"canary\",\ndata: \"b\":{\"c\":2}}\n\ndata: [DONE]\n\nid: 7\nretry: 3\n: said\n\n",
    "\x03\x01\u{feff}data:{\"a\":1}\r\n\r\ndata: \"a\"\r\rdata\n\n",
    "\x00\x00\x1e{\"a\":false}\n",
];

const BODIES: [&str; 4] = [
    "\x00\x07{\"a\":\"12\",\"b\":{\"c\":10.25,\"d\":[{\"_method\":1}]},\"caf\\u00e9\":null,\"e\":[1,-2e3,true]}",
    "\x01\x03a=1&b=%41+c&_metho=PUT&d",
    "\x02\x09--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\ncontent-disposition: form-data; name=\"f\"; \
     filename=\"x.txt\"\r\ncontent-type: text/plain\r\n\r\nxyz\r\n--b--\r\n",
    "\x00\x02{\"_method\":\"DELETE\"}",
];

const DOCUMENTS: [&str; 4] = [
    "query Q($n: Int = 3) { customer(id: \"7\") { email ...F @include(if: true) orders(first: $n) { nodes { id } } } } fragment F on Customer { name }",
    "mutation { a: refund(input: {amount: 5, list: [1, 2.5, null], kind: FULL}) { ok } b: refund { ok } }",
    "subscription { x(text: \"\"\"a\n\"b\" \"\"\") { y } } # said",
    "{ __schema { types { name } } __typename }",
];

const OPENAPI: [&str; 2] = [
    "openapi: 3.1.0\ninfo: {title: T, version: \"1\"}\npaths:\n  /v1/{id}:\n    parameters: [{name: id, in: path, required: true}]\n    get:\n      \
     operationId: one\n      responses:\n        \"200\":\n          content:\n            application/json:\n              schema: {$ref: \"#/components/schemas/A\"}\n\
     components:\n  schemas:\n    A: {type: object, properties: {email: {type: string, x-parapet-classes: [pii]}, next: {$ref: \"#/components/schemas/A\"}}}\n",
    "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"T\",\"version\":\"1\"},\"paths\":{\"/a\":{\"post\":{\"requestBody\":{\"content\":{\"application/json\":\
     {\"schema\":{\"allOf\":[{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}]}}}},\"responses\":{}}}}}",
];

const DETECTED: [&str; 2] = [
    "mail ada@example.com, card 4111 1111 1111 1111, iban DE89370400440532013000, ssn 078-05-1120, +49 30 1234567",
    "AKIAIOSFODNN7EXAMPLE ghp_16C7e42F292c6912E7710c838347Ae178B4a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc 10.0.0.1",
];

const STATEMENTS: [&str; 8] = [
    "SELECT ssn, id + 1 AS n FROM users WHERE id = 7 AND ssn LIKE 'a%' ORDER BY 1 LIMIT 3",
    "WITH a AS (SELECT * FROM v) SELECT upper(s), count(*) FROM a JOIN public.users u ON u.ssn = a.s GROUP BY 1 HAVING count(*) > 2",
    "INSERT INTO users (id, ssn) VALUES (1, $1), (2, DEFAULT) ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn RETURNING *",
    "UPDATE users SET ssn = (SELECT s FROM v LIMIT 1) WHERE id IN (1, 2); DELETE FROM users USING v WHERE s = ssn",
    "CREATE TABLE t AS SELECT row_to_json(users) FROM users; DROP TABLE t CASCADE",
    "BEGIN; SET LOCAL search_path = public; COPY users TO STDOUT WITH (FORMAT csv); COMMIT",
    "DO $$ BEGIN PERFORM pg_sleep(1); END $$; EXPLAIN ANALYZE SELECT 1; GRANT SELECT ON users TO PUBLIC",
    "SELECT E'\\'a', U&'\\0041', $t$x$t$, '1'::int, CASE WHEN id > 1 THEN ssn END, ARRAY[1, 2][1] FROM ONLY users /* c */ -- d",
];

fn texts<const N: usize>(all: [&str; N]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Two texts, the first with its length before it.
fn pairs() -> Vec<Vec<u8>> {
    STATEMENTS
        .windows(2)
        .chain([["SELECT 1 WHERE 'a' = 'b'", "SELECT 2 WHERE 'c' = 'd'"].as_slice()])
        .map(|pair| {
            let mut out = vec![u8::try_from(pair[0].len()).unwrap()];
            out.extend(pair.concat().into_bytes());
            out
        })
        .collect()
}

/// Messages that are forwarded and the answers to them: a tag, the length of a body, the body.
fn replies() -> Vec<Vec<u8>> {
    vec![
        [&[128, 0][..], b"T\0", b"D\0", b"C\x09SELECT 1\0", b"Z\x01I"].concat(),
        [&[129, 0, 130, 0, 133, 0, 135, 0][..], b"1\0", b"2\0", b"D\0", b"C\x09SELECT 1\0", b"Z\x01T"].concat(),
        [&[137, 0, 130, 0, 135, 0][..], b"E\x08SERROR\0\0", b"Z\x01E"].concat(),
        [&[128, 0][..], b"G\x03\0\0\0", &[1, 0], b"C\x07COPY 0\0", b"Z\x01I"].concat(),
    ]
}

/// The seeds of a target.
pub(super) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "detect" => texts(DETECTED),
        "http_body" => texts(BODIES),
        "http_framing" => texts(FRAMING),
        "http_graphql" => texts(DOCUMENTS),
        "http_head" => texts(HEADS),
        "http_json_mask" => texts(MASKED),
        "http_openapi" => texts(OPENAPI),
        "http_websocket" => vec![
            frames(
                1,
                &[(0x81, b"{\"a\":1}"), (0x89, b"ping"), (0x02, b"\x00\xff"), (0x80, b"rest"), (0x88, b"\x03\xe8bye")],
            ),
            frames(0, &[(0x01, "caf\u{e9} \u{1f600}".as_bytes()), (0x8a, b""), (0x80, b"x"), (0x88, b"")]),
            // Masked; with messages of bytes; searched.
            frames(
                2,
                &[
                    (0x81, b"{\"a\":\"canary\",\"b\":[{\"a\":1}]}"),
                    (0x8a, b"pong"),
                    (0x01, b"[{\"a\""),
                    (0x80, b":{}}]"),
                ],
            ),
            frames(4, &[(0x82, b"\x00\x01"), (0x01, b"{\"a\":tr"), (0x89, b""), (0x80, b"ue}"), (0x88, b"\x03\xe8")]),
            frames(
                7,
                &[
                    (0x81, b"{\"a\":\"[redacted]\"}"),
                    (0x81, b"{\"b\":\"[redacted]\"}"),
                    (0x01, b"no"),
                    (0x80, b" json"),
                ],
            ),
            // Longer lengths than the payload needs, and some that none has.
            [&[9, 0, 0x82, 126, 0, 200][..], &[7; 200]].concat(),
            vec![1, 1, 0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5, 6],
        ],
        "postgres_backend" => captured(b'<'),
        "postgres_frontend" => captured(b'>'),
        "postgres_replies" => replies(),
        "postgres_startup" => captured(b'>'),
        "sql_analysis" => texts(STATEMENTS),
        "sql_templates" => pairs(),
        other => panic!("{other} has no seeds"),
    }
}
