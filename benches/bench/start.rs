//! The start of a process whose schema is current, and its memory when nothing happens.

use std::time::Duration;

use crate::figures::{Figure, Goal};
use crate::sizes::Sizes;
use crate::world::World;

/// The copy lint and the first jobs have run by then.
const REST: Duration = Duration::from_secs(3);

pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        let service = world.start(&["serve"], &[]).await;
        ready.push(service.ready_after.as_secs_f64() * 1000.0);
        tokio::time::sleep(REST).await;
        memory.push(service.memory().0);
        service.stop().await;
    }
    vec![
        Figure::new("ready after the start", "ms", Goal::AtMost(150.0), ready),
        Figure::new("resident at rest", "MB", Goal::AtMost(30.0), memory),
    ]
}
