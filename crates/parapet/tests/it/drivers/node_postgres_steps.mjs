// Does the steps read from stdin in one session of node-postgres, and prints what came of each as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.PARAPET_IT_NODE + "/");
const pg = require(process.env.PARAPET_IT_NODE + "/pg");

// Binary results are a setting of the whole client, so there is one for each format.
const clients = new Map();
async function connected(binary) {
  if (!clients.has(binary)) {
    const client = new pg.Client({ ssl: false, binary });
    await client.connect();
    clients.set(binary, client);
  }
  return clients.get(binary);
}

const came = [];
for (const step of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const client = await connected(step.binary);
    const query = { text: step.sql, rowMode: "array" };
    if (step.values.length > 0) query.values = step.values;
    const result = await client.query(query);
    came.push({ rows: (result.rows ?? []).map((row) => row.map((value) => (value === null ? null : String(value)))) });
  } catch (error) {
    if (!error.code) throw error;
    came.push({ error: { sqlstate: error.code, message: error.message } });
  }
}
for (const client of clients.values()) await client.end();
process.stdout.write(JSON.stringify(came));
