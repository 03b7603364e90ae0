//! The simulated Stripe dashboard, as a browser meets it.

use crate::*;

async fn submit(client: &Client, path: &str) -> Option<String> {
    let form: [(&str, &str); 1] = [("amount", "10")];
    let request = client.http.post(client.url(&format!("/_simulator/page/{path}"))).form(&form);
    let (status, place, _) = client.visit(request).await;
    assert_eq!(status, 303, "{path}");
    place
}

async fn page(client: &Client) -> String {
    let (status, _, page) = client.visit(client.http.get(client.url("/_simulator/"))).await;
    assert_eq!(status, 200, "{page}");
    // The templates write a slash as a reference; to a browser that is the same.
    page.replace("&#x2f;", "/")
}

/// Waits until the page says that the time lapse is over.
async fn time_lapse_is_over(client: &Client) {
    while page(client).await.contains("A time lapse is running") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_dashboard_shows_the_possible_actions_and_each_leads_back() {
    let (client, account, offer) = Client::start().await;
    client.simulator.edit_account(&account, |account| {
        account["business_profile"]["name"] = "<b>Jenny's</b>".into();
    });
    client.simulator.deliver(&offer);
    let shown = page(&client).await;
    for part in
        ["Simulated Stripe dashboard", "2027", "&lt;b&gt;", "$1,000.00", "/apply", "/expire"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("/approve\"") && !shown.contains("/collect\""), "{shown}");
    for action in ["apply", "approve", "pay", "collect"] {
        let place = submit(&client, &format!("offers/{offer}/{action}")).await;
        assert_eq!(place.as_deref(), Some("/_simulator/"), "{action}");
    }
    assert!(page(&client).await.contains("$1,080.00 remaining"));
    let refused = submit(&client, &format!("offers/{offer}/reject")).await.unwrap();
    let (_, _, told) = client.visit(client.http.get(client.url(&refused))).await;
    assert!(told.contains("an offer that is paid_out does not allow this action"), "{told}");
    submit(&client, &format!("accounts/{account}/offer")).await;
    assert_eq!(client.simulator.offers().last().unwrap()["product_type"], "refill");
}

#[tokio::test]
async fn a_week_is_seven_days_of_sales_and_a_payout() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    for action in [Action::Apply, Action::Approve] {
        client.simulator.perform(action, &offer).unwrap();
    }
    let before = client.time.now();
    submit(&client, &format!("accounts/{account}/week")).await;
    time_lapse_is_over(&client).await;
    assert_eq!(client.time.now() - before, chrono::TimeDelta::days(7));
    let ledger = ExpectedLedger::of(&client.simulator, &account);
    assert_eq!(ledger.financings[0].withheld_minor_by_charge.len(), 7);
    assert_eq!(ledger.payouts.len(), 2, "the advance, and the week's sales");
}

#[tokio::test]
async fn a_year_runs_from_an_offer_to_the_next_one() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    // Nothing marks the next offer as delivered, so the test does.
    submit(&client, &format!("accounts/{account}/year")).await;
    while client.simulator.offers().len() < 2 {
        tokio::task::yield_now().await;
    }
    client.simulator.deliver(client.simulator.offers()[1]["id"].as_str().unwrap());
    time_lapse_is_over(&client).await;
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "fully_repaid");
    let ledger = ExpectedLedger::of(&client.simulator, &account);
    assert_eq!(
        (ledger.financings[0].phase, ledger.financings[0].remaining_minor),
        (FinancingPhase::FullyRepaid, 0)
    );
    assert!(
        ledger.payouts.len() > 30 && ledger.payouts.iter().any(|payout| payout.refunded_minor > 0)
    );
}

#[tokio::test]
async fn the_platform_dashboard_signs_a_new_token_each_time() {
    let (client, account, _) = Client::start().await;
    let open = format!("/dashboard/{account}");
    assert_eq!(
        client.visit(client.http.get(client.url(&open))).await.0,
        404,
        "there is no section yet"
    );
    let section = "http://127.0.0.1:1/capital".parse().unwrap();
    client.simulator.set_platform_dashboard(PlatformDashboard {
        section,
        secret: "0123456789abcdef".to_owned(),
        audience: "capital".to_owned(),
    });
    let (status, _, chooser) = client.visit(client.http.get(client.url("/dashboard"))).await;
    assert!(status == 200 && chooser.contains(&open), "{chooser}");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let (status, place, _) = client.visit(client.http.get(client.url(&open))).await;
        let token =
            place.unwrap().strip_prefix("http://127.0.0.1:1/capital?token=").unwrap().to_owned();
        assert_eq!((status, token.split('.').count()), (303, 3));
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(client.visit(client.http.get(client.url("/dashboard/acct_other"))).await.0, 404);
}

#[tokio::test]
async fn another_site_submits_no_form_and_reads_no_page() {
    let (client, _, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let apply = format!("/_simulator/page/offers/{offer}/apply");
    let port = client.url("/").port().unwrap();
    let rebound = format!("rebound.example:{port}");
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1.evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Host", "evil.example"),
        ("Host", &*rebound),
    ] {
        let pressed = client.visit(client.http.post(client.url(&apply)).header(name, value)).await;
        assert_eq!(pressed.0, 403, "{name}: {value}");
        let read =
            client.visit(client.http.get(client.url("/_simulator/")).header(name, value)).await;
        let is_link = name == "Sec-Fetch-Site";
        assert_eq!(read.0, if is_link { 200 } else { 403 }, "{name}: {value}");
    }
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "delivered");
    let ours = client.url("/").origin().ascii_serialization();
    let localhost = format!("localhost:{port}");
    let pressed =
        client.http.post(client.url(&apply)).header("Origin", ours).header("Host", localhost);
    assert_eq!(client.visit(pressed.header("Sec-Fetch-Site", "same-origin")).await.0, 303);
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "accepted");
}
