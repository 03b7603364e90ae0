//! Events that Stripe fails to make, and the thin event that reports them.

use crate::webhooks::{Receiver, endpoint, header};
use crate::*;

const FAILURE: &str = "v2.core.health.event_generation_failure.resolved";

async fn retrieve(client: &Client, id: &str) -> (u16, Value) {
    let request = client.http.get(client.url(&format!("/v2/core/events/{id}"))).bearer_auth(KEY);
    let response = request.header("Stripe-Version", "2025-11-17.preview").send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_lost_event_is_in_no_list_and_its_report_names_the_object() {
    let (client, account, _) = Client::start().await;
    let receiver = Receiver::start(&["200 OK"]).await;
    client.simulator.register_webhook(endpoint(&receiver.url));
    let before = client.simulator.event_count();
    client.simulator.lose_next_events(1);
    let offer = client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    assert_eq!((client.simulator.event_count(), receiver.requests().len()), (before, 0));

    let reported = client.simulator.report_lost_events();
    let [id] = reported.as_slice() else { panic!("{reported:?}") };
    client.simulator.deliveries_finished().await;
    let requests = receiver.requests();
    let (_, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&sent["id"], &sent["object"], &sent["type"]),
        (&id.as_str().into(), &"v2.core.event".into(), &FAILURE.into())
    );
    assert_eq!(sent["created"], "2027-01-15T08:00:00.000Z");
    assert!(sent.get("data").is_none(), "a notification is thin");
    assert!(header(&requests[0], "stripe-signature").starts_with("t=1800000000,v1="));

    let (status, event) = retrieve(&client, id).await;
    let impact = &event["data"]["impact"];
    assert_eq!((status, &impact["event_type"]), (200, &"capital.financing_offer.created".into()));
    assert_eq!(
        (&impact["related_object"]["id"], &impact["related_object"]["type"]),
        (&offer.into(), &"capital.financing_offer".into())
    );
    assert!(impact.get("context").is_none(), "the platform's own event");
    let (_, list) = client.get("/v1/events?limit=100").await;
    let is_listed = |event: &Value| event["type"] == FAILURE;
    assert!(!list["data"].as_array().unwrap().iter().any(is_listed));
    assert_eq!(client.simulator.report_lost_events(), [""; 0], "each is reported once");
}

#[tokio::test]
async fn a_failure_can_be_reported_of_any_object() {
    let (client, ..) = Client::start().await;
    let event_type = "capital.financing_transaction.created";
    let id = client.simulator.report_generation_failure(event_type, "cptxn_1");
    let (_, event) = retrieve(&client, &id).await;
    let related = &event["data"]["impact"]["related_object"];
    assert_eq!(
        (&related["id"], &related["type"]),
        (&"cptxn_1".into(), &"capital.financing_transaction".into())
    );

    assert_eq!(retrieve(&client, "evt_missing").await.0, 404);
    let path = format!("/v2/core/events/{id}");
    assert_eq!(client.get(&path).await.0, 400, "v2 has no default version");
}
