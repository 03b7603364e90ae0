//! `POST /api/v1/accounts/{account}/offers/{offer}/delivered`: the platform told the merchant about
//! the offer itself.

use axum::Json;
use axum::extract::{Extension, Path, Request, State};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::Caller;
use super::offers::OfferPath;
use super::request::{AccountParams, AccountPath};
use super::{Api, Platform, Refusal};
use crate::flow::delivered::{self, DeliveryReport, Reported};
use crate::format::text::is_unprintable;
use crate::letters::deliveries::{self, DeliverySummary};
use crate::stripe::OfferId;

/// How the merchant was told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDelivery {
    /// The channel, in the platform's words.
    #[schema(min_length = 1, max_length = 50, example = "dashboard")]
    channel: String,
    /// When the merchant was told. Defaults to now.
    when: Option<DateTime<Utc>>,
    /// The platform's own reference, for example the id of a message.
    #[schema(max_length = 200, example = "msg_8231")]
    reference: Option<String>,
}

/// What Stripe knows about the delivery of an offer.
#[derive(Serialize, ToSchema)]
pub(super) struct Delivery {
    /// `pending`: Stripe is told as soon as it answers. `delivered`: Stripe acknowledged, or knew
    /// before. `refused`: Stripe refuses, and an operator must act.
    #[schema(example = "pending")]
    state: String,
    /// When Stripe acknowledged.
    delivered_at: Option<DateTime<Utc>>,
}

/// The platform's clock may run ahead by this much.
const MAX_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Report that the merchant was told
///
/// For a platform that showed the offer in its dashboard or told the merchant in another way.
/// Stripe is told that the offer is delivered, the report is kept as evidence, and an email that
/// was not sent yet is withdrawn. The same channel and time, or channel and reference, again change
/// nothing.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{account}/offers/{offer}/delivered",
    operation_id = "reportDelivery",
    params(AccountParams, OfferPath),
    request_body = NewDelivery,
    responses((status = 200, body = Delivery, description = "The state of the delivery")),
)]
pub(super) async fn report(
    State(platform): State<Platform>,
    Extension(caller): Extension<Caller>,
    AccountPath(account): AccountPath,
    Path(path): Path<OfferPath>,
    request: Request,
) -> Result<Json<Delivery>, Refusal> {
    let offer: OfferId = path.offer.parse().map_err(|_| Refusal::NotFound)?;
    let new: NewDelivery = platform.api.read_json(request).await?;
    let now = platform.api.clock.now();
    let told_at = new.when.unwrap_or(now);
    new.check(told_at, now)?;
    let report = DeliveryReport {
        offer: &offer,
        account: &account,
        channel: &new.channel,
        told_at,
        reference: new.reference.as_deref(),
        reported_by: &caller.key_id,
    };
    let (mut reported, mut delivery) = platform.api.record(&report).await?;
    if reported == Reported::UnknownOffer {
        // Its event may be late, or may have preceded this service.
        platform.find_offers(&account).await?;
        (reported, delivery) = platform.api.record(&report).await?;
    }
    match reported {
        Reported::Accepted => {}
        Reported::UnknownOffer => return Err(Refusal::NotFound),
        Reported::OfferEnded => return Err(Refusal::OfferEnded),
    }
    // The job that tells Stripe is due now.
    platform.finder.jobs.notify();
    tracing::info!(
        account.id = %account,
        offer.id = %offer,
        key.id = caller.key_id,
        channel = new.channel,
        "the platform told the merchant itself"
    );
    Ok(Json(Delivery::from(delivery)))
}

impl NewDelivery {
    fn check(&self, told_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Refusal> {
        let is_text = |text: &str, max: usize| {
            !text.trim().is_empty()
                && text.chars().count() <= max
                && !text.chars().any(is_unprintable)
        };
        let wrong = |why: &'static str| Err(Refusal::MalformedBody(why.into()));
        if !is_text(&self.channel, 50) {
            return wrong("`channel` must be 1 to 50 printable characters");
        }
        if self.reference.as_ref().is_some_and(|reference| !is_text(reference, 200)) {
            return wrong("`reference` must be 1 to 200 printable characters");
        }
        if told_at > now + MAX_AHEAD || told_at < now - TimeDelta::days(366) {
            return wrong("`when` must be a time within the last year, and not in the future");
        }
        Ok(())
    }
}

impl Api {
    async fn record(
        &self,
        report: &DeliveryReport<'_>,
    ) -> Result<(Reported, Option<DeliverySummary>), Refusal> {
        let recording = async {
            let mut tx = self.db.begin().await?;
            let reported = delivered::report(&mut tx, report, self.clock.now()).await?;
            let delivery = deliveries::find(&mut *tx, report.offer.as_str()).await?;
            tx.commit().await?;
            Ok((reported, delivery))
        };
        self.query("cannot record a delivery by the platform", recording).await
    }
}

impl From<Option<DeliverySummary>> for Delivery {
    /// Without a delivery of ours, the offer was delivered before it was reported.
    fn from(delivery: Option<DeliverySummary>) -> Self {
        delivery.map_or_else(
            || Self { state: "delivered".to_owned(), delivered_at: None },
            |delivery| Self { state: delivery.state, delivered_at: delivery.delivered_at },
        )
    }
}
