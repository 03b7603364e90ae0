//! Who may import whom, and what each file must look like. `docs/architecture.md` says why.
//!
//! Three tables: the layers of the modules, the files that may use each external crate, and the owner
//! of each database table. The code is read as tokens, so comments do not matter, and neither do items
//! under `#[cfg(test)]`.

#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

#[path = "architecture/scan.rs"]
mod scan;
#[path = "architecture/simulator.rs"]
mod simulator;
#[path = "architecture/tables.rs"]
mod tables;

use std::path::{Path, PathBuf};

use scan::{Mention, mentions, module_of};

/// The stages of the flow, in order: each may name the next one, in its `to_<next>.rs` alone.
const STAGES: [&str; 5] = ["webhook", "inbox", "offer", "email", "delivered"];

/// Our modules from the bottom up: each may name those before it, and none after it.
const LAYERS: &[&str] = &[
    "clock",
    "crash",
    "shutdown",
    "telemetry",
    "format",
    "brand",
    "database",
    "http",
    "queue",
    "stripe",
    "mail",
    "offers",
    "letters",
    "consent",
    "feedback",
    "financing",
    "flow",
    "maintenance",
    "operators",
    "checks",
    "web",
    "config",
    "app",
    "demo",
    "cli",
];

/// A module that only these may name, though it lies below others.
const KNOWN_TO: &[(&str, &[&str])] = &[("config", &["app", "cli", "demo"]), ("crash", &["flow"])];

/// Where queries may stand. Which module may name which table is in `tables`.
const SQL: &[&str] = &[
    "consent/",
    "database/",
    "financing/",
    "letters/deliveries.rs",
    "letters/erasure.rs",
    "letters/evidence/",
    "letters/export.rs",
    "letters/listing.rs",
    "letters/sets.rs",
    "letters/stopped.rs",
    "mail/sending_rate.rs",
    "offers/",
    "queue/",
    "store.rs",
];

/// An outside path and where it may be named: a folder ends with `/`.
const CORNERS: &[(&str, &[&str])] = &[
    ("axum", &["app/listen.rs", "app/mod.rs", "demo/", "http/", "flow/webhook/", "web/"]),
    (
        "axum_extra",
        &["web/api/auth.rs", "web/console/session/", "web/cookie.rs", "web/portal/session/"],
    ),
    ("chrono::Utc::now", &["clock.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/completions.rs"]),
    ("crate::database::export_rows", SQL),
    ("csv", &["cli/opt_out/", "format/csv.rs"]),
    ("ed25519_dalek", &["mail/dkim.rs"]),
    ("ego_tree", &["letters/lint/html.rs"]),
    ("governor", &["http/rate.rs"]),
    ("hickory_resolver", &["checks/dns.rs"]),
    ("hmac", &["consent/opt_outs/link.rs", "flow/webhook/signature.rs", "web/console/access.rs"]),
    ("hostname", &["mail/smtp/"]),
    ("hyper", &["demo/shell/", "http/"]),
    ("hyper_util", &["demo/shell/", "http/"]),
    ("indicatif", &["cli/progress.rs"]),
    ("jsonwebtoken", &["web/portal/token.rs"]),
    ("lettre", &["mail/", "flow/email/send.rs"]),
    ("linkify", &["letters/lint/words.rs"]),
    ("mail_parser", &["mail/parts.rs"]),
    ("icu_calendar", &["format/locale.rs"]),
    ("icu_datetime", &["format/locale.rs"]),
    ("icu_decimal", &["format/locale.rs"]),
    ("icu_locale_core", &["format/locale.rs"]),
    ("icu_properties", &["format/text.rs"]),
    (
        "minijinja",
        &["cli/email/preview.rs", "demo/", "letters/wording/", "web/console/", "web/portal/"],
    ),
    ("moka", &["flow/offer/find.rs", "stripe/cache.rs", "web/feedback/ses/amazon.rs"]),
    ("mrml", &["letters/wording/"]),
    ("open", &["cli/demo.rs"]),
    ("opentelemetry", &["telemetry/traces/"]),
    ("opentelemetry_http", &["telemetry/traces/"]),
    ("opentelemetry_otlp", &["telemetry/traces/"]),
    ("opentelemetry_sdk", &["telemetry/traces/"]),
    ("percent_encoding", &["mail/relay_url.rs"]),
    ("pglite_oxide", &["database/embedded.rs"]),
    // Others use the families of `telemetry::metrics`.
    ("prometheus_client", &["telemetry/metrics.rs", "web/ops/"]),
    ("regex", &["letters/lint/", "web/feedback/ses/topic.rs"]),
    (
        "reqwest",
        &[
            "checks/public_url.rs",
            "http/client.rs",
            "stripe/",
            "telemetry/traces/",
            "web/feedback/ses/amazon.rs",
        ],
    ),
    ("ring", &["web/feedback/"]),
    ("rlimit", &["http/connections.rs", "web/ops/process.rs"]),
    ("rsa", &["mail/dkim.rs"]),
    ("rustls", &["http/client.rs", "mail/smtp/", "web/feedback/ses/"]),
    ("rustls_native_certs", &["mail/smtp/", "web/feedback/ses/amazon.rs"]),
    ("scraper", &["letters/lint/html.rs", "letters/lint/links.rs"]),
    ("smtp_proto", &["demo/mail/session.rs"]),
    // Through a pooler only `database::Pool` knows how to ask.
    ("sqlx::PgPool", &["database/"]),
    ("sqlx::postgres::PgListener", &["database/"]),
    ("sqlx::query", SQL),
    ("sqlx::query_as", SQL),
    ("sqlx::query_file", &[]),
    ("sqlx::query_scalar", SQL),
    ("std::env", &["config/", "crash.rs"]),
    ("std::io::stdout", &["cli/out.rs"]),
    // A panic must not poison the others: `parking_lot::Mutex`.
    ("std::sync::Mutex", &[]),
    // Nothing that runs in production may know the simulator.
    ("stripe_simulator", &["demo/"]),
    ("std::time::SystemTime", &["clock.rs"]),
    ("terminal_size", &["cli/out.rs"]),
    // Commands measure how wide a text is.
    ("textwrap", &["cli/table.rs", "letters/wording/words.rs"]),
    ("tokio_rustls", &["mail/smtp/"]),
    ("toml", &["config/", "letters/lint/"]),
    ("unicode_normalization", &["letters/lint/"]),
    ("unicode_security", &["letters/lint/"]),
    // The API's types, and the figures of financings, which the API returns unchanged.
    ("utoipa", &["financing/", "http/api_error.rs", "web/api/"]),
    ("utoipa_axum", &["web/api/routes.rs"]),
    ("webpki", &["web/feedback/ses/"]),
];

/// Names that say nothing about what is inside.
const BANNED_NAMES: &[&str] = &[
    "util", "utils", "common", "helpers", "misc", "core", "manager", "service", "types", "models",
];

/// Longer files have outgrown their name.
const MAX_FILE_LINES: usize = 600;

/// All violations in a file, as `path:line: what`. `path` is relative to `src/`.
fn offences(path: &str, source: &str) -> Vec<String> {
    let mut found = shape(path, source);
    for mention in mentions(&module_of(path), source) {
        let what = inside(path, &mention).or_else(|| outside(path, &mention));
        found.extend(what.map(|what| format!("{path}:{}: {what}", mention.line)));
    }
    found
}

fn shape(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.lines().count();
    if !source.starts_with("//!") {
        found.push(format!(
            "{path}:1: begin with `//!`: what the file owns, what it promises, where to go next"
        ));
    }
    if lines > MAX_FILE_LINES {
        found.push(format!("{path}:{lines}: has more than {MAX_FILE_LINES} lines: split it"));
    }
    for name in module_of(path).iter().filter(|name| BANNED_NAMES.contains(&name.as_str())) {
        found.push(format!("{path}:1: `{name}` says nothing about what is inside"));
    }
    found
}

/// What is wrong with naming this module of ours here.
fn inside(path: &str, mention: &Mention) -> Option<String> {
    let [root, target, rest @ ..] = mention.path.as_slice() else { return None };
    let module = module_of(path);
    let own = module.first()?;
    if root != "crate" || own == "lib" || own == "main" {
        return None;
    }
    if own == "flow" && target == "flow" {
        let (stage, other) = (module.get(1)?, rest.first()?);
        return between_stages(path, stage, other);
    }
    if own == target {
        return None;
    }
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let Some(mine) = place(own) else {
        return Some(format!("`{own}` is not in the table of layers: say where it lies"));
    };
    let known_to = KNOWN_TO.iter().find(|(name, _)| name == target).map(|(_, known_to)| known_to);
    let is_below = place(target).is_none_or(|other| other < mine);
    let is_known = known_to.is_none_or(|modules| modules.contains(&own.as_str()));
    (!is_below || !is_known).then(|| format!("`{own}` must not know `{target}`"))
}

fn between_stages(path: &str, stage: &str, other: &str) -> Option<String> {
    let place = |name: &str| STAGES.iter().position(|stage| *stage == name);
    let (from, to) = (place(stage)?, place(other)?);
    if from == to {
        None
    } else if from + 1 != to {
        Some(format!("`{stage}` must not know `{other}`: a stage knows the next one only"))
    } else if path == format!("flow/{stage}/to_{other}.rs") {
        None
    } else {
        Some(format!("only `to_{other}.rs` of `{stage}` may name `{other}`"))
    }
}

/// What is wrong with naming this crate here.
fn outside(path: &str, mention: &Mention) -> Option<String> {
    let named = mention.path.join("::");
    let is_it = |crate_path: &str| {
        named == crate_path || named.starts_with(&format!("{crate_path}::"))
            // `use chrono::Utc` and `Utc::now()` meet in the same file.
            || crate_path.ends_with(&format!("::{named}")) && named.contains("::")
    };
    let (crate_path, corners) = CORNERS.iter().find(|(crate_path, _)| is_it(crate_path))?;
    let at_home = corners.iter().any(|corner| {
        if corner.ends_with('/') {
            path.starts_with(corner)
        } else {
            path == *corner || path.ends_with(&format!("/{corner}"))
        }
    });
    (!at_home).then(|| format!("`{crate_path}` belongs in {}", corners.join(", ")))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_keeps_to_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(files.len() > 50, "only {} files were found", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
            offences(path, &std::fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_module_is_in_the_table_and_every_line_of_the_table_is_a_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules: Vec<String> = sources(&root)
        .iter()
        .map(|file| module_of(file.strip_prefix(&root).unwrap().to_str().unwrap())[0].clone())
        .filter(|name| name != "lib" && name != "main")
        .collect();
    modules.dedup();
    modules.sort();
    modules.dedup();
    let mut table = LAYERS.to_vec();
    table.sort_unstable();
    assert_eq!(modules, table);
}

#[test]
fn what_offends_is_found_with_its_line() {
    let offender = |path: &str, line: &str| {
        let found = offences(path, &format!("//! Head.\n{line}\n"));
        assert_eq!(found.len(), 1, "{path}, {line}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:2: ")), "{found:?}");
    };
    offender("flow/inbox/store.rs", "use crate::flow::offer;");
    offender("flow/inbox/to_offer.rs", "use crate::flow::email::Opening;");
    offender("flow/email/send.rs", "fn f() { crate::flow::inbox::read(); }");
    offender("flow/email/send.rs", "use super::super::inbox;");
    offender("flow/offer/store.rs", "use crate::{config::Settings, stripe};");
    offender("queue/store.rs", "use crate::flow::email;");
    offender("stripe/client.rs", "use stripe_simulator::Simulator;");
    offender("cli/mod.rs", "fn f() { stripe_simulator::sign(b\"\", &[], now); }");
    offender("database/mod.rs", "fn f() { let x = vec![crate::app::App::new()]; }");
    offender("flow/offer/mod.rs", "fn f() { sqlx::query!(\"select 1\"); }");
    offender("flow/offer/mod.rs", "fn f() { sqlx::query_as::<_, (i64,)>(\"select 1\"); }");
    offender("stripe/client.rs", "use {lettre::Message};");
    offender("queue/mod.rs", "fn f() { let now = chrono::Utc::now(); }");
    offender("queue/mod.rs", "fn f() { let now = Utc::now(); }");
    offender("queue/mod.rs", "use std::{env, fmt};");
    offender("flow/email/mod.rs", "use axum::Router;");
}

#[test]
fn what_does_not_offend_is_left_alone() {
    for (path, line) in [
        ("flow/inbox/to_offer.rs", "use crate::flow::offer::{self, Told};"),
        ("flow/inbox/store.rs", "fn f() { sqlx::query!(\"select 1\"); }"),
        (
            "flow/inbox/store.rs",
            "/// As `lettre::Message` and crate::app::App.\nconst X: &str = \"axum::Router\";",
        ),
        ("queue/mod.rs", "#[cfg(test)]\nmod tests { use stripe_simulator::Simulator; }"),
        ("queue/store.rs", "use super::Claim;"),
        ("demo/story.rs", "use stripe_simulator::Simulator;"),
    ] {
        assert_eq!(offences(path, &format!("//! Head.\n{line}\n")), Vec::<String>::new());
    }
}

#[test]
fn a_file_without_a_head_with_an_empty_name_or_without_end_is_found() {
    assert_eq!(offences("queue/a.rs", "fn f() {}\n").len(), 1);
    assert_eq!(offences("queue/util.rs", "//! Head.\n").len(), 1);
    assert_eq!(offences("queue/a.rs", &"//! Head.\n".repeat(MAX_FILE_LINES + 1)).len(), 1);
}
