//! Webhook endpoints that a client registers.

use crate::*;

const ENDPOINTS: &str = "/v1/webhook_endpoints";
const URL: (&str, &str) = ("url", "https://courier.rocket.example/webhooks/stripe");
const EVENT: (&str, &str) = ("enabled_events[]", "capital.financing_offer.created");

#[tokio::test]
async fn the_secret_is_shown_at_creation_alone() {
    let (client, ..) = Client::start().await;
    let (status, created) = client.post(ENDPOINTS, &[URL, EVENT]).await;
    assert_eq!(status, 200, "{created}");
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        (&created["status"], &created["application"], &created["api_version"]),
        (&"enabled".into(), &Value::Null, &Value::Null)
    );
    let path = format!("{ENDPOINTS}/{}", created["id"].as_str().unwrap());
    let (_, found) = client.get(&path).await;
    assert_eq!((&found["url"], &found["secret"]), (&URL.1.into(), &Value::Null));
    let (_, updated) = client.post(&path, &[("disabled", "true"), ("metadata[a]", "b")]).await;
    assert_eq!((&updated["status"], &updated["metadata"]["a"]), (&"disabled".into(), &"b".into()));
    assert_eq!(updated["secret"], Value::Null);
    let (_, listed) = client.get(ENDPOINTS).await;
    assert_eq!(listed["data"], Value::Array(vec![updated]));
}

#[tokio::test]
async fn what_stripe_refuses_is_refused() {
    let (client, ..) = Client::start().await;
    for (form, parameter) in [
        (vec![EVENT], "url"),
        (vec![URL], "enabled_events"),
        (vec![URL, ("enabled_events[]", "capital.financing_offer.made")], "enabled_events[0]"),
        (vec![("url", "ftp://x.example"), EVENT], "url"),
        (vec![URL, EVENT, ("colour", "red")], "colour"),
    ] {
        let (status, body) = client.post(ENDPOINTS, &form).await;
        assert_eq!((status, &body["error"]["param"]), (400, &parameter.into()), "{body}");
    }
    let (_, created) = client.post(ENDPOINTS, &[URL, EVENT, ("connect", "true")]).await;
    assert!(created["application"].is_string());
    // Neither can be changed.
    let path = format!("{ENDPOINTS}/{}", created["id"].as_str().unwrap());
    for field in [("api_version", "2025-09-30"), ("connect", "false")] {
        assert_eq!(client.post(&path, &[field]).await.1["error"]["code"], "parameter_unknown");
    }
    assert_eq!(client.post(&format!("{ENDPOINTS}/we_1"), &[EVENT]).await.0, 404);
}

#[tokio::test]
async fn events_go_to_the_enabled_endpoints_that_select_them() {
    let (client, account, _) = Client::start().await;
    let undelivered = async || {
        let (_, events) = client.get("/v1/events?delivery_success=false").await;
        events["data"].as_array().unwrap().len()
    };
    let create = |form: Vec<(&'static str, &'static str)>| {
        let client = &client;
        async move { client.post(ENDPOINTS, &form).await.1["id"].as_str().unwrap().to_owned() }
    };
    // Port 9 (discard): nothing listens there, so what is sent stays undelivered.
    let url = ("url", "http://127.0.0.1:9/webhooks/stripe");
    create(vec![url, EVENT, ("connect", "true")]).await;
    create(vec![url, ("enabled_events[]", "capital.financing_offer.expired")]).await;
    let disabled = create(vec![url, EVENT]).await;
    client.post(&format!("{ENDPOINTS}/{disabled}"), &[("disabled", "true")]).await;
    client.simulator.create_offer(&account, &NewOffer::default());
    assert_eq!(undelivered().await, 0);
    client.post(&format!("{ENDPOINTS}/{disabled}"), &[("disabled", "false")]).await;
    client.simulator.create_offer(&account, &NewOffer::default());
    assert_eq!(undelivered().await, 1);
}
