//! What a platform has at Stripe before its first webhook, and how it lists it.

use std::collections::{HashMap, HashSet};

use stripe_simulator::{MadeOffers, NewOffers, STATUSES};

use crate::*;

const OFFERS: &str = "/v1/capital/financing_offers";

/// All pages of a list.
async fn list_all(client: &Client, path: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map(|last| last["id"].as_str().unwrap().to_owned());
        let after = after.map(|id| format!("&starting_after={id}")).unwrap_or_default();
        let (status, page) = client.get(&format!("{path}{after}")).await;
        assert_eq!(status, 200, "{page}");
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            return all;
        }
    }
}

fn ids(list: &Value) -> Vec<String> {
    let id = |object: &Value| object["id"].as_str().unwrap().to_owned();
    list["data"].as_array().unwrap().iter().map(id).collect()
}

async fn control(client: &Client, path: &str, body: Value) -> (u16, Value) {
    let request = client.http.post(client.url(&format!("/_simulator/{path}"))).json(&body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn in_all_statuses(client: &Client, new: &NewOffers) -> MadeOffers {
    client.simulator.create_offers(new).unwrap()
}

#[tokio::test]
async fn ten_thousand_offers_in_all_statuses_are_listed_newest_first() {
    let (client, ..) = Client::start().await;
    let body = serde_json::json!({"count": 10_000, "accounts": 4_000, "disconnected": 40});
    let (status, made) = control(&client, "offers/bulk", body).await;
    assert_eq!(status, 200, "{made}");
    let counts: HashMap<String, usize> =
        serde_json::from_value(made["count_by_status"].clone()).unwrap();
    assert_eq!(counts.values().sum::<usize>(), 10_000);
    assert!(STATUSES.iter().all(|status| counts[*status] > 500), "{counts:?}");
    assert_eq!(made["disconnected"].as_array().unwrap().len(), 40);

    let listed = list_all(&client, &format!("{OFFERS}?limit=100")).await;
    assert_eq!(listed.len(), 10_001, "with the offer of the start");
    let unique: HashSet<&str> = listed.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(unique.len(), listed.len());
    assert!(listed.is_sorted_by_key(|one| -one["created"].as_i64().unwrap()));

    let path = format!("{OFFERS}?limit=100&status=undelivered&created[lt]=1800000000");
    assert_eq!(list_all(&client, &path).await.len(), counts["undelivered"]);
    assert_eq!(client.simulator.requests().iter().filter(|one| one.status != Some(200)).count(), 0);
}

#[tokio::test]
async fn offers_of_the_past_have_the_times_and_the_money_of_their_status() {
    let (client, ..) = Client::start().await;
    let made = in_all_statuses(&client, &NewOffers::default());
    let now = 1_800_000_000;
    for account in &made.accounts {
        let (_, list) = client.get(&format!("{OFFERS}?connected_account={account}")).await;
        for offer in list["data"].as_array().unwrap() {
            let status = offer["status"].as_str().unwrap();
            let is_open = offer["expires_after"].as_f64().unwrap() > 1_800_000_000.0;
            assert!(is_open || !matches!(status, "undelivered" | "delivered"), "{offer}");
            assert!(offer["created"].as_i64().unwrap() <= now);
            let paid_out_at = offer["status_transitions"]["paid_out_at"].as_i64();
            assert!(paid_out_at.is_none_or(|at| at <= now), "{offer}");
            let summary = client.simulator.summary(account);
            let is_running = summary["financing_offer"] == offer["id"]
                && summary["details"]["paid_amount"] == 30_000;
            assert_eq!(is_running, status == "paid_out", "{summary}");
            let moves = client.simulator.transactions(account);
            let expected = match status {
                "paid_out" | "fully_repaid" | "completed" => Some(2),
                "canceled" => None,
                _ => Some(0),
            };
            assert!(expected.is_none_or(|expected| moves.len() == expected), "{status}: {moves:?}");
        }
    }
}

#[tokio::test]
async fn events_of_the_past_are_in_the_list_alone_and_for_30_days() {
    let (client, ..) = Client::start().await;
    client.simulator.clear_events();
    let made = in_all_statuses(&client, &NewOffers::default());
    let (_, list) = client.get("/v1/events?delivery_success=false&limit=100").await;
    assert_eq!(ids(&list), [""; 0]);
    let created = "types[]=capital.financing_offer.created&types[]=capital.financing_offer.expired";
    let listed = list_all(&client, &format!("/v1/events?limit=5&{created}")).await;
    assert!(listed.is_sorted_by_key(|one| -one["created"].as_i64().unwrap()));
    let young = made.count_by_status["undelivered"] + made.count_by_status["accepted"];
    assert!(listed.len() >= young, "{} of {young}", listed.len());
    let since = 1_800_000_000 - 5 * 86_400;
    let path = format!("/v1/events?limit=100&{created}&created[gte]={since}");
    let recent = list_all(&client, &path).await;
    let expected: Vec<&Value> =
        listed.iter().filter(|one| one["created"].as_i64() >= Some(since)).collect();
    assert!(!recent.is_empty() && recent.len() < listed.len());
    assert_eq!(recent.iter().collect::<Vec<_>>(), expected);
    assert!(client.simulator.event_count() > listed.len(), "some are too old for the API");

    client.simulator.clear_events();
    in_all_statuses(&client, &NewOffers { has_events: false, ..NewOffers::default() });
    assert_eq!(client.simulator.event_count(), 0);
}

#[tokio::test]
async fn an_account_that_left_cannot_be_read_and_its_offers_stay() {
    let (client, account, offer) = Client::start().await;
    assert_eq!(control(&client, &format!("accounts/{account}/leave"), Value::Null).await.0, 200);
    assert_eq!(control(&client, "accounts/acct_other/leave", Value::Null).await.0, 404);
    let own = [format!("/v1/accounts/{account}"), format!("/v1/accounts/{account}/persons")];
    for path in own {
        let (status, body) = client.get(&path).await;
        assert_eq!((status, body["error"]["code"].as_str()), (403, Some("account_invalid")));
    }
    for path in ["/v1/capital/financing_summary", "/v1/capital/financing_transactions"] {
        let (status, body) = client.get_as(&account, path).await;
        assert_eq!((status, body["error"]["code"].as_str()), (403, Some("account_invalid")));
    }
    let form = [
        ("account", account.as_str()),
        ("type", "capital_financing_offer"),
        ("refresh_url", "https://rocket.example/refresh"),
        ("return_url", "https://rocket.example/return"),
    ];
    assert_eq!(client.post("/v1/account_links", &form).await.0, 400);
    let (_, list) = client.get(&format!("{OFFERS}?connected_account={account}")).await;
    assert_eq!(ids(&list), [offer.as_str()]);
}

#[tokio::test]
async fn a_list_of_many_offers_refuses_what_it_cannot_make() {
    let (client, ..) = Client::start().await;
    for body in [
        serde_json::json!({"count": "many"}),
        serde_json::json!({"accounts": 0}),
        serde_json::json!({"accounts": 1, "disconnected": 2}),
        serde_json::json!({"statuses": ["revoked"]}),
        serde_json::json!({"statuses": []}),
        serde_json::json!({"countries": ["NZ"]}),
        serde_json::json!({"countries": "US"}),
    ] {
        assert_eq!(control(&client, "offers/bulk", body.clone()).await.0, 400, "{body}");
    }
    let body = serde_json::json!({"count": 5, "accounts": 1, "statuses": ["replaced"]});
    let (_, made) = control(&client, "offers/bulk", body).await;
    assert_eq!(
        made["count_by_status"],
        serde_json::json!({"delivered": 2, "expired": 1, "replaced": 2})
    );
    let all = ["US", "AU", "CA", "GB", "DE", "FR"].map(str::to_owned).to_vec();
    let everywhere = NewOffers { count: 1_000, countries: all, ..NewOffers::default() };
    assert_eq!(
        in_all_statuses(&client, &everywhere).count_by_status.values().sum::<usize>(),
        1_000
    );
}
