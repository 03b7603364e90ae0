//! The settings of the letters and of the relay: sections `brand`, `email` and `reminders`, and what
//! the letters take from `capital`, `http` and `portal`.

use secrecy::SecretString;

use super::reader::Reader;
use crate::brand::Brand;
use crate::consent::opt_outs::UnsubscribeLinks;
use crate::flow::email::Settings;
use crate::letters::reminders::Schedule;
use crate::letters::wording::ContactSettings;
use crate::mail::sending_rate::{SendingLimits, WarmUp};
use crate::mail::{Address, Dkim, DkimError, Mailbox, RelaySettings, Sender, Timeouts};

const MAILBOX: &str = "Rocket Capital <capital@example.com>";
/// As hexadecimal digits they hold 128 random bits.
const MIN_TOKEN_SECRET_LEN: usize = 32;

impl Reader {
    pub(super) fn email(&mut self) -> Settings {
        Settings {
            sender: self.sender(),
            contacts: ContactSettings {
                support: self.optional("capital.support_contact", "help@example.com"),
                complaints: self
                    .optional("capital.complaints_contact", "https://example.com/complaints"),
            },
            // 15 U.S.C. § 7704(a)(5) requires it in every commercial email.
            postal_address: self.parsed("email.postal_address", "1 Main Street, Springfield, IL"),
            brand: Box::new(self.brand()),
            limits: self.limits(),
            when_uncertain: self.parsed("email.when_uncertain", "resend"),
            links: self.links(),
            templates_dir: self.non_empty("email.templates_dir").map(Into::into),
            disclaimers_dir: self.non_empty("email.disclaimers_dir").map(Into::into),
            locale_metadata_key: self.text("email.locale_metadata_key"),
            schedule: Schedule {
                after_7_days: self.flag("reminders.after_7_days"),
                after_14_days: self.flag("reminders.after_14_days"),
                every_30_days: self.flag("reminders.every_30_days"),
                hours: self.parsed("reminders.hours", "9-17"),
                weekdays: self.parsed("reminders.weekdays", "mon,tue,wed,thu,fri"),
            },
            allow_support_address: self.flag("email.allow_support_address"),
        }
    }

    fn brand(&mut self) -> Brand {
        let logo_url = self.image_url("brand.logo_url");
        let logo_dark_url = self.image_url("brand.logo_dark_url");
        if logo_dark_url.is_some() && logo_url.is_none() {
            self.error("brand.logo_dark_url", "requires brand.logo_url");
        }
        Brand {
            program_name: self.parsed("capital.program_name", "Rocket Capital"),
            dashboard_url: self.url("capital.dashboard_url"),
            logo_url,
            logo_dark_url,
            accent: self.parsed("brand.accent_color", "#1f5eff"),
        }
    }

    pub(super) fn relay(&mut self) -> RelaySettings {
        RelaySettings {
            url: self.parsed("email.relay_url", "smtp://user:password@host:587?tls=required"),
            timeouts: Timeouts {
                command: self.duration("email.relay_timeout"),
                answer: self.duration("email.relay_answer_timeout"),
            },
        }
    }

    fn sender(&mut self) -> Sender {
        let from: Mailbox = self.parsed("email.from", MAILBOX);
        Sender {
            reply_to: self.optional("email.reply_to", MAILBOX).unwrap_or_else(|| from.clone()),
            return_path: self.optional(
                "email.return_path",
                "bounces@example.com, with at most 31 characters before the @",
            ),
            bcc: self.bcc(),
            dkim: self.dkim(from.domain()),
            from,
        }
    }

    pub(super) fn bcc(&mut self) -> Option<Address> {
        self.optional("email.bcc", "capital-offers@stripe.com")
    }

    fn limits(&mut self) -> SendingLimits {
        let first_day = self.number("email.warm_up_first_day", 1);
        let from = self.optional("email.warm_up_from", "2026-12-01");
        SendingLimits {
            max_per_second: self.number("email.max_per_second", 0),
            max_per_minute: self.number("email.max_per_minute", 0),
            max_per_domain: self.number("email.max_per_domain", 0),
            warm_up: from.map(|from| WarmUp { from, first_day }),
        }
    }

    fn dkim(&mut self, from_domain: &str) -> Option<Dkim> {
        let selector = self.non_empty("email.dkim_selector");
        let domain = self.non_empty("email.dkim_domain");
        let Some(key) = self.non_empty("email.dkim_key") else {
            let named = [("email.dkim_selector", &selector), ("email.dkim_domain", &domain)];
            for (name, _) in named.into_iter().filter(|(_, value)| value.is_some()) {
                self.error(
                    name,
                    "has no effect without email.dkim_key: set the key, or empty this",
                );
            }
            return None;
        };
        let Some(selector) = selector else {
            self.error("email.dkim_selector", "missing; example: courier1");
            return None;
        };
        // The domain of an invalid sender is that of the example, which the key's cannot match.
        if !self.is_valid("email.from") {
            return None;
        }
        let domain = domain.as_deref().unwrap_or(from_domain);
        let dkim = Dkim::new(&SecretString::from(key), &selector, domain, from_domain);
        dkim.map_err(|error| {
            let key = match error {
                DkimError::Key | DkimError::TooShort => "email.dkim_key",
                DkimError::Selector => "email.dkim_selector",
                DkimError::Domain | DkimError::NotAligned => "email.dkim_domain",
            };
            self.error(key, &error.to_string());
        })
        .ok()
    }

    /// The unsubscribe links need a public URL, and a secret to sign them with.
    fn links(&mut self) -> Option<UnsubscribeLinks> {
        let public_url = self.optional_url("http.public_url");
        let secret = self.non_empty("portal.token_secret");
        match &secret {
            Some(secret) if secret.len() < MIN_TOKEN_SECRET_LEN => self.error(
                "portal.token_secret",
                "must be 32 random characters or more: `openssl rand -hex 32` prints 64",
            ),
            None if public_url.is_some() => self.error(
                "portal.token_secret",
                "missing: http.public_url requires it to sign the unsubscribe links",
            ),
            Some(_) | None => {}
        }
        Some(UnsubscribeLinks::new(&secret?.into(), public_url?))
    }
}
