// Does the steps read from stdin in one session of node-postgres, and prints what came of each as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.PARAPET_IT_NODE + "/");
const pg = require(process.env.PARAPET_IT_NODE + "/pg");

const client = new pg.Client({ ssl: false });
await client.connect();
const came = [];
for (const step of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    // node-postgres reads binary values right in rows that are objects only.
    const query = { text: step.sql, binary: step.binary };
    if (step.values.length > 0) query.values = step.values;
    const result = await client.query(query);
    came.push({ rows: (result.rows ?? []).map((row) => Object.values(row).map((value) => (value === null ? null : String(value)))) });
  } catch (error) {
    if (!error.code) throw error;
    came.push({ error: { sqlstate: error.code, message: error.message } });
  }
}
await client.end();
process.stdout.write(JSON.stringify(came));
