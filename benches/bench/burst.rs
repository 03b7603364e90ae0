//! Very many offers at once, with Stripe's limit on what can be done about them.

use crate::database::ALL_READ;
use crate::figures::{Figure, Goal};
use crate::load::{self, Load};
use crate::sizes::Sizes;
use crate::world::World;

const CONNECTIONS: usize = 64;

/// Leaves letters to be sent.
pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let service = world.start(&["serve"], &[("COURIER_STRIPE__REQUESTS_PER_SECOND", "25")]).await;
    let (_, requests) = world.create_offers(sizes.burst);
    let answers = Load::of(CONNECTIONS).post(service.http, load::prepared(requests)).await;
    assert_eq!(answers.count(), sizes.burst, "each event is answered with 200");
    world.db.wait_until(ALL_READ).await;
    let (_, peak) = service.memory();
    service.stop().await;
    vec![
        Figure::new("burst of offers, accepted", "/s", Goal::More, vec![answers.per_second()]),
        Figure::new("burst of offers, p99", "ms", Goal::Less, vec![answers.percentile(0.99)]),
        Figure::new("burst of offers, resident", "MB", Goal::AtMost(64.0), vec![peak]),
    ]
}
