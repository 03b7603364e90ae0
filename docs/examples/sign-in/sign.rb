# Ruby 3 or newer, without gems. Prints the address to redirect a signed-in merchant to.
require "base64"
require "json"
require "openssl"
require "securerandom"

def encode(data) = Base64.urlsafe_encode64(data, padding: false)

def capital_url(courier_url, secret, account, language)
  head = encode(JSON.generate(alg: "HS256", typ: "JWT"))
  now = Time.now.to_i
  claims = encode(JSON.generate(
    sub: account, # the merchant's acct_…, from your session: never from the request
    aud: "capital-courier",
    iat: now,
    exp: now + 60,
    jti: SecureRandom.uuid,
    lang: language
  ))
  signature = OpenSSL::HMAC.digest("SHA256", secret, "#{head}.#{claims}")
  "#{courier_url}/capital?token=#{head}.#{claims}.#{encode(signature)}"
end

puts capital_url(ENV.fetch("COURIER_URL"), ENV.fetch("TOKEN_SECRET"), ENV.fetch("ACCOUNT"), "en")
