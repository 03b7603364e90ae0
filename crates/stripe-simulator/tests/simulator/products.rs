//! Terms by market and product, and what Stripe sends of them.

use stripe_simulator::{Minimum, PRODUCTS, Product, Refills, RepaymentInterval};

use crate::*;

const DAY: i64 = 86_400;

fn pay_out(client: &Client, offer: &str) {
    client.simulator.deliver(offer);
    for action in [Action::Apply, Action::Approve] {
        client.simulator.perform(action, offer).unwrap();
    }
}

/// An account in this country with a financing of 1,100.00 at 15 %.
async fn financed(country: &str, new: &NewOffer) -> (Client, String, String) {
    let (client, ..) = Client::start().await;
    let account = NewAccount { country: Some(country.to_owned()), ..NewAccount::default() };
    let account = client.simulator.add_account(&account);
    let offer = client.simulator.create_offer(&account, new);
    pay_out(&client, &offer);
    (client, account, offer)
}

fn of_type(financing_type: &str) -> NewOffer {
    NewOffer { financing_type: financing_type.to_owned(), ..NewOffer::default() }
}

fn sale(amount: i64) -> NewCharge {
    NewCharge { amount, kind: ChargeKind::Direct { application_fee: 0 } }
}

fn details(client: &Client, account: &str) -> Value {
    client.simulator.summary(account)["details"].clone()
}

#[test]
fn the_table_has_each_cell_of_stripes_page() {
    let row = |country, financing_type| {
        let row = Product::find(country, financing_type).unwrap();
        (row.provider, row.minimum, row.bank_debit, row.refills)
    };
    let (settle, stack) = (Some(Refills::Settle), Some(Refills::Stack));
    let banks = "Celtic Bank or Lead Bank";
    let days = Minimum::EveryDays;
    let expected = [
        (("US", "flex_loan"), (banks, days(60), Some(true), settle)),
        (("US", "cash_advance"), ("YouLend", Minimum::Never, Some(false), settle)),
        (("US", "fixed_term_loan"), (banks, Minimum::EveryDaysCapped(7), None, settle)),
        (("US", "line_of_credit"), (banks, Minimum::MonthlyPerDraw, None, None)),
        (("AU", "flex_loan"), ("Fundbox", days(30), Some(true), settle)),
        (("CA", "flex_loan"), ("Fundbox", Minimum::Undocumented, None, None)),
        (("GB", "cash_advance"), ("YouLend", Minimum::Never, Some(false), stack)),
        (("GB", "flex_loan"), ("YouLend", days(7), Some(false), stack)),
        (("DE", "flex_loan"), ("YouLend GmbH", days(7), Some(false), stack)),
        (("FR", "flex_loan"), ("YouLend SAS", days(7), Some(false), stack)),
    ];
    assert_eq!(expected.len(), PRODUCTS.len());
    for ((country, financing_type), terms) in expected {
        assert_eq!(row(country, financing_type), terms, "{country} {financing_type}");
    }
    assert_eq!(Product::find("DE", "cash_advance"), None);
}

#[tokio::test]
async fn each_product_can_be_offered_and_has_the_intervals_of_the_table() {
    let (client, ..) = Client::start().await;
    let url = client.url("/_simulator/offers/each_product");
    let made: Value = client.http.post(url).send().await.unwrap().json().await.unwrap();
    let made = made["data"].as_array().unwrap();
    assert_eq!(made.len(), PRODUCTS.len());
    for (product, made) in PRODUCTS.iter().zip(made) {
        assert_eq!(made["country"], product.country);
        let (account, offer) = (made["account"].as_str().unwrap(), made["offer"].as_str().unwrap());
        let object = client.simulator.offer(offer).unwrap();
        assert_eq!(
            (&object["financing_type"], &object["type"]),
            (&product.financing_type.into(), &product.financing_type.into())
        );
        pay_out(&client, offer);
        let interval = &details(&client, account)["current_repayment_interval"];
        let length = interval["due_at"].as_i64().map(|due| due - 1_800_000_000);
        let expected = product.minimum.days().map(|days| i64::from(days) * DAY);
        assert_eq!(length, expected, "{product:?}");
        assert_eq!(interval["starts_at"].as_i64(), expected.map(|_| 1_800_000_000));
    }
}

#[tokio::test]
async fn a_fixed_term_loan_takes_no_more_of_sales_than_its_weekly_minimum() {
    let (client, account, offer) = financed("US", &of_type("fixed_term_loan")).await;
    let terms = client.simulator.offer(&offer).unwrap();
    let expected =
        serde_json::json!({"duration_days": 7, "maximum_amount": 1_429, "minimum_amount": 1_429});
    for terms in ["offered_terms", "accepted_terms"].map(|name| &terms[name]) {
        assert_eq!(terms["repayment_interval_configuration"], expected);
    }
    let withheld =
        |amount| client.simulator.charge(&account, &sale(amount)).unwrap().withheld_minor;
    assert_eq!([8_000, 8_000, 8_000].map(withheld), [1_200, 229, 0]);
    let interval = &details(&client, &account)["current_repayment_interval"];
    assert_eq!(
        (&interval["paid_amount"], &interval["remaining_amount"]),
        (&1_429.into(), &0.into())
    );
    client.time.advance(chrono::TimeDelta::days(7));
    assert_eq!(withheld(8_000), 1_200, "a new week");
}

#[tokio::test]
async fn what_stripe_sends_of_an_interval_beats_the_table() {
    let interval = RepaymentInterval {
        duration_days: Some(14),
        minimum_amount: Some(5_000),
        maximum_amount: None,
    };
    let new = NewOffer { repayment_interval: Some(interval), ..NewOffer::default() };
    let (client, account, offer) = financed("US", &new).await;
    let sent = &client.simulator.offer(&offer).unwrap()["accepted_terms"];
    assert_eq!(sent["repayment_interval_configuration"]["maximum_amount"], Value::Null);
    let interval = &details(&client, &account)["current_repayment_interval"];
    assert_eq!(interval["due_at"].as_i64(), Some(1_800_000_000 + 14 * DAY));
    assert_eq!(
        (&interval["duration_days"], &interval["remaining_amount"]),
        (&14.into(), &5_000.into())
    );

    let (client, _, offer) = financed("US", &NewOffer::default()).await;
    let offer = client.simulator.offer(&offer).unwrap();
    let terms = offer["offered_terms"].as_object().unwrap();
    assert!(!terms.contains_key("repayment_interval_configuration"), "as Stripe's example");
}

#[tokio::test]
async fn what_past_minimums_lack_is_overdue_until_it_is_collected() {
    let (client, account, offer) = financed("US", &NewOffer::default()).await;
    let overdue = || details(&client, &account)["overdue_amount"].clone();
    assert_eq!(overdue(), 0);
    client.simulator.pay(&offer, 2_000, PaymentSource::BankAccount).unwrap();
    client.time.advance(chrono::TimeDelta::days(60));
    assert_eq!(overdue(), 10_223, "12,223 were due");
    // It counts for the interval that is over.
    client.simulator.collect(&offer, 10_223, PaymentSource::BankAccount).unwrap();
    let details = details(&client, &account);
    assert_eq!(details["overdue_amount"], 0);
    let interval = &details["current_repayment_interval"];
    assert_eq!(
        (&interval["paid_amount"], &interval["remaining_amount"]),
        (&0.into(), &12_223.into())
    );
    assert_eq!(interval["incremental_interval_target_amount"], 12_223);
}

#[tokio::test]
async fn a_payment_is_for_the_current_interval_first_and_then_for_what_is_overdue() {
    let (client, account, offer) = financed("AU", &NewOffer::default()).await;
    client.time.advance(chrono::TimeDelta::days(30));
    let overdue = || details(&client, &account)["overdue_amount"].as_i64().unwrap();
    assert_eq!(overdue(), 6_112);
    for (minor, left) in [(6_112, 6_112), (112, 6_000), (9_000, 0)] {
        client.simulator.pay(&offer, minor, PaymentSource::Balance).unwrap();
        assert_eq!(overdue(), left, "after {minor}");
    }
}

#[tokio::test]
async fn a_cash_advance_has_no_minimum_and_nothing_is_collected_for_it() {
    let (client, account, offer) = financed("US", &of_type("cash_advance")).await;
    client.time.advance(chrono::TimeDelta::days(200));
    let details = details(&client, &account);
    assert_eq!(
        (&details["overdue_amount"], &details["current_repayment_interval"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(details["total_due_amount"], 110_000);
    assert_eq!(
        details["enabled_payment_types"],
        serde_json::json!(["manual_payment", "withholding"])
    );
    for from in [PaymentSource::Balance, PaymentSource::BankAccount] {
        assert!(client.simulator.collect(&offer, 100, from).is_err());
    }
    let (client, _, offer) = financed("FR", &NewOffer::default()).await;
    assert!(client.simulator.collect(&offer, 100, PaymentSource::BankAccount).is_err());
    assert!(client.simulator.collect(&offer, 100, PaymentSource::Balance).is_ok());
}

#[tokio::test]
async fn without_the_newest_preview_its_fields_are_absent() {
    let (client, account, offer) = Client::start().await;
    let url = client.url("/_simulator/settings");
    let off = serde_json::json!({"preview_fields": false});
    assert_eq!(client.http.post(url).json(&off).send().await.unwrap().status(), 200);
    pay_out(&client, &offer);
    let details = details(&client, &account);
    let details = details.as_object().unwrap();
    let terms = client.simulator.offer(&offer).unwrap()["accepted_terms"].clone();
    assert!(!details.contains_key("total_due_amount") && !details.contains_key("overdue_amount"));
    assert!(!details["current_repayment_interval"].as_object().unwrap().contains_key("starts_at"));
    assert!(!terms.as_object().unwrap().contains_key("total_due_amount"));
}

#[tokio::test]
async fn a_refills_discount_lowers_the_old_fee_where_it_settles() {
    let (client, account, old) = financed("US", &NewOffer::default()).await;
    client.simulator.pay(&old, 88_000, PaymentSource::BankAccount).unwrap();
    let terms = NewOffer { fee_discount_rate: Some(0.25), ..NewOffer::default() };
    let refill = client.simulator.create_refill(&account, &terms);
    let offered = &client.simulator.offer(&refill).unwrap()["offered_terms"];
    assert_eq!(offered["previous_financing_fee_discount_rate"], 0.25);
    client.simulator.deliver(&refill);
    client.simulator.perform(Action::Apply, &refill).unwrap();
    let discount =
        |offer: &Value| offer["accepted_terms"]["previous_financing_fee_discount_amount"].clone();
    assert_eq!(discount(&client.simulator.offer(&refill).unwrap()), Value::Null);
    client.simulator.perform(Action::Approve, &refill).unwrap();
    // 2,000 of the fee of 10,000 remained.
    assert_eq!(discount(&client.simulator.offer(&refill).unwrap()), 500);
    let transactions = client.simulator.transactions(&account);
    let settled = transactions.iter().find(|one| one["details"]["reason"] == "refill").unwrap();
    assert_eq!(
        (&settled["details"]["total_amount"], &settled["details"]["fee_amount"]),
        (&21_500.into(), &1_500.into())
    );
    assert_eq!(client.simulator.offer(&old).unwrap()["status"], "fully_repaid");
    let paid_out = client.simulator.events().into_iter().rfind(|event| {
        event["type"] == "capital.financing_offer.paid_out"
            && event["data"]["object"]["id"] == refill.as_str()
    });
    assert_eq!(discount(&paid_out.unwrap()["data"]["object"]), Value::Null, "not yet known");
    let expected = ExpectedLedger::of(&client.simulator, &account);
    assert_eq!(
        (expected.financings[0].remaining_minor, expected.financings[0].phase),
        (0, FinancingPhase::FullyRepaid)
    );
}

#[tokio::test]
async fn a_refills_discount_is_shown_once_the_old_financing_is_repaid_where_it_stacks() {
    let (client, account, old) = financed("GB", &NewOffer::default()).await;
    client.simulator.pay(&old, 88_000, PaymentSource::BankAccount).unwrap();
    let terms = NewOffer { fee_discount_rate: Some(0.5), ..NewOffer::default() };
    let refill = client.simulator.create_refill(&account, &terms);
    pay_out(&client, &refill);
    let amount = || {
        let refill = client.simulator.offer(&refill).unwrap();
        refill["accepted_terms"]["previous_financing_fee_discount_amount"].clone()
    };
    assert_eq!(amount(), Value::Null);
    let remaining = client.simulator.active_financings(&account);
    assert_eq!((remaining.len(), remaining[0].remaining_minor), (2, 21_000));
    assert!(
        client.simulator.perform(Action::Cancel, &refill).is_err(),
        "it has changed the old one"
    );
    client.simulator.pay(&old, 21_000, PaymentSource::BankAccount).unwrap();
    assert_eq!(amount(), 1_000);
    assert_eq!(client.simulator.offer(&old).unwrap()["status"], "fully_repaid");
}

#[tokio::test]
async fn a_discount_of_all_that_remains_ends_the_old_financing_without_a_payment() {
    let (client, account, old) = financed("US", &NewOffer::default()).await;
    // The parts of a payment are rounded, so only the last minor units are all fee.
    client.simulator.pay(&old, 109_999, PaymentSource::BankAccount).unwrap();
    let terms = NewOffer { fee_discount_rate: Some(1.0), ..NewOffer::default() };
    let refill = client.simulator.create_refill(&account, &terms);
    pay_out(&client, &refill);
    assert_eq!(client.simulator.offer(&old).unwrap()["status"], "fully_repaid");
    let transactions = client.simulator.transactions(&account);
    assert!(transactions.iter().all(|one| one["details"]["reason"] != "refill"));
}
