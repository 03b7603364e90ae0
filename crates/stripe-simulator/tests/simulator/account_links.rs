//! Account Links, as a merchant's browser meets them.

use crate::*;

const RETURN: (&str, &str) = ("return_url", "https://rocket.example/done");
const REFRESH: (&str, &str) = ("refresh_url", "https://rocket.example/again");

async fn link(client: &Client, account: &str, kind: &str) -> (u16, Value) {
    client.post("/v1/account_links", &[("account", account), ("type", kind), RETURN, REFRESH]).await
}

async fn fresh(client: &Client, account: &str, kind: &str) -> String {
    let (status, link) = link(client, account, kind).await;
    assert_eq!((status, link["object"].as_str()), (200, Some("account_link")), "{link}");
    assert_eq!(link["expires_at"].as_i64().unwrap() - link["created"].as_i64().unwrap(), 300);
    link["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_application_link_opens_once_and_its_form_applies() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let url = fresh(&client, &account, "capital_financing_offer").await;
    let (status, _, page) = client.visit(client.http.get(&url)).await;
    assert_eq!(status, 200);
    for shown in ["Simulated Stripe page", "$1,000.00", "15%", "14 February 2027", "/apply"] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    let (status, place, _) = client.visit(client.http.get(&url)).await;
    assert_eq!((status, place.as_deref()), (303, Some(REFRESH.1)), "a second time");
    let (status, place, _) = client.visit(client.http.post(format!("{url}/apply"))).await;
    assert_eq!((status, place.as_deref()), (303, Some(RETURN.1)));
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "accepted");
    assert_eq!(client.visit(client.http.post(format!("{url}/apply"))).await.0, 404);
}

#[tokio::test]
async fn a_link_expires_after_five_minutes_and_must_be_opened_to_apply() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let in_time = fresh(&client, &account, "capital_financing_offer").await;
    let late = fresh(&client, &account, "capital_financing_offer").await;
    let unseen = fresh(&client, &account, "capital_financing_offer").await;
    client.time.advance(chrono::TimeDelta::seconds(299));
    assert_eq!(client.visit(client.http.get(&in_time)).await.0, 200);
    client.time.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(client.visit(client.http.get(&late)).await.1.as_deref(), Some(REFRESH.1));
    let form = client.http.post(format!("{unseen}/apply"));
    assert_eq!(client.visit(form).await.1.as_deref(), Some(REFRESH.1));
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "delivered");
}

#[tokio::test]
async fn a_reporting_link_shows_the_progress_of_a_financing() {
    let (client, account, offer) = Client::start().await;
    client.simulator.edit_account(&account, |account| {
        account["business_profile"]["name"] = "<b>Jenny's</b>".into();
    });
    client.simulator.deliver(&offer);
    for action in [Action::Apply, Action::Approve] {
        client.simulator.perform(action, &offer).unwrap();
    }
    client.simulator.pay(&offer, 12_345, PaymentSource::BankAccount).unwrap();
    let url = fresh(&client, &account, "capital_financing_reporting").await;
    let (_, _, page) = client.visit(client.http.get(&url)).await;
    for shown in ["$123.45", "$976.55", "$1,000.00", "&lt;b&gt;", "In progress"] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    assert!(!page.contains("<b>") && !page.contains("<form"), "{page}");
}

#[tokio::test]
async fn a_refused_link_names_the_parameter() {
    let (client, account, _) = Client::start().await;
    let (status, body) = link(&client, &account, "capital_financing_offer").await;
    assert_eq!(
        (status, body["error"]["param"].as_str()),
        (400, Some("account")),
        "nothing is open: {body}"
    );
    assert_eq!(link(&client, &account, "capital_financing_reporting").await.0, 400);
    for (form, param) in [
        (
            vec![("account", account.as_str()), ("type", "account_onboarding"), RETURN, REFRESH],
            "type",
        ),
        (
            vec![("account", "acct_1"), ("type", "capital_financing_offer"), RETURN, REFRESH],
            "account",
        ),
        (
            vec![("account", account.as_str()), ("type", "capital_financing_offer"), RETURN],
            "refresh_url",
        ),
        (
            vec![
                ("account", &account),
                ("type", "capital_financing_offer"),
                REFRESH,
                ("return_url", "/done"),
            ],
            "return_url",
        ),
        (vec![("colour", "red"), RETURN, REFRESH], "colour"),
    ] {
        let (status, body) = client.post("/v1/account_links", &form).await;
        assert_eq!((status, body["error"]["param"].as_str()), (400, Some(param)), "{body}");
    }
}
