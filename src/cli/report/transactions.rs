//! `report transactions`: the movements of a period.

use futures_util::TryStreamExt;

use super::Asked;
use crate::cli::out::stdout;
use crate::database::{self, Pool};
use crate::financing::ledger::{Movement, Period, store};
use crate::format::csv::{harmless, moment, writer};
use crate::format::money::Money;

const COLUMNS: [&str; 13] = [
    "transaction",
    "created_at",
    "account",
    "offer",
    "type",
    "reason",
    "effect",
    "currency",
    "total",
    "advance",
    "fee",
    "reverses",
    "charge",
];

/// Writes the report to stdout, as it comes from the database.
pub(super) async fn write(db: &Pool, asked: &Asked) -> anyhow::Result<()> {
    let (from, until) = asked.period()?;
    let mut out = writer(stdout());
    out.write_record(COLUMNS)?;
    let mut connection = database::without_statement_timeout(db).await?;
    let period = Period { from, until, account_id: asked.account() };
    let mut movements = store::movements(&mut connection, &period);
    while let Some(movement) = movements.try_next().await? {
        out.write_record(cells(&movement))?;
    }
    Ok(out.flush()?)
}

fn cells(movement: &Movement) -> [String; 13] {
    let text = |text: &Option<String>| harmless(text.as_deref().unwrap_or_default()).into_owned();
    let amount = |minor: Option<i64>| {
        let money = |minor| Money { minor, currency: movement.currency.clone() };
        minor.map(|minor| money(minor).plain()).unwrap_or_default()
    };
    [
        movement.transaction_id.clone(),
        moment(movement.created_at),
        movement.account_id.clone(),
        text(&movement.offer_id),
        harmless(&movement.r#type).into_owned(),
        text(&movement.reason),
        movement.effect.clone(),
        harmless(&movement.currency.to_uppercase()).into_owned(),
        // A number, whose sign is no formula's.
        amount(Some(movement.total_minor)),
        amount(movement.advance_minor),
        amount(movement.fee_minor),
        text(&movement.reversed_transaction_id),
        text(&movement.charge_id),
    ]
}
