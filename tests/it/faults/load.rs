//! A thousand offers at once, each event delivered three times.

use std::sync::Arc;
use std::time::Duration;

use capital_courier::app::Role;
use capital_courier::shutdown::Shutdown;
use futures_util::stream::{self, StreamExt};
use sqlx::PgPool;
use stripe_simulator::{NewAccount, NewOffer, sign};

use crate::support::{SECRET, TestApp};

const OFFERS: usize = 1000;
const CONNECTIONS: usize = 32;

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_thousand_repeated_offers_make_a_thousand_letters(db: PgPool) {
    let listen = [("COURIER_HTTP__LISTEN", "127.0.0.1:0"), ("COURIER_OPS__LISTEN", "127.0.0.1:0")];
    let app = TestApp::start_with(db, &listen).await;
    let shutdown = Shutdown::default();
    let account = app.stripe.add_account(&NewAccount {
        email: Some("jenny@bakery.example".to_owned()),
        ..NewAccount::default()
    });
    let offers: Vec<String> =
        (0..OFFERS).map(|_| app.stripe.create_offer(&account, &NewOffer::default())).collect();
    let mut posts: Vec<Vec<u8>> =
        app.stripe.events().iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
    posts = posts.iter().flat_map(|body| [body.clone(), body.clone(), body.clone()]).collect();

    let (ready, address) = tokio::sync::oneshot::channel();
    let serving = app.app.serve(Role::Serve, &shutdown, |address| ready.send(address).unwrap());
    let posting = async {
        let url = Arc::new(format!("http://{}/webhooks/stripe", address.await.unwrap()));
        let client =
            reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build().unwrap();
        let now = app.clock.now();
        let answers = stream::iter(posts).map(|body| {
            let request = client
                .post(url.as_str())
                .header("Stripe-Signature", sign(&body, &[SECRET.to_owned()], now));
            async move { request.body(body).send().await.unwrap().status().as_u16() }
        });
        let answers: Vec<u16> = answers.buffer_unordered(CONNECTIONS).collect().await;
        assert!(answers.iter().all(|status| *status == 200));
        app.relay.wait_for(OFFERS).await;
        let delivered = async {
            while app
                .one::<i64>("select count(*) from deliveries where state = $1", "delivered")
                .await
                < i64::try_from(OFFERS).unwrap()
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), delivered)
            .await
            .expect("a thousand deliveries within a minute");
        shutdown.soft.cancel();
    };
    let (served, ()) = tokio::join!(serving, posting);
    served.unwrap();

    let mut ids: Vec<String> =
        app.relay.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((app.relay.letters().len(), ids.len()), (OFFERS, OFFERS));
    assert!(offers.iter().all(|offer| app.stripe.delivered_marks(offer) == 1), "each marked once");
    app.finish().await;
}
