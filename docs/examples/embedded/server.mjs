// The platform's backend: three routes for the page, and the page itself. Without dependencies.
// Arguments: the service's URL, an API key with financings:read, offers:write and links:write, the
// port. `signedIn` stands for your sessions.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

const [courier, key, port = "4242", demoAccount] = process.argv.slice(2);

/** The account of the merchant who is signed in: from your session, never from the request. */
const signedIn = (_request) => demoAccount;

async function call(method, path, body) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(`${courier}/api/v1/accounts/${path}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

/** The newest offer that is open. */
async function openOffer(account) {
  const { body } = await call("GET", `${account}/offers`);
  return body.data?.find(({ status }) => status === "undelivered" || status === "delivered")?.offer_id;
}

const NOTHING = { status: 404, body: {} };
const components = ["capital_financing", "capital_financing_application", "capital_financing_promotion"];
const routes = {
  "POST /capital/session": (account) => call("POST", `${account}/sessions`, { components }),
  "GET /capital/copy": async (account) => {
    const offer = await openOffer(account);
    return offer ? call("GET", `${account}/offers/${offer}/copy`) : NOTHING;
  },
  "POST /capital/delivered": async (account) => {
    const offer = await openOffer(account);
    return offer ? call("POST", `${account}/offers/${offer}/delivered`, { channel: "banner" }) : NOTHING;
  },
};
const files = { "/": ["index.html", "text/html"], "/embedded.mjs": ["embedded.mjs", "text/javascript"] };

createServer(async (request, response) => {
  const send = (status, type, body) => response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
  try {
    const route = routes[`${request.method} ${request.url}`];
    // A page of another site cannot act for the merchant.
    if (route && request.headers["sec-fetch-site"] !== "same-origin") return send(403, "text/plain", "");
    if (route) {
      const { status, body } = await route(signedIn(request));
      return send(status, "application/json", JSON.stringify(body));
    }
    const file = request.method === "GET" && files[request.url];
    if (!file) return send(404, "text/plain", "");
    return send(200, file[1], await readFile(new URL(file[0], import.meta.url)));
  } catch (error) {
    console.error(error);
    return send(503, "text/plain", "");
  }
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));
