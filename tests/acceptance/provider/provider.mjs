// A real OpenID provider with one client that may have tokens for TaskHub.
// Usage: node provider.mjs PORT KEYS, where KEYS is a file with a set of private keys.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, keys] = process.argv.slice(2);
const jwks = JSON.parse(readFileSync(keys, "utf8"));
const taskhub = {
  audience: "taskhub",
  scope: "tasks.read tasks.write",
  accessTokenFormat: "jwt",
  accessTokenTTL: 3600,
  jwt: { sign: { alg: jwks.keys[0].alg } }, // the first key that fits signs
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "robot",
      client_secret: "a secret of the robot",
      token_endpoint_auth_method: "client_secret_post",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://tasks.example.com",
      getResourceServerInfo: () => taskhub,
    },
  },
  extraTokenClaims: () => ({ realm_access: { roles: ["Operator"] } }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listens"));
