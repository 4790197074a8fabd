// Node's fetch (undici), as a stock client: reads {base, host, token, steps} and says what came of each.
// fetch may not set Host: `base` names the host, and every name is 127.0.0.1 here.
import { createHash } from "node:crypto";
import dns from "node:dns";

const real = dns.lookup;
dns.lookup = (name, options, done) => real("127.0.0.1", options, done);

let input = "";
for await (const chunk of process.stdin) input += chunk;
const given = JSON.parse(input);
const results = [];
for (const step of given.steps) {
  const headers = { ...(given.token ? { authorization: `Bearer ${given.token}` } : {}), ...step.headers };
  const options = { method: step.method ?? "GET", headers, redirect: "manual" };
  if (step.body !== undefined) options.body = step.body;
  if (step.upload !== undefined) {
    let left = step.upload;
    options.duplex = "half";
    options.body = new ReadableStream({
      pull(controller) {
        const size = Math.min(left, 65536);
        if (size === 0) return controller.close();
        left -= size;
        controller.enqueue(new Uint8Array(size).fill(120));
      },
    });
  }
  const response = await fetch(given.base + step.path, options);
  const raw = Buffer.from(await response.arrayBuffer());
  results.push({
    status: response.status,
    headers: [...response.headers],
    length: raw.length,
    sha256: createHash("sha256").update(raw).digest("hex"),
    body: raw.length < 65536 ? raw.toString("latin1") : null,
  });
}
process.stdout.write(JSON.stringify(results));
process.exit(0);
