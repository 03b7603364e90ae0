//! With a live key, only letters that may go out reach the relay.

use std::collections::BTreeMap;
use std::path::Path;

use capital_courier::app;
use capital_courier::format::locale::Language;
use capital_courier::letters::Kind;
use capital_courier::letters::wording::Disclaimers;
use capital_courier::letters::wording::approvals::{self, Approval};
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer};

use crate::support::TestApp;

/// A kind of offer, which decides what happens to its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OfferSort {
    Approved,
    ApprovedInGerman,
    KindNotApproved,
    NotApprovedForTheMarket,
    WithoutDisclaimer,
    WithoutMarket,
    OptedOut,
    WithoutAddress,
    WithoutTerms,
    ToSuppressedAddress,
}

impl OfferSort {
    const ALL: [Self; 10] = [
        Self::Approved,
        Self::ApprovedInGerman,
        Self::KindNotApproved,
        Self::NotApprovedForTheMarket,
        Self::WithoutDisclaimer,
        Self::WithoutMarket,
        Self::OptedOut,
        Self::WithoutAddress,
        Self::WithoutTerms,
        Self::ToSuppressedAddress,
    ];

    /// The letter's final state, and its reason.
    fn outcome(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Approved | Self::ApprovedInGerman => ("sent", None),
            Self::KindNotApproved | Self::NotApprovedForTheMarket => {
                ("held", Some("copy_not_approved"))
            }
            Self::WithoutDisclaimer | Self::WithoutMarket => ("held", Some("no_disclaimer")),
            Self::OptedOut => ("suppressed", Some("opted_out")),
            Self::WithoutAddress => ("held", Some("no_recipient")),
            Self::WithoutTerms => ("held", Some("no_terms")),
            Self::ToSuppressedAddress => ("held", Some("address_bounced")),
        }
    }

    fn country(self) -> &'static str {
        match self {
            Self::ApprovedInGerman => "DE",
            Self::NotApprovedForTheMarket => "GB",
            Self::WithoutDisclaimer => "FR",
            Self::WithoutMarket => "BR",
            Self::Approved
            | Self::KindNotApproved
            | Self::OptedOut
            | Self::WithoutAddress
            | Self::WithoutTerms
            | Self::ToSuppressedAddress => "US",
        }
    }
}

fn write(dir: &Path, variant: &str, language: &str, text: &str) {
    std::fs::create_dir_all(dir.join(variant)).unwrap();
    std::fs::write(dir.join(variant).join(format!("{language}.txt")), text).unwrap();
}

/// Approves offers and refills for the US and Germany, and neither other kinds nor other markets.
async fn approve(app: &TestApp, settings: &[(&str, &str)]) {
    let settings = app.settings_with(settings);
    let (writer, disclaimers) =
        (app::writer(&settings.email).unwrap(), app::disclaimers(&settings.email).unwrap());
    let find =
        |all: &Disclaimers, country, language| all.find(None, Some(country), &[language]).unwrap();
    for (country, language) in [("US", Language::English), ("DE", Language::German)] {
        let disclaimer = find(&disclaimers, country, language);
        let copies = [Kind::Offer, Kind::Refill].map(|kind| writer.copy_id(kind, &disclaimer));
        let approval = Approval { market: country, reference: "CCR-1", approved_by: "compliance" };
        let mut tx = app.db.begin().await.unwrap();
        approvals::approve(&mut tx, &copies, &approval, app.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Suppresses the address: a letter to it bounces.
async fn suppress(app: &TestApp, address: &str) {
    let offer = announce(app, OfferSort::Approved, 0).await;
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.edit_account(&account, |account| account["email"] = address.into());
    app.run_due_work().await;
    app.expect_letter(&offer, "sent", None).await;
    let message_id: String =
        app.one("select message_id from letters where offer_id = $1", &offer).await;
    crate::feedback::reports::report_bounce(app, &message_id, address).await;
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
}

/// Creates an offer of this kind and sends its event.
async fn announce(app: &TestApp, sort: OfferSort, number: usize) -> String {
    let email = match sort {
        OfferSort::WithoutAddress => None,
        // A suppression applies to all accounts with that address.
        OfferSort::ToSuppressedAddress => Some("gone@bakery.example".to_owned()),
        OfferSort::Approved
        | OfferSort::ApprovedInGerman
        | OfferSort::KindNotApproved
        | OfferSort::NotApprovedForTheMarket
        | OfferSort::WithoutDisclaimer
        | OfferSort::WithoutMarket
        | OfferSort::OptedOut
        | OfferSort::WithoutTerms => Some(format!("{sort:?}-{number}@bakery.example")),
    };
    let account = app.stripe.add_account(&NewAccount {
        name: Some(format!("Bakery {number}")),
        email,
        country: Some(sort.country().to_owned()),
    });
    if sort == OfferSort::OptedOut {
        app.opts_out(&account).await;
    }
    let offer = app.stripe.create_offer(&account, &NewOffer::default());
    app.stripe.edit_offer(&offer, |offer| {
        offer["livemode"] = true.into();
        // Without a variant, the country selects the disclaimer.
        offer["disclaimer_variant"] = serde_json::Value::Null;
        match sort {
            OfferSort::WithoutTerms => offer["offered_terms"] = serde_json::Value::Null,
            OfferSort::KindNotApproved => {
                offer["offered_terms"]["campaign_type"] = "repeat_user".into();
            }
            OfferSort::Approved if number.is_multiple_of(2) => {
                offer["product_type"] = "refill".into();
            }
            OfferSort::Approved
            | OfferSort::ApprovedInGerman
            | OfferSort::NotApprovedForTheMarket
            | OfferSort::WithoutDisclaimer
            | OfferSort::WithoutMarket
            | OfferSort::OptedOut
            | OfferSort::WithoutAddress
            | OfferSort::ToSuppressedAddress => {}
        }
    });
    let mut event = app.stripe.emit("capital.financing_offer.created", &offer);
    event["livemode"] = true.into();
    app.stripe_sends(&event).await.expect_kept();
    offer
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn only_permitted_letters_of_a_thousand_reach_the_relay(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    for (variant, language) in
        [("celtic_us_loan", "en"), ("youlend_uk_mca", "en"), ("youlend_de_financing", "de")]
    {
        write(dir.path(), variant, language, "What Stripe approved.");
    }
    let settings = [
        ("STRIPE_API_KEY", "sk_live_courier"),
        ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap()),
    ];
    let app = TestApp::start_with(db, &settings).await;
    approve(&app, &settings).await;
    suppress(&app, "gone@bakery.example").await;
    let mut offers = Vec::new();
    for number in 0..1000 {
        let sort = OfferSort::ALL[number % OfferSort::ALL.len()];
        offers.push((sort, announce(&app, sort, number).await));
    }
    app.run_due_work().await;

    let mut found: BTreeMap<OfferSort, usize> = BTreeMap::new();
    for (sort, offer) in &offers {
        let (state, reason) = sort.outcome();
        app.expect_letter(offer, state, reason).await;
        assert_eq!(app.stripe.delivered_marks(offer), u32::from(state == "sent"));
        *found.entry(*sort).or_default() += 1;
    }
    assert!(found.values().all(|count| *count == 100), "{found:?}");
    let letters = app.relay.letters();
    // 200, and the one that bounced.
    assert_eq!(letters.len(), 201);
    for letter in &letters[1..] {
        assert!(letter.to[0].to_lowercase().starts_with("approved"), "{:?}", letter.to);
        assert!(letter.message().body_text(0).unwrap().contains("What Stripe approved."));
    }
    app.finish().await;
}
