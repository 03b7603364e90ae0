//! What Stripe does not promise, the simulator does not do.

use chrono::TimeDelta;

use crate::*;

const OFFERS: &str = "/v1/capital/financing_offers";

fn ids(list: &Value) -> Vec<String> {
    let id = |object: &Value| object["id"].as_str().unwrap().to_owned();
    list["data"].as_array().unwrap().iter().map(id).collect()
}

impl Client {
    /// Posts a form with further headers.
    async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = self.http.post(self.url(path)).bearer_auth(KEY).form(form);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn application_link(&self, account: &str) -> (u16, Value) {
        let form = [
            ("account", account),
            ("type", "capital_financing_offer"),
            ("refresh_url", "https://rocket.example/refresh"),
            ("return_url", "https://rocket.example/return"),
        ];
        self.post("/v1/account_links", &form).await
    }
}

#[tokio::test]
async fn an_account_link_needs_an_offer_that_is_delivered_and_open() {
    let (client, account, offer) = Client::start().await;
    let (status, body) = client.application_link(&account).await;
    let error = &body["error"];
    assert_eq!((status, error["type"].as_str()), (400, Some("invalid_request_error")));
    assert_eq!(error["param"], "account");
    assert!(error["message"].as_str().unwrap().contains("delivered"), "{body}");

    client.mark(&offer, "k1").await.unwrap();
    assert_eq!(client.application_link(&account).await.0, 200);

    client.time.advance(TimeDelta::days(30));
    assert_eq!(client.application_link(&account).await.0, 400, "its time is over");
}

#[tokio::test]
async fn an_offer_past_its_expiry_can_be_neither_marked_nor_applied_for() {
    let (client, account, late) = Client::start().await;
    let delivered = client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliver(&delivered);
    client.time.advance(TimeDelta::days(30));
    let response = client.mark(&late, "k1").await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(client.simulator.offer(&late).unwrap()["status"], "undelivered");
    assert!(client.simulator.perform(Action::Apply, &delivered).is_err());
}

#[tokio::test]
async fn a_call_of_the_platform_is_refused_in_the_name_of_an_account() {
    let (client, account, offer) = Client::start().await;
    for path in [OFFERS.to_owned(), format!("{OFFERS}/{offer}"), "/v1/events".to_owned()] {
        assert_eq!(client.get_as(&account, &path).await.0, 400, "{path}");
        assert_eq!(client.get_as("acct_other", &path).await.0, 403, "{path}");
    }
    let path = format!("{OFFERS}/{offer}/mark_delivered");
    let response = client.post_with(&path, &[("Stripe-Account", &account)], &[]).await;
    assert_eq!((response.status().as_u16(), client.simulator.delivered_marks(&offer)), (400, 0));
}

#[tokio::test]
async fn parameters_that_stripe_does_not_know_are_refused_on_every_call() {
    let (client, account, offer) = Client::start().await;
    let event = client.simulator.events()[0]["id"].as_str().unwrap().to_owned();
    for path in [
        format!("{OFFERS}/{offer}"),
        format!("/v1/accounts/{account}"),
        format!("/v1/accounts/{account}/persons"),
        format!("/v1/events/{event}"),
        "/v1/events".to_owned(),
        "/v1/payouts".to_owned(),
    ] {
        let (status, body) = client.get(&format!("{path}?colour=red")).await;
        let error = &body["error"];
        assert_eq!((status, error["code"].as_str()), (400, Some("parameter_unknown")), "{path}");
        assert_eq!(error["param"], "colour");
    }
    let path = format!("{OFFERS}/{offer}/mark_delivered");
    let response = client.post_with(&path, &[], &[("delivered_at", "1")]).await;
    assert_eq!((response.status().as_u16(), client.simulator.delivered_marks(&offer)), (400, 0));
}

#[tokio::test]
async fn a_filter_of_no_meaning_is_refused_rather_than_ignored() {
    let (client, ..) = Client::start().await;
    for (path, parameter) in [
        ("/v1/capital/financing_offers?created[gte]=yesterday", "created[gte]"),
        // An offer can be replaced, but the filter does not know that.
        ("/v1/capital/financing_offers?status=replaced", "status"),
        ("/v1/capital/financing_offers?limit=0", "limit"),
        ("/v1/capital/financing_offers?limit=ten", "limit"),
        ("/v1/capital/financing_offers?starting_after=financingoffer_1", "starting_after"),
        ("/v1/events?delivery_success=no", "delivery_success"),
        ("/v1/events?type=capital.*&types[]=capital.financing_offer.created", "types"),
        // A group is a `type`.
        ("/v1/events?types[]=capital.*", "types"),
    ] {
        let (status, body) = client.get(path).await;
        assert_eq!((status, body["error"]["param"].as_str()), (400, Some(parameter)), "{path}");
    }
}

#[tokio::test]
async fn events_are_found_by_types_and_for_30_days() {
    let (client, _, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    client.simulator.perform(Action::Apply, &offer).unwrap();
    let found = async |query: &str| {
        let (_, list) = client.get(&format!("/v1/events?{query}")).await;
        list["data"].as_array().unwrap().len()
    };
    assert_eq!(found("type=capital.*").await, 2);
    assert_eq!(found("types[]=capital.financing_offer.accepted").await, 1);
    let both = "types[0]=capital.financing_offer.accepted&types[1]=capital.financing_offer.created";
    assert_eq!(found(both).await, 2);

    client.time.advance(TimeDelta::days(30));
    let event = client.simulator.events()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(found("type=capital.*").await, 0);
    assert_eq!(client.get(&format!("/v1/events/{event}")).await.0, 404);
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let (client, ..) = Client::start().await;
    let ask = async |version: &str| {
        let request = client.http.get(client.url(OFFERS)).bearer_auth(KEY);
        request.header("Stripe-Version", version).send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("2025-09-30.preview").await, ask("latest").await), (200, 400));
}

#[tokio::test]
async fn a_key_keeps_what_an_endpoint_answered_and_not_what_failed_validation() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let key = [("Idempotency-Key", "k1")];
    let path = "/v1/account_links";
    assert_eq!(client.post_with(path, &key, &[("account", &account)]).await.status(), 400);
    let form = [
        ("account", account.as_str()),
        ("type", "capital_financing_offer"),
        ("refresh_url", "https://rocket.example/refresh"),
        ("return_url", "https://rocket.example/return"),
    ];
    let response = client.post_with(path, &key, &form).await;
    assert_eq!(response.status(), 200, "the same key, once the parameters are right");

    let missing = "financingoffer_missing";
    for is_replay in [false, true] {
        let response = client.mark(missing, "k2").await.unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers().contains_key("idempotent-replayed"), is_replay);
    }
    assert_eq!(client.mark(&offer, &"k".repeat(256)).await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_live_key_sees_live_objects_and_takes_no_url_without_tls() {
    let key = "sk_live_simulator";
    let (simulator, _) = start_with_key(key).await;
    let account = simulator.add_account(&NewAccount::default());
    let offer = simulator.create_offer(&account, &NewOffer::default());
    simulator.deliver(&offer);
    assert_eq!(simulator.offer(&offer).unwrap()["livemode"], true);
    assert_eq!(simulator.events()[0]["livemode"], true);
    let http = reqwest::Client::builder().build().unwrap();
    let url = simulator.base_url().join("/v1/account_links").unwrap();
    for (return_url, status) in
        [("http://rocket.example/return", 400), ("https://rocket.example/return", 200)]
    {
        let form = [
            ("account", account.as_str()),
            ("type", "capital_financing_offer"),
            ("refresh_url", "https://rocket.example/refresh"),
            ("return_url", return_url),
        ];
        let request = http.post(url.clone()).bearer_auth(key).form(&form);
        assert_eq!(request.send().await.unwrap().status(), status, "{return_url}");
    }
}

#[tokio::test]
async fn a_cursor_stays_valid_when_its_offer_no_longer_matches() {
    let (client, account, _) = Client::start().await;
    let offers: Vec<String> =
        (0..6).map(|_| client.simulator.create_offer(&account, &NewOffer::default())).collect();
    let path = format!("{OFFERS}?status=undelivered&limit=2");
    let (_, first) = client.get(&path).await;
    assert_eq!(ids(&first), [offers[5].as_str(), &offers[4]]);
    // Between two pages: the cursor's offer and a later one are delivered, and a new one is made.
    client.simulator.deliver(&offers[4]);
    client.simulator.deliver(&offers[3]);
    let new = client.simulator.create_offer(&account, &NewOffer::default());
    let (status, second) = client.get(&format!("{path}&starting_after={}", offers[4])).await;
    assert_eq!((status, ids(&second)), (200, vec![offers[2].clone(), offers[1].clone()]));
    assert_eq!(second["has_more"], true);
    let (_, before) = client.get(&format!("{path}&ending_before={}", offers[4])).await;
    assert_eq!((ids(&before), &before["has_more"]), (vec![new, offers[5].clone()], &false.into()));
    let (_, nearest) = client.get(&format!("{OFFERS}?limit=1&ending_before={}", offers[0])).await;
    assert_eq!((ids(&nearest), &nearest["has_more"]), (vec![offers[1].clone()], &true.into()));
    let both = format!("{path}&starting_after={}&ending_before={}", offers[4], offers[1]);
    assert_eq!(client.get(&both).await.0, 400);
}
