//! An account's country, time zone and name.
//!
//! A report's days end at the account's midnight. Stripe is asked first; the last country and time
//! zone it gave are stored and used while it does not answer.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgExecutor;

use super::Financings;
use crate::database::with_timeout;
use crate::format::locale;
use crate::format::text;
use crate::stripe::AccountId;

/// An account's country, time zone and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLocale {
    /// ISO 3166 code, two letters.
    pub country: Option<String>,
    /// The time zone of the account's dashboard, else one of its country, else UTC.
    pub time_zone: Tz,
    /// The name of the business; none while Stripe does not answer.
    pub name: Option<String>,
}

impl Financings {
    /// The account's locale from Stripe, else the stored one, else UTC.
    pub async fn locale(&self, account: &AccountId) -> sqlx::Result<AccountLocale> {
        let stored = with_timeout(find(&self.db, account.as_str())).await?;
        match self.accounts.account(account).await {
            Ok(current) => {
                let time_zone = locale::time_zone(current.time_zone(), current.country.as_deref());
                // Most calls find nothing new: write only a change.
                let is_unchanged = stored.as_ref().is_some_and(|(country, zone)| {
                    *country == current.country && zone == time_zone.name()
                });
                if !is_unchanged {
                    let place = (current.country.as_deref(), time_zone.name());
                    with_timeout(upsert(&self.db, account.as_str(), place, self.clock.now()))
                        .await?;
                }
                let name = current.display_name().map(text::plain).filter(|name| !name.is_empty());
                Ok(AccountLocale { country: current.country.clone(), time_zone, name })
            }
            Err(error) => {
                tracing::warn!(
                    account.id = %account, %error,
                    "cannot fetch the account's time zone: using the stored one"
                );
                let (country, zone) = stored.unzip();
                let country = country.flatten();
                let time_zone =
                    locale::time_zone(zone.as_deref().or(Some("UTC")), country.as_deref());
                Ok(AccountLocale { country, time_zone, name: None })
            }
        }
    }
}

/// The stored country and time zone.
async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Option<(Option<String>, String)>> {
    let found = sqlx::query!(
        "select country, time_zone from account_locales where account_id = $1",
        account_id
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| (row.country, row.time_zone)))
}

async fn upsert(
    db: impl PgExecutor<'_>,
    account_id: &str,
    (country, time_zone): (Option<&str>, &str),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into account_locales (account_id, country, time_zone, fetched_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) do update
        set country = $2, time_zone = $3, fetched_at = $4
        ",
        account_id,
        country,
        time_zone,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
