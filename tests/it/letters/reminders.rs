//! Reminders: when they are opened and sent, and what prevents them.

use capital_courier::letters::operator::withdraw;
use chrono::TimeDelta;
use sqlx::PgPool;
use stripe_simulator::Action;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

const ALL: [(&str, &str); 3] = [
    ("COURIER_REMINDERS__AFTER_7_DAYS", "true"),
    ("COURIER_REMINDERS__AFTER_14_DAYS", "true"),
    ("COURIER_REMINDERS__EVERY_30_DAYS", "true"),
];

/// An offer delivered at noon UTC on Tuesday, 24 November 2026: seven in the morning in New York,
/// where the account is. It ends after a hundred days.
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

/// Advances the clock, opens the reminders that are due, and runs all due work.
async fn days_pass(app: &TestApp, days: i64) {
    app.clock.advance(TimeDelta::days(days));
    assert!(app.app.remind_now().await.unwrap());
    app.run_due_work().await;
}

/// Four days, one at a time: working hours come, even after a weekend.
async fn four_days_pass(app: &TestApp) {
    for _ in 0..4 {
        app.after(TimeDelta::days(1)).await;
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_open_offer_gets_its_reminders_on_schedule(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let offer = delivered(&app).await;
    days_pass(&app, 6).await;
    assert_eq!(app.relay.letters().len(), 1);
    // Tuesday again, seven in the morning: the reminder is opened and waits for nine.
    days_pass(&app, 1).await;
    app.expect_sequence(&offer, &["offer sent", "reminder_7d waiting"]).await;
    app.after(TimeDelta::hours(2)).await;
    assert_eq!(app.relay.letters().len(), 2);
    for (days, count) in [(6, 2), (1, 3), (29, 3), (1, 4), (29, 4), (1, 5)] {
        days_pass(&app, days).await;
        four_days_pass(&app).await;
        app.clock.advance(-TimeDelta::days(4));
        assert_eq!(app.relay.letters().len(), count, "{}", app.clock.now());
    }
    let expected = [
        "offer sent",
        "reminder_7d sent",
        "reminder_14d sent",
        "re_engagement sent",
        "re_engagement sent",
    ];
    app.expect_sequence(&offer, &expected).await;
    let letters = app.relay.letters();
    let subjects: Vec<String> =
        letters.iter().map(|letter| letter.message().subject().unwrap().to_owned()).collect();
    insta::assert_debug_snapshot!(subjects);
    let mut ids: Vec<String> = letters.iter().map(|letter| letter.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each letter has its own Message-ID");
    assert_eq!(app.stripe.delivered_marks(&offer), 1, "only the announcement is reported");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn reminders_are_off_by_default_and_apply_to_open_offers_once_on(db: PgPool) {
    let app = TestApp::start(db.clone()).await;
    let offer = delivered(&app).await;
    days_pass(&app, 30).await;
    app.after(TimeDelta::days(4)).await;
    assert_eq!(app.relay.letters().len(), 1);
    // After a month only the latest reminder is due, not each one that was missed.
    let other = app.another_with(&[ALL[0], ALL[1]]);
    assert!(other.remind_now().await.unwrap());
    for _ in 0..4 {
        other.run_due_work().await.unwrap();
        app.clock.advance(TimeDelta::hours(26));
    }
    app.expect_sequence(&offer, &["offer sent", "reminder_14d sent"]).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_ended_offer_an_opt_out_or_a_bounce_prevents_reminders(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let [applied, replaced, opted_out, ended, bounced] = [
        delivered(&app).await,
        delivered(&app).await,
        delivered(&app).await,
        delivered(&app).await,
        delivered(&app).await,
    ];
    for (offer, button, event) in [
        (&applied, Action::Apply, Some("accepted")),
        (&replaced, Action::Replace, None),
        (&ended, Action::Expire, Some("expired")),
    ] {
        app.stripe.perform(button, offer).unwrap();
        if let Some(event) = event {
            let event = app.event(offer, &format!("capital.financing_offer.{event}"));
            app.stripe_sends(&event).await.expect_kept();
        }
    }
    app.opts_out(&app.account_of(&opted_out)).await;
    app.bounce_announcement(&bounced).await;
    app.run_due_work().await;
    days_pass(&app, 8).await;
    four_days_pass(&app).await;
    assert_eq!(app.relay.letters().len(), 5, "only the announcements");
    // No event reported the replacement; the check at Stripe before sending found it.
    app.expect_sequence(&replaced, &["offer sent", "reminder_7d withdrawn"]).await;
    for offer in [&applied, &opted_out, &ended] {
        app.expect_sequence(offer, &["offer sent"]).await;
    }
    app.expect_sequence(&bounced, &["offer bounced"]).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_end_of_the_offer_or_an_opt_out_stops_a_waiting_reminder(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let (applied, opted_out) = (delivered(&app).await, delivered(&app).await);
    let (delivered_event, open) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    app.stripe.perform(Action::Apply, &applied).unwrap();
    app.stripe_sends(&app.event(&applied, "capital.financing_offer.accepted")).await.expect_kept();
    // The event that reports the delivery does not stop a reminder.
    let late = app.stripe.emit("capital.financing_offer.delivered", &delivered_event);
    app.stripe_sends(&late).await.expect_kept();
    app.opts_out(&app.account_of(&opted_out)).await;
    app.run_due_work().await;
    app.expect_sequence(&applied, &["offer sent", "reminder_7d withdrawn"]).await;
    app.expect_sequence(&opted_out, &["offer sent", "reminder_7d suppressed"]).await;
    // A deferral by the relay delays a reminder like any letter.
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.after(TimeDelta::hours(2)).await;
    app.after(TimeDelta::minutes(1)).await;
    for offer in [&delivered_event, &open] {
        app.expect_sequence(offer, &["offer sent", "reminder_7d sent"]).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reminder_that_was_never_sent_neither_reopens_nor_blocks_the_next(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let (suppressed, withdrawn) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    app.opts_out(&app.account_of(&suppressed)).await;
    let mut tx = app.db.begin().await.unwrap();
    withdraw(&mut tx, &withdrawn, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.end_opt_outs().await;
    days_pass(&app, 1).await;
    app.expect_sequence(&suppressed, &["offer sent", "reminder_7d suppressed"]).await;
    app.expect_sequence(&withdrawn, &["offer sent", "reminder_7d withdrawn"]).await;
    days_pass(&app, 6).await;
    app.after(TimeDelta::hours(3)).await;
    for (offer, first) in
        [(&suppressed, "reminder_7d suppressed"), (&withdrawn, "reminder_7d withdrawn")]
    {
        app.expect_sequence(offer, &["offer sent", first, "reminder_14d sent"]).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_replica_with_reminders_off_leaves_them_to_the_others(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let (offer, ended) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    // Within working hours, a replica with the old settings takes the job.
    app.clock.advance(TimeDelta::hours(3));
    app.another_with(&[]).run_due_work().await.unwrap();
    app.expect_sequence(&offer, &["offer sent", "reminder_7d waiting"]).await;
    app.stripe.perform(Action::Apply, &ended).unwrap();
    app.after(TimeDelta::hours(1)).await;
    app.expect_sequence(&offer, &["offer sent", "reminder_7d sent"]).await;
    app.expect_sequence(&ended, &["offer sent", "reminder_7d withdrawn"]).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_bounce_or_the_last_day_withdraws_a_waiting_reminder(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let (bounced, ends) = (delivered(&app).await, delivered(&app).await);
    days_pass(&app, 7).await;
    app.bounce_announcement(&bounced).await;
    let end = (app.clock.now() + TimeDelta::hours(20)).timestamp();
    app.stripe.edit_offer(&ends, |offer| offer["expires_after"] = end.into());
    app.after(TimeDelta::hours(3)).await;
    app.expect_sequence(&bounced, &["offer bounced", "reminder_7d withdrawn"]).await;
    app.expect_sequence(&ends, &["offer sent", "reminder_7d withdrawn"]).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_reminder_is_opened_in_the_last_day_of_an_offer(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let offer = delivered(&app).await;
    app.set_stored_end(&offer, app.clock.now() + TimeDelta::days(7) + TimeDelta::hours(20)).await;
    days_pass(&app, 7).await;
    app.expect_sequence(&offer, &["offer sent"]).await;
    app.finish().await;
}

/// More offers than a page of the job holds; every hundredth is live, every other hundredth has an
/// account that opted out.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_due_reminder_is_opened_once_across_all_pages(db: PgPool) {
    let app = TestApp::start_with(db, &ALL).await;
    let first = delivered(&app).await;
    for copies in [
        "insert into financing_offers
         select (jsonb_populate_record(offers, jsonb_build_object(
             'offer_id', 'financingoffer_copy_' || n, 'account_id', 'acct_copy_' || n,
             'livemode', n % 100 = 0))).*
         from financing_offers offers, generate_series(1, 1200) n",
        "insert into letters
         select (jsonb_populate_record(letters, jsonb_build_object(
             'letter_id', 'letter_copy_' || n, 'message_id', n || '@x',
             'offer_id', 'financingoffer_copy_' || n, 'account_id', 'acct_copy_' || n))).*
         from letters, generate_series(1, 1200) n",
        "insert into opt_outs (account_id, source, opted_out_at)
         select 'acct_copy_' || n, 'operator', now() from generate_series(1, 1200) n
         where n % 100 = 50",
    ] {
        sqlx::query(copies).execute(&app.db).await.unwrap();
    }
    app.clock.advance(TimeDelta::days(7));
    for _ in 0..2 {
        assert!(app.app.remind_now().await.unwrap());
        assert_eq!(app.letters_in_state("waiting").await, 1 + 1200 - 12 - 12);
    }
    app.expect_sequence(&first, &["offer sent", "reminder_7d waiting"]).await;
    for (copy, expected) in [
        ("financingoffer_copy_1", &["offer sent", "reminder_7d waiting"][..]),
        ("financingoffer_copy_999", &["offer sent", "reminder_7d waiting"]),
        ("financingoffer_copy_100", &["offer sent"]),
        ("financingoffer_copy_150", &["offer sent"]),
    ] {
        app.expect_sequence(copy, expected).await;
    }
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_has_the_kind_of_its_offer_and_the_accounts_language(db: PgPool) {
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
        app.stripe.edit_account(&app.account_of(&offer), |account| {
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
        let message = letter.message();
        assert!(message.subject().unwrap().contains(subject), "{:?}", message.subject());
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
