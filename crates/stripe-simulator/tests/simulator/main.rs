//! The simulator as a client that shares no code with it sees it.

#![allow(clippy::unwrap_used, reason = "what cannot be had here fails the test")]
#![allow(unreachable_pub, reason = "one binary: nothing else can reach its items")]

mod account_links;
mod account_sessions;
mod adoption;
#[path = "../support/expected_ledger.rs"]
mod expected_ledger;
mod feed;
mod financing;
mod lost_events;
mod pages;
mod products;
#[path = "../support/random_merchant.rs"]
mod random_merchant;
mod random_merchants;
mod snapshot;
mod strictness;
mod webhook_endpoints;
mod webhooks;

use chrono::DateTime;
use expected_ledger::{ExpectedFinancing, ExpectedLedger, ExpectedPayout, FinancingPhase};
use random_merchant::RandomMerchant;
use serde_json::Value;
use stripe_simulator::{
    Action, ChargeKind, Fault, FaultKind, NewAccount, NewCharge, NewOffer, Options, PaymentSource,
    PlatformDashboard, ReversalReason, Simulator, TimeSource, WebhookEndpoint,
};
use url::Url;

const KEY: &str = "sk_test_simulator";

async fn start() -> (Simulator, TimeSource) {
    start_with_key(KEY).await
}

async fn start_with_key(key: &str) -> (Simulator, TimeSource) {
    let time = TimeSource::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = Options { listen, api_key: key.to_owned(), time: time.clone() };
    (Simulator::start(options).await.unwrap(), time)
}

struct Client {
    simulator: Simulator,
    time: TimeSource,
    http: reqwest::Client,
}

impl Client {
    /// With an account, and an undelivered offer to it.
    async fn start() -> (Self, String, String) {
        let (simulator, time) = start().await;
        let account = simulator.add_account(&NewAccount::default());
        let offer = simulator.create_offer(&account, &NewOffer::default());
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        (Self { simulator, time, http }, account, offer)
    }

    fn url(&self, path: &str) -> Url {
        self.simulator.base_url().join(path).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(self.url(path)).bearer_auth(KEY).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// In the name of an account.
    async fn get_as(&self, account: &str, path: &str) -> (u16, Value) {
        let request =
            self.http.get(self.url(path)).bearer_auth(KEY).header("Stripe-Account", account);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let response =
            self.http.post(self.url(path)).bearer_auth(KEY).form(form).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// As a browser does, which has no key: the status, the place it is sent to, and the page.
    async fn visit(&self, request: reqwest::RequestBuilder) -> (u16, Option<String>, String) {
        let response = request.send().await.unwrap();
        let place =
            response.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
        (response.status().as_u16(), place, response.text().await.unwrap())
    }

    async fn mark(&self, offer: &str, key: &str) -> Result<reqwest::Response, reqwest::Error> {
        let url = self
            .simulator
            .base_url()
            .join(&format!("/v1/capital/financing_offers/{offer}/mark_delivered"));
        let form: [(&str, &str); 0] = [];
        self.http
            .post(url.unwrap())
            .bearer_auth(KEY)
            .header("Idempotency-Key", key)
            .form(&form)
            .send()
            .await
    }
}

fn fault(kind: FaultKind) -> Fault {
    Fault { method: "POST", path: "mark_delivered", times: 1, kind }
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_route_are_refused() {
    let (client, ..) = Client::start().await;
    let url = client.simulator.base_url().join("/v1/capital/financing_offers").unwrap();
    let refused = client.http.get(url).bearer_auth("sk_test_other").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let (status, body) = client.get("/v1/nothing").await;
    assert_eq!((status, body["error"]["type"].as_str()), (404, Some("invalid_request_error")));
}

#[tokio::test]
async fn a_list_comes_in_pages_newest_first() {
    let (client, account, first) = Client::start().await;
    for _ in 0..4 {
        client.simulator.create_offer(&account, &NewOffer::default());
    }
    let (_, page) = client.get("/v1/capital/financing_offers?limit=3&status=undelivered").await;
    assert_eq!(
        (page["data"].as_array().unwrap().len(), page["has_more"].as_bool()),
        (3, Some(true))
    );
    let last = page["data"][2]["id"].as_str().unwrap();
    let (_, rest) =
        client.get(&format!("/v1/capital/financing_offers?limit=3&starting_after={last}")).await;
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), rest["has_more"].as_bool()),
        (2, Some(false))
    );
    assert_eq!(rest["data"][1]["id"], first.as_str());
    assert_eq!(client.get("/v1/capital/financing_offers?limit=101").await.0, 400);
    assert_eq!(
        client.get("/v1/capital/financing_offers?colour=red").await.1["error"]["code"],
        "parameter_unknown"
    );
}

#[tokio::test]
async fn a_key_is_carried_out_once_and_its_response_replayed() {
    let (client, account, offer) = Client::start().await;
    client.simulator.inject(fault(FaultKind::DisconnectAfter));
    assert!(client.mark(&offer, "k1").await.is_err(), "the fault closes the connection");
    let again = client.mark(&offer, "k1").await.unwrap();
    assert_eq!(
        (again.status().as_u16(), again.headers().get("idempotent-replayed").is_some()),
        (200, true)
    );
    assert_eq!(client.simulator.delivered_marks(&offer), 1);

    assert_eq!(client.mark(&offer, "k2").await.unwrap().status(), 400);
    let other = client.simulator.create_offer(&account, &NewOffer::default());
    let body: Value = client.mark(&other, "k1").await.unwrap().json().await.unwrap();
    assert_eq!(body["error"]["type"], "idempotency_error");
}

#[tokio::test]
async fn a_stored_500_is_replayed_for_a_day() {
    let (client, _, offer) = Client::start().await;
    client.simulator.inject(fault(FaultKind::StoredError));
    for _ in 0..2 {
        assert_eq!(client.mark(&offer, "k1").await.unwrap().status(), 500);
    }
    client.time.advance(chrono::TimeDelta::hours(24));
    assert_eq!(client.mark(&offer, "k1").await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_offer_follows_its_life_and_emits_each_event() {
    let (client, _, offer) = Client::start().await;
    assert!(client.simulator.perform(Action::Apply, &offer).is_err());
    client.mark(&offer, "k1").await.unwrap();
    for action in [Action::Apply, Action::Approve, Action::Repay] {
        client.simulator.perform(action, &offer).unwrap();
    }
    assert!(client.simulator.perform(Action::Expire, &offer).is_err());
    let types: Vec<Value> =
        client.simulator.events().iter().map(|event| event["type"].clone()).collect();
    let expected = [
        "offer.created",
        "offer.accepted",
        "offer.paid_out",
        "transaction.created",
        "transaction.created",
        "offer.fully_repaid",
    ]
    .map(|end| format!("capital.financing_{end}"));
    assert_eq!(types, expected);
}
