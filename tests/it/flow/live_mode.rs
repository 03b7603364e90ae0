//! A live key, and a thousand offers of all sorts: only what may go out reaches the mail server.

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

/// What sets the offers of the thousand apart, and what becomes of their letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Approved,
    ApprovedInGerman,
    NobodyApprovedTheKind,
    NotApprovedForTheMarket,
    WithoutDisclaimer,
    WithoutMarket,
    OptedOut,
    WithoutAddress,
    WithoutTerms,
    ToRefusedAddress,
}

impl Sort {
    const ALL: [Self; 10] = [
        Self::Approved,
        Self::ApprovedInGerman,
        Self::NobodyApprovedTheKind,
        Self::NotApprovedForTheMarket,
        Self::WithoutDisclaimer,
        Self::WithoutMarket,
        Self::OptedOut,
        Self::WithoutAddress,
        Self::WithoutTerms,
        Self::ToRefusedAddress,
    ];

    /// The state of the letter in the end, and its reason.
    fn outcome(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Approved | Self::ApprovedInGerman => ("sent", None),
            Self::NobodyApprovedTheKind | Self::NotApprovedForTheMarket => {
                ("held", Some("copy_not_approved"))
            }
            Self::WithoutDisclaimer | Self::WithoutMarket => ("held", Some("no_disclaimer")),
            Self::OptedOut => ("suppressed", Some("opted_out")),
            Self::WithoutAddress => ("held", Some("no_recipient")),
            Self::WithoutTerms => ("held", Some("no_terms")),
            Self::ToRefusedAddress => ("held", Some("address_bounced")),
        }
    }

    fn country(self) -> &'static str {
        match self {
            Self::ApprovedInGerman => "DE",
            Self::NotApprovedForTheMarket => "GB",
            Self::WithoutDisclaimer => "FR",
            Self::WithoutMarket => "BR",
            Self::Approved
            | Self::NobodyApprovedTheKind
            | Self::OptedOut
            | Self::WithoutAddress
            | Self::WithoutTerms
            | Self::ToRefusedAddress => "US",
        }
    }
}

fn write(dir: &Path, variant: &str, language: &str, words: &str) {
    std::fs::create_dir_all(dir.join(variant)).unwrap();
    std::fs::write(dir.join(variant).join(format!("{language}.txt")), words).unwrap();
}

/// Offers and refills to merchants in the US and in Germany are approved, other kinds and everything British are not.
async fn approve(app: &TestApp, settings: &[(&str, &str)]) {
    let settings = app.settings_with(settings);
    let (writer, disclaimers) =
        (app::writer(&settings.email).unwrap(), app::disclaimers(&settings.email).unwrap());
    let find =
        |all: &Disclaimers, country, language| all.find(None, Some(country), &[language]).unwrap();
    for (country, language) in [("US", Language::English), ("DE", Language::German)] {
        let disclaimer = find(&disclaimers, country, language);
        let hashes = [Kind::Offer, Kind::Refill].map(|kind| writer.copy_hash(kind, &disclaimer));
        let approval = Approval { market: country, reference: "CCR-1", approved_by: "compliance" };
        let mut tx = app.db.begin().await.unwrap();
        approvals::approve(&mut tx, &hashes, &approval, app.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A letter to this address came back.
async fn refuse(app: &TestApp, address: &str) {
    let offer = announce(app, Sort::Approved, 0).await;
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.edit_account(&account, |account| account["email"] = address.into());
    app.run_due_work().await;
    app.expect_letter(&offer, "sent", None).await;
    let message_id: String =
        app.one("select message_id from letters where offer_id = $1", &offer).await;
    crate::feedback::reports::report_bounce(app, &message_id, address).await;
    app.expect_letter(&offer, "bounced", Some("status 5.1.1")).await;
}

/// An offer of a sort, and Stripe's event about it.
async fn announce(app: &TestApp, sort: Sort, number: usize) -> String {
    let email = match sort {
        Sort::WithoutAddress => None,
        // Whose letters came back before, whichever account they were for.
        Sort::ToRefusedAddress => Some("gone@bakery.example".to_owned()),
        Sort::Approved
        | Sort::ApprovedInGerman
        | Sort::NobodyApprovedTheKind
        | Sort::NotApprovedForTheMarket
        | Sort::WithoutDisclaimer
        | Sort::WithoutMarket
        | Sort::OptedOut
        | Sort::WithoutTerms => Some(format!("{sort:?}-{number}@bakery.example")),
    };
    let account = app.stripe.add_account(&NewAccount {
        name: Some(format!("Bakery {number}")),
        email,
        country: Some(sort.country().to_owned()),
    });
    if sort == Sort::OptedOut {
        app.opts_out(&account).await;
    }
    let offer = app.stripe.create_offer(&account, &NewOffer::default());
    app.stripe.edit_offer(&offer, |offer| {
        offer["livemode"] = true.into();
        // The country decides.
        offer["disclaimer_variant"] = serde_json::Value::Null;
        match sort {
            Sort::WithoutTerms => offer["offered_terms"] = serde_json::Value::Null,
            Sort::NobodyApprovedTheKind => {
                offer["offered_terms"]["campaign_type"] = "repeat_user".into();
            }
            Sort::Approved if number.is_multiple_of(2) => offer["product_type"] = "refill".into(),
            Sort::Approved
            | Sort::ApprovedInGerman
            | Sort::NotApprovedForTheMarket
            | Sort::WithoutDisclaimer
            | Sort::WithoutMarket
            | Sort::OptedOut
            | Sort::WithoutAddress
            | Sort::ToRefusedAddress => {}
        }
    });
    let mut event = app.stripe.emit("capital.financing_offer.created", &offer);
    event["livemode"] = true.into();
    app.stripe_sends(&event).await.expect_kept();
    offer
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn of_a_thousand_offers_only_what_may_go_out_reaches_the_mail_server(db: PgPool) {
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
    refuse(&app, "gone@bakery.example").await;
    let mut offers = Vec::new();
    for number in 0..1000 {
        let sort = Sort::ALL[number % Sort::ALL.len()];
        offers.push((sort, announce(&app, sort, number).await));
    }
    app.run_due_work().await;

    let mut found: BTreeMap<Sort, usize> = BTreeMap::new();
    for (sort, offer) in &offers {
        let (state, reason) = sort.outcome();
        app.expect_letter(offer, state, reason).await;
        assert_eq!(app.stripe.delivered_marks(offer), u32::from(state == "sent"));
        *found.entry(*sort).or_default() += 1;
    }
    assert!(found.values().all(|count| *count == 100), "{found:?}");
    let letters = app.relay.letters();
    // And the one that came back before.
    assert_eq!(letters.len(), 201);
    for letter in &letters[1..] {
        assert!(letter.to[0].to_lowercase().starts_with("approved"), "{:?}", letter.to);
        assert!(letter.message().body_text(0).unwrap().contains("What Stripe approved."));
    }
    app.finish().await;
}
