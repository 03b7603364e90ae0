//! The unsubscribe link in every letter. It identifies the account, cannot be forged and never
//! expires: letters are opened years later, and 15 U.S.C. § 7704(a)(3) requires the link to work
//! for at least 30 days.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;

use crate::stripe::AccountId;

/// Creates and verifies unsubscribe links.
#[derive(Clone)]
pub struct UnsubscribeLinks {
    keyed: Hmac<Sha256>,
    public_url: Url,
}

/// Half of a SHA-256: 128 bits cannot be guessed, and the link fits on one line of text.
const MAC_BYTES: usize = 16;
/// Separates these tokens from others derived from the same secret.
const PURPOSE: &[u8] = b"capital-courier unsubscribe v1\0";

impl std::fmt::Debug for UnsubscribeLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnsubscribeLinks")
            .field("public_url", &self.public_url.as_str())
            .finish_non_exhaustive()
    }
}

impl UnsubscribeLinks {
    /// Creates links below `public_url`, signed with `secret`.
    pub fn new(secret: &SecretString, public_url: Url) -> Self {
        let keyed = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self { keyed: keyed.expect("HMAC takes keys of any length"), public_url }
    }

    /// The same for every letter to an account.
    pub fn link(&self, account: &AccountId) -> Url {
        let mac = self.mac(account.as_str()).finalize().into_bytes();
        let token = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(account.as_str()),
            URL_SAFE_NO_PAD.encode(&mac[..MAC_BYTES])
        );
        let mut link = self.public_url.clone();
        link.set_path(&format!(
            "{}/unsubscribe/{token}",
            self.public_url.path().trim_end_matches('/')
        ));
        link
    }

    /// The account of a valid token. Compares in constant time.
    pub fn verify(&self, token: &str) -> Option<AccountId> {
        let (account, mac) = token.split_once('.')?;
        let account = String::from_utf8(URL_SAFE_NO_PAD.decode(account).ok()?).ok()?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok().filter(|mac| mac.len() == MAC_BYTES)?;
        // Verified before the account is parsed: unauthenticated input decides nothing.
        self.mac(&account).verify_truncated_left(&mac).ok()?;
        account.parse().ok()
    }

    fn mac(&self, account: &str) -> Hmac<Sha256> {
        self.keyed.clone().chain_update(PURPOSE).chain_update(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(secret: &str) -> UnsubscribeLinks {
        UnsubscribeLinks::new(&secret.into(), "https://courier.example/base/".parse().unwrap())
    }

    fn token(link: &Url) -> &str {
        link.path().rsplit('/').next().unwrap()
    }

    #[test]
    fn a_link_identifies_its_account_under_one_secret() {
        let account: AccountId = "acct_1OqYpzB1WZ16mmCq".parse().unwrap();
        let link = links("one").link(&account);
        assert!(link.as_str().starts_with("https://courier.example/base/unsubscribe/"), "{link}");
        assert!(link.as_str().len() < 120, "{link}");
        assert_eq!(links("one").verify(token(&link)), Some(account.clone()));
        assert_eq!(links("two").verify(token(&link)), None);
        assert_eq!(links("one").link(&account), link);
    }

    proptest! {
        #[test]
        fn random_tokens_are_rejected(token in "[A-Za-z0-9_.-]{0,80}") {
            prop_assert_eq!(links("one").verify(&token), None);
        }

        #[test]
        fn a_changed_character_invalidates_the_token(
            place in any::<proptest::sample::Index>(),
            other in "[A-Za-z0-9_.-]",
        ) {
            let account: AccountId = "acct_1OqYpzB1WZ16mmCq".parse().unwrap();
            let link = links("one").link(&account);
            let good = token(&link);
            let mut changed: Vec<char> = good.chars().collect();
            let place = place.index(changed.len());
            changed[place] = other.chars().next().unwrap();
            let changed: String = changed.into_iter().collect();
            // The last base64 character has unused bits; such a token yields the same account.
            prop_assume!(changed != good);
            prop_assert!(links("one").verify(&changed).is_none_or(|verified| verified == account));
        }
    }
}
