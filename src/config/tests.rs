//! Valid and invalid settings, as an operator writes them.

use std::collections::HashMap;

use secrecy::ExposeSecret;

use super::layers::Layers;
use super::*;
use crate::letters::wording::ContactSettings;

fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The minimum that `serve` requires.
fn minimal() -> HashMap<String, String> {
    env(&[
        ("STRIPE_API_KEY", "sk_test_1"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_a, whsec_b"),
        ("SMTP_URL", "smtp://localhost:1025"),
        ("COURIER_EMAIL__FROM", "Rocket Capital <capital@rocket.example>"),
        ("COURIER_EMAIL__POSTAL_ADDRESS", "1 Main Street, Springfield"),
        ("COURIER_CAPITAL__PROGRAM_NAME", "Rocket Capital"),
        ("COURIER_CAPITAL__DASHBOARD_URL", "https://rocket.example/capital"),
        // For a live key.
        ("COURIER_HTTP__PUBLIC_URL", "https://courier.example"),
        ("COURIER_PORTAL__TOKEN_SECRET", "0123456789abcdef0123456789abcdef"),
    ])
}

fn with(pairs: &[(&str, &str)]) -> Result<Settings, Errors> {
    let mut all = minimal();
    all.extend(env(pairs));
    Settings::load(None, &all, Requirement::WebhookSecret)
}

fn errors(pairs: &[(&str, &str)]) -> String {
    with(pairs).unwrap_err().to_string()
}

#[test]
fn the_minimal_settings_are_enough_to_serve() {
    let settings = with(&[]).unwrap();
    assert_eq!(settings.webhook.secrets.len(), 2);
    assert_eq!(settings.email.sender.bcc.unwrap().expose(), "capital-offers@stripe.com");
    assert_eq!(settings.email.sender.reply_to.address(), "capital@rocket.example");
    assert!(settings.database.url.is_none());
    assert_eq!(settings.webhook.tolerance, Duration::from_mins(5));
}

#[test]
fn every_setting_is_read() {
    // Deployments depend on the names, so a change of one must be seen.
    let layers = Layers::read(None, &HashMap::new(), &mut Vec::new());
    let names: Vec<&str> = layers.keys().map(String::as_str).collect();
    insta::assert_snapshot!(names.join("\n"));
    // A setting without an error for a value of the wrong type is never read.
    for key in names {
        let wrong = if layers.get(key).value.is_str() { "7" } else { "\"x\"" };
        let (section, name) = key.split_once('.').unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[{section}]\n{name} = {wrong}\n")).unwrap();
        let mut env = minimal();
        env.retain(|variable, _| {
            !matches!(variable.as_str(), "STRIPE_API_KEY" | "STRIPE_WEBHOOK_SECRET" | "SMTP_URL")
        });
        env.retain(|variable, _| !variable.starts_with("COURIER_"));
        let message = Settings::load(Some(file.path()), &env, Requirement::WebhookSecret)
            .unwrap_err()
            .to_string();
        assert!(message.contains(&format!("{key} (from")), "{key} is never read: {message}");
    }
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[queue]\nlease = \"10s\"\npoll_interval = \"9s\"\n").unwrap();
    let mut all = minimal();
    all.insert("COURIER_QUEUE__LEASE".to_owned(), "20s".to_owned());
    let settings = Settings::load(Some(file.path()), &all, Requirement::WebhookSecret).unwrap();
    assert_eq!(settings.queue.lease, Duration::from_secs(20));
    assert_eq!(settings.queue.poll_interval, Duration::from_secs(9));
    assert_eq!(settings.queue.max_attempts, 60);
}

#[test]
fn a_courier_name_overrides_a_well_known_one() {
    let settings = with(&[("PORT", "7000"), ("COURIER_STRIPE__API_KEY", "rk_test_2")]).unwrap();
    assert_eq!(settings.http.listen.to_string(), "0.0.0.0:7000");
    assert_eq!(settings.stripe.api_key.expose_secret(), "rk_test_2");
}

#[test]
fn a_secret_can_be_read_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "whsec_from_file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let mut all = minimal();
    all.remove("STRIPE_WEBHOOK_SECRET");
    all.insert("STRIPE_WEBHOOK_SECRET_FILE".to_owned(), path.to_owned());
    let settings = Settings::load(None, &all, Requirement::WebhookSecret).unwrap();
    assert_eq!(settings.webhook.secrets[0].expose_secret(), "whsec_from_file");

    assert!(errors(&[("STRIPE_WEBHOOK_SECRET_FILE", path)]).contains("set only one of them"));
    assert!(
        errors(&[("STRIPE_API_KEY", ""), ("COURIER_STRIPE__API_KEY_FILE", "/nowhere")])
            .contains("/nowhere")
    );
}

#[test]
fn an_incomplete_webhook_secret_is_refused() {
    for (given, expected) in [
        ("whsec_", "(webhook.secrets): nothing follows `whsec_`"),
        ("whsec_a, whsec_", "value 2: nothing follows `whsec_`"),
        ("wh_a", "(webhook.secrets): not a signing secret: must start with whsec_"),
    ] {
        let message = errors(&[("STRIPE_WEBHOOK_SECRET", given)]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn all_errors_are_reported_at_once_and_no_secret_is_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "[http]\nlisten = 8080\nlissten = \"x\"\n\
                [email]\nrelay_url = \"smtp://me:hunter2@mail.example\"\n\
                from = \"me\\r\\nBcc: you\"\nwhen_uncertain = \"maybe\"\n\
                [queue]\nlease = \"1s\"\nmax_attempts = 0\n";
    std::fs::write(file.path(), text).unwrap();
    let env = env(&[
        ("STRIPE_API_KEY", "pk_live_hunter3"),
        ("STRIPE_WEBHOOK_SECRET", "hunter4"),
        ("COURIER_SHUTDOWN__GRACE", "soon"),
        ("COURIER_QUEUE__LEASEE", "3s"),
        ("COURIER_DELIVERY__CONCURRENCY", "many"),
    ]);
    let message = Settings::load(Some(file.path()), &env, Requirement::WebhookSecret)
        .unwrap_err()
        .to_string();
    assert!(!message.contains("hunter"), "{message}");
    insta::with_settings!({filters => vec![(file.path().to_str().unwrap(), "FILE")]}, {
        insta::assert_snapshot!(message);
    });
}

#[test]
fn a_database_other_than_postgres_is_refused() {
    let message = errors(&[("DATABASE_URL", "mysql://me:hunter2@db.example/courier")]);
    assert!(message.contains("DATABASE_URL (database.url): not a Postgres URL"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
    assert!(with(&[("DATABASE_URL", "postgresql://db.example/courier")]).is_ok());
}

#[test]
fn an_error_shows_the_form_of_a_value_once() {
    for (variable, value, expected) in [
        ("COURIER_EMAIL__WHEN_UNCERTAIN", "maybe", "\"maybe\": must be resend or hold"),
        ("COURIER_HTTP__LISTEN", "8080", "not an IP address with a port; example: 127.0.0.1:8080"),
        (
            "COURIER_HTTP__PUBLIC_URL",
            "rocket",
            "not an http:// or https:// address; example: https",
        ),
        ("COURIER_SHUTDOWN__GRACE", "25", "\"25\": not a duration; example: 30s"),
        ("SMTP_URL", "mail", "smtp://user:password@host:587?tls=required, or file:DIR"),
    ] {
        let message = errors(&[(variable, value)]);
        assert!(message.contains(expected), "{message}");
        let examples = message.matches("example: ").count();
        assert_eq!(examples, expected.matches("example: ").count(), "{message}");
    }
}

#[test]
fn an_incomplete_key_is_refused() {
    for key in ["sk_test_", "rk_live_"] {
        let message = errors(&[("STRIPE_API_KEY", key)]);
        assert!(
            message.contains("STRIPE_API_KEY (stripe.api_key): nothing follows the prefix"),
            "{message}"
        );
    }
}

#[test]
fn a_missing_setting_is_named_by_its_best_known_variable() {
    let message = errors(&[("STRIPE_API_KEY", ""), ("COURIER_CAPITAL__PROGRAM_NAME", "")]);
    assert!(message.starts_with("2 settings are missing or wrong:"), "{message}");
    assert!(message.contains("\n  STRIPE_API_KEY (stripe.api_key): missing"), "{message}");
    let mut unset = minimal();
    unset.remove("SMTP_URL");
    let message = Settings::load(None, &unset, Requirement::WebhookSecret).unwrap_err().to_string();
    assert!(
        message
            .starts_with("1 setting is missing or wrong:\n  SMTP_URL (email.relay_url): missing"),
        "{message}"
    );
}

#[test]
fn the_parts_are_read_although_others_are_wrong() {
    let mut env = minimal();
    env.insert("STRIPE_API_KEY".to_owned(), "nonsense".to_owned());
    env.insert("COURIER_HTTPP__LISTEN".to_owned(), "x".to_owned());
    let read = ReadableSettings::load(None, &env);
    assert_eq!(read.errors.len(), 2, "{:?}", read.errors);
    assert!(read.stripe.is_none() && read.database.is_some() && read.relay.is_some());
    assert!(read.email.is_some() && read.public_url.is_some());
}

#[test]
fn wording_needs_neither_a_key_nor_a_relay() {
    let mut env = minimal();
    env.remove("STRIPE_API_KEY");
    env.remove("STRIPE_WEBHOOK_SECRET");
    env.remove("SMTP_URL");
    assert!(WordingSettings::load(None, &env).is_ok());
    env.remove("COURIER_EMAIL__FROM");
    assert!(WordingSettings::load(None, &env).is_err());
}

#[test]
fn frame_ancestors_are_origins() {
    let with_ancestors = |text| with(&[("COURIER_PORTAL__FRAME_ANCESTORS", text)]);
    for bad in
        ["dashboard.example", "https://a.example/path", "https://a.example/?q", "ftp://a.example"]
            .into_iter()
            .chain(["https://*", "https://*.example", "https://a.*.example", "https://a.example;x"])
            .chain(["https://a.example https://b.example"])
    {
        assert!(with_ancestors(bad).is_err(), "{bad}");
    }
    let portal = with_ancestors("https://a.example, http://localhost:3000").unwrap().portal;
    assert_eq!(portal.unwrap().frame_ancestors.len(), 2);
    assert!(with_ancestors("https://*.platform.example").is_ok());
    assert!(with(&[]).unwrap().portal.unwrap().frame_ancestors.is_empty());
}

#[test]
fn the_portal_requires_a_public_url_and_a_key() {
    let pem = "-----BEGIN PUBLIC KEY-----\n\
               MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let key = ("COURIER_PORTAL__TOKEN_PUBLIC_KEY", pem);
    assert!(with(&[key, ("COURIER_HTTP__PUBLIC_URL", "")]).unwrap().portal.is_none());
    assert!(with(&[]).unwrap().portal.is_some());
    assert!(with(&[key]).unwrap().portal.is_some());
    let message = errors(&[key, ("COURIER_PORTAL__TOKEN_SECRET", "")]);
    assert!(message.contains("missing: http.public_url requires it"), "{message}");
}

#[test]
fn variables_of_kubernetes_are_ignored_and_misspelt_ones_refused() {
    let services =
        [("COURIER_SERVICE_HOST", "10.0.0.1"), ("COURIER_PORT_8080_TCP", "tcp://10.0.0.1:8080")];
    assert!(with(&services).is_ok());
    assert!(
        errors(&[("COURIER_HTTP_LISTEN", "0.0.0.0:80")])
            .contains("did you mean COURIER_HTTP__LISTEN?")
    );
}

#[test]
fn a_live_key_refuses_settings_for_test_mode() {
    let live = [
        ("STRIPE_API_KEY", "sk_live_1"),
        ("SMTP_URL", "file:mail"),
        ("COURIER_CAPITAL__DASHBOARD_URL", "http://x.example"),
    ];
    let message = errors(&live);
    assert!(
        message.contains("email.relay_url") && message.contains("capital.dashboard_url"),
        "{message}"
    );
}

#[test]
fn a_live_key_requires_a_public_https_url() {
    let at = |key: &str, url: &str| {
        let settings = [("STRIPE_API_KEY", key), ("COURIER_HTTP__PUBLIC_URL", url)];
        with(&settings).err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    for (url, expected) in [
        ("", "missing: a live key requires it"),
        ("http://courier.example", "a live key requires an https:// address"),
        ("HTTP://courier.example", "a live key requires an https:// address"),
    ] {
        assert!(at("rk_live_1", url).contains(expected), "{url}");
        assert_eq!(at("rk_test_1", url), "", "{url}");
    }
    assert_eq!(at("sk_live_1", "https://courier.example"), "");
}

#[test]
fn a_live_key_is_sent_over_tls_only() {
    let base = |key: &str, base: &str| {
        let settings = [("STRIPE_API_KEY", key), ("COURIER_STRIPE__API_BASE", base)];
        with(&settings).err().map(|errors| errors.to_string()).unwrap_or_default()
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
fn an_unencrypted_relay_deserves_a_warning_in_live_mode() {
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
fn a_password_requires_tls() {
    let message = errors(&[("SMTP_URL", "smtp://me:hunter2@mail.example?tls=opportunistic")]);
    assert!(message.contains("?tls=required") && !message.contains("hunter2"), "{message}");
}

#[test]
fn sources_of_bounces_are_validated() {
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
    for (name, value, expected) in [
        ("COURIER_INBOUND__SNS_TOPICS", "letters", "ARN"),
        ("COURIER_INBOUND__SENDGRID_PUBLIC_KEY", "SG.secret", "verification key"),
        ("COURIER_EMAIL__RETURN_PATH", "Bounces <bounces@rocket.example>", "at most 31 characters"),
    ] {
        let message = errors(&[(name, value)]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_brand_has_two_logos_and_a_color() {
    let [logo, dark] = ["COURIER_BRAND__LOGO_URL", "COURIER_BRAND__LOGO_DARK_URL"];
    let [png, white] = ["https://cdn.example/logo.png", "https://cdn.example/white.png"];
    let color = ("COURIER_BRAND__ACCENT_COLOR", "#ffd400");
    let settings = with(&[(logo, png), (dark, white), color]).unwrap();
    let brand = settings.email.brand;
    assert_eq!(brand.logo_dark_url.unwrap().as_str(), white);
    assert_eq!(brand.accent.light.paint.to_string(), "#ffd400");
    assert_eq!(settings.portal.unwrap().brand.logo_url.unwrap().as_str(), png);
    assert!(
        errors(&[(dark, white)]).contains("(brand.logo_dark_url): \"https://cdn.example/white")
    );
    assert!(errors(&[(dark, white)]).contains("requires brand.logo_url"));
    for bad in ["https://cdn.example;script-src/logo.png", "https://*/logo.png"] {
        assert!(errors(&[(logo, bad)]).contains("its host may have letters"), "{bad}");
    }
    assert!(errors(&[("COURIER_BRAND__ACCENT_COLOR", "gold")]).contains("not a color"));
    let live = [("STRIPE_API_KEY", "sk_live_1"), (logo, "http://cdn.example/logo.png")];
    assert!(errors(&live).contains("brand.logo_url"), "{}", errors(&live));
}

#[test]
fn a_renamed_setting_is_refused_with_its_present_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[portal]\nlogo_url = \"https://cdn.example/a.png\"\n").unwrap();
    let mut all = minimal();
    all.insert("COURIER_PORTAL__ACCENT_COLOR".to_owned(), "#000000".to_owned());
    let message =
        Settings::load(Some(file.path()), &all, Requirement::None).unwrap_err().to_string();
    assert!(message.contains("portal.logo_url: this setting is now brand.logo_url"), "{message}");
    let variable = "COURIER_PORTAL__ACCENT_COLOR: this setting is now COURIER_BRAND__ACCENT_COLOR";
    assert!(message.contains(variable), "{message}");
}

#[test]
fn contacts_are_email_addresses_or_pages() {
    let contacts = |pairs: &[(&str, &str)]| with(pairs).unwrap().email.contacts;
    assert_eq!(contacts(&[]), ContactSettings::default());
    let [support, complaints] =
        ["COURIER_CAPITAL__SUPPORT_CONTACT", "COURIER_CAPITAL__COMPLAINTS_CONTACT"];
    let page = "https://rocket.example/complaints";
    let set = contacts(&[(support, "help@rocket.example"), (complaints, page)]);
    assert_eq!(set.support.unwrap().url, "mailto:help@rocket.example");
    assert_eq!(set.complaints.unwrap().url, page);
    let message = errors(&[(support, "call us"), (complaints, "http://rocket.example")]);
    for expected in [
        "COURIER_CAPITAL__SUPPORT_CONTACT (capital.support_contact): \"call us\": neither an \
         email address nor an https:// address; example: help@example.com",
        "COURIER_CAPITAL__COMPLAINTS_CONTACT (capital.complaints_contact): \
         \"http://rocket.example\": neither",
    ] {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_worker_requires_no_webhook_secret() {
    let mut all = minimal();
    all.remove("STRIPE_WEBHOOK_SECRET");
    assert!(Settings::load(None, &all, Requirement::None).is_ok());
    assert!(Settings::load(None, &all, Requirement::WebhookSecret).is_err());
}

/// The example key of RFC 8410 section 10.3.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----";

#[test]
fn the_dkim_domain_is_the_senders_by_default() {
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
fn invalid_dkim_settings_are_refused_and_the_key_is_not_shown() {
    let selector = ("COURIER_EMAIL__DKIM_SELECTOR", "s1");
    for (settings, place, expected) in [
        (
            vec![("COURIER_EMAIL__DKIM_KEY", "hunter2"), selector],
            "email.dkim_key",
            "not a private key",
        ),
        (vec![("COURIER_EMAIL__DKIM_KEY", ED25519)], "email.dkim_selector", "missing"),
        (vec![selector], "email.dkim_selector", "without email.dkim_key"),
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
        let message = errors(&settings);
        assert!(message.contains(place) && message.contains(expected), "{message}");
        assert!(!message.contains("hunter") && !message.contains("MC4C"), "{message}");
    }
}

#[test]
fn a_warm_up_has_a_first_day_and_limits_are_off_by_default() {
    let limits = |pairs: &[(&str, &str)]| with(pairs).unwrap().email.limits;
    assert_eq!(limits(&[]), crate::mail::sending_rate::SendingLimits::default());
    let warm_up = limits(&[("COURIER_EMAIL__WARM_UP_FROM", "2026-12-01")]).warm_up.unwrap();
    assert_eq!((warm_up.from.to_string().as_str(), warm_up.first_day), ("2026-12-01", 50));
    assert!(errors(&[("COURIER_EMAIL__WARM_UP_FROM", "tomorrow")]).contains("example: 2026-12-01"));
    assert!(errors(&[("COURIER_EMAIL__MAX_PER_SECOND", "-1")]).contains("0 or more"));
}
