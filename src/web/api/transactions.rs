//! `/api/v1/accounts/{account}/transactions`: every movement of an account's financings, and where a withheld share came from.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{
    AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{IntoParams, ToSchema};

use super::account::{Account, OfAccount};
use super::query::{PageOf, Query};
use super::{Platform, Refusal};

use crate::financing::charge_source;
use crate::financing::ledger::{self, Movement};
use crate::financing::report::{BadDays, Days};
use crate::stripe::{AccountId, OfferId, TransactionId};

/// Which transactions, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Of this type alone.
    #[param(inline)]
    r#type: Option<Kind>,
    /// Of this financing alone.
    #[param(value_type = Option<String>, pattern = "^financingoffer_[A-Za-z0-9_-]{1,185}$", example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer: Option<OfferId>,
    /// From this moment on (RFC 3339), or from the beginning of this day by the account's clock.
    #[param(schema_with = Bound::schema, example = "2026-11-01")]
    from: Option<Bound>,
    /// Before this moment (RFC 3339), or to the end of this day by the account's clock.
    #[param(schema_with = Bound::schema, example = "2026-11-30")]
    until: Option<Bound>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the page before, with the same other words.
    #[param(pattern = r"^[0-9]{1,16}\.cptxn_[A-Za-z0-9_-]{1,194}$")]
    cursor: Option<String>,
}

/// Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum Kind {
    Payment,
    Payout,
    Reversal,
}

impl Kind {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A page of an account's transactions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Transactions {
    data: Vec<Transaction>,
    /// Where the next page begins; null after the last.
    next_cursor: Option<String>,
}

/// A movement of a financing. Minor units of `currency`, with the sign that they are added with: a reversal has a minus.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names that are promised")]
struct Transaction {
    #[schema(example = "cptxn_1Q2w3E4r5T6y7U8i")]
    transaction_id: String,
    created_at: DateTime<Utc>,
    /// The financing; null where Stripe names none.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    offer_id: Option<String>,
    /// Stripe's word: `payment`, `payout`, `reversal`. An open list.
    #[schema(example = "payment")]
    r#type: String,
    /// Stripe's word: `automatic_withholding`, … An open list.
    #[schema(example = "automatic_withholding")]
    reason: Option<String>,
    /// Which sum it belongs to: `advanced`, `paid`, or `unclear` where nobody can tell.
    #[schema(example = "paid")]
    effect: String,
    /// Whether it is a share of sales, or one that was given back.
    #[schema(example = true)]
    is_withholding: bool,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    currency: String,
    #[schema(example = 1_500)]
    total_minor: i64,
    /// The part of it that is the advance's.
    #[schema(example = 1_364)]
    advance_minor: Option<i64>,
    /// The part of it that is the fee's.
    #[schema(example = 136)]
    fee_minor: Option<i64>,
    /// What a reversal undoes.
    reversed_transaction_id: Option<String>,
    /// The charge on the account that a share was withheld from: `py_…` or `ch_…`.
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
/// Every movement that is known, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/transactions",
    operation_id = "listTransactions",
    params(OfAccount, Wanted),
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
    Account(account): Account,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Transactions>, Refusal> {
    let api = &platform.api;
    let page = PageOf::read(wanted.limit, wanted.cursor.as_deref())?;
    let (from, until) = bounds(&platform, &account, &wanted).await?;
    let asked = ledger::Wanted {
        offer_id: wanted.offer.map(String::from),
        kind: wanted.r#type.map(|kind| kind.as_str().to_owned()),
        from,
        until,
        after: page.after.clone(),
    };
    let rows = platform.financings.movements(&account, &asked, page.rows()).await;
    let mut rows = api.done(rows, "cannot list an account's transactions")?;
    let next_cursor = page.cut(&mut rows, |row| row.cursor().to_string());
    Ok(Json(Transactions { data: rows.into_iter().map(Transaction::from).collect(), next_cursor }))
}

/// An end of a stretch of time, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Bound {
    Moment(DateTime<Utc>),
    Day(NaiveDate),
}

/// Neither a day nor a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a day (2026-11-01) nor a moment with an offset (2026-11-01T00:00:00Z)")]
struct NoBound;

impl TryFrom<String> for Bound {
    type Error = NoBound;

    /// A `+` that nobody escaped arrives as a space (`2026-11-01T00:00:00 01:00`): what was meant is plain.
    fn try_from(given: String) -> Result<Self, NoBound> {
        if let Ok(day) = given.parse() {
            return Ok(Self::Day(day));
        }
        let moment = DateTime::parse_from_rfc3339(&given.replace(' ', "+"));
        moment.map(|moment| Self::Moment(moment.to_utc())).map_err(|_| NoBound)
    }
}

impl Bound {
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

    fn begins(self, zone: Tz) -> Result<DateTime<Utc>, Refusal> {
        match self {
            Self::Moment(moment) => Ok(moment),
            Self::Day(day) => Ok(Days::new(day, day)?.from(zone)),
        }
    }

    fn ends(self, zone: Tz) -> Result<DateTime<Utc>, Refusal> {
        match self {
            Self::Moment(moment) => Ok(moment),
            Self::Day(day) => Ok(Days::new(day, day)?.until(zone)),
        }
    }
}

/// From which moment on, and before which. Only a day needs the account's clock, which Stripe may have to be asked for.
async fn bounds(
    Platform { api, financings, .. }: &Platform,
    account: &AccountId,
    wanted: &Wanted,
) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), Refusal> {
    let (from, until) = (wanted.from, wanted.until);
    let has_day = [from, until].into_iter().flatten().any(|bound| matches!(bound, Bound::Day(_)));
    let zone = if has_day {
        api.done(financings.home(account).await, "cannot look up an account's time zone")?.time_zone
    } else {
        Tz::UTC
    };
    let from = from.map(|bound| bound.begins(zone)).transpose()?;
    let until = until.map(|bound| bound.ends(zone)).transpose()?;
    match (from, until) {
        (Some(from), Some(until)) if until <= from => Err(BadDays::Backwards.into()),
        ends => Ok(ends),
    }
}

/// `{account}` is an extractor of its own.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InPath {
    /// The transaction.
    #[param(pattern = "^cptxn_[A-Za-z0-9_-]{1,194}$", example = "cptxn_1Q2w3E4r5T6y7U8i")]
    transaction: String,
}

/// Where the sale was made that a share was withheld from.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names that are promised")]
pub(super) struct Origin {
    #[schema(example = "cptxn_1Q2w3E4r5T6y7U8i")]
    transaction_id: String,
    /// The charge on the account; null where the transaction is about none.
    #[schema(example = "py_1Q2w3E4r5T6y7U8i")]
    charge_id: Option<String>,
    /// The transfer that brought it; null where the charge was made on the account itself.
    #[schema(example = "tr_1Q2w3E4r5T6y7U8i")]
    transfer_id: Option<String>,
    /// The platform's own charge, which the transfer passes on.
    #[schema(example = "ch_1Q2w3E4r5T6y7U8i")]
    source_charge_id: Option<String>,
}

/// Show which sale a share was withheld from
///
/// A destination charge is a payment on the account; this follows it to the charge that the platform's own records name. Stripe is asked
/// once, and the answer is kept.
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{account}/transactions/{transaction}/origin",
    operation_id = "showOrigin",
    params(
        OfAccount,
        InPath,
    ),
    responses((status = 200, body = Origin, description = "Where it was made")),
)]
pub(super) async fn origin(
    State(Platform { api, financings, .. }): State<Platform>,
    Account(account): Account,
    Path(InPath { transaction }): Path<InPath>,
) -> Result<Json<Origin>, Refusal> {
    let id: TransactionId = transaction.parse().map_err(|_| Refusal::NotFound)?;
    let movement = financings.movement(&account, &id).await;
    let movement = api.done(movement, "cannot look up a transaction")?.ok_or(Refusal::NotFound)?;
    let transaction_id = movement.transaction_id;
    let Some(charge) = movement.charge_id else {
        return Ok(Json(Origin {
            transaction_id,
            charge_id: None,
            transfer_id: None,
            source_charge_id: None,
        }));
    };
    let origin = financings.origin(&account, &charge).await;
    let charge_source::ChargeSource { charge_id, transfer_id, source_charge_id } =
        api.answered(origin, "cannot follow a charge to its origin")?;
    Ok(Json(Origin { transaction_id, charge_id: Some(charge_id), transfer_id, source_charge_id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_moment_or_a_day_by_the_accounts_clock() {
        let zone = Tz::America__New_York;
        let read = |given: &str| Bound::try_from(given.to_owned());
        let text = |end: Result<DateTime<Utc>, Refusal>| end.unwrap().to_rfc3339();
        let day = read("2026-07-01").unwrap();
        assert_eq!(text(day.begins(zone)), "2026-07-01T04:00:00+00:00");
        assert_eq!(text(day.ends(zone)), "2026-07-02T04:00:00+00:00");
        for moment in
            ["2026-07-01T06:00:00+02:00", "2026-07-01T06:00:00 02:00", "2026-07-01T04:00:00Z"]
        {
            let moment = read(moment).unwrap();
            assert_eq!(text(moment.begins(zone)), "2026-07-01T04:00:00+00:00");
            assert_eq!(moment.ends(zone), moment.begins(zone));
        }
        for nothing in ["", "2026", "yesterday", "2026-07-01T04:00:00", "2026-13-01", "1"] {
            assert_eq!(read(nothing), Err(NoBound), "{nothing}");
        }
        let nobody_knows = read("0001-01-01").unwrap().begins(zone);
        assert_eq!(nobody_knows, Err(BadDays::Unknown.into()));
    }
}
