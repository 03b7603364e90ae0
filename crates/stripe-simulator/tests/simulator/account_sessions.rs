//! Account Sessions for the embedded components of Capital.

use crate::*;

const SESSIONS: &str = "/v1/account_sessions";
/// As Stripe's own example writes it.
const BETA: &str = "2025-02-24.acacia; embedded_connect_beta=v2;";
const PREVIEW: &str = "2026-02-25.preview";
type Field<'a> = (&'a str, &'a str);
const FINANCING: Field<'_> = ("components[capital_financing][enabled]", "true");

async fn create(client: &Client, version: Option<&str>, form: &[(&str, &str)]) -> (u16, Value) {
    let mut request = client.http.post(client.url(SESSIONS)).bearer_auth(KEY).form(form);
    if let Some(version) = version {
        request = request.header("Stripe-Version", version);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_session_names_its_components_and_ends_soon() {
    let (client, account, _) = Client::start().await;
    for version in [BETA, "2025-04-30.basil; embedded_connect_beta=v2", PREVIEW] {
        let form = [
            ("account", account.as_str()),
            FINANCING,
            ("components[capital_financing_promotion][enabled]", "false"),
        ];
        let (status, session) = create(&client, Some(version), &form).await;
        assert_eq!(status, 200, "{version}: {session}");
        assert_eq!(
            (&session["object"], &session["account"], &session["livemode"]),
            (&"account_session".into(), &account.as_str().into(), &false.into())
        );
        assert!(session["client_secret"].as_str().unwrap().len() > 30);
        assert_eq!(session["expires_at"].as_i64(), Some(1_800_000_000 + 300));
        let component = |enabled: bool| serde_json::json!({"enabled": enabled, "features": {}});
        assert_eq!(
            session["components"],
            serde_json::json!({
                "capital_financing": component(true),
                "capital_financing_application": component(false),
                "capital_financing_promotion": component(false),
            })
        );
    }
    let secret = async || {
        let form = [("account", account.as_str()), FINANCING];
        create(&client, Some(PREVIEW), &form).await.1["client_secret"].clone()
    };
    assert_ne!(secret().await, secret().await);
}

#[tokio::test]
async fn a_version_without_the_components_does_not_know_them() {
    let (client, account, _) = Client::start().await;
    let form = [("account", account.as_str()), FINANCING];
    for version in [None, Some("2026-03-25.dahlia"), Some("2025-04-30")] {
        let (status, body) = create(&client, version, &form).await;
        let error = &body["error"];
        assert_eq!((status, error["code"].as_str()), (400, Some("parameter_unknown")), "{body}");
        assert_eq!(error["param"], "components[capital_financing]");
    }
    let (status, body) = create(&client, Some("latest"), &form).await;
    assert_eq!((status, &body["error"]["param"]), (400, &Value::Null));
}

#[tokio::test]
async fn a_flag_that_the_platform_may_not_send_is_refused_in_stripes_words() {
    let (client, account, _) = Client::start().await;
    let form = [("account", account.as_str()), FINANCING];
    let version = "2026-03-25.dahlia; capital_line_of_credit_preview=v1";
    let (status, body) = create(&client, Some(version), &form).await;
    let error = &body["error"];
    assert_eq!((status, error["type"].as_str()), (400, Some("invalid_request_error")));
    let message = error["message"].as_str().unwrap();
    assert_eq!(
        message,
        format!(
            "Invalid Stripe API version: {version}. You do not have permission to pass this beta \
             header: capital_line_of_credit_preview. If you have any questions, we can help at \
             https://support.stripe.com/."
        )
    );

    // A flag ends with its beta.
    client.simulator.set_beta_flags(&[]);
    assert_eq!(create(&client, Some(BETA), &form).await.0, 400);
    assert_eq!(create(&client, Some(PREVIEW), &form).await.0, 200);
}

#[tokio::test]
async fn what_a_session_lacks_is_named() {
    let (client, account, _) = Client::start().await;
    let account = ("account", account.as_str());
    let left = client.simulator.add_account(&NewAccount::default());
    client.simulator.disconnect_account(&left);
    let cases: [(&[Field<'_>], &str, Option<&str>); 10] = [
        (&[FINANCING], "account", Some("parameter_missing")),
        (&[("account", "acct_other"), FINANCING], "account", Some("resource_missing")),
        (&[("account", &left), FINANCING], "account", Some("resource_missing")),
        (&[account], "components", Some("parameter_missing")),
        (&[account, ("components[capital_financing][enabled]", "false")], "components", None),
        (
            &[account, ("components[capital_financing][enabled]", "yes")],
            "components[capital_financing][enabled]",
            None,
        ),
        (
            &[account, FINANCING, ("components[payouts][enabled]", "true")],
            "components[payouts]",
            Some("parameter_unknown"),
        ),
        (
            &[account, FINANCING, ("components[capital_financing][features][a]", "true")],
            "components[capital_financing][features][a]",
            Some("parameter_unknown"),
        ),
        (
            &[account, ("components[capital_financing]", "true")],
            "components[capital_financing]",
            Some("parameter_unknown"),
        ),
        (&[account, FINANCING, ("colour", "red")], "colour", Some("parameter_unknown")),
    ];
    for (form, parameter, code) in cases {
        let (status, body) = create(&client, Some(PREVIEW), form).await;
        let error = &body["error"];
        assert_eq!(
            (status, error["param"].as_str(), error["code"].as_str()),
            (400, Some(parameter), code),
            "{form:?}: {body}"
        );
    }
}

#[tokio::test]
async fn a_session_belongs_to_the_platforms_key() {
    let (client, account, _) = Client::start().await;
    let form = [("account", account.as_str()), FINANCING];
    let request = || client.http.post(client.url(SESSIONS)).header("Stripe-Version", PREVIEW);
    let as_account = request().bearer_auth(KEY).header("Stripe-Account", &account).form(&form);
    assert_eq!(as_account.send().await.unwrap().status(), 400);
    let other_key = request().bearer_auth("sk_test_other").form(&form);
    assert_eq!(other_key.send().await.unwrap().status(), 401);
    let json = request().bearer_auth(KEY).json(&serde_json::json!({"account": account}));
    assert_eq!(json.send().await.unwrap().status(), 400, "a form, not JSON");
}
