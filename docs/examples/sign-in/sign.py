"""Python 3.8 or newer, without packages. Prints the address to redirect a signed-in merchant to."""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def capital_url(courier_url: str, secret: str, account: str, language: str) -> str:
    now = int(time.time())
    claims = {
        "sub": account,  # the merchant's acct_…, from your session: never from the request
        "aud": "capital-courier",
        "iat": now,
        "exp": now + 60,
        "jti": str(uuid.uuid4()),
        "lang": language,
    }
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{courier_url}/capital?token={signed}.{encode(signature)}"


if __name__ == "__main__":
    env = os.environ
    print(capital_url(env["COURIER_URL"], env["TOKEN_SECRET"], env["ACCOUNT"], "en"))
