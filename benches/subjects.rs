//! What single parts cost: verifying a signature, parsing the envelope, parsing a batch of events
//! as the inbox reads them, and rendering a letter. No database and no network. Shared by the
//! benchmark, which takes times, and by `instructions`, which counts instructions.

use std::cell::LazyCell;
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
use capital_courier::stripe::{FinancingOffer, FinancingTransaction};
use chrono::{DateTime, Utc};
use serde_json::Value;
use stripe_simulator::sign;

use crate::events;

/// The default of `inbox.batch_size`.
const BATCH: usize = 100;
const NOW: i64 = 1_795_521_600;

pub struct Subjects {
    pub now: DateTime<Utc>,
    pub secrets: Secrets,
    /// An event about an offer, some 1.5 KB.
    pub body: Bytes,
    pub signature: String,
    batch: Vec<Bytes>,
    /// Made at its first use: what it costs differs from run to run, and would hide the others.
    writer: LazyCell<wording::Writer>,
    facts: wording::Facts,
}

impl Subjects {
    pub fn new() -> Self {
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        let offer = events::offer_created(1, "acct_1OqYpzB1WZ16mmCq", now);
        let batch = (0..BATCH).map(|number| {
            let of_offer = number % 10 == 0;
            let (account, financing) = ("acct_1OqYpzB1WZ16mmCq", "financingoffer_1Pgaf");
            Bytes::from(if of_offer {
                events::offer_created(number, account, now)
            } else {
                events::transaction_created(number, account, financing, now)
            })
        });
        Self {
            now,
            secrets: Secrets::new(&[events::SECRET.into()]).unwrap(),
            signature: sign(&offer, &[events::SECRET.to_owned()], now),
            body: offer.into(),
            batch: batch.collect(),
            writer: LazyCell::new(writer),
            facts: wording::sample(Kind::Offer, Language::English, Contract::Loan),
        }
    }

    pub fn verify(&self) {
        let (header, body) = (Some(self.signature.as_bytes()), black_box(&self.body));
        verify(header, body, &self.secrets, self.now, Duration::from_mins(5)).unwrap();
    }

    pub fn parse(&self) {
        black_box(Arrival::parse(black_box(self.body.clone()), self.now).unwrap());
    }

    pub fn batch(&self) {
        for body in black_box(&self.batch) {
            let mut event: Value = serde_json::from_slice(body).unwrap();
            let object = event["data"]["object"].take();
            if event["type"] == "capital.financing_offer.created" {
                black_box(serde_json::from_value::<FinancingOffer>(object).unwrap());
            } else {
                black_box(serde_json::from_value::<FinancingTransaction>(object).unwrap());
            }
        }
    }

    pub fn render(&self) {
        black_box(self.writer.write(black_box(&self.facts)).unwrap());
    }
}

fn writer() -> wording::Writer {
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
    writer.unwrap()
}
