// Go 1.18 or newer, without modules. Prints the address to redirect a signed-in merchant to.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

func capitalURL(courierURL, secret, account, language string) (string, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"sub":  account, // the merchant's acct_…, from your session: never from the request
		"aud":  "capital-courier",
		"iat":  now,
		"exp":  now + 60,
		"jti":  hex.EncodeToString(id),
		"lang": language,
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return courierURL + "/capital?token=" + signed + "." + encode(mac.Sum(nil)), nil
}

func main() {
	url, err := capitalURL(os.Getenv("COURIER_URL"), os.Getenv("TOKEN_SECRET"), os.Getenv("ACCOUNT"), "en")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(url)
}
