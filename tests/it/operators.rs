//! What waits for an operator, and the log of what operators did.

use capital_courier::database::{Pool, now};
use capital_courier::operators::attention::{self, Group};
use capital_courier::operators::{Channel, Instruction, actions, acts};
use chrono::TimeDelta;
use sqlx::PgPool;

use crate::cli::{run_err, run_ok};
use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

async fn waiting(db: &Pool) -> Vec<Group> {
    attention::read(db, now(db).await.unwrap(), 2).await.unwrap()
}

/// Kind, reason and number of each group.
fn counts(groups: &[Group]) -> Vec<(&str, &str, i64)> {
    groups.iter().map(|of| (of.kind.as_str(), of.reason.as_str(), of.count)).collect()
}

fn kim() -> Instruction {
    Instruction {
        operator: "kim".to_owned(),
        channel: Channel::Console,
        reason: Some("seen".parse().unwrap()),
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_cause_is_listed_until_it_is_gone_or_dismissed(db: PgPool) {
    let app = TestApp::start(db).await;
    let pool = app.app.db().clone();
    assert_eq!(counts(&waiting(&pool).await), []);
    assert_eq!(run_ok(&app.db, &["attention"]).await, "nothing waits for you\n");

    let held: Vec<String> = (0..3).map(|_| app.offer_to(None)).collect();
    for offer in &held {
        app.announce(offer).await;
    }
    let rejected = app.offer();
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.7.1 not from you"), 1);
    app.announce(&rejected).await;
    app.stripe_sends_bytes(b"[]".to_vec()).await;
    sqlx::raw_sql(
        "
        insert into jobs (kind, key, subject, state, due_at, queued_at, finished_at, last_error)
        values ('refresh_offer', 'refresh_offer:x', 'financingoffer_x', 'dead', now(), now(), now(),
            'Stripe answered 500');
        insert into inbox_events (event_id, event_type, state, received_at, read_at, note)
        values ('evt_x', 'capital.x', 'unreadable', now(), now(), 'no object');
        insert into reconcile_runs (run_id, state, started_at, ended_at)
        values (gen_random_uuid(), 'complete', now() - interval '3 h', now() - interval '3 h');
        insert into reconcile_runs (run_id, state, started_at, ended_at, error, events_missed)
        values (gen_random_uuid(), 'incomplete', now(), now(), 'Stripe is down', 7);
        ",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let expected = [
        ("letter_held", "no_recipient", 3),
        ("letter_rejected", "relay_refused", 1),
        ("job_dead", "refresh_offer", 1),
        ("event_unreadable", "", 1),
        ("body_malformed", "", 1),
        ("endpoint_missed", "", 7),
        ("reconciliation_incomplete", "", 1),
    ];
    let groups = waiting(&pool).await;
    assert_eq!(counts(&groups), expected);
    assert_eq!(groups[0].items.len(), 2);
    assert_eq!(groups[0].items[0].offer_id.as_ref(), Some(&held[0]));
    assert!(groups[0].remedy.contains("contact set"), "{}", groups[0].remedy);
    let printed = run_ok(&app.db, &["attention"]).await;
    for part in ["3 emails are held (no_recipient), since 20", "job:", "evt_x", "Stripe is down"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }

    // Dismissed: gone, and counted no longer. It returns when it changes.
    let event = ["attention", "dismiss", "event:evt_x", "--reason", "test data"];
    run_ok(&app.db, &event).await;
    let letter = groups[0].items[0].subject.clone();
    acts::dismiss(&pool, &kim(), &letter).await.unwrap();
    let groups = waiting(&pool).await;
    assert_eq!((groups[0].count, groups[0].items[0].offer_id.as_ref()), (2, Some(&held[1])));
    assert!(!counts(&groups).iter().any(|(kind, ..)| *kind == "event_unreadable"));
    acts::resend(&pool, &kim(), &held[0]).await.unwrap();
    app.make_jobs_due().await;
    app.run_due_work().await;
    // The clock of the test is behind the database's, which dismissals use.
    app.expect_letter(&held[0], "held", Some("no_recipient")).await;
    sqlx::query("update letters set changed_at = now() where offer_id = $1")
        .bind(&held[0])
        .execute(&app.db)
        .await
        .unwrap();
    assert_eq!(waiting(&pool).await[0].count, 3);
    let unknown = run_err(&app.db, &["attention", "dismiss", "x:1", "--reason", "y"]).await;
    assert!(unknown.contains("cannot be dismissed"), "{unknown}");

    // A rejected letter no longer matters once its offer has ended.
    app.set_stored_end(&rejected, now(&pool).await.unwrap() - TimeDelta::minutes(1)).await;
    assert!(!counts(&waiting(&pool).await).iter().any(|(kind, ..)| *kind == "letter_rejected"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_act_is_logged_with_its_reason_or_not_done(db: PgPool) {
    let app = TestApp::start(db).await;
    let pool = app.app.db().clone();
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    let account = app.account_of(&offer);
    acts::set_contact(&pool, &kim(), &account, &"owner@bakery.example".parse().unwrap())
        .await
        .unwrap();
    let refused = acts::withdraw(&pool, &kim(), "financingoffer_none").await.unwrap_err();
    assert!(refused.to_string().contains("no email that waits"), "{refused}");
    acts::withdraw(&pool, &kim(), &offer).await.unwrap();

    let log = actions::list_of_offer(&pool, &offer).await.unwrap();
    let entry = &log[0];
    assert_eq!((log.len(), entry.action.as_str()), (1, "letter.withdraw"));
    assert_eq!((entry.operator.as_str(), entry.channel.as_str()), ("kim", "console"));
    assert_eq!(
        (entry.reason.as_deref(), entry.account_id.as_ref()),
        (Some("seen"), Some(&account))
    );
    let filter =
        actions::ActionFilter { account_id: Some(&account), limit: 10, ..Default::default() };
    let of_account = actions::list(&pool, &filter).await.unwrap();
    let acts: Vec<&str> = of_account.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(acts, ["letter.withdraw", "contact.set"]);
    // The log is not erased, so it must not have the address.
    assert!(of_account[1].outcome.starts_with("set o***@bakery.example"), "{:?}", of_account[1]);
    for change in ["delete from operator_actions", "update operator_actions set operator = 'x'"] {
        let error = sqlx::query(sqlx::AssertSqlSafe(change)).execute(&app.db).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    app.finish().await;
}
