//! A receiver that checks signatures (DKIM) with eyes that are not ours: those of the mail server Stalwart.

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

/// An RSA key of 2048 bits, the same in each test.
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

/// The DNS, with one record in it.
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

/// Whether a message has one signature and that is good, by the record that the key's owner published; else what is wrong with it.
pub async fn verify(message: &[u8], key: &str) -> Result<(), String> {
    let dkim =
        Dkim::new(&key.to_owned().into(), SELECTOR, "rocket.example", "rocket.example").unwrap();
    let record = DomainKey::parse(dkim.record().as_bytes()).map_err(|error| error.to_string())?;
    let dns = Dns(format!("{}.", dkim.record_name()), Txt::DomainKey(record.into()));
    let message = AuthenticatedMessage::parse(message).ok_or("no message")?;
    // It is never asked: the record is known.
    let authenticator = MessageAuthenticator::new_cloudflare().unwrap();
    let checking = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&dns));
    let found = tokio::time::timeout(Duration::from_secs(10), checking)
        .await
        .map_err(|_| "asks the DNS")?;
    match found.as_slice() {
        [one] if *one.result() == DkimResult::Pass => Ok(()),
        other => {
            Err(format!("{:?}", other.iter().map(|one| one.result().clone()).collect::<Vec<_>>()))
        }
    }
}
