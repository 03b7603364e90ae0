//! Where an account is at home: whose midnight its days end at.

mod store;

use chrono_tz::Tz;

use super::Financings;
use crate::database::with_timeout;
use crate::format::locale;
use crate::format::text;
use crate::stripe::AccountId;

/// Where an account is at home, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLocale {
    /// Two letters.
    pub country: Option<String>,
    /// That of the account's own dashboard, else one of its country, else UTC.
    pub time_zone: Tz,
    /// The name of the business, where Stripe could be asked.
    pub name: Option<String>,
}

impl Financings {
    /// Where an account is at home: as Stripe says, else as it said last, else UTC.
    pub async fn home(&self, account: &AccountId) -> sqlx::Result<AccountLocale> {
        let kept = with_timeout(store::find(&self.db, account.as_str())).await?;
        match self.accounts.account(account).await {
            Ok(said) => {
                let time_zone = locale::time_zone(said.time_zone(), said.country.as_deref());
                let is_known = kept.as_ref().is_some_and(|(country, zone)| {
                    *country == said.country && zone == time_zone.name()
                });
                if !is_known {
                    let place = (said.country.as_deref(), time_zone.name());
                    with_timeout(store::keep(&self.db, account.as_str(), place, self.clock.now()))
                        .await?;
                }
                let name = said.display_name().map(text::plain).filter(|name| !name.is_empty());
                Ok(AccountLocale { country: said.country.clone(), time_zone, name })
            }
            Err(error) => {
                tracing::warn!(account.id = %account, %error, "cannot ask for the account's time zone: taking the one before");
                let (country, zone) = kept.unzip();
                let country = country.flatten();
                let time_zone =
                    locale::time_zone(zone.as_deref().or(Some("UTC")), country.as_deref());
                Ok(AccountLocale { country, time_zone, name: None })
            }
        }
    }
}
