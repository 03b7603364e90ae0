//! Builds each part of the service from the shared resources and its settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use url::Url;

use crate::checks::WordingPart;
use crate::clock::Clock;
use crate::config::Settings;
use crate::database::{Database, Pool};
use crate::financing::{BackfillTransactions, Financings};
use crate::flow::delivered::{MarkCommits, MarkDelivered};
use crate::flow::email::{self, LetterCommits, SendLetter};
use crate::flow::inbox::{self, InboxReader};
use crate::flow::offer::{LookUpOffers, OfferFinder, RecentlyFound, RefreshOffer};
use crate::letters;
use crate::letters::Kind;
use crate::letters::lint::Rules;
use crate::letters::pauses::SeenPauses;
use crate::letters::reminders::Schedule;
use crate::letters::wording::approvals::CopyId;
use crate::letters::wording::samples::{self, Checked, Sample};
use crate::letters::wording::{self, Writer};
use crate::letters::wording::{Disclaimer, Disclaimers};
use crate::mail::sending_rate::SendingRate;
use crate::mail::{DomainLimiter, Relay};
use crate::maintenance::reconcile::Reconcile;
use crate::maintenance::reminders::OpenReminders;
use crate::maintenance::retention::EraseExpired;
use crate::queue::{self, Circuit, Notifier, Runner, Work};
use crate::stripe::{AccountId, Cache, Client};
use crate::telemetry::chain;
use crate::web::portal;

use super::metrics::Metrics;

/// Resources by the parts. Clones of each resource refer to the same one.
pub(super) struct Resources {
    pub(super) db: Pool,
    pub(super) clock: Clock,
    pub(super) stripe: Client,
    pub(super) to_relay: Circuit,
    pub(super) opener: letters::Opener,
    pub(super) account_cache: Cache,
    pub(super) pauses: SeenPauses,
    /// Notified when an event was stored.
    pub(super) inbox: Notifier,
    /// Notified when a job was queued.
    pub(super) jobs: Notifier,
    pub(super) metrics: Arc<Metrics>,
}

impl Resources {
    pub(super) fn new(
        settings: &Settings,
        clock: &Clock,
        database: &Database,
    ) -> anyhow::Result<Self> {
        let circuit = |name| Circuit::new(name, clock.clone());
        let stripe = Client::new(settings.stripe.clone(), circuit("stripe"), clock.clone())
            .context("cannot create the Stripe client")?;
        Ok(Self {
            db: database.pool.clone(),
            clock: clock.clone(),
            account_cache: Cache::new(stripe.clone()),
            stripe,
            to_relay: circuit("relay"),
            // The same for every part that opens letters.
            opener: letters::Opener::new(settings.email.sender.from.domain()),
            pauses: SeenPauses::default(),
            inbox: Notifier::default(),
            jobs: Notifier::default(),
            metrics: Arc::default(),
        })
    }

    pub(super) fn runner<W: Work>(&self, work: W, settings: queue::Settings) -> Arc<Runner<W>> {
        let metrics = self.metrics.jobs.clone();
        Runner::new(work, self.db.clone(), self.clock.clone(), settings, metrics)
    }

    pub(super) fn readers(&self, number: i32, settings: inbox::Settings) -> Vec<InboxReader> {
        let reader = |share| InboxReader {
            db: self.db.clone(),
            clock: self.clock.clone(),
            livemode: self.stripe.livemode(),
            letters: self.opener.clone(),
            jobs: self.jobs.clone(),
            metrics: self.metrics.inbox.clone(),
            settings,
            share,
        };
        inbox::Share::all(number).map(reader).collect()
    }

    pub(super) fn letters(&self, settings: &Settings) -> anyhow::Result<SendLetter> {
        Ok(SendLetter {
            db: self.db.clone(),
            clock: self.clock.clone(),
            stripe: self.account_cache.clone(),
            circuits: [self.stripe.circuit().clone(), self.to_relay.clone()],
            sending_rate: SendingRate::new(
                settings.email.limits,
                &settings.relay.url,
                self.clock.clone(),
            ),
            domains: DomainLimiter::new(settings.email.limits.max_per_domain, self.clock.clone()),
            relay: Relay::new(&settings.relay, self.to_relay.clone()),
            writer: Arc::new(writer(&settings.email)?),
            disclaimers: disclaimers(&settings.email)?,
            settings: settings.email.clone(),
            max_attempts: settings.queue.max_attempts,
            commits: LetterCommits::new(&self.db, &self.clock, settings.queue.lease),
            pauses: self.pauses.clone(),
            jobs: self.jobs.clone(),
            metrics: self.metrics.letters.clone(),
        })
    }

    pub(super) fn mark_delivered(&self) -> MarkDelivered {
        MarkDelivered {
            db: self.db.clone(),
            clock: self.clock.clone(),
            stripe: self.stripe.clone(),
            commits: MarkCommits::new(&self.db, &self.clock),
            metrics: self.metrics.deliveries.clone(),
        }
    }

    pub(super) fn refresh_offers(&self) -> RefreshOffer {
        RefreshOffer {
            db: self.db.clone(),
            clock: self.clock.clone(),
            stripe: self.stripe.clone(),
            letters: self.opener.clone(),
            jobs: self.jobs.clone(),
        }
    }

    pub(super) fn look_up_offers(&self) -> LookUpOffers {
        LookUpOffers { finder: OfferFinder { stripe: self.stripe.clone(), ..self.finder() } }
    }

    /// For requests that a person waits for.
    pub(super) fn finder(&self) -> OfferFinder {
        OfferFinder {
            recently_found: RecentlyFound::default(),
            db: self.db.clone(),
            clock: self.clock.clone(),
            stripe: self.stripe.interactive(),
            letters: self.opener.clone(),
            jobs: self.jobs.clone(),
        }
    }

    pub(super) fn transactions(
        &self,
        summary_for: Duration,
        lease: Duration,
    ) -> BackfillTransactions {
        // A job can wait longer for Stripe than a person who waits for a page.
        let financings = Financings { stripe: self.stripe.clone(), ..self.financings(summary_for) };
        BackfillTransactions { financings, lease }
    }

    pub(super) fn financings(&self, summary_for: Duration) -> Financings {
        Financings {
            db: self.db.clone(),
            clock: self.clock.clone(),
            stripe: self.stripe.interactive(),
            accounts: self.account_cache.interactive(),
            summary_for,
        }
    }

    pub(super) fn retain(&self, personal_data: Option<Duration>) -> EraseExpired {
        let (db, clock, stripe) = (self.db.clone(), self.clock.clone(), self.stripe.clone());
        EraseExpired { db, clock, stripe, personal_data }
    }

    pub(super) fn remind(&self, schedule: Schedule) -> OpenReminders {
        OpenReminders {
            db: self.db.clone(),
            clock: self.clock.clone(),
            schedule,
            livemode: self.stripe.livemode(),
            letters: self.opener.clone(),
            jobs: self.jobs.clone(),
        }
    }

    pub(super) fn reconcile(&self, every: Duration) -> Reconcile {
        Reconcile {
            db: self.db.clone(),
            clock: self.clock.clone(),
            stripe: self.stripe.clone(),
            letters: self.opener.clone(),
            inbox: self.inbox.clone(),
            jobs: self.jobs.clone(),
            every,
        }
    }
}

/// Compiles the templates, so that an invalid one is found at startup.
pub fn writer(settings: &email::Settings) -> anyhow::Result<Writer> {
    let wording = wording::Settings {
        brand: (*settings.brand).clone(),
        postal_address: settings.postal_address.clone(),
        from_address: settings.sender.from.address().to_owned(),
        has_link: settings.links.is_some(),
        from_name: settings.sender.from.name().unwrap_or(&settings.brand.program_name).to_owned(),
        reply_to: settings.sender.reply_to.address().to_owned(),
        contacts: settings.contacts.clone(),
        templates_dir: settings.templates_dir.clone(),
    };
    Writer::new(wording).context("cannot use the email templates")
}

/// The unsubscribe link that samples carry. Like the letters: without `http.public_url` there is
/// none.
pub(super) fn sample_link(settings: &email::Settings) -> Option<Url> {
    let account: AccountId = "acct_sample".parse().expect("it has the form of an account's id");
    settings.links.as_ref().map(|links| links.link(&account))
}

/// Renders every kind of letter with each disclaimer and sample data.
pub fn samples<'a>(
    settings: &email::Settings,
    writer: &Writer,
    disclaimers: &'a [Disclaimer],
) -> anyhow::Result<Vec<Sample<'a>>> {
    let link = sample_link(settings);
    samples::write_all(writer, disclaimers, link.as_ref()).context("cannot use the email templates")
}

/// Renders the same letters and lints them, with a `rest` as in [`samples::check_all`].
pub fn check_wording(
    settings: &email::Settings,
    writer: &Writer,
    disclaimers: &Disclaimers,
    rest: impl Fn(Duration),
) -> anyhow::Result<Checked> {
    let (rules, link) = (Rules::built_in()?, sample_link(settings));
    samples::check_all(writer, &rules, &disclaimers.all(), link.as_ref(), rest)
        .context("cannot use the email templates")
}

/// The wordings with the operator's disclaimers: with a live key each needs an approval.
pub fn copies(writer: &Writer, disclaimers: &Disclaimers) -> Vec<CopyId> {
    let wording::Settings { brand, contacts, .. } = writer.settings();
    let own = disclaimers.all().into_iter().filter(|disclaimer| !disclaimer.is_sample);
    own.flat_map(|disclaimer| {
        let emails = Kind::ALL.map(|kind| writer.copy_id(kind, &disclaimer));
        let page = portal::copy_id(&brand.program_name, contacts, &disclaimer);
        emails.into_iter().chain([page])
    })
    .collect()
}

/// What [`checks`](crate::checks) need to judge the wording.
pub(super) fn wording_part_of(
    writer: Arc<Writer>,
    disclaimers: Disclaimers,
    settings: &email::Settings,
) -> Arc<WordingPart> {
    let copies = copies(&writer, &disclaimers);
    Arc::new(WordingPart { writer, disclaimers, sample_link: sample_link(settings), copies })
}

/// The same for a process that has not read the wording; `Err` with the reason why it cannot be used.
pub fn wording_part(settings: &email::Settings) -> Result<Arc<WordingPart>, String> {
    let read = || anyhow::Ok((Arc::new(writer(settings)?), disclaimers(settings)?));
    read()
        .map(|(writer, disclaimers)| wording_part_of(writer, disclaimers, settings))
        .map_err(|error| chain(error.as_ref()))
}

/// The disclaimers in `email.disclaimers_dir`, or the samples.
pub fn disclaimers(settings: &email::Settings) -> anyhow::Result<Disclaimers> {
    Disclaimers::load(settings.disclaimers_dir.as_deref())
        .context("cannot use email.disclaimers_dir")
}
