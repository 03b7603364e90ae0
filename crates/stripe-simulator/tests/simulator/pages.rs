//! The simulated Stripe dashboard, as a browser without a script meets it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use stripe_simulator::{FeedEntry, Tone, Trouble};
use tokio::sync::Notify;

use crate::*;

/// Presses a button, and returns the page that it leads to.
async fn press(client: &Client, path: &str) -> String {
    press_with(client, path, "10").await
}

async fn press_with(client: &Client, path: &str, amount: &str) -> String {
    let account = client.simulator.accounts()[0].clone();
    let form = [("amount", amount), ("account", &account)];
    let request = client.http.post(client.url(&format!("/_simulator/page/{path}"))).form(&form);
    let (status, place, _) = client.visit(request).await;
    let place = place.unwrap();
    assert!(status == 303 && place.contains(&format!("account={account}")), "{path}: {place}");
    shown(client, &place).await
}

async fn page(client: &Client) -> String {
    shown(client, "/_simulator/").await
}

async fn shown(client: &Client, path: &str) -> String {
    let (status, _, page) = client.visit(client.http.get(client.url(path))).await;
    assert_eq!(status, 200, "{page}");
    // The templates write a slash as a reference; to a browser that is the same.
    page.replace("&#x2f;", "/")
}

/// The buttons of a merchant that can be pressed.
fn possible(page: &str) -> BTreeSet<&str> {
    let ids = page.split("id=\"do-").skip(1).filter_map(|rest| rest.split('"').next());
    ids.filter(|id| !["day", "week", "month", "stripe_down", "events_backwards"].contains(id))
        .collect()
}

/// Waits until no time passes.
async fn time_stands_still(client: &Client) {
    while page(client).await.contains("id=\"do-stop\"") {
        tokio::task::yield_now().await;
    }
}

fn sells_at_once(client: &Client) {
    client.simulator.set_settle(|| async {});
}

#[tokio::test]
async fn each_state_has_its_buttons_and_says_why_others_are_not_possible() {
    let (client, account, offer) = Client::start().await;
    let press = |action: &str| press_with_owned(&client, format!("accounts/{account}/{action}"));
    let expect = |page: &str, expected: &[&str]| {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(possible(page), expected);
    };
    let undelivered = page(&client).await;
    expect(&undelivered, &["expire", "replace", "take_other"]);
    assert!(undelivered.contains("the email must reach them first"), "{undelivered}");
    client.simulator.deliver(&offer);
    let delivered = page(&client).await;
    expect(&delivered, &["apply", "expire", "replace", "take_other", "until_paid"]);
    assert!(delivered.contains("open for 30 more days"), "{delivered}");
    let applied = press("apply").await;
    expect(&applied, &["approve", "cancel", "counter", "reject", "until_paid"]);
    let paying = press("approve").await;
    expect(&paying, &["cancel", "collect", "offer", "repay", "until_paid"]);
    assert!(paying.contains("the balance is empty") && paying.contains("Makes a refill offer"));
    assert!(paying.contains("day 1 of the financing"), "{paying}");
    client.time.advance(chrono::TimeDelta::days(3));
    assert!(page(&client).await.contains("more than 48 hours have passed"));
    let paid = press("repay").await;
    expect(&paid, &["offer"]);
    assert!(paid.contains("Makes a repeat offer"), "{paid}");
    press("offer").await;
    let repeat = client.simulator.newest_offer(&account).unwrap();
    assert_eq!(repeat["offered_terms"]["campaign_type"], "repeat_user");
    assert_ne!(repeat["offered_terms"]["advance_amount"], 100_000);
}

async fn press_with_owned(client: &Client, path: String) -> String {
    press(client, &path).await
}

#[tokio::test]
async fn a_press_leads_back_to_a_page_that_marks_what_happened() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let before = page(&client).await;
    assert!(!before.contains("class=\"said\"") && !before.contains(" new\""), "{before}");
    let after = press(&client, &format!("accounts/{account}/apply")).await;
    assert!(after.contains("<ul class=\"said\"><li>Applied for $1,000.00</li>"), "{after}");
    assert!(after.contains("<li class=\"busy new\">"), "{after}");
    // What has become impossible meanwhile changes nothing.
    let again = press(&client, &format!("accounts/{account}/apply")).await;
    assert!(again.contains("Not possible: they have applied already."), "{again}");
    assert_eq!(client.simulator.events().len(), 2);
}

#[tokio::test]
async fn names_and_texts_are_escaped_and_the_page_has_no_inline_code() {
    let (client, account, _) = Client::start().await;
    client.simulator.edit_account(&account, |account| {
        account["business_profile"]["name"] = "<b>Jenny's</b>".into();
    });
    client.simulator.feed().push(FeedEntry {
        at: client.time.now(),
        account: Some(account.clone()),
        text: "A letter to <i>jenny</i>".to_owned(),
        link: Some(("Open".to_owned(), "/mailbox/7".to_owned())),
        tone: Tone::Good,
    });
    let shown = page(&client).await;
    assert!(shown.contains("&lt;b&gt;") && shown.contains("&lt;i&gt;jenny"), "{shown}");
    assert!(shown.contains("href=\"/mailbox/7\""), "{shown}");
    for inline in ["<b>", "<i>", "<style", " style=", " onclick=", "<script>"] {
        assert!(!shown.contains(inline), "{inline} is in {shown}");
    }
    for (file, kind) in [("style.css", "text/css"), ("script.js", "text/javascript")] {
        let url = client.url(&format!("/_simulator/{file}"));
        let response = client.http.get(url).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
        assert!(shown.contains(&format!("/_simulator/{file}")));
    }
    let response = client.http.get(client.url("/_simulator/")).send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn a_balance_pays_no_more_than_it_has() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    for action in [Action::Apply, Action::Approve] {
        client.simulator.perform(action, &offer).unwrap();
    }
    let sale = NewCharge { amount: 10_000, kind: ChargeKind::Direct { application_fee: 0 } };
    client.simulator.charge(&account, &sale).unwrap();
    let pay = format!("accounts/{account}/pay");
    let refused = press_with(&client, &pay, "500").await;
    assert!(refused.contains("Not possible: the balance has only $81.80."), "{refused}");
    for amount in ["0", "-5", "nothing", ""] {
        assert!(press_with(&client, &pay, amount).await.contains("Not possible"), "{amount}");
    }
    let paid = press_with(&client, &pay, "12.34").await;
    assert!(paid.contains("Paid $12.34 from the balance"), "{paid}");
    let refused = press_with(&client, &format!("accounts/{account}/collect"), "99999").await;
    assert!(refused.contains("Not possible: "), "{refused}");
}

#[tokio::test]
async fn every_merchant_sells_while_time_passes() {
    let (client, account, offer) = Client::start().await;
    sells_at_once(&client);
    let other = client.simulator.add_account(&NewAccount::default());
    let others = client.simulator.create_offer(&other, &NewOffer::default());
    for offer in [&offer, &others] {
        client.simulator.deliver(offer);
        for action in [Action::Apply, Action::Approve] {
            client.simulator.perform(action, offer).unwrap();
        }
    }
    let before = client.time.now();
    press(&client, &format!("accounts/{account}/week")).await;
    time_stands_still(&client).await;
    assert_eq!(client.time.now() - before, chrono::TimeDelta::days(7));
    for account in [&account, &other] {
        let ledger = ExpectedLedger::of(&client.simulator, account);
        assert_eq!(ledger.financings[0].withheld_minor_by_charge.len(), 7);
        assert_eq!(ledger.payouts.len(), 2, "the advance, and the week's sales");
    }
    let shown = page(&client).await;
    assert!(shown.contains("day 8 of the financing") && shown.contains("7 days passed"), "{shown}");
}

#[tokio::test]
async fn time_passes_from_an_open_offer_until_it_is_paid_in_full() {
    let (client, account, offer) = Client::start().await;
    sells_at_once(&client);
    client.simulator.deliver(&offer);
    press(&client, &format!("accounts/{account}/until_paid")).await;
    time_stands_still(&client).await;
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "fully_repaid");
    let ledger = ExpectedLedger::of(&client.simulator, &account);
    assert_eq!(
        (ledger.financings[0].phase, ledger.financings[0].remaining_minor),
        (FinancingPhase::FullyRepaid, 0)
    );
    assert!(
        ledger.payouts.len() > 30 && ledger.payouts.iter().any(|payout| payout.refunded_minor > 0)
    );
    let shown = page(&client).await;
    assert!(shown.contains("Paid in full") && shown.contains("100%"), "{shown}");
}

#[tokio::test]
async fn offers_expire_while_time_passes() {
    let (client, account, offer) = Client::start().await;
    sells_at_once(&client);
    client.simulator.deliver(&offer);
    press(&client, &format!("accounts/{account}/month")).await;
    time_stands_still(&client).await;
    assert_eq!(client.simulator.offer(&offer).unwrap()["status"], "expired");
    assert!(page(&client).await.contains("Makes a new offer"));
}

#[tokio::test]
async fn a_day_waits_until_the_platform_has_settled_and_can_be_the_last() {
    let (client, account, _) = Client::start().await;
    let (settled, waiting) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let (signal, count) = (Arc::clone(&settled), Arc::clone(&waiting));
    client.simulator.set_settle(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let signal = Arc::clone(&signal);
        async move { signal.notified().await }
    });
    let reaches = async |steps: u32| {
        while waiting.load(Ordering::SeqCst) < steps {
            tokio::task::yield_now().await;
        }
    };
    let start = client.time.now();
    press(&client, &format!("accounts/{account}/month")).await;
    // Four steps of a day.
    for step in 0..12 {
        reaches(step + 1).await;
        assert_eq!(client.time.now() - start, chrono::TimeDelta::hours(6 * i64::from(step)));
        settled.notify_one();
    }
    reaches(13).await;
    let running = page(&client).await;
    assert!(running.contains("Day 3 of 30") && running.contains("http-equiv=\"refresh\""));
    let refused = press(&client, &format!("accounts/{account}/offer")).await;
    assert!(refused.contains("time is passing: stop it"), "{refused}");
    press(&client, "time/lapse/stop").await;
    time_stands_still(&client).await;
    assert_eq!(client.time.now() - start, chrono::TimeDelta::days(3));
    assert!(page(&client).await.contains("3 days passed"));
}

#[tokio::test]
async fn time_stops_with_the_simulator() {
    let (client, account, _) = Client::start().await;
    client.simulator.set_settle(std::future::pending::<()>);
    press(&client, &format!("accounts/{account}/month")).await;
    let mut feed = client.simulator.feed().subscribe();
    client.simulator.stop();
    let last = feed.recv().await.unwrap();
    assert!(last.text.starts_with("0 days passed"), "{last:?}");
}

fn switch(is_on: &Arc<AtomicBool>) -> Trouble {
    let (read, set) = (Arc::clone(is_on), Arc::clone(is_on));
    Trouble {
        name: "relay_down".to_owned(),
        start: "Relay down".to_owned(),
        stop: Some("Relay is back".to_owned()),
        explains: "no letter leaves".to_owned(),
        is_on: Arc::new(move || read.load(Ordering::SeqCst)),
        act: Arc::new(move |on| set.store(on, Ordering::SeqCst)),
    }
}

#[tokio::test]
async fn the_hosts_troubles_are_switches_on_the_page() {
    let (client, ..) = Client::start().await;
    let is_on = Arc::new(AtomicBool::new(false));
    let once = Trouble {
        name: "worker_killed".to_owned(),
        start: "Kill the worker".to_owned(),
        stop: None,
        ..switch(&is_on)
    };
    client.simulator.set_troubles(vec![switch(&is_on), once]);
    assert!(page(&client).await.contains("trouble/relay_down/start\">"));
    let down = press(&client, "trouble/relay_down/start").await;
    assert!(is_on.load(Ordering::SeqCst));
    assert!(down.contains("trouble/relay_down/stop\">") && down.contains("Relay is back"));
    assert!(down.contains("trouble/worker_killed/start\">"), "it has no end: {down}");
    press(&client, "trouble/relay_down/stop").await;
    assert!(!is_on.load(Ordering::SeqCst));
    assert!(press(&client, "trouble/other/start").await.contains("there is no such button"));
}

#[tokio::test]
async fn a_stripe_that_is_down_answers_503_and_its_pages_still_work() {
    let (client, _, offer) = Client::start().await;
    press(&client, "trouble/stripe_down/start").await;
    let (status, body) = client.get("/v1/capital/financing_offers").await;
    assert_eq!((status, body["error"]["type"].as_str()), (503, Some("api_error")));
    assert_eq!(client.mark(&offer, "k1").await.unwrap().status(), 503);
    assert!(page(&client).await.contains("Stripe is back"));
    press(&client, "trouble/stripe_down/stop").await;
    assert_eq!(client.mark(&offer, "k1").await.unwrap().status(), 200, "no key was used up");
}

#[tokio::test]
async fn events_are_sent_again_three_times_and_backwards() {
    let (client, _, offer) = Client::start().await;
    assert!(press(&client, "trouble/events_backwards/start").await.contains("no endpoint"));
    let receiver = webhooks::Receiver::start(&["200 OK"]).await;
    client.simulator.register_webhook(webhooks::endpoint(&receiver.url));
    client.simulator.deliver(&offer);
    client.simulator.perform(Action::Apply, &offer).unwrap();
    client.simulator.deliveries_finished().await;
    press(&client, "trouble/events_backwards/start").await;
    client.simulator.deliveries_finished().await;
    let requests = receiver.requests();
    let count = |kind: &str| {
        let kind = format!("\"type\": \"capital.financing_offer.{kind}\"");
        requests.iter().filter(|request| request.contains(&kind)).count()
    };
    // The first of them was made before there was an endpoint.
    assert_eq!((count("created"), count("accepted")), (3, 4));
}

#[tokio::test]
async fn the_merchant_unsubscribes_by_the_link_that_the_host_finds() {
    let (client, account, _) = Client::start().await;
    assert!(page(&client).await.contains("use the link at the end of an email"));
    client
        .simulator
        .set_unsubscribe_link(move |of| (of == account).then(|| "http://127.0.0.1/u/1".to_owned()));
    assert!(page(&client).await.contains("id=\"do-unsubscribe\" href=\"http://127.0.0.1/u/1\""));
}

#[tokio::test]
async fn the_pulse_changes_with_what_the_page_shows() {
    let (client, account, offer) = Client::start().await;
    let pulse = async || client.get("/_simulator/pulse").await.1["version"].clone();
    let first = pulse().await;
    assert_eq!(pulse().await, first);
    client.simulator.deliver(&offer);
    let second = pulse().await;
    assert_ne!(second, first);
    press(&client, &format!("accounts/{account}/apply")).await;
    let third = pulse().await;
    assert_ne!(third, second);
    client.simulator.set_api_down(true);
    assert_ne!(pulse().await, third);
}

#[tokio::test]
async fn account_links_lead_to_the_address_that_browsers_see() {
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    client.simulator.set_origin("http://demo.example:7000/".parse().unwrap());
    assert_eq!(client.simulator.base_url(), client.url("/"), "the API stays where it is");
    let form = [
        ("account", account.as_str()),
        ("type", "capital_financing_offer"),
        ("return_url", "http://demo.example:7000/capital"),
        ("refresh_url", "http://demo.example:7000/again"),
    ];
    let (_, link) = client.post("/v1/account_links", &form).await;
    let link = link["url"].as_str().unwrap();
    let path = link.strip_prefix("http://demo.example:7000").expect(link);
    // As the proxy in front asks for it.
    let request = client.http.get(client.url(path)).header("Host", "demo.example:7000");
    let (status, _, page) = client.visit(request).await;
    assert!(status == 200 && page.contains("Apply for financing"), "{page}");
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
    let (client, account, offer) = Client::start().await;
    client.simulator.deliver(&offer);
    let apply = format!("/_simulator/page/accounts/{account}/apply");
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
