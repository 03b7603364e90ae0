//! Verifies DKIM signatures with an independent implementation: that of the mail server Stalwart.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use capital_courier::mail::Dkim;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};

pub const SELECTOR: &str = "courier1";

/// A 2048-bit RSA key, the same in each test.
pub fn rsa_key() -> String {
    static KEY: OnceLock<String> = OnceLock::new();
    let make = || {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    };
    KEY.get_or_init(make).clone()
}

pub fn ed25519_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()
}

/// A DNS cache with one record.
struct Dns(String, Txt);

impl ResolverCache<Box<str>, Txt> for Dns {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known: Box<str> = self.0.clone().into();
        (known.borrow() == name).then(|| self.1.clone())
    }

    fn remove<Q>(&self, _name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _name: Box<str>, _value: Txt, _until: Instant) {}
}

/// Checks that a message has one signature, which is valid by the DNS record of `key`.
pub async fn verify(message: &[u8], key: &str) -> Result<(), String> {
    let dkim =
        Dkim::new(&key.to_owned().into(), SELECTOR, "rocket.example", "rocket.example").unwrap();
    let record = DomainKey::parse(dkim.record().as_bytes()).map_err(|error| error.to_string())?;
    let dns = Dns(format!("{}.", dkim.record_name()), Txt::DomainKey(record.into()));
    let message = AuthenticatedMessage::parse(message).ok_or("no message")?;
    // The resolver is not used: the record is in the cache.
    let authenticator = MessageAuthenticator::new_cloudflare().unwrap();
    let checking = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&dns));
    let found = tokio::time::timeout(Duration::from_secs(10), checking)
        .await
        .map_err(|_| "the verification asked the DNS")?;
    match found.as_slice() {
        [one] if *one.result() == DkimResult::Pass => Ok(()),
        other => {
            Err(format!("{:?}", other.iter().map(|one| one.result().clone()).collect::<Vec<_>>()))
        }
    }
}
