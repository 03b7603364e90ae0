//! The saved state: a simulator that is restored from it cannot be told from the one that saved it.

use crate::*;

/// All that can be read of a simulator, in the order of ids.
fn everything(simulator: &Simulator) -> Value {
    let accounts = simulator.accounts();
    let of_account = |account: &String| {
        serde_json::json!({
            "summary": simulator.summary(account), "journal": simulator.journal(account),
            "transactions": simulator.transactions(account),
            "balance": simulator.balance_transactions(account),
        })
    };
    serde_json::json!({
        "offers": simulator.offers(), "events": simulator.events(),
        "accounts": accounts.iter().map(of_account).collect::<Vec<_>>(),
        "endpoints": simulator.webhook_endpoints(),
    })
}

async fn restored(path: &std::path::Path) -> (Simulator, TimeSource) {
    let (simulator, time) = start().await;
    assert!(simulator.restore(path).unwrap());
    (simulator, time)
}

#[tokio::test]
async fn a_restored_state_is_the_saved_one_and_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripe.json");
    for seed in 0..12 {
        let (simulator, time) = start().await;
        let mut merchants: Vec<RandomMerchant> =
            (0..3).map(|one| RandomMerchant::new(&simulator, &time, 100 * seed + one)).collect();
        for merchant in &mut merchants {
            merchant.run(120);
        }
        simulator.save(&path).unwrap();
        let (other, other_time) = restored(&path).await;
        assert_eq!(everything(&other), everything(&simulator), "seed {seed}");
        assert_eq!(other_time.now(), time.now());
        // The same steps lead to the same ids and sums.
        for simulator in [&simulator, &other] {
            let account = simulator.accounts()[0].clone();
            let charge =
                NewCharge { amount: 12_345, kind: ChargeKind::Direct { application_fee: 100 } };
            simulator.charge(&account, &charge).unwrap();
            let _ = simulator.create_next_offer(&account);
            simulator.pay_out(&account);
        }
        assert_eq!(everything(&other), everything(&simulator), "seed {seed}, a step later");
        let (one, two) = (simulator.feed().entries(), other.feed().entries());
        assert_eq!(one, two);
    }
}

#[tokio::test]
async fn an_idempotency_key_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripe.json");
    let (client, _, offer) = Client::start().await;
    client.mark(&offer, "k1").await.unwrap();
    client.simulator.save(&path).unwrap();
    let (simulator, time) = restored(&path).await;
    let again = Client { simulator, time, http: client.http.clone() };
    let response = again.mark(&offer, "k1").await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers().contains_key("idempotent-replayed")),
        (200, true)
    );
    assert_eq!(again.simulator.delivered_marks(&offer), 1);
}

#[tokio::test]
async fn a_file_that_is_missing_broken_or_of_another_version_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripe.json");
    let (client, _, offer) = Client::start().await;
    assert!(!client.simulator.restore(&path).unwrap());
    client.simulator.save(&path).unwrap();
    let saved = std::fs::read_to_string(&path).unwrap();
    for (content, why) in [
        ("", "no saved state"),
        ("{\"format\": 1}", "missing field"),
        (&saved[..saved.len() / 2], "no saved state"),
        (&saved.replacen("\"format\":1", "\"format\":99", 1), "another version (format 99"),
        (&saved.replacen("\"last_id\"", "\"colour\":\"red\",\"last_id\"", 1), "colour"),
        (&saved.replacen("\"livemode\":false", "\"livemode\":true", 1), "mode"),
    ] {
        std::fs::write(&path, content).unwrap();
        let before = everything(&client.simulator);
        let error = client.simulator.restore(&path).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert_eq!(everything(&client.simulator), before, "{why}");
    }
    assert!(client.simulator.offer(&offer).is_some());
}

#[tokio::test]
async fn the_clock_moves_forward_to_the_time_of_the_saving_and_never_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripe.json");
    let (simulator, time) = start().await;
    time.advance(chrono::TimeDelta::days(40));
    simulator.save(&path).unwrap();
    let (_, later) = restored(&path).await;
    assert_eq!(later.now(), time.now());
    let (simulator, ahead) = start().await;
    ahead.advance(chrono::TimeDelta::days(90));
    let before = ahead.now();
    assert!(simulator.restore(&path).unwrap());
    assert_eq!(ahead.now(), before);
}

#[tokio::test]
async fn a_change_is_saved_by_itself_and_a_request_that_reads_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripe.json");
    let (client, account, _) = Client::start().await;
    client.simulator.autosave(path.clone());
    tokio::task::yield_now().await;
    client.simulator.create_offer(&account, &NewOffer::default());
    let has_two = || {
        let saved = std::fs::read(&path).unwrap_or_default();
        let saved: Value = serde_json::from_slice(&saved).unwrap_or_default();
        saved["state"]["offers"]["objects"].as_array().is_some_and(|offers| offers.len() == 2)
    };
    while !has_two() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    std::fs::remove_file(&path).unwrap();
    client.get("/v1/capital/financing_offers").await;
    client.visit(client.http.get(client.url("/_simulator/"))).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    assert!(!path.exists(), "reading was taken for a change");
    // The stop saves at once.
    client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.stop();
    while !path.exists() {
        tokio::task::yield_now().await;
    }
    assert!(!dir.path().join("stripe.json.new").exists());
}

#[tokio::test]
async fn deliveries_that_ended_with_the_process_are_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stripe.json");
    let (client, account, _) = Client::start().await;
    let refused: Url = "http://127.0.0.1:9/webhooks".parse().unwrap();
    let endpoint = WebhookEndpoint { max_attempts: 1, ..WebhookEndpoint::new(refused, "whsec_1") };
    client.simulator.register_webhook(endpoint);
    let offer = client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    assert!(!client.simulator.is_event_delivered(&offer));
    client.simulator.save(&path).unwrap();

    let (simulator, _) = restored(&path).await;
    let receiver = webhooks::Receiver::start(&["200 OK"]).await;
    simulator.register_webhook(WebhookEndpoint::new(receiver.url.clone(), "whsec_1"));
    assert_eq!(simulator.resume_deliveries(), 1, "not the one that no endpoint was there for");
    simulator.deliveries_finished().await;
    assert!(simulator.is_event_delivered(&offer));
}
