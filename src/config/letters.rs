//! The settings of the letters.

use super::reader::Reader;
use crate::consent::opt_outs::Links;
use crate::flow::email;
use crate::letters::reminders::Schedule;
use crate::mail::{Address, Mailbox, Sender, Timeouts};

impl Reader<'_> {
    pub(super) fn email(&mut self) -> Option<email::Settings> {
        let form = "smtp://host:25, smtps://user:password@host, or file:DIR";
        let relay = self
            .required("email.relay_url", form)
            .and_then(|_| self.parsed("email.relay_url", form));
        let mailbox = "an address like Capital <capital@example.com>";
        let from: Option<Mailbox> =
            self.required("email.from", mailbox).and_then(|_| self.parsed("email.from", mailbox));
        let reply_to: Option<Mailbox> = match self.text("email.reply_to") {
            Some(text) if !text.is_empty() => self.parsed("email.reply_to", mailbox),
            Some(_) | None => from.clone(),
        };
        let form = "an address like bounces@example.com, with at most 31 characters before the @, or nothing";
        let (bcc, return_path) = (self.bcc(), self.optional("email.return_path", form));
        let postal_address = self
            .required("email.postal_address", "street and city: the law wants it in the footer");
        let program_name =
            self.required("capital.program_name", "the name of your Capital program");
        let dashboard = self.required("capital.dashboard_url", "the page that the letter links to");
        let dashboard_url = dashboard.and_then(|_| self.url("capital.dashboard_url"));
        let when_uncertain = self.parsed("email.when_uncertain", "resend or hold");
        let links = self.links();
        let folder = |dir: Option<String>| dir.filter(|dir| !dir.is_empty()).map(Into::into);
        let disclaimers_dir = folder(self.text("email.disclaimers_dir"));
        let templates_dir = folder(self.text("email.templates_dir"));
        let locale_metadata_key = self.text("email.locale_metadata_key");
        let cadence = self.cadence();
        let (command, answer) =
            (self.duration("email.relay_timeout"), self.duration("email.relay_answer_timeout"));
        let allow = self.flag("email.allow_support_address");
        let (dkim, limits) = (self.dkim(from.as_ref()), self.limits());
        Some(email::Settings {
            relay: relay?,
            timeouts: Timeouts { command: command?, answer: answer? },
            sender: Sender { from: from?, reply_to: reply_to?, return_path, bcc, dkim },
            postal_address: postal_address?,
            program_name: program_name?,
            dashboard_url: dashboard_url?,
            limits: limits?,
            when_uncertain: when_uncertain?,
            links,
            templates_dir,
            disclaimers_dir,
            locale_metadata_key: locale_metadata_key?,
            schedule: cadence?,
            allow_support_address: allow?,
        })
    }

    fn cadence(&mut self) -> Option<Schedule> {
        let (after_7_days, after_14_days, every_30_days) = (
            self.flag("reminders.after_7_days"),
            self.flag("reminders.after_14_days"),
            self.flag("reminders.every_30_days"),
        );
        let hours = self.parsed("reminders.hours", "two hours like 9-17");
        let weekdays = self.parsed("reminders.weekdays", "days like mon,tue,wed,thu,fri");
        Some(Schedule {
            after_7_days: after_7_days?,
            after_14_days: after_14_days?,
            every_30_days: every_30_days?,
            hours: hours?,
            weekdays: weekdays?,
        })
    }

    /// Who gets the blind copy, if anybody.
    pub(super) fn bcc(&mut self) -> Option<Address> {
        self.optional("email.bcc", "an address, or nothing")
    }

    /// The link in the letters needs an address that the public reaches, and something to sign it with. None where there is no
    /// such address, and where something is wrong, which is told as a fault.
    fn links(&mut self) -> Option<Links> {
        const LEAST: usize = 32;
        let secret = self.text("portal.token_secret")?;
        if !secret.is_empty() && secret.len() < LEAST {
            self.fault(
                "portal.token_secret",
                "at least 32 characters, by chance: openssl rand -hex 32",
            );
        }
        if self.text("http.public_url")?.is_empty() {
            return None;
        }
        let public_url = self.url("http.public_url")?;
        if secret.is_empty() {
            self.fault(
                "portal.token_secret",
                "missing: the links in the letters are signed with it",
            );
        }
        (secret.len() >= LEAST).then(|| Links::new(&secret.into(), public_url))
    }
}
