//! Offers: one with given terms, one of each product, or thousands.

use std::sync::Arc;

use serde_json::{Value, json};

use super::body::Body;
use super::{bulk, refused};
use crate::engine::Engine;
use crate::error::ActionError;
use crate::http::response::ApiResponse;
use crate::lifecycle;
use crate::state::account::NewAccount;
use crate::state::offer::{NewOffer, RepaymentInterval};
use crate::state::product::{PRODUCTS, Product};

pub(super) fn create(engine: &Arc<Engine>, body: &Body) -> ApiResponse {
    let account = body.text("account").unwrap_or_default();
    if !engine.state().accounts.contains(&account) {
        return ApiResponse::not_found("account", &account);
    }
    let default = NewOffer::default();
    let new = NewOffer {
        advance_amount: body.integer("advance_amount").unwrap_or(default.advance_amount),
        fee_amount: body.integer("fee_amount").unwrap_or(default.fee_amount),
        currency: body.text("currency"),
        withhold_rate: body.number("withhold_rate").unwrap_or(default.withhold_rate),
        product_type: body.text("product_type").unwrap_or(default.product_type),
        financing_type: body.text("financing_type").unwrap_or(default.financing_type),
        campaign_type: body.text("campaign_type").unwrap_or(default.campaign_type),
        fee_discount_rate: body.number("previous_financing_fee_discount_rate"),
        repayment_interval: body
            .object("repayment_interval_configuration")
            .map(|body| interval(&body)),
        open_for: default.open_for,
    };
    let id = engine.change(|change| lifecycle::create_offer(change, &account, &new));
    ApiResponse::ok(json!({"id": id}))
}

fn interval(body: &Body) -> RepaymentInterval {
    RepaymentInterval {
        duration_days: body.integer("duration_days"),
        minimum_amount: body.integer("minimum_amount"),
        maximum_amount: body.integer("maximum_amount"),
    }
}

/// Makes an account and an offer for each row of [`PRODUCTS`]. Returns the two ids of each.
pub(crate) fn create_each_product(engine: &Arc<Engine>) -> Vec<(&'static Product, String, String)> {
    let create = |product: &'static Product| {
        let account = add_account_for(engine, product);
        let new =
            NewOffer { financing_type: product.financing_type.to_owned(), ..NewOffer::default() };
        let offer = engine.change(|change| lifecycle::create_offer(change, &account, &new));
        (product, account, offer)
    };
    PRODUCTS.iter().map(create).collect()
}

fn add_account_for(engine: &Arc<Engine>, product: &Product) -> String {
    let Product { country, financing_type, .. } = product;
    let new = NewAccount {
        name: Some(format!("Merchant {country} {}", financing_type.replace('_', " "))),
        email: Some(format!("{}-{financing_type}@merchants.example", country.to_lowercase())),
        country: Some((*country).to_owned()),
    };
    let mut state = engine.state();
    let id = state.add_account(&new, engine.time.now());
    // In Great Britain cash advances are for the unincorporated.
    if let Some(account) = state.accounts.objects.get_mut(&id)
        && (*country, *financing_type) == ("GB", "cash_advance")
    {
        account["business_type"] = json!("individual");
    }
    id
}

pub(super) fn each_product(engine: &Arc<Engine>) -> ApiResponse {
    let made = create_each_product(engine);
    let made = made.iter().map(|(product, account, offer)| {
        json!({
            "country": product.country, "financing_type": product.financing_type,
            "provider": product.provider, "account": account, "offer": offer,
        })
    });
    ApiResponse::ok(json!({"data": made.collect::<Vec<Value>>()}))
}

pub(super) fn create_bulk(engine: &Engine, body: &Body) -> ApiResponse {
    match new_offers(body).and_then(|new| bulk::create(engine, &new)) {
        Ok(made) => ApiResponse::ok(json!(made)),
        Err(error) => refused(&error),
    }
}

fn new_offers(body: &Body) -> Result<bulk::NewOffers, ActionError> {
    let default = bulk::NewOffers::default();
    let count = body.count("count")?.unwrap_or(default.count);
    Ok(bulk::NewOffers {
        count,
        accounts: body.count("accounts")?.unwrap_or(count),
        disconnected: body.count("disconnected")?.unwrap_or(default.disconnected),
        statuses: body.texts("statuses")?.unwrap_or(default.statuses),
        countries: body.texts("countries")?.unwrap_or(default.countries),
        has_events: body.boolean("events").unwrap_or(default.has_events),
    })
}
