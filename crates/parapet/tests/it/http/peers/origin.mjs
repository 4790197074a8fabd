// A real upstream of HTTP/1.1 and HTTP/2: Node's own servers, in clear on one port and over TLS (ALPN h2, http/1.1) on another.
//
//   node origin.mjs FOLDER        FOLDER holds server.crt and server.key, and the files that /files/ serves
//
// Says `{"http": PORT, "https": PORT}` when it listens, and then a line of JSON for each request whose head came.
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import path from "node:path";
import zlib from "node:zlib";

const folder = process.argv[2];
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const waiting = new Map();

// Waits until GET /release/NAME came: a test makes the order of events, no clock does.
const released = (name) => new Promise((resolve) => (waiting.get(name) === true ? resolve() : waiting.set(name, resolve)));

const customer = (number, secret) => ({
  id: number,
  name: `Customer ${number}`,
  email: `${secret}-${number}@canary.example`,
  card: `4000${String(number).padStart(12, "0")}`,
  address: { city: "Delft", phone: `+31-${secret}-${number}` },
  tags: ["a", "b"],
});

function customers(url) {
  const many = Number(url.searchParams.get("n") ?? 3);
  const secret = url.searchParams.get("secret") ?? "none";
  return { customers: Array.from({ length: many }, (_, number) => customer(number, secret)), next: null };
}

function encode(response, encoding) {
  const coders = { gzip: zlib.createGzip, deflate: zlib.createDeflate, br: zlib.createBrotliCompress };
  if (!coders[encoding]) return response;
  response.setHeader("content-encoding", encoding);
  const coder = coders[encoding]();
  coder.pipe(response);
  return coder;
}

function json(response, status, value, headers = {}) {
  const text = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers });
  response.end(text);
}

// What came, told back: the head as it was seen here, and the length and digest of the body.
function echo(request, response) {
  const digest = createHash("sha256");
  let length = 0;
  let text = "";
  request.on("data", (chunk) => {
    digest.update(chunk);
    length += chunk.length;
    if (text.length < 4096) text += chunk.toString("latin1");
  });
  request.on("end", () =>
    json(response, 200, {
      method: request.method,
      path: request.url,
      version: request.httpVersion,
      headers: request.rawHeaders?.length ? pairs(request.rawHeaders) : Object.entries(request.headers),
      trailers: request.trailers,
      length,
      sha256: digest.digest("hex"),
      body: length <= 4096 ? text : null,
    }),
  );
}

const pairs = (flat) => flat.flatMap((_, at) => (at % 2 ? [] : [[flat[at].toLowerCase(), flat[at + 1]]]));

// So many bytes of JSON, with a canary in each record, as fast as they are taken.
function big(url, response) {
  const bytes = Number(url.searchParams.get("bytes"));
  const secret = url.searchParams.get("secret") ?? "none";
  const type = url.searchParams.get("type") ?? "application/json";
  response.writeHead(200, { "content-type": type });
  let number = 0;
  let sent = response.write('{"customers":[') ? 14 : 14;
  const record = Buffer.from(Array.from({ length: 300 }, () => JSON.stringify(customer(7, secret))).join(","));
  const more = () => {
    while (sent < bytes) {
      const block = number++ ? Buffer.concat([Buffer.from(","), record]) : record;
      sent += block.length;
      if (!response.write(block)) return response.once("drain", more);
    }
    response.end('],"next":null}');
  };
  more();
}

async function events(url, response) {
  const name = url.searchParams.get("name");
  const secret = url.searchParams.get("secret") ?? "none";
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  for (let number = 0; number < 3; number++) {
    response.write(`id: ${number}\nevent: customer\ndata: ${JSON.stringify({ customers: [customer(number, secret)] })}\n\n`);
    if (number < 2) await released(`${name}-${number}`);
  }
  response.end();
}

// What came, told back as APIs do that repeat it: the head, in JSON of several makers, HTML, pieces, events or a coding.
async function shown(how, request, response) {
  const text = JSON.stringify({ path: request.url, headers: request.headers });
  const escaped = { "+": "\\u002B", "=": "\\u003d", "/": "\\/" };
  const html = { "+": "&#43;", "=": "&#x3D;", "/": "&#x2F;", '"': "&quot;" };
  const told = { escaped: text.replace(/[+=/]/g, (one) => escaped[one]), html: text.replace(/[+=/"]/g, (one) => html[one]) }[how] ?? text;
  response.setHeader("content-type", how === "html" ? "text/html" : how === "events" ? "text/event-stream" : "application/json");
  if (how === "pieces" || how === "events") {
    const body = how === "events" ? `data: ${told}\n\n` : told;
    response.writeHead(200, { trailer: "x-shown" });
    for (let at = 0; at < body.length; at += 7) await new Promise((resolve) => response.write(body.slice(at, at + 7), resolve));
    response.addTrailers({ "x-shown": request.headers.authorization ?? "nothing" });
    return response.end();
  }
  encode(response, how).end(told);
}

function trailers(response) {
  response.writeHead(200, { "content-type": "text/plain", trailer: "x-sum" });
  response.write("part one, ");
  response.write("part two");
  response.addTrailers({ "x-sum": "2" });
  response.end();
}

function file(url, response) {
  const name = path.basename(url.pathname);
  const place = path.join(folder, "files", name);
  const encoding = { ".gz": "gzip", ".br": "br", ".zst": "zstd" }[path.extname(name)];
  const headers = { "content-type": url.searchParams.get("type") ?? "application/json", etag: '"canary-tag"' };
  if (encoding) headers["content-encoding"] = encoding;
  if (url.searchParams.has("length")) headers["content-length"] = statSync(place).size;
  response.writeHead(200, headers);
  // Small pieces: a value and a coding's block are both cut somewhere.
  createReadStream(place, { highWaterMark: Number(url.searchParams.get("piece") ?? 61) }).pipe(response);
}

function handle(request, response) {
  say({ method: request.method, path: request.url, headers: request.headers, version: request.httpVersion });
  const url = new URL(request.url, "http://origin.example");
  const at = url.pathname;
  if (at === "/hello") return json(response, 200, { hello: "world" }, { etag: '"1"', "set-cookie": "session=planted; Path=/" });
  if (at === "/customers" || at === "/v1/customers") {
    const out = encode(response, url.searchParams.get("encoding"));
    response.setHeader("content-type", url.searchParams.get("type") ?? "application/json");
    response.setHeader("etag", '"canary-tag"');
    return out.end(JSON.stringify(customers(url)));
  }
  if (at.startsWith("/v1/customers/")) return json(response, 200, customer(Number(at.slice(14)), url.searchParams.get("secret") ?? "none"));
  if (at === "/lines") {
    response.setHeader("content-type", "application/x-ndjson");
    for (const one of customers(url).customers) response.write(`${JSON.stringify(one)}\n`);
    return response.end();
  }
  if (at === "/big") return big(url, response);
  if (at === "/events") return events(url, response);
  if (at.startsWith("/release/")) {
    const name = at.slice(9);
    if (typeof waiting.get(name) === "function") waiting.get(name)();
    waiting.set(name, true);
    return json(response, 200, { released: name });
  }
  if (at.startsWith("/hold/")) return released(at.slice(6)).then(() => echo(request, response));
  if (at.startsWith("/shown/")) return shown(at.slice(7), request, response);
  if (at === "/trailers") return trailers(response);
  if (at.startsWith("/files/")) return file(url, response);
  if (at === "/redirect") {
    response.writeHead(302, { location: "http://169.254.169.254/latest/meta-data/" });
    return response.end();
  }
  if (at === "/broken") {
    response.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
    response.write('{"customers":[');
    return (request.stream?.session ?? request.socket).destroy();
  }
  if (at.startsWith("/status/")) return json(response, Number(at.slice(8)), { status: at.slice(8) });
  if (at === "/hints") {
    response.writeEarlyHints?.({ link: "</style.css>; rel=preload" });
    return json(response, 200, { hints: true });
  }
  return echo(request, response);
}

const clear = http.createServer(handle);
// Says that it was asked to, so that a test sees whether the body came before.
clear.on("checkContinue", (request, response) => {
  say({ expects: "100-continue", path: request.url });
  response.writeContinue();
  handle(request, response);
});
const secure = http2.createSecureServer(
  { allowHTTP1: true, cert: readFileSync(path.join(folder, "server.crt")), key: readFileSync(path.join(folder, "server.key")) },
  handle,
);
for (const server of [clear, secure]) server.keepAliveTimeout = 600_000;
clear.listen(0, "127.0.0.1", () => secure.listen(0, "127.0.0.1", () => say({ http: clear.address().port, https: secure.address().port })));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
