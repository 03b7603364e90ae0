//! How soon an idle service acts: an event arrives alone, its letter is handed to the relay, and
//! Stripe hears of it.

use std::time::{Duration, Instant};

use crate::figures::{Figure, Goal};
use crate::http::Connection;
use crate::sizes::Sizes;
use crate::world::World;

/// Until the service is idle again: its workers wait for notifications.
const PAUSE: Duration = Duration::from_millis(200);
const LOOK_AGAIN: Duration = Duration::from_micros(500);

pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let service = world.start(&["serve"], &[]).await;
    let mut connection = Connection::open(service.http).await.unwrap();
    let (mut handed_over, mut marked) = (Vec::new(), Vec::new());
    for _ in 0..sizes.lone_offers {
        tokio::time::sleep(PAUSE).await;
        let (offers, requests) = world.create_offers(1);
        let letters = world.relay.count();
        let started = Instant::now();
        assert_eq!(connection.exchange(&requests[0]).await.unwrap().status, 200);
        world.relay.wait_for(letters + 1).await;
        handed_over.push(started.elapsed().as_secs_f64() * 1000.0);
        while world.stripe.delivered_marks(&offers[0]) == 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        marked.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    service.stop().await;
    vec![
        Figure::new("idle: event → letter", "ms", Goal::AtMost(20.0), handed_over),
        Figure::new("idle: event → marked", "ms", Goal::AtMost(40.0), marked),
    ]
}
