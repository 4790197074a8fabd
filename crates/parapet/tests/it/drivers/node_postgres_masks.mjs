// Reads the tables named on stdin by node-postgres, in every way that it has, and prints type and value of each cell as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.PARAPET_IT_NODE + "/");
const pg = require(process.env.PARAPET_IT_NODE + "/pg");

const client = new pg.Client({ ssl: false });
await client.connect();

const kind = (value) => (value === null ? "NoneType" : Buffer.isBuffer(value) ? "Buffer" : (value.constructor?.name ?? typeof value));
const shown = (value) => (value === null ? "None" : Buffer.isBuffer(value) ? value.toString("hex") : JSON.stringify(value));
const read = async (query) => {
  const result = await client.query(query);
  return result.rows.map((row) => Object.values(row).map((value) => [kind(value), shown(value)]));
};

const came = {};
for (const table of JSON.parse(readFileSync(0, "utf8"))) {
  const text = `select * from ${table} order by id`;
  await read({ name: table, text });
  came[table] = {
    text: await read({ text }),
    "prepared text": await read({ name: table, text }),
    "by one": await read({ text, rows: 1 }),
  };
}
await client.end();
process.stdout.write(JSON.stringify(came));
