// A certified OpenID provider on loopback: discovery, a token endpoint for client credentials, and keys that rotate at each line on
// stdin. Prints its port, then a line for each rotation. What it signs is for the resource `urn:parapet`.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.PARAPET_IT_OIDC}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const keys = [];
let number = 0;

function key() {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  number += 1;
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256", kid: `provider-${number}` };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    jwks: { keys: [...keys] },
    clients: ["reporting", "auditor"].map((name) => ({
      client_id: `client-${name}`,
      client_secret: "a secret of the tests",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: "ES256",
      token_endpoint_auth_method: "client_secret_post",
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:parapet",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "",
          audience: "parapet",
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
    formats: {
      customizers: {
        // A workload's own token, and no access token for somebody else's API.
        jwt: (_context, _token, jwt) => {
          jwt.header = { typ: "JWT" };
        },
      },
    },
    ttl: { ClientCredentials: 600 },
  });
  return made.callback();
}

keys.unshift(key());
let handle = (_request, response) => response.end();
const server = createServer((request, response) => handle(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  handle = provider(issuer);
  console.log(server.address().port);
  createInterface({ input: process.stdin }).on("line", () => {
    // The new key signs from now on; the old one is still published, for the tokens that it signed.
    keys.unshift(key());
    keys.splice(2);
    handle = provider(issuer);
    console.log(keys[0].kid);
  });
});
