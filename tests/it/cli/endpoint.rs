//! `endpoint check` and `endpoint ensure` against the simulated Stripe.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind, Simulator};

use crate::support::API_KEY;
use crate::support::process::{command, world};

const URL: &str = "https://courier.rocket.example/webhooks/stripe";

/// The exit status and the output of a command that needs no database.
async fn endpoint(arguments: &[&str], env: &HashMap<String, String>) -> (i32, String) {
    let mut env = env.clone();
    env.remove("DATABASE_URL");
    env.remove("SMTP_URL");
    let arguments = [&["endpoint"], arguments].concat();
    let output = command(&arguments, &env).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Registers an endpoint, and returns its id.
async fn register(stripe: &Simulator, form: &[(&str, &str)]) -> String {
    let url = stripe.base_url().join("/v1/webhook_endpoints").unwrap();
    let request = reqwest::Client::new().post(url).bearer_auth(API_KEY).form(form);
    let created: Value = request.send().await.unwrap().json().await.unwrap();
    created["id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
}

#[sqlx::test(migrations = false)]
async fn the_endpoint_is_created_once_and_its_secret_shown_once(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let (status, text) = endpoint(&["check"], &env).await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains(&format!("no endpoint is registered for {URL}")), "{text}");

    let (status, created) = endpoint(&["ensure", "--json"], &env).await;
    assert_eq!(status, 0, "{created}");
    let created: Value = serde_json::from_str(&created).unwrap();
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"), "{created}");
    let registered = stripe.webhook_endpoints();
    assert_eq!(registered.len(), 1);
    assert_eq!(
        (&registered[0]["id"], &registered[0]["url"], &registered[0]["application"]),
        (&created["endpoint_id"], &json!(URL), &Value::Null)
    );
    let mut types: Vec<&str> = stripe_simulator::EVENT_TYPES.to_vec();
    types.sort_unstable();
    assert_eq!(registered[0]["enabled_events"], json!(types));

    let (status, again) = endpoint(&["ensure"], &env).await;
    assert_eq!(status, 0, "{again}");
    assert!(again.contains("nothing was changed") && !again.contains("whsec_"), "{again}");
    assert_eq!(stripe.webhook_endpoints(), registered);
    let (status, text) = endpoint(&["check"], &env).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("all 11 event types") && text.contains("is right"), "{text}");
}

#[sqlx::test(migrations = false)]
async fn a_new_secret_comes_with_what_to_do_with_it(db: PgPool) {
    let (_stripe, _relay, env) = world(&db).await;
    let (_, text) = endpoint(&["ensure"], &env).await;
    assert!(text.contains("STRIPE_WEBHOOK_SECRET=<new>,<old>"), "{text}");
    assert_eq!(text.matches("whsec_").count(), 1, "{text}");
}

#[sqlx::test(migrations = false)]
async fn an_endpoint_is_enabled_and_keeps_its_other_types(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let events = ["charge.succeeded", "capital.financing_offer.created"];
    let events = events.map(|event| ("enabled_events[]", event));
    let ours = register(&stripe, &[("url", URL), events[0], events[1]]).await;
    let other = register(&stripe, &[("url", "https://rocket.example/hooks"), events[0]]).await;
    for id in [&ours, &other] {
        stripe.edit_webhook_endpoint(id, |endpoint| endpoint["status"] = json!("disabled"));
    }
    let (status, text) = endpoint(&["check"], &env).await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("disabled") && text.contains("1 of 11"), "{text}");

    let (status, text) = endpoint(&["ensure"], &env).await;
    assert_eq!(status, 0, "{text}");
    assert_eq!(text.matches("  added ").count(), 10, "{text}");
    let registered = stripe.webhook_endpoints();
    assert_eq!(registered.len(), 2);
    assert_eq!(registered[0]["status"], "enabled");
    assert_eq!(registered[0]["enabled_events"].as_array().unwrap().len(), 12);
    assert_eq!(registered[1]["status"], "disabled", "another endpoint was changed");
}

#[sqlx::test(migrations = false)]
async fn a_connect_endpoint_does_not_count(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    let form = [("url", URL), ("enabled_events[]", "*"), ("connect", "true")];
    let connect = register(&stripe, &form).await;
    let (status, text) = endpoint(&["check"], &env).await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains(&connect) && text.contains("connected accounts"), "{text}");
    let (status, text) = endpoint(&["ensure"], &env).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("whsec_") && text.contains("other endpoints"), "{text}");
    assert_eq!(stripe.webhook_endpoints().len(), 2);
}

#[sqlx::test(migrations = false)]
async fn the_endpoint_is_found_on_a_later_page(db: PgPool) {
    let (stripe, _relay, env) = world(&db).await;
    endpoint(&["ensure"], &env).await;
    for number in 0..101 {
        let url = format!("https://rocket.example/{number}");
        register(&stripe, &[("url", &url), ("enabled_events[]", "charge.succeeded")]).await;
    }
    let (status, text) = endpoint(&["ensure"], &env).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("nothing was changed"), "{text}");
}

#[sqlx::test(migrations = false)]
async fn all_events_and_another_version_are_warnings(db: PgPool) {
    let (stripe, _relay, mut env) = world(&db).await;
    env.insert("COURIER_STRIPE__API_VERSION".to_owned(), "2025-09-30.preview".to_owned());
    let form = [("url", URL), ("enabled_events[]", "*"), ("api_version", "2022-08-01")];
    register(&stripe, &form).await;
    let (status, text) = endpoint(&["check"], &env).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("explicit selection"), "{text}");
    assert!(text.contains("2022-08-01, and stripe.api_version is 2025-09-30.preview"), "{text}");
    assert!(text.contains("0 problems, 2 warnings"), "{text}");
    // The types can be changed, the version cannot.
    let (status, text) = endpoint(&["ensure"], &env).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("0 problems, 1 warning"), "{text}");
    assert_eq!(stripe.webhook_endpoints()[0]["enabled_events"].as_array().unwrap().len(), 11);
}

#[sqlx::test(migrations = false)]
async fn what_stripe_refuses_is_explained(db: PgPool) {
    let (stripe, _relay, mut env) = world(&db).await;
    let refuse = |status| {
        let kind = FaultKind::Error { status, code: "refused", headers: vec![] };
        stripe.inject(Fault { method: "POST", path: "/v1/webhook_endpoints", times: 1, kind });
    };
    refuse(403);
    let (status, text) = endpoint(&["ensure"], &env).await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("let the key read and write webhook endpoints"), "{text}");
    refuse(400);
    let (_, text) = endpoint(&["ensure"], &env).await;
    assert!(text.contains("The simulator was asked for this error."), "{text}");
    assert!(stripe.webhook_endpoints().is_empty());
    env.remove("COURIER_HTTP__PUBLIC_URL");
    let (status, text) = endpoint(&["check"], &env).await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("http.public_url is not set"), "{text}");
}
