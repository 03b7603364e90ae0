//! The money of single financings, over HTTP.

use crate::*;

/// An account with an active financing of 1,100.00, at 15 %.
async fn financed(country: &str) -> (Client, String, String) {
    let (client, ..) = Client::start().await;
    let new = NewAccount { country: Some(country.to_owned()), ..NewAccount::default() };
    let account = client.simulator.add_account(&new);
    let offer = client.simulator.create_offer(&account, &NewOffer::default());
    apply_and_approve(&client, &offer);
    (client, account, offer)
}

fn apply_and_approve(client: &Client, offer: &str) {
    client.simulator.deliver(offer);
    for action in [Action::Apply, Action::Approve] {
        client.simulator.perform(action, offer).unwrap();
    }
}

fn direct(amount: i64, application_fee: i64) -> NewCharge {
    NewCharge { amount, kind: ChargeKind::Direct { application_fee } }
}

fn status(client: &Client, offer: &str) -> String {
    client.simulator.offer(offer).unwrap()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_direct_charge_gives_its_share_of_the_whole_amount() {
    let (client, account, offer) = financed("US").await;
    let charged = client.simulator.charge(&account, &direct(10_000, 1_000)).unwrap();
    assert_eq!(charged.withheld_minor, 1_500, "of the whole, the application fee included");
    let list = format!("/v1/capital/financing_transactions?charge={}", charged.charge);
    let (_, list) = client.get_as(&account, &list).await;
    let [paydown] = list["data"].as_array().unwrap().as_slice() else { panic!("{list}") };
    let details = &paydown["details"];
    assert_eq!(
        (&details["advance_amount"], &details["fee_amount"], &details["total_amount"]),
        (&1_364.into(), &136.into(), &1_500.into())
    );
    assert_eq!(details["linked_payment"], charged.charge);
    assert_eq!(
        (&paydown["financing_offer"], &details["reason"]),
        (&offer.into(), &"automatic_withholding".into())
    );

    let (_, charge) = client.get_as(&account, &format!("/v1/charges/{}", charged.charge)).await;
    let source = format!("/v1/balance_transactions?source={}", charged.charge);
    let (_, moved) = client.get_as(&account, &source).await;
    assert_eq!(moved["data"][0]["id"], charge["balance_transaction"]);
    assert_eq!(
        (&moved["data"][0]["type"], &moved["data"][0]["amount"]),
        (&"charge".into(), &10_000.into())
    );
    let fees = moved["data"][0]["fee_details"].as_array().unwrap();
    assert!(
        fees.iter().any(|fee| fee["type"] == "application_fee" && fee["amount"] == 1_000),
        "{fees:?}"
    );

    let (_, taken) =
        client.get_as(&account, "/v1/balance_transactions?type=financing_paydown").await;
    assert_eq!(
        (&taken["data"][0]["net"], &taken["data"][0]["source"]),
        (&(-1_500).into(), &paydown["legacy_balance_transaction_source"])
    );
    let (status, _) = client.get(&format!("/v1/charges/{}", charged.charge)).await;
    assert_eq!(status, 404, "it is the merchant's charge");
}

#[tokio::test]
async fn a_destination_charge_links_payment_transfer_and_platform_charge() {
    let (client, account, _) = financed("US").await;
    let sale =
        NewCharge { amount: 10_000, kind: ChargeKind::Destination { transfer_amount: 8_000 } };
    let charged = client.simulator.charge(&account, &sale).unwrap();
    assert_eq!(charged.withheld_minor, 1_200, "of the transfer");
    assert!(charged.charge.starts_with("py_"));
    let (_, payment) = client.get_as(&account, &format!("/v1/charges/{}", charged.charge)).await;
    let transfer = payment["source_transfer"].as_str().unwrap();
    let (_, transfer) = client.get(&format!("/v1/transfers/{transfer}")).await;
    assert_eq!(transfer["destination_payment"], charged.charge);
    assert_eq!(transfer["source_transaction"].as_str(), charged.platform_charge.as_deref());
    let platforms = format!("/v1/charges/{}", charged.platform_charge.unwrap());
    assert_eq!(client.get(&platforms).await.1["amount"], 10_000);
    assert_eq!(client.get_as(&account, &platforms).await.0, 404);
}

#[tokio::test]
async fn the_summary_follows_a_financing_from_none_to_none() {
    let (client, account, offer) = Client::start().await;
    let summary = async || client.get_as(&account, "/v1/capital/financing_summary").await.1;
    assert_eq!(
        (&summary().await["status"], &summary().await["details"]),
        (&"none".into(), &Value::Null)
    );
    client.simulator.deliver(&offer);
    assert_eq!(
        (&summary().await["status"], &summary().await["details"]["paid_amount"]),
        (&"delivered".into(), &0.into())
    );
    apply_and_approve(&client, &offer);
    client.time.advance(chrono::TimeDelta::days(61));
    client.simulator.pay(&offer, 2_000, PaymentSource::BankAccount).unwrap();
    let running = summary().await;
    let details = &running["details"];
    assert_eq!(
        (&running["status"], &running["financing_offer"]),
        (&"accepted".into(), &offer.clone().into())
    );
    assert_eq!(
        (&details["paid_amount"], &details["remaining_amount"]),
        (&2_000.into(), &108_000.into())
    );
    assert_eq!(details["advance_paid_out_at"].as_i64(), Some(1_800_000_000_000), "milliseconds");
    let period = &details["current_repayment_interval"];
    assert_eq!(
        (&period["paid_amount"], &period["remaining_amount"]),
        (&2_000.into(), &10_223.into()),
        "12,223 are due"
    );
    assert_eq!(period["due_at"].as_i64(), Some(1_800_000_000 + 2 * 60 * 86_400));
    client.simulator.perform(Action::Repay, &offer).unwrap();
    assert_eq!(summary().await["status"], "none");
    assert_eq!(
        ExpectedLedger::of(&client.simulator, &account).financings[0].phase,
        FinancingPhase::FullyRepaid
    );
}

#[tokio::test]
async fn calls_of_an_account_need_its_stripe_account_header() {
    let (client, account, _) = financed("US").await;
    for path in ["/v1/capital/financing_summary", "/v1/capital/financing_transactions"] {
        assert_eq!(client.get(path).await.0, 400, "{path}");
        let (status, body) = client.get_as("acct_other", path).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (403, Some("account_invalid")),
            "{path}"
        );
    }
    let (_, list) = client.get_as(&account, "/v1/capital/financing_transactions").await;
    let id = list["data"][0]["id"].as_str().unwrap();
    assert_eq!(
        client.get_as(&account, &format!("/v1/capital/financing_transactions/{id}")).await.1,
        list["data"][0]
    );
    let other = client.simulator.add_account(&NewAccount::default());
    assert_eq!(
        client.get_as(&other, &format!("/v1/capital/financing_transactions/{id}")).await.0,
        404
    );
    let (_, body) =
        client.get_as(&account, "/v1/capital/financing_transactions?type=payment").await;
    assert_eq!(body["error"]["code"], "parameter_unknown", "Stripe has no such filter");
    assert_eq!(
        client.get("/v1/payouts").await.1["data"],
        serde_json::json!([]),
        "the platform has none"
    );
}

#[tokio::test]
async fn the_last_withholding_is_what_remains_and_ends_the_financing() {
    let (client, account, offer) = financed("US").await;
    client.simulator.pay(&offer, 109_990, PaymentSource::BankAccount).unwrap();
    assert!(client.simulator.pay(&offer, 11, PaymentSource::BankAccount).is_err());
    let charged = client.simulator.charge(&account, &direct(10_000, 0)).unwrap();
    assert_eq!((charged.withheld_minor, status(&client, &offer).as_str()), (10, "fully_repaid"));
    assert_eq!(client.simulator.charge(&account, &direct(10_000, 0)).unwrap().withheld_minor, 0);
    let offer = client.simulator.offer(&offer).unwrap();
    assert_eq!(offer["status_transitions"]["fully_repaid_at"].as_i64(), Some(1_800_000_000));
    let events = client.simulator.events();
    assert_eq!(events.last().unwrap()["type"], "capital.financing_offer.fully_repaid");
}

#[tokio::test]
async fn a_refill_settles_in_the_us_and_stacks_in_the_uk() {
    for (country, old_status, old_remaining) in
        [("US", "fully_repaid", 0), ("GB", "paid_out", 10_000)]
    {
        let (client, account, old) = financed(country).await;
        client.simulator.pay(&old, 100_000, PaymentSource::BankAccount).unwrap();
        let terms = NewOffer { withhold_rate: 0.2, ..NewOffer::default() };
        let refill = client.simulator.create_refill(&account, &terms);
        apply_and_approve(&client, &refill);
        assert_eq!(
            (status(&client, &old).as_str(), status(&client, &refill).as_str()),
            (old_status, "paid_out")
        );
        let ledger = ExpectedLedger::of(&client.simulator, &account);
        assert_eq!(ledger.financings[0].remaining_minor, old_remaining, "{country}");
        assert_eq!(client.simulator.summary(&account)["financing_offer"], refill.as_str());
        // By the new rate, and to the old one first.
        let charged = client.simulator.charge(&account, &direct(60_000, 0)).unwrap();
        let parts: Vec<i64> = ExpectedLedger::of(&client.simulator, &account)
            .financings
            .iter()
            .map(|one| one.withheld_minor_by_charge.values().sum())
            .collect();
        let expected = if country == "GB" { [10_000, 2_000] } else { [0, 12_000] };
        assert_eq!(
            (charged.withheld_minor, parts.as_slice()),
            (12_000, expected.as_slice()),
            "{country}"
        );
    }
}

#[tokio::test]
async fn a_country_decides_currency_and_disclaimer() {
    for (country, currency, variant) in [
        ("US", "usd", "celtic_us_loan"),
        ("GB", "gbp", "youlend_uk_mca"),
        ("FR", "eur", "youlend_fr_financing"),
        ("DE", "eur", "youlend_de_financing"),
        ("AU", "aud", "fundbox_au_financing"),
        ("CA", "cad", "fundbox_ca_financing"),
    ] {
        let (client, _, offer) = financed(country).await;
        let offer = client.simulator.offer(&offer).unwrap();
        assert_eq!(
            (&offer["accepted_terms"]["currency"], &offer["disclaimer_variant"]),
            (&currency.into(), &variant.into())
        );
    }
}

#[tokio::test]
async fn a_payment_is_reversed_once_and_for_a_reason_that_fits() {
    let (client, account, offer) = financed("US").await;
    let withheld =
        client.simulator.charge(&account, &direct(10_000, 0)).unwrap().transactions.remove(0);
    let collected = client.simulator.collect(&offer, 700, PaymentSource::BankAccount).unwrap();
    let by_hand = client.simulator.pay(&offer, 300, PaymentSource::Balance).unwrap();
    assert!(client.simulator.reverse(&by_hand, ReversalReason::CollectionFailure).is_err());
    assert!(client.simulator.reverse(&collected, ReversalReason::WithholdingRefund).is_err());
    for (payment, reversal, reason) in [
        (&withheld, ReversalReason::WithholdingRefund, "automatic_withholding_refund"),
        (&collected, ReversalReason::CollectionFailure, "collection_failure"),
        (&by_hand, ReversalReason::RequestedByUser, "requested_by_user"),
    ] {
        let reversed = client.simulator.reverse(payment, reversal).unwrap();
        assert!(client.simulator.reverse(payment, reversal).is_err(), "once");
        let (_, list) = client
            .get_as(
                &account,
                &format!("/v1/capital/financing_transactions?reversed_transaction={payment}"),
            )
            .await;
        assert_eq!(
            (&list["data"][0]["id"], &list["data"][0]["details"]["reason"]),
            (&reversed.into(), &reason.into())
        );
    }
    let ledger = ExpectedLedger::of(&client.simulator, &account).financings.remove(0);
    assert_eq!(
        (ledger.remaining_minor, ledger.reversed_minor, ledger.from_balance_minor),
        (110_000, 2_500, 0)
    );
}

#[tokio::test]
async fn a_financing_is_canceled_within_48_hours_and_not_later() {
    let (client, account, offer) = financed("US").await;
    client.simulator.charge(&account, &direct(10_000, 0)).unwrap();
    client.time.advance(chrono::TimeDelta::hours(48));
    client.simulator.perform(Action::Cancel, &offer).unwrap();
    assert_eq!(status(&client, &offer), "canceled");
    let ledger = ExpectedLedger::of(&client.simulator, &account);
    assert_eq!(
        (ledger.financings[0].phase, ledger.unpaid_sales.advanced_minor),
        (FinancingPhase::Canceled, -100_000)
    );
    let transactions = client.simulator.transactions(&account);
    let last = transactions.last().unwrap();
    assert_eq!(
        (&last["details"]["reversed_transaction"], &last["details"]["reason"]),
        (&transactions[0]["id"], &"financing_cancellation".into())
    );

    let (client, _, offer) = financed("US").await;
    client.time.advance(chrono::TimeDelta::hours(49));
    assert!(client.simulator.perform(Action::Cancel, &offer).is_err());
}

#[tokio::test]
async fn a_refund_keeps_the_paydown_and_a_payout_takes_the_whole_balance() {
    let (client, account, _) = financed("US").await;
    let charged = client.simulator.charge(&account, &direct(10_000, 1_000)).unwrap();
    client.simulator.refund(&charged.charge, 4_000).unwrap();
    assert!(client.simulator.refund(&charged.charge, 6_001).is_err());
    let payout = client.simulator.pay_out(&account).unwrap();
    assert_eq!(client.simulator.pay_out(&account), None, "nothing is left");
    let (_, sent) = client.get_as(&account, &format!("/v1/payouts/{payout}")).await;
    // The sale, less both fees (1,000 and 320), the refund, and what was withheld. The advance
    // had a payout of its own.
    let expected = 10_000 - 1_320 - 4_000 - 1_500;
    assert_eq!(sent["amount"], expected);
    let (_, moves) =
        client.get_as(&account, &format!("/v1/balance_transactions?payout={payout}")).await;
    let nets: i64 =
        moves["data"].as_array().unwrap().iter().map(|moved| moved["net"].as_i64().unwrap()).sum();
    assert_eq!((moves["data"].as_array().unwrap().len(), nets), (4, 0));
    let arrives = sent["arrival_date"].as_i64().unwrap();
    assert_eq!(arrives % 86_400, 0, "a date");
    for (bounds, found) in [(format!("[gte]={arrives}"), 2), (format!("[lt]={arrives}"), 0)] {
        let (_, list) = client.get_as(&account, &format!("/v1/payouts?arrival_date{bounds}")).await;
        assert_eq!(list["data"].as_array().unwrap().len(), found, "{bounds}");
    }
    let ledger = ExpectedLedger::of(&client.simulator, &account);
    let sales = ExpectedPayout {
        id: payout,
        amount_minor: expected,
        sold_minor: 8_680,
        refunded_minor: 4_000,
        paid_down_minor: 1_500,
        ..ExpectedPayout::default()
    };
    assert_eq!(
        (ledger.payouts[0].advanced_minor, ledger.payouts[0].amount_minor),
        (100_000, 100_000)
    );
    assert_eq!(ledger.payouts[1..], [sales]);
    assert_eq!(ledger.financings[0].remaining_minor, 108_500);
}

#[tokio::test]
async fn everything_can_be_done_by_curl() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let control = async |path: &str, body: Value| {
        let request = client.http.post(client.url(&format!("/_simulator/{path}"))).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    for action in ["apply", "approve"] {
        assert_eq!(control(&format!("offers/{offer}/{action}"), Value::Null).await.0, 200);
    }
    let sale = serde_json::json!({"amount": 10_000, "transfer_amount": 8_000});
    let (_, sale) = control(&format!("accounts/{account}/charges"), sale).await;
    assert_eq!(sale["withheld"], 1_200);
    let id = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
    assert_eq!(
        control(&format!("charges/{}/refund", id(&sale)), serde_json::json!({"amount": 1})).await.0,
        200
    );
    let (_, paid) =
        control(&format!("offers/{offer}/pay"), serde_json::json!({"amount": 100, "from": "bank"}))
            .await;
    let (_, taken) =
        control(&format!("offers/{offer}/collect"), serde_json::json!({"amount": 50})).await;
    for (payment, reason) in [(paid, "requested_by_user"), (taken, "collection_failure")] {
        let reason = serde_json::json!({"reason": reason});
        assert_eq!(control(&format!("transactions/{}/reverse", id(&payment)), reason).await.0, 200);
    }
    assert!(control(&format!("accounts/{account}/pay_out"), Value::Null).await.1["id"].is_string());
    let active = client.simulator.active_financings(&account);
    assert_eq!(active[0].remaining_minor, 108_800);
    let journal = client.get(&format!("/_simulator/accounts/{account}/journal")).await.1;
    let kinds: Vec<&str> = journal["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    let expected = [
        "advance", "payout", "sale", "payment", "refund", "payment", "payment", "reversal",
        "reversal", "payout",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(
        control(&format!("offers/{offer}/pay"), serde_json::json!({"amount": 0})).await.0,
        400
    );
}

#[tokio::test]
async fn what_stripe_has_switched_on_and_what_it_loses_is_set_by_curl() {
    let (client, account, _) = Client::start().await;
    let control = async |path: &str, body: Value| {
        let request = client.http.post(client.url(&format!("/_simulator/{path}"))).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let settings = serde_json::json!({"beta_flags": ["a_beta"], "preview_fields": false});
    assert_eq!(control("settings", settings.clone()).await, (200, settings.clone()));
    assert_eq!(control("settings", Value::Null).await, (200, settings));
    assert_eq!(control("settings", serde_json::json!({"beta_flags": "a"})).await.0, 400);

    assert_eq!(control("events/lose", serde_json::json!({"count": -1})).await.0, 400);
    assert_eq!(control("events/lose", Value::Null).await, (200, serde_json::json!({"count": 1})));
    let before = client.simulator.event_count();
    client.simulator.create_offer(&account, &NewOffer::default());
    assert_eq!(client.simulator.event_count(), before);
    let (_, reported) = control("events/generation_failure", Value::Null).await;
    assert_eq!(reported["ids"].as_array().unwrap().len(), 1);
    let half = serde_json::json!({"object": "cptxn_1"});
    assert_eq!(control("events/generation_failure", half).await.0, 400);
    let whole = serde_json::json!({"object": "acct_1", "event_type": "account.updated"});
    assert_eq!(control("events/generation_failure", whole).await.0, 200);

    let terms = serde_json::json!({
        "account": account, "campaign_type": "previously_eligible_user",
        "previous_financing_fee_discount_rate": 0.1,
        "repayment_interval_configuration": {"duration_days": 10},
    });
    let (_, made) = control("offers", terms).await;
    let offer = client.simulator.offer(made["id"].as_str().unwrap()).unwrap();
    let terms = &offer["offered_terms"];
    assert_eq!(terms["campaign_type"], "previously_eligible_user");
    assert_eq!(terms["previous_financing_fee_discount_rate"], 0.1);
    let interval = &terms["repayment_interval_configuration"];
    assert_eq!(
        (&interval["duration_days"], &interval["minimum_amount"]),
        (&10.into(), &Value::Null)
    );
}
