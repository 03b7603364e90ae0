//! `offer list`: the newest offers, with what became of their first email.

use std::collections::HashMap;

use crate::cli::out::MINUTE;
use crate::cli::table;
use crate::database::{self, Pool};
use crate::format::locale::operator_amount;
use crate::letters::store::{FirstLetter, first_of_offers};
use crate::offers;
use crate::offers::store::OfferListing;

/// An offer as listed, with what became of its first email.
#[derive(Debug, serde::Serialize)]
struct ListedOffer {
    #[serde(flatten)]
    offer: OfferListing,
    /// `None` while the offer has no email.
    letter_state: Option<String>,
    letter_reason: Option<String>,
}

pub(super) async fn list(
    db: &Pool,
    status: Option<&str>,
    limit: i64,
    json: bool,
) -> anyhow::Result<()> {
    let mut tx = database::snapshot(db).await?;
    let offers = offers::store::list(&mut *tx, status, limit).await?;
    let ids: Vec<String> = offers.iter().map(|offer| offer.offer_id.clone()).collect();
    let letters = first_of_offers(&mut *tx, &ids).await?;
    drop(tx);
    let mut letters: HashMap<String, FirstLetter> =
        letters.into_iter().map(|letter| (letter.offer_id.clone(), letter)).collect();
    let listed: Vec<ListedOffer> = offers
        .into_iter()
        .map(|offer| {
            let letter = letters.remove(&offer.offer_id);
            let (state, reason) = letter.map(|letter| (letter.state, letter.reason)).unzip();
            ListedOffer { offer, letter_state: state, letter_reason: reason.flatten() }
        })
        .collect();
    let titles = ["offer", "created", "status", "advance", "account", "email"];
    table::print(json, &listed, titles, |ListedOffer { offer, letter_state, letter_reason }| {
        let reason = letter_reason.as_deref().map(|reason| format!(" ({reason})"));
        let state = letter_state.as_deref().unwrap_or("none");
        [
            offer.offer_id.clone(),
            offer.created_at.format(MINUTE).to_string(),
            offer.status.clone(),
            advance(offer),
            offer.account_id.clone(),
            format!("{state}{}", reason.unwrap_or_default()),
        ]
    })
}

pub(super) fn advance(offer: &OfferListing) -> String {
    operator_amount(offer.advance_minor, offer.currency.as_deref()).unwrap_or_default()
}
