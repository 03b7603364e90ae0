//! The cost of verifying a signature, parsing an event and rendering a letter, without a database
//! or a network. `docs/performance.md` has the results.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to measure")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use capital_courier::brand::{Accent, Brand};
use capital_courier::flow::inbox::Arrival;
use capital_courier::flow::webhook::{Secrets, verify};
use capital_courier::format::locale::Language;
use capital_courier::letters::Kind;
use capital_courier::letters::wording;
use capital_courier::stripe::Contract;
use capital_courier::stripe::FinancingOffer;
use chrono::DateTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use stripe_simulator::sign;

const SECRET: &str = "whsec_benchmark";
const NOW: i64 = 1_795_521_600;

/// An event as Stripe sends it, some 1.5 KB.
fn event() -> Vec<u8> {
    let event = serde_json::json!({
        "id": "evt_1PgafTB1WZ16mmCq4J0W6d2x",
        "object": "event",
        "api_version": "2026-10-28.dahlia",
        "created": NOW,
        "data": {"object": {
            "id": "financingoffer_1PgafTB1WZ16mmCqVQh3tJyb",
            "object": "capital.financing_offer",
            "accepted_terms": null,
            "account": "acct_1OqYpzB1WZ16mmCq",
            "charged_off_at": null,
            "created": NOW,
            "expires_after": 1_798_113_600.0,
            "financing_type": "flex_loan",
            "livemode": false,
            "metadata": {},
            "offered_terms": {
                "advance_amount": 1_250_000,
                "advance_paid_out_amount": null,
                "campaign_type": "newly_eligible_user",
                "currency": "usd",
                "fee_amount": 125_000,
                "previous_financing_fee_discount_rate": null,
                "withhold_rate": 0.15
            },
            "product_type": "standard",
            "replacement": null,
            "replacement_for": null,
            "status": "undelivered",
            "type": "flex_loan"
        }},
        "livemode": false,
        "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null},
        "type": "capital.financing_offer.created"
    });
    serde_json::to_vec_pretty(&event).unwrap()
}

fn verify_signatures(criterion: &mut Criterion) {
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    let secrets = Secrets::new(&["whsec_old".into(), SECRET.into()]).unwrap();
    let mut group = criterion.benchmark_group("verification");
    for (name, body) in [("an event", event()), ("the largest body", vec![b'x'; 512 * 1024])] {
        let header = sign(&body, &[SECRET.to_owned()], now);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let body = black_box(&body);
                verify(Some(header.as_bytes()), body, &secrets, now, Duration::from_mins(5))
                    .unwrap();
            });
        });
    }
    group.finish();
}

fn parse_events(criterion: &mut Criterion) {
    let body = Bytes::from(event());
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    criterion.bench_function("parsing the envelope", |bencher| {
        bencher.iter(|| Arrival::parse(black_box(body.clone()), now).unwrap());
    });
    criterion.bench_function("parsing the offer", |bencher| {
        bencher.iter(|| {
            let event: Value = serde_json::from_slice(black_box(&body)).unwrap();
            serde_json::from_value::<FinancingOffer>(event["data"]["object"].clone()).unwrap()
        });
    });
}

fn render_letters(criterion: &mut Criterion) {
    let writer = wording::Writer::new(wording::Settings {
        brand: Brand {
            program_name: "Rocket Capital".to_owned(),
            dashboard_url: "https://rocket.example/capital".parse().unwrap(),
            logo_url: None,
            logo_dark_url: None,
            accent: Accent::default(),
        },
        postal_address: "1 Main Street, Springfield, IL 62701".to_owned(),
        from_name: "Rocket Capital".to_owned(),
        from_address: "capital@rocket.example".to_owned(),
        reply_to: "capital@rocket.example".to_owned(),
        has_link: true,
        contacts: wording::ContactSettings::default(),
        templates_dir: None,
    });
    let writer = writer.unwrap();
    let facts = wording::sample(Kind::Offer, Language::English, Contract::Loan);
    criterion.bench_function("rendering a letter", |bencher| {
        bencher.iter(|| writer.write(black_box(&facts)).unwrap());
    });
}

criterion_group!(benches, verify_signatures, parse_events, render_letters);
criterion_main!(benches);
