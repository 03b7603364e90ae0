// Node 18 or newer, without packages. Prints the address to redirect a signed-in merchant to.
import { createHmac, randomUUID } from "node:crypto";

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export function capitalUrl(courierUrl, secret, account, language) {
  const head = encode({ alg: "HS256", typ: "JWT" });
  const now = Math.floor(Date.now() / 1000);
  const claims = encode({
    sub: account, // the merchant's acct_…, from your session: never from the request
    aud: "capital-courier",
    iat: now,
    exp: now + 60,
    jti: randomUUID(),
    lang: language,
  });
  const signature = createHmac("sha256", secret).update(`${head}.${claims}`).digest("base64url");
  return `${courierUrl}/capital?token=${head}.${claims}.${signature}`;
}

console.log(capitalUrl(process.env.COURIER_URL, process.env.TOKEN_SECRET, process.env.ACCOUNT, "en"));
