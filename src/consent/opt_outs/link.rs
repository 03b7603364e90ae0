//! The link by which a merchant stops the letters: it names the account, cannot be made up, and never expires (a letter is opened
//! again years later, and 15 U.S.C. § 7704(a)(3) wants it to work for at least 30 days).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;

use crate::stripe::AccountId;

/// Makes links, and reads them.
#[derive(Clone)]
pub struct Links {
    keyed: Hmac<Sha256>,
    public_url: Url,
}

/// Half of a SHA-256: nobody guesses it, and the link stays short enough for a line of text.
const MAC_BYTES: usize = 16;
/// Sets these tokens apart from all others that are made with the same secret.
const PURPOSE: &[u8] = b"capital-courier unsubscribe v1\0";

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links")
            .field("public_url", &self.public_url.as_str())
            .finish_non_exhaustive()
    }
}

impl Links {
    /// Links below `public_url`, signed with `secret`.
    pub fn new(secret: &SecretString, public_url: Url) -> Self {
        let keyed = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self { keyed: keyed.expect("HMAC takes keys of any length"), public_url }
    }

    /// The link of an account: always the same.
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

    /// The account that a token names; none where it is not one of ours. Compares in constant time.
    pub fn read(&self, token: &str) -> Option<AccountId> {
        let (account, mac) = token.split_once('.')?;
        let account = String::from_utf8(URL_SAFE_NO_PAD.decode(account).ok()?).ok()?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok().filter(|mac| mac.len() == MAC_BYTES)?;
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

    fn links(secret: &str) -> Links {
        Links::new(&secret.into(), "https://courier.example/base/".parse().unwrap())
    }

    fn token(link: &Url) -> &str {
        link.path().rsplit('/').next().unwrap()
    }

    #[test]
    fn a_link_names_its_account_and_no_other_secret_reads_it() {
        let account: AccountId = "acct_1OqYpzB1WZ16mmCq".parse().unwrap();
        let link = links("one").link(&account);
        assert!(link.as_str().starts_with("https://courier.example/base/unsubscribe/"), "{link}");
        assert!(link.as_str().len() < 120, "{link}");
        assert_eq!(links("one").read(token(&link)), Some(account.clone()));
        assert_eq!(links("two").read(token(&link)), None);
        assert_eq!(links("one").link(&account), link);
    }

    proptest! {
        #[test]
        fn whatever_was_not_made_by_us_is_not_read(token in "[A-Za-z0-9_.-]{0,80}") {
            prop_assert_eq!(links("one").read(&token), None);
        }

        #[test]
        fn a_link_with_another_letter_anywhere_is_not_read(place in any::<proptest::sample::Index>(), other in "[A-Za-z0-9_.-]") {
            let account: AccountId = "acct_1OqYpzB1WZ16mmCq".parse().unwrap();
            let link = links("one").link(&account);
            let good = token(&link);
            let mut changed: Vec<char> = good.chars().collect();
            let place = place.index(changed.len());
            changed[place] = other.chars().next().unwrap();
            let changed: String = changed.into_iter().collect();
            // Base64 has a last letter of which not every bit counts; what is read then is the same account all the same.
            prop_assume!(changed != good);
            prop_assert!(links("one").read(&changed).is_none_or(|read| read == account));
        }
    }
}
