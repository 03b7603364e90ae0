//! `/api/v1/accounts/{account}/transactions`: an account's financing transactions, and the sale
//! from which a share was withheld.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{
    AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{IntoParams, ToSchema};

use super::request::{AccountParams, AccountPath, List, PageRequest, Query};
use super::{Platform, Refusal};
use crate::financing::ledger::{Movement, MovementFilter};
use crate::financing::report::{BadDays, Days};
use crate::stripe::{AccountId, OfferId, TransactionId};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TransactionsQuery {
    /// Only transactions of this type.
    #[param(inline)]
    r#type: Option<TypeFilter>,
    /// Only transactions of this financing.
    #[param(
        value_type = Option<String>,
        pattern = "^financingoffer_[A-Za-z0-9_-]{1,185}$",
        example = "financingoffer_1Q2w3E4r5T6y7U8i"
    )]
    offer: Option<OfferId>,
    /// From this time (RFC 3339), or from the start of this day in the account's time zone.
    #[param(schema_with = TimeBound::schema, example = "2026-11-01")]
    from: Option<TimeBound>,
    /// Before this time (RFC 3339), or until the end of this day in the account's time zone.
    #[param(schema_with = TimeBound::schema, example = "2026-11-30")]
    until: Option<TimeBound>,
    /// Maximum number of entries.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page, with the same filters.
    #[param(
        pattern = r"^[0-9]{1,16}\.(cptxn_[A-Za-z0-9_-]{1,194}|financingoffer_[A-Za-z0-9_-]{1,185})$"
    )]
    cursor: Option<String>,
}

/// The types that can be filtered by: Stripe's, and the discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum TypeFilter {
    Payment,
    Payout,
    Reversal,
    Discount,
}

/// List an account's transactions
///
/// All known transactions, newest first, and among them the discounts on fees because of refills.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/transactions",
    operation_id = "listTransactions",
    params(AccountParams, TransactionsQuery),
    responses((
        status = 200,
        body = List<Movement>,
        description = "A page",
        links(("origin" = (
            operation_id = "showOrigin",
            parameters(
                ("account" = "$request.path.account"),
                ("transaction" = "$response.body#/data/0/transaction_id"),
            ),
        ))),
    )),
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AccountPath(account): AccountPath,
    Query(query): Query<TransactionsQuery>,
) -> Result<Json<List<Movement>>, Refusal> {
    let page = PageRequest::parse(query.limit, query.cursor.as_deref())?;
    let (from, until) = bounds(&platform, &account, &query).await?;
    let filter = MovementFilter {
        offer_id: query.offer.map(String::from),
        kind: query.r#type.map(|kind| <&str>::from(kind).to_owned()),
        from,
        until,
        without_sales: false,
        after: page.after.clone(),
    };
    let list = platform.financings.movements(&account, &filter, page.fetch_limit());
    let rows = platform.api.query("cannot list an account's transactions", list).await?;
    Ok(page.respond(rows, |row| row.cursor().to_string(), |row| row))
}

/// The start or end of a period: a point in time or a calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum TimeBound {
    Instant(DateTime<Utc>),
    Day(NaiveDate),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a date (2026-11-01) nor a time with an offset (2026-11-01T00:00:00Z)")]
struct BadTimeBound;

impl TryFrom<String> for TimeBound {
    type Error = BadTimeBound;

    /// An unescaped `+` arrives as a space (`2026-11-01T00:00:00 01:00`) and is accepted as `+`.
    fn try_from(text: String) -> Result<Self, BadTimeBound> {
        if let Ok(day) = text.parse() {
            return Ok(Self::Day(day));
        }
        let moment = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
        moment.map(|moment| Self::Instant(moment.to_utc())).map_err(|_| BadTimeBound)
    }
}

impl TimeBound {
    fn schema() -> Schema {
        let text = |format| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(format)))
        };
        AnyOfBuilder::new()
            .item(text(KnownFormat::Date))
            .item(text(KnownFormat::DateTime))
            .build()
            .into()
    }

    /// The moment; for a day, `bound_of` selects its start or its end.
    fn moment(
        self,
        zone: Tz,
        bound_of: fn(Days, Tz) -> DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Refusal> {
        match self {
            Self::Instant(moment) => Ok(moment),
            Self::Day(day) => Ok(bound_of(Days::new(day, day)?, zone)),
        }
    }
}

/// The requested period. Only a day needs the account's time zone, which may require a call to
/// Stripe.
async fn bounds(
    Platform { api, financings, .. }: &Platform,
    account: &AccountId,
    query: &TransactionsQuery,
) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), Refusal> {
    let (from, until) = (query.from, query.until);
    let has_day =
        [from, until].into_iter().flatten().any(|bound| matches!(bound, TimeBound::Day(_)));
    let zone = if has_day {
        let locale = financings.locale(account);
        api.query("cannot look up an account's time zone", locale).await?.time_zone
    } else {
        Tz::UTC
    };
    let from = from.map(|bound| bound.moment(zone, Days::from)).transpose()?;
    let until = until.map(|bound| bound.moment(zone, Days::until)).transpose()?;
    match (from, until) {
        (Some(from), Some(until)) if until <= from => Err(BadDays::Backwards.into()),
        ends => Ok(ends),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TransactionPath {
    /// The transaction.
    #[param(pattern = "^cptxn_[A-Za-z0-9_-]{1,194}$", example = "cptxn_1Q2w3E4r5T6y7U8i")]
    transaction: String,
}

/// The sale from which a share was withheld.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names that are promised")]
pub(super) struct Origin {
    #[schema(example = "cptxn_1Q2w3E4r5T6y7U8i")]
    transaction_id: String,
    /// The charge on the account; null if the transaction is about none.
    #[schema(example = "py_1Q2w3E4r5T6y7U8i")]
    charge_id: Option<String>,
    /// The transfer that created it; null for a charge made on the account itself.
    #[schema(example = "tr_1Q2w3E4r5T6y7U8i")]
    transfer_id: Option<String>,
    /// The platform's charge whose funds the transfer moved.
    #[schema(example = "ch_1Q2w3E4r5T6y7U8i")]
    source_charge_id: Option<String>,
}

/// Show the sale from which a share was withheld
///
/// A destination charge is a payment on the account; this resolves it to the platform's own charge.
/// Stripe is asked once, and the answer is stored.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/transactions/{transaction}/origin",
    operation_id = "showOrigin",
    params(AccountParams, TransactionPath),
    responses((status = 200, body = Origin, description = "The sale")),
)]
pub(super) async fn origin(
    State(Platform { api, financings, .. }): State<Platform>,
    AccountPath(account): AccountPath,
    Path(TransactionPath { transaction }): Path<TransactionPath>,
) -> Result<Json<Origin>, Refusal> {
    let id: TransactionId = transaction.parse().map_err(|_| Refusal::NotFound)?;
    let movement =
        api.query("cannot look up a transaction", financings.movement(&account, &id)).await?;
    let Movement { charge_id, .. } = movement.ok_or(Refusal::NotFound)?;
    // Not every transaction has a charge: a payout, for example, has none.
    let (transfer_id, source_charge_id) = match &charge_id {
        None => (None, None),
        Some(charge) => {
            let source = financings.charge_source(&account, charge).await;
            let source = source
                .map_err(|error| api.lookup_refusal(&error, "cannot resolve a charge's source"))?;
            (source.transfer_id, source.source_charge_id)
        }
    };
    let transaction_id = id.to_string();
    Ok(Json(Origin { transaction_id, charge_id, transfer_id, source_charge_id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_bound_is_a_time_or_a_day_in_the_accounts_time_zone() {
        let zone = Tz::America__New_York;
        let read = |given: &str| TimeBound::try_from(given.to_owned());
        let text = |end: Result<DateTime<Utc>, Refusal>| end.unwrap().to_rfc3339();
        let day = read("2026-07-01").unwrap();
        assert_eq!(text(day.moment(zone, Days::from)), "2026-07-01T04:00:00+00:00");
        assert_eq!(text(day.moment(zone, Days::until)), "2026-07-02T04:00:00+00:00");
        for moment in
            ["2026-07-01T06:00:00+02:00", "2026-07-01T06:00:00 02:00", "2026-07-01T04:00:00Z"]
        {
            let moment = read(moment).unwrap();
            assert_eq!(text(moment.moment(zone, Days::from)), "2026-07-01T04:00:00+00:00");
            assert_eq!(moment.moment(zone, Days::until), moment.moment(zone, Days::from));
        }
        for bad in ["", "2026", "yesterday", "2026-07-01T04:00:00", "2026-13-01", "1"] {
            assert_eq!(read(bad), Err(BadTimeBound), "{bad}");
        }
        let out_of_range = read("0001-01-01").unwrap().moment(zone, Days::from);
        assert_eq!(out_of_range, Err(BadDays::Unknown.into()));
    }
}
