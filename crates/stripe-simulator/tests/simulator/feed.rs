//! The feed, as the host and the pages read it.

use stripe_simulator::{FeedEntry, Tone};

use crate::*;

fn texts(simulator: &Simulator) -> Vec<String> {
    simulator.feed().entries().into_iter().map(|entry| entry.text).collect()
}

fn entry(account: &str, text: String) -> FeedEntry {
    let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    FeedEntry { at, account: Some(account.to_owned()), text, link: None, tone: Tone::Quiet }
}

#[tokio::test]
async fn an_event_is_in_the_feed_with_each_answer_to_it() {
    let (client, account, _) = Client::start().await;
    let receiver = webhooks::Receiver::start(&["500 Error", "200 OK"]).await;
    client.simulator.register_webhook(webhooks::endpoint(&receiver.url));
    let mut subscriber = client.simulator.feed().subscribe();
    client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    let made = subscriber.recv().await.unwrap();
    assert_eq!(made.text, "Stripe offers financing of $1,000.00");
    let failed = subscriber.recv().await.unwrap();
    assert!(failed.text.starts_with("capital.financing_offer.created → 500 in "), "{failed:?}");
    assert!(failed.text.ends_with("; next attempt in 0.0 s"), "{failed:?}");
    let delivered = subscriber.recv().await.unwrap();
    assert!(delivered.text.starts_with("capital.financing_offer.created → 200 in "));
    assert!(delivered.text.ends_with(" ms, attempt 2"), "{delivered:?}");
    assert_eq!([made.tone, failed.tone, delivered.tone], [Tone::Quiet, Tone::Bad, Tone::Good]);
    assert_eq!(delivered.account, Some(account));
}

#[tokio::test]
async fn what_the_platform_and_the_merchant_do_is_in_the_feed() {
    let (client, account, offer) = Client::start().await;
    client.mark(&offer, "k1").await.unwrap();
    client.mark(&offer, "k2").await.unwrap();
    let form = [
        ("account", account.as_str()),
        ("type", "capital_financing_offer"),
        ("return_url", "http://127.0.0.1/done"),
        ("refresh_url", "http://127.0.0.1/again"),
    ];
    let (_, link) = client.post("/v1/account_links", &form).await;
    let url = link["url"].as_str().unwrap();
    client.visit(client.http.get(url)).await;
    client.visit(client.http.post(format!("{url}/apply"))).await;
    client.simulator.perform(Action::Approve, &offer).unwrap();
    client.simulator.pay(&offer, 10_000, PaymentSource::BankAccount).unwrap();
    client.simulator.perform(Action::Repay, &offer).unwrap();
    let all = texts(&client.simulator);
    let told: Vec<&str> =
        all.iter().map(String::as_str).filter(|text| !text.starts_with("capital")).collect();
    assert_eq!(
        told,
        [
            "Stripe offers financing of $1,000.00",
            "mark_delivered → 200: Stripe knows that the offer reached the merchant",
            "mark_delivered → 400: its status is delivered",
            "Opened the application at Stripe",
            "Applied for $1,000.00",
            "Stripe approved and paid out $1,000.00",
            "Payout of the advance: $1,000.00 to the bank",
            "Paid $100.00 from the bank account",
            "Paid $1,000.00 from the bank account",
            "Paid in full",
        ]
    );
}

#[tokio::test]
async fn the_feed_is_bounded_and_routine_takes_one_place() {
    let (client, account, offer) = Client::start().await;
    let receiver = webhooks::Receiver::start(&["200 OK"]).await;
    client.simulator.register_webhook(webhooks::endpoint(&receiver.url));
    client.simulator.deliver(&offer);
    for action in [Action::Apply, Action::Approve] {
        client.simulator.perform(action, &offer).unwrap();
    }
    for _ in 0..20 {
        let sale = NewCharge { amount: 1_000, kind: ChargeKind::Direct { application_fee: 0 } };
        client.simulator.charge(&account, &sale).unwrap();
        client.simulator.deliveries_finished().await;
    }
    let payments = texts(&client.simulator);
    let payments = payments.iter().filter(|text| text.contains("transaction.created"));
    assert_eq!(payments.count(), 1);
    let (_, _, page) = client.visit(client.http.get(client.url("/_simulator/"))).await;
    assert!(page.contains("×21"), "the payout, and each payment: {page}");
    for number in 0..1_000 {
        client.simulator.feed().push(entry(&account, format!("Entry {number}")));
    }
    let kept = texts(&client.simulator);
    assert_eq!((kept.len(), kept.last().unwrap().as_str()), (400, "Entry 999"));
}

#[tokio::test]
async fn a_page_shows_the_feed_of_its_merchant_or_of_all() {
    let (client, account, _) = Client::start().await;
    let other = client.simulator.add_account(&NewAccount::default());
    client.simulator.feed().push(entry(&other, "A letter to the other".to_owned()));
    for (query, shows) in [("", false), ("&feed=all", true)] {
        let url = client.url(&format!("/_simulator/?account={account}{query}"));
        let (_, _, page) = client.visit(client.http.get(url)).await;
        assert_eq!(page.contains("A letter to the other"), shows, "{query}");
    }
}
