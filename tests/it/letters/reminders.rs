//! Letters after the first: when they go out, in which words, and what keeps them from it.

use capital_courier::letters::operator::withdraw;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use stripe_simulator::Action;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

const ALL: [(&str, &str); 3] = [
    ("COURIER_REMINDERS__AFTER_7_DAYS", "true"),
    ("COURIER_REMINDERS__AFTER_14_DAYS", "true"),
    ("COURIER_REMINDERS__EVERY_30_DAYS", "true"),
];

/// An offer that was delivered at noon UTC on Tuesday, 24 November: seven in the morning in New York, where the account is. It is
/// open for a hundred days.
async fn delivered(app: &TestApp) -> String {
    let offer = app.offer();
    let end = (app.clock.now() + TimeDelta::days(100)).timestamp();
    app.stripe.edit_offer(&offer, |offer| offer["expires_after"] = end.into());
    let created = app.stripe.emit("capital.financing_offer.created", &offer);
    app.stripe_sends(&created).await.expect_kept();
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    offer
}

/// Time passes, reminders are looked for, and all work is done.
async fn days_pass(app: &TestApp, days: i64) {
    app.clock.advance(TimeDelta::days(days));
    remind(app).await;
}

async fn remind(app: &TestApp) {
    assert!(app.app.remind_now().await.unwrap());
    app.run_due_work().await;
}

/// Kind and state of each letter about an offer.
async fn letters(app: &TestApp, offer: &str) -> Vec<(String, String)> {
    sqlx::query_as("select kind, state from letters where offer_id = $1 order by sequence")
        .bind(offer)
        .fetch_all(&app.db)
        .await
        .unwrap()
}

fn said(letters: &[(String, String)]) -> Vec<&str> {
    letters.iter().flat_map(|(kind, state)| [kind.as_str(), state.as_str()]).collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_open_offer_is_reminded_of_after_a_week_two_weeks_and_each_thirty_days(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let offer = delivered(&app).await;
    days_pass(&app, 6).await;
    assert_eq!(app.relay.letters().len(), 1);
    // Tuesday again, at seven in the morning: it is opened, and waits for nine.
    days_pass(&app, 1).await;
    assert_eq!(said(&letters(&app, &offer).await), ["offer", "sent", "reminder_7d", "waiting"]);
    app.after(TimeDelta::hours(2)).await;
    assert_eq!(app.relay.letters().len(), 2);
    for (days, count) in [(6, 2), (1, 3), (29, 3), (1, 4), (29, 4), (1, 5)] {
        days_pass(&app, days).await;
        // Over a weekend where there is one.
        for _ in 0..4 {
            app.after(TimeDelta::days(1)).await;
        }
        app.clock.advance(-TimeDelta::days(4));
        assert_eq!(app.relay.letters().len(), count, "{}", app.clock.now());
    }
    let kinds: Vec<String> =
        letters(&app, &offer).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["offer", "reminder_7d", "reminder_14d", "re_engagement", "re_engagement"]);
    let subjects: Vec<String> = app
        .relay
        .letters()
        .iter()
        .map(|letter| letter.message().subject().unwrap().to_owned())
        .collect();
    insta::assert_debug_snapshot!(subjects);
    let mut ids: Vec<String> =
        app.relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each is a letter of its own");
    assert_eq!(app.stripe.delivered_marks(&offer), 1, "Stripe is told of the first alone");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_switch_nobody_is_reminded_and_one_that_is_turned_holds_for_open_offers(
    db: PgPool,
) {
    let app = TestApp::start(db.clone()).await;
    let offer = delivered(&app).await;
    days_pass(&app, 30).await;
    app.after(TimeDelta::days(4)).await;
    assert_eq!(app.relay.letters().len(), 1);
    // After a month only the last one that is due, not one for each week that was missed.
    let settings = [ALL[0], ALL[1]];
    let other = app.another_with(&settings);
    assert!(other.remind_now().await.unwrap());
    for _ in 0..4 {
        other.run_due_work().await.unwrap();
        app.clock.advance(TimeDelta::hours(26));
    }
    assert_eq!(said(&letters(&app, &offer).await), ["offer", "sent", "reminder_14d", "sent"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn whoever_applied_opted_out_or_cannot_be_reached_is_not_reminded(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let [applied, replaced, opted_out, ended, came_back] = [
        delivered(&app).await,
        delivered(&app).await,
        delivered(&app).await,
        delivered(&app).await,
        delivered(&app).await,
    ];
    for (offer, button, event) in [
        (&applied, Action::Apply, "accepted"),
        (&replaced, Action::Replace, "replacement_created"),
        (&ended, Action::Expire, "expired"),
    ] {
        app.stripe.perform(button, offer).unwrap();
        if event != "replacement_created" {
            app.stripe_sends(&app.event(offer, &format!("capital.financing_offer.{event}")))
                .await
                .expect_kept();
        }
    }
    let account: String =
        app.one("select account_id from financing_offers where offer_id = $1", &opted_out).await;
    app.opts_out(&account).await;
    sqlx::query("update letters set state = 'bounced' where offer_id = $1")
        .bind(&came_back)
        .execute(&app.db)
        .await
        .unwrap();
    app.run_due_work().await;
    days_pass(&app, 8).await;
    for _ in 0..4 {
        app.after(TimeDelta::days(1)).await;
    }
    assert_eq!(app.relay.letters().len(), 5, "the first ones alone");
    assert_eq!(
        said(&letters(&app, &replaced).await),
        ["offer", "sent", "reminder_7d", "withdrawn"],
        "no event told of it: Stripe did"
    );
    for offer in [&applied, &opted_out, &ended] {
        assert_eq!(said(&letters(&app, offer).await), ["offer", "sent"]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reminder_that_waits_is_taken_back_by_what_ends_the_offer_and_by_an_opt_out(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let (applied, opted_out) = (delivered(&app).await, delivered(&app).await);
    let (told_twice, gone) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    app.stripe.perform(Action::Apply, &applied).unwrap();
    app.stripe_sends(&app.event(&applied, "capital.financing_offer.accepted")).await.expect_kept();
    // That an offer was delivered is no reason not to remind of it.
    let late = app.stripe.emit("capital.financing_offer.delivered", &told_twice);
    app.stripe_sends(&late).await.expect_kept();
    let account: String =
        app.one("select account_id from financing_offers where offer_id = $1", &opted_out).await;
    app.opts_out(&account).await;
    app.run_due_work().await;
    assert_eq!(said(&letters(&app, &applied).await), ["offer", "sent", "reminder_7d", "withdrawn"]);
    assert_eq!(
        said(&letters(&app, &opted_out).await),
        ["offer", "sent", "reminder_7d", "suppressed"]
    );
    // A relay that wants it later changes nothing about when it may go.
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.after(TimeDelta::hours(2)).await;
    app.after(TimeDelta::minutes(1)).await;
    assert_eq!(said(&letters(&app, &told_twice).await), ["offer", "sent", "reminder_7d", "sent"]);
    assert_eq!(said(&letters(&app, &gone).await), ["offer", "sent", "reminder_7d", "sent"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reminder_that_never_went_out_keeps_no_later_one_from_going_out_and_is_not_opened_again(
    db: PgPool,
) {
    let app = TestApp::start_with(db, &ALL).await;
    let (suppressed, withdrawn) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    let account: String =
        app.one("select account_id from financing_offers where offer_id = $1", &suppressed).await;
    app.opts_out(&account).await;
    let mut tx = app.db.begin().await.unwrap();
    withdraw(&mut tx, &withdrawn, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("update opt_outs set ended_at = opted_out_at, ended_by = 'operator'")
        .execute(&app.db)
        .await
        .unwrap();
    days_pass(&app, 1).await;
    let before = [
        ["offer", "sent", "reminder_7d", "suppressed"],
        ["offer", "sent", "reminder_7d", "withdrawn"],
    ];
    assert_eq!(said(&letters(&app, &suppressed).await), before[0]);
    assert_eq!(said(&letters(&app, &withdrawn).await), before[1]);
    days_pass(&app, 6).await;
    app.after(TimeDelta::hours(3)).await;
    for (offer, before) in [(&suppressed, before[0]), (&withdrawn, before[1])] {
        let all = letters(&app, offer).await;
        assert_eq!(said(&all), [&before[..], &["reminder_14d", "sent"]].concat());
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_switch_that_is_off_in_one_process_costs_no_reminder_that_another_opened(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let (offer, ended) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    // An old replica takes it up, in working hours.
    app.clock.advance(TimeDelta::hours(3));
    let old = app.another_with(&[]);
    old.run_due_work().await.unwrap();
    assert_eq!(said(&letters(&app, &offer).await), ["offer", "sent", "reminder_7d", "waiting"]);
    app.stripe.perform(Action::Apply, &ended).unwrap();
    app.after(TimeDelta::hours(1)).await;
    assert_eq!(said(&letters(&app, &offer).await), ["offer", "sent", "reminder_7d", "sent"]);
    assert_eq!(said(&letters(&app, &ended).await), ["offer", "sent", "reminder_7d", "withdrawn"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reminder_that_waits_is_not_sent_after_the_first_letter_came_back_nor_in_the_last_day(
    db: PgPool,
) {
    let app = TestApp::start_with(db, &ALL).await;
    let (came_back, ends) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    sqlx::query("update letters set state = 'bounced' where offer_id = $1 and sequence = 0")
        .bind(&came_back)
        .execute(&app.db)
        .await
        .unwrap();
    let end = (app.clock.now() + TimeDelta::hours(20)).timestamp();
    app.stripe.edit_offer(&ends, |offer| offer["expires_after"] = end.into());
    app.after(TimeDelta::hours(3)).await;
    assert_eq!(said(&letters(&app, &came_back).await)[3], "withdrawn");
    assert_eq!(said(&letters(&app, &ends).await)[3], "withdrawn");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn nobody_is_reminded_of_an_offer_in_its_last_day(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let offer = delivered(&app).await;
    let end: DateTime<Utc> = app.clock.now() + TimeDelta::days(7) + TimeDelta::hours(20);
    sqlx::query("update financing_offers set expires_at = $2 where offer_id = $1")
        .bind(&offer)
        .bind(end)
        .execute(&app.db)
        .await
        .unwrap();
    days_pass(&app, 7).await;
    assert_eq!(said(&letters(&app, &offer).await), ["offer", "sent"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_is_in_the_accounts_language_and_of_the_kind_that_the_offer_is(db: PgPool) {
    let app = TestApp::start(db).await;
    for (product, campaign, country, locale, kind, language, subject) in [
        ("refill", "repeat_user", "DE", None, "refill", "de", "Neue Finanzierung"),
        ("standard", "repeat_user", "FR", None, "repeat", "fr", "Nouvelle préqualification"),
        (
            "standard",
            "previously_eligible_user",
            "CA",
            Some("fr-CA"),
            "previously_eligible",
            "fr",
            "Nouvelle offre",
        ),
        ("something_new", "something_new", "JP", Some("ja"), "offer", "en", "You’re prequalified"),
    ] {
        let offer = app.offer();
        let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
        app.stripe.edit_account(&account, |account| {
            account["country"] = country.into();
            if let Some(locale) = locale {
                account["metadata"] = serde_json::json!({"locale": locale});
            }
        });
        app.stripe.edit_offer(&offer, |offer| {
            offer["product_type"] = product.into();
            offer["offered_terms"]["campaign_type"] = campaign.into();
        });
        let created = app.stripe.emit("capital.financing_offer.created", &offer);
        app.stripe_sends(&created).await.expect_kept();
        app.run_due_work().await;
        let letter = app.expect_delivered(&offer).await;
        assert!(
            letter.message().subject().unwrap().contains(subject),
            "{:?}",
            letter.message().subject()
        );
        let written: (String, String) =
            sqlx::query_as("select kind, locale from letters where offer_id = $1")
                .bind(&offer)
                .fetch_one(&app.db)
                .await
                .unwrap();
        assert_eq!((written.0.as_str(), written.1.as_str()), (kind, language));
    }
    app.finish().await;
}
