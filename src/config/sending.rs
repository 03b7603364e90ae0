//! Settings for sending well: the signature, the limits, the warm-up.

use secrecy::SecretString;

use super::reader::Reader;
use crate::mail::sending_rate::{Limits, WarmUp};
use crate::mail::{Dkim, DkimError, Mailbox};

impl Reader<'_> {
    /// The key with which letters are signed. None where there is none, and where something is wrong, which is told as a fault.
    pub(super) fn dkim(&mut self, from: Option<&Mailbox>) -> Option<Dkim> {
        let (key, selector) = (self.text("email.dkim_key")?, self.text("email.dkim_selector")?);
        let domain = self.text("email.dkim_domain")?;
        if key.is_empty() {
            for (name, value) in
                [("email.dkim_selector", &selector), ("email.dkim_domain", &domain)]
            {
                if !value.is_empty() {
                    self.fault(
                        name,
                        "there is no email.dkim_key to sign with: set it, or leave this empty",
                    );
                }
            }
            return None;
        }
        if selector.is_empty() {
            self.fault(
                "email.dkim_selector",
                "missing: the name of the key in the DNS, such as courier1",
            );
            return None;
        }
        let from = from?.domain();
        let domain = if domain.is_empty() { from } else { &domain };
        match Dkim::new(&SecretString::from(key), &selector, domain, from) {
            Ok(dkim) => Some(dkim),
            Err(error) => {
                let place = match error {
                    DkimError::Key | DkimError::TooShort => "email.dkim_key",
                    DkimError::Selector => "email.dkim_selector",
                    DkimError::Domain | DkimError::NotAligned => "email.dkim_domain",
                };
                self.fault(place, &error.to_string());
                None
            }
        }
    }

    pub(super) fn limits(&mut self) -> Option<Limits> {
        let (per_second, per_minute) =
            (self.number("email.max_per_second", 0), self.number("email.max_per_minute", 0));
        let (per_domain, warm_up) = (self.number("email.max_per_domain", 0), self.warm_up());
        Some(Limits {
            max_per_second: per_second?,
            max_per_minute: per_minute?,
            max_per_domain: per_domain?,
            warm_up,
        })
    }

    /// None where there is none, and where something is wrong, which is told as a fault.
    fn warm_up(&mut self) -> Option<WarmUp> {
        let first_day = self.number("email.warm_up_first_day", 1);
        if self.text("email.warm_up_from")?.is_empty() {
            return None;
        }
        let from = self.parsed("email.warm_up_from", "a day like 2026-12-01, or nothing");
        Some(WarmUp { from: from?, first_day: first_day? })
    }
}
