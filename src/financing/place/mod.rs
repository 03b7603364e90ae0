//! Where an account is at home: whose midnight its days end at.

mod store;

use chrono_tz::Tz;

use super::Financings;
use crate::locale;
use crate::stripe::AccountId;

/// An account's country and time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Two letters.
    pub country: Option<String>,
    /// That of the account's own dashboard, else one of its country, else UTC.
    pub time_zone: Tz,
}

impl Financings {
    /// Where an account is at home: as Stripe says, else as it said last, else UTC.
    pub async fn home(&self, account: &AccountId) -> sqlx::Result<Home> {
        match self.accounts.account(account).await {
            Ok(said) => {
                let time_zone = locale::time_zone(said.time_zone(), said.country.as_deref());
                let home = Home { country: said.country.clone(), time_zone };
                store::keep(&self.db, account.as_str(), &home, self.clock.now()).await?;
                Ok(home)
            }
            Err(error) => {
                tracing::warn!(account.id = %account, %error, "cannot ask for the account's time zone: taking the one before");
                let kept = store::find(&self.db, account.as_str()).await?;
                let unknown = Home { country: None, time_zone: Tz::UTC };
                Ok(kept.map_or(unknown, |(country, name)| Home {
                    time_zone: locale::time_zone(Some(&name), country.as_deref()),
                    country,
                }))
            }
        }
    }
}
