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

use super::request::{AccountParams, AccountPath, PageRequest, Query};
use super::{Platform, Refusal};
use crate::financing::charge_source;
use crate::financing::ledger::{self, Movement};
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
    #[param(pattern = r"^[0-9]{1,16}\.cptxn_[A-Za-z0-9_-]{1,194}$")]
    cursor: Option<String>,
}

/// The transaction types that can be filtered by, as Stripe names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum TypeFilter {
    Payment,
    Payout,
    Reversal,
}

impl TypeFilter {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A page of an account's transactions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Transactions {
    data: Vec<Transaction>,
    /// Cursor of the next page; null on the last page.
    next_cursor: Option<String>,
}

/// A financing transaction. Amounts are in minor units of `currency` and signed as they count
/// towards the total: a reversal is negative.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names that are promised")]
struct Transaction {
    #[schema(example = "cptxn_1Q2w3E4r5T6y7U8i")]
    transaction_id: String,
    created_at: DateTime<Utc>,
    /// The financing; null if Stripe names none.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: Option<String>,
    /// As Stripe names it: `payment`, `payout`, `reversal`. More values may be added.
    #[schema(example = "payment")]
    r#type: String,
    /// As Stripe names it, such as `automatic_withholding`. More values may be added.
    #[schema(example = "automatic_withholding")]
    reason: Option<String>,
    /// The total that it counts towards: `advanced`, `paid`, or `unclear` if that is unknown.
    #[schema(example = "paid")]
    effect: String,
    /// Whether it is a withheld share of sales, or the return of one.
    #[schema(example = true)]
    is_withholding: bool,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    #[schema(example = 1_500)]
    total_minor: i64,
    /// The part that is advance.
    #[schema(example = 1_364)]
    advance_minor: Option<i64>,
    /// The part that is fee.
    #[schema(example = 136)]
    fee_minor: Option<i64>,
    /// The transaction that a reversal reverses.
    reversed_transaction_id: Option<String>,
    /// The charge on the account from which a share was withheld: `py_…` or `ch_…`.
    #[schema(example = "py_1Q2w3E4r5T6y7U8i")]
    charge_id: Option<String>,
}

impl From<Movement> for Transaction {
    fn from(movement: Movement) -> Self {
        Self {
            transaction_id: movement.transaction_id,
            created_at: movement.created_at,
            offer_id: movement.offer_id,
            r#type: movement.r#type,
            reason: movement.reason,
            effect: movement.effect,
            is_withholding: movement.is_withholding,
            currency: movement.currency,
            total_minor: movement.total_minor,
            advance_minor: movement.advance_minor,
            fee_minor: movement.fee_minor,
            reversed_transaction_id: movement.reversed_transaction_id,
            charge_id: movement.charge_id,
        }
    }
}

/// List an account's transactions
///
/// All known transactions, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/transactions",
    operation_id = "listTransactions",
    params(AccountParams, TransactionsQuery),
    responses((
        status = 200,
        body = Transactions,
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
) -> Result<Json<Transactions>, Refusal> {
    let api = &platform.api;
    let page = PageRequest::parse(query.limit, query.cursor.as_deref())?;
    let (from, until) = bounds(&platform, &account, &query).await?;
    let filter = ledger::MovementFilter {
        offer_id: query.offer.map(String::from),
        kind: query.r#type.map(|kind| kind.as_str().to_owned()),
        from,
        until,
        after: page.after.clone(),
    };
    let rows = platform.financings.movements(&account, &filter, page.fetch_limit()).await;
    let mut rows = api.database_result(rows, "cannot list an account's transactions")?;
    let next_cursor = page.next_cursor(&mut rows, |row| row.cursor().to_string());
    Ok(Json(Transactions { data: rows.into_iter().map(Transaction::from).collect(), next_cursor }))
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

    fn start(self, zone: Tz) -> Result<DateTime<Utc>, Refusal> {
        match self {
            Self::Instant(moment) => Ok(moment),
            Self::Day(day) => Ok(Days::new(day, day)?.from(zone)),
        }
    }

    fn end(self, zone: Tz) -> Result<DateTime<Utc>, Refusal> {
        match self {
            Self::Instant(moment) => Ok(moment),
            Self::Day(day) => Ok(Days::new(day, day)?.until(zone)),
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
        api.database_result(
            financings.locale(account).await,
            "cannot look up an account's time zone",
        )?
        .time_zone
    } else {
        Tz::UTC
    };
    let from = from.map(|bound| bound.start(zone)).transpose()?;
    let until = until.map(|bound| bound.end(zone)).transpose()?;
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
    params(
        AccountParams,
        TransactionPath,
    ),
    responses((status = 200, body = Origin, description = "The sale")),
)]
pub(super) async fn origin(
    State(Platform { api, financings, .. }): State<Platform>,
    AccountPath(account): AccountPath,
    Path(TransactionPath { transaction }): Path<TransactionPath>,
) -> Result<Json<Origin>, Refusal> {
    let id: TransactionId = transaction.parse().map_err(|_| Refusal::NotFound)?;
    let movement = financings.movement(&account, &id).await;
    let movement =
        api.database_result(movement, "cannot look up a transaction")?.ok_or(Refusal::NotFound)?;
    let transaction_id = movement.transaction_id;
    let Some(charge) = movement.charge_id else {
        // Not every transaction has a charge: a payout, for example, has none.
        return Ok(Json(Origin {
            transaction_id,
            charge_id: None,
            transfer_id: None,
            source_charge_id: None,
        }));
    };
    let origin = financings.charge_source(&account, &charge).await;
    let charge_source::ChargeSource { charge_id, transfer_id, source_charge_id } =
        api.financing_result(origin, "cannot resolve the source of a charge")?;
    Ok(Json(Origin { transaction_id, charge_id: Some(charge_id), transfer_id, source_charge_id }))
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
        assert_eq!(text(day.start(zone)), "2026-07-01T04:00:00+00:00");
        assert_eq!(text(day.end(zone)), "2026-07-02T04:00:00+00:00");
        for moment in
            ["2026-07-01T06:00:00+02:00", "2026-07-01T06:00:00 02:00", "2026-07-01T04:00:00Z"]
        {
            let moment = read(moment).unwrap();
            assert_eq!(text(moment.start(zone)), "2026-07-01T04:00:00+00:00");
            assert_eq!(moment.end(zone), moment.start(zone));
        }
        for bad in ["", "2026", "yesterday", "2026-07-01T04:00:00", "2026-13-01", "1"] {
            assert_eq!(read(bad), Err(BadTimeBound), "{bad}");
        }
        let out_of_range = read("0001-01-01").unwrap().start(zone);
        assert_eq!(out_of_range, Err(BadDays::Unknown.into()));
    }
}
