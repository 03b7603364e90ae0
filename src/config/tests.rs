//! Settings as operators write them, rightly and wrongly.

use std::collections::HashMap;

use secrecy::ExposeSecret;

use super::layers::Layers;
use super::*;

fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The least that `serve` needs.
fn least() -> HashMap<String, String> {
    env(&[
        ("STRIPE_API_KEY", "sk_test_1"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_a, whsec_b"),
        ("SMTP_URL", "smtp://localhost:1025"),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>"),
        ("COURIER_EMAIL__POSTAL_ADDRESS", "1 Main Street, Springfield"),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital"),
        ("COURIER_CAPITAL__DASHBOARD_URL", "https://rocket.example/capital"),
    ])
}

fn with(pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
    let mut all = least();
    all.extend(env(pairs));
    Settings::load(None, &all, Needs::Webhooks)
}

fn faults(pairs: &[(&str, &str)]) -> String {
    with(pairs).unwrap_err().to_string()
}

#[test]
fn the_least_that_serve_needs_is_enough() {
    let settings = with(&[]).unwrap();
    assert_eq!(settings.webhook.secrets.len(), 2);
    assert_eq!(settings.email.sender.bcc.unwrap().expose(), "capital-offers@stripe.com");
    assert_eq!(settings.email.sender.reply_to.address(), "capital@rocket.example");
    assert!(settings.database.url.is_none());
    assert_eq!(settings.webhook.tolerance, Duration::from_mins(5));
}

#[test]
fn every_setting_is_read_by_somebody() {
    // The names themselves: a snapshot, because other people's deployments hold them.
    let layers = Layers::read(None, &HashMap::new(), &mut Vec::new());
    let names: Vec<&str> = layers.keys().map(String::as_str).collect();
    insta::assert_snapshot!(names.join("\n"));
    // A value of the wrong type must be complained about, wherever it stands; if not, nobody reads it.
    for key in names {
        let wrong = if layers.get(key).value.is_str() { "7" } else { "\"x\"" };
        let (section, name) = key.split_once('.').unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[{section}]\n{name} = {wrong}\n")).unwrap();
        let mut env = least();
        env.retain(|variable, _| {
            !matches!(variable.as_str(), "STRIPE_API_KEY" | "STRIPE_WEBHOOK_SECRET" | "SMTP_URL")
        });
        env.retain(|variable, _| !variable.starts_with("COURIER_"));
        let complaint =
            Settings::load(Some(file.path()), &env, Needs::Webhooks).unwrap_err().to_string();
        assert!(complaint.contains(&format!("{key} (from")), "nobody reads {key}: {complaint}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[queue]\nlease = \"10s\"\npoll_interval = \"9s\"\n").unwrap();
    let mut all = least();
    all.insert("COURIER_QUEUE__LEASE".to_owned(), "20s".to_owned());
    let settings = Settings::load(Some(file.path()), &all, Needs::Webhooks).unwrap();
    assert_eq!(settings.queue.lease, Duration::from_secs(20));
    assert_eq!(settings.queue.poll_interval, Duration::from_secs(9));
    assert_eq!(settings.queue.max_attempts, 60);
}

#[test]
fn a_courier_name_wins_over_a_well_known_one_and_port_is_a_port() {
    let settings = with(&[("PORT", "7000"), ("COURIER_STRIPE__API_KEY", "rk_test_2")]).unwrap();
    assert_eq!(settings.http.listen.to_string(), "0.0.0.0:7000");
    assert_eq!(settings.stripe.api_key.expose_secret(), "rk_test_2");
}

#[test]
fn a_secret_can_stand_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "whsec_from_file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let mut all = least();
    all.remove("STRIPE_WEBHOOK_SECRET");
    all.insert("STRIPE_WEBHOOK_SECRET_FILE".to_owned(), path.to_owned());
    let settings = Settings::load(None, &all, Needs::Webhooks).unwrap();
    assert_eq!(settings.webhook.secrets[0].expose_secret(), "whsec_from_file");

    assert!(faults(&[("STRIPE_WEBHOOK_SECRET_FILE", path)]).contains("set one of them"));
    assert!(
        faults(&[("STRIPE_API_KEY", ""), ("COURIER_STRIPE__API_KEY_FILE", "/nowhere")])
            .contains("/nowhere")
    );
}

#[test]
fn a_webhook_secret_that_is_not_whole_is_called_what_it_is() {
    for (given, said) in [
        ("whsec_", "secret number 1 is `whsec_` with nothing behind it"),
        ("whsec_a, whsec_", "secret number 2 is `whsec_` with nothing behind it"),
        ("wh_a", "secret number 1 is not a signing secret: each begins with whsec_"),
    ] {
        let told = faults(&[("STRIPE_WEBHOOK_SECRET", given)]);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn all_faults_come_at_once_and_no_secret_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "[http]\nlisten = 8080\nlissten = \"x\"\n[email]\nrelay_url = \"smtp://me:hunter2@mail.example\"\n\
                from = \"me\\r\\nBcc: you\"\nwhen_uncertain = \"maybe\"\n[queue]\nlease = \"1s\"\nmax_attempts = 0\n";
    std::fs::write(file.path(), text).unwrap();
    let env = env(&[
        ("STRIPE_API_KEY", "pk_live_hunter3"),
        ("STRIPE_WEBHOOK_SECRET", "hunter4"),
        ("COURIER_SHUTDOWN__GRACE", "soon"),
        ("COURIER_QUEUE__LEASEE", "3s"),
        ("COURIER_DELIVERY__CONCURRENCY", "many"),
    ]);
    let complaint =
        Settings::load(Some(file.path()), &env, Needs::Webhooks).unwrap_err().to_string();
    assert!(!complaint.contains("hunter"), "{complaint}");
    insta::with_settings!({filters => vec![(file.path().to_str().unwrap(), "FILE")]}, {
        insta::assert_snapshot!(complaint);
    });
}

#[test]
fn the_section_is_there_with_an_address_of_ours_and_the_links_in_letters_need_the_secret_beside_a_public_key()
 {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let secret = ("COURIER_PORTAL__TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
    let (key, address) = (
        ("COURIER_PORTAL__TOKEN_PUBLIC_KEY", pem),
        ("COURIER_HTTP__PUBLIC_URL", "https://courier.example"),
    );
    assert!(with(&[secret, key]).unwrap().portal.is_none());
    assert!(with(&[secret, address]).unwrap().portal.is_some());
    assert!(with(&[secret, key, address]).unwrap().portal.is_some());
    let complaint = faults(&[key, address]);
    assert!(
        complaint.contains("missing: the links in the letters are signed with it"),
        "{complaint}"
    );
}

#[test]
fn what_kubernetes_sets_is_none_of_ours_and_a_missing_underscore_is() {
    let services =
        [("COURIER_SERVICE_HOST", "10.0.0.1"), ("COURIER_PORT_8080_TCP", "tcp://10.0.0.1:8080")];
    assert!(with(&services).is_ok());
    assert!(
        faults(&[("COURIER_HTTP_LISTEN", "0.0.0.0:80")])
            .contains("did you mean COURIER_HTTP__LISTEN?")
    );
}

#[test]
fn a_live_key_refuses_what_is_only_for_trying_out() {
    let live = [
        ("STRIPE_API_KEY", "sk_live_1"),
        ("SMTP_URL", "file:mail"),
        ("COURIER_CAPITAL__DASHBOARD_URL", "http://x.example"),
    ];
    let complaint = faults(&live);
    assert!(
        complaint.contains("email.relay_url") && complaint.contains("capital.dashboard_url"),
        "{complaint}"
    );
}

#[test]
fn a_live_key_goes_out_over_https_or_not_at_all() {
    let base = |key: &str, base: &str| {
        let settings = [("STRIPE_API_KEY", key), ("COURIER_STRIPE__API_BASE", base)];
        with(&settings).err().map(|faults| faults.to_string()).unwrap_or_default()
    };
    for bad in ["http://stripe.example", "http://10.0.0.1:12111", "http://localhost.example"] {
        assert!(base("sk_live_1", bad).contains("stripe.api_base"), "{bad}");
        assert_eq!(base("sk_test_1", bad), "");
    }
    for good in
        ["https://api.stripe.com", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
    {
        assert_eq!(base("rk_live_1", good), "", "{good}");
    }
}

#[test]
fn a_relay_without_tls_is_warned_about_where_merchants_are_real() {
    let host = |key: &str, relay: &str| {
        let settings = with(&[("STRIPE_API_KEY", key), ("SMTP_URL", relay)]).unwrap();
        settings.unencrypted_relay().map(str::to_owned)
    };
    for relay in ["smtp://mail:25", "smtp://mail?tls=opportunistic"] {
        assert_eq!(host("sk_live_1", relay).as_deref(), Some("mail"));
        assert_eq!(host("sk_test_1", relay), None);
    }
    for relay in ["smtp://127.0.0.1", "smtps://mail", "smtp://mail?tls=required"] {
        assert_eq!(host("sk_live_1", relay), None, "{relay}");
    }
}

#[test]
fn a_password_never_travels_without_tls() {
    let complaint = faults(&[("SMTP_URL", "smtp://me:hunter2@mail.example?tls=opportunistic")]);
    assert!(complaint.contains("?tls=required") && !complaint.contains("hunter2"), "{complaint}");
}

#[test]
fn senders_of_reports_are_named_exactly_or_not_at_all() {
    let settings = with(&[
        ("COURIER_INBOUND__SNS_TOPICS", "arn:aws:sns:eu-west-1:1:a, arn:aws:sns:eu-west-1:1:b"),
        ("COURIER_EMAIL__RETURN_PATH", "bounces@rocket.example"),
    ])
    .unwrap();
    assert_eq!(settings.inbound.sns_topics.len(), 2);
    assert!(
        settings.email.sender.return_path.is_some()
            && settings.inbound.sendgrid_public_key.is_none()
    );
    for (name, value, told) in [
        ("COURIER_INBOUND__SNS_TOPICS", "letters", "ARN"),
        ("COURIER_INBOUND__SENDGRID_PUBLIC_KEY", "SG.secret", "verification key"),
        ("COURIER_EMAIL__RETURN_PATH", "Bounces <bounces@rocket.example>", "at most 31 characters"),
    ] {
        let complaint = faults(&[(name, value)]);
        assert!(complaint.contains(told), "{complaint}");
    }
}

#[test]
fn a_worker_needs_no_webhook_secret() {
    let mut all = least();
    all.remove("STRIPE_WEBHOOK_SECRET");
    assert!(Settings::load(None, &all, Needs::WorkOnly).is_ok());
    assert!(Settings::load(None, &all, Needs::Webhooks).is_err());
}

/// RFC 8410 section 10.3: a key that everybody knows.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----";

#[test]
fn letters_are_signed_with_a_key_that_stands_in_a_file_under_the_senders_domain() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{ED25519}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let settings =
        with(&[("COURIER_EMAIL__DKIM_KEY_FILE", path), ("COURIER_EMAIL__DKIM_SELECTOR", "s1")])
            .unwrap();
    assert_eq!(settings.email.sender.dkim.unwrap().record_name(), "s1._domainkey.rocket.example");
    assert!(with(&[]).unwrap().email.sender.dkim.is_none());
}

#[test]
fn what_is_wrong_with_a_signature_stops_the_start_and_tells_no_key() {
    let selector = ("COURIER_EMAIL__DKIM_SELECTOR", "s1");
    for (settings, place, word) in [
        (
            vec![("COURIER_EMAIL__DKIM_KEY", "hunter2"), selector],
            "email.dkim_key",
            "not a private key",
        ),
        (vec![("COURIER_EMAIL__DKIM_KEY", ED25519)], "email.dkim_selector", "missing"),
        (vec![selector], "email.dkim_selector", "no email.dkim_key"),
        (
            vec![
                ("COURIER_EMAIL__DKIM_KEY", ED25519),
                selector,
                ("COURIER_EMAIL__DKIM_DOMAIN", "evil.example"),
            ],
            "email.dkim_domain",
            "DMARC",
        ),
    ] {
        let complaint = faults(&settings);
        assert!(complaint.contains(place) && complaint.contains(word), "{complaint}");
        assert!(!complaint.contains("hunter") && !complaint.contains("MC4C"), "{complaint}");
    }
}

#[test]
fn a_warm_up_has_a_day_to_begin_with_and_limits_are_none_where_they_are_zero() {
    let limits = |pairs: &[(&str, &str)]| with(pairs).unwrap().email.limits;
    assert_eq!(limits(&[]), crate::mail::sending_rate::Limits::default());
    let warm_up = limits(&[("COURIER_EMAIL__WARM_UP_FROM", "2026-12-01")]).warm_up.unwrap();
    assert_eq!((warm_up.from.to_string().as_str(), warm_up.first_day), ("2026-12-01", 50));
    assert!(
        faults(&[("COURIER_EMAIL__WARM_UP_FROM", "tomorrow")]).contains("a day like 2026-12-01")
    );
    assert!(faults(&[("COURIER_EMAIL__MAX_PER_SECOND", "-1")]).contains("0 or more"));
}
