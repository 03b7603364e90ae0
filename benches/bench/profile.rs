//! Where the webhook's instructions go: the service under callgrind, which takes a number of
//! events. `callgrind_annotate` shows the result.

use std::process::Command;

use crate::accept;
use crate::load::{self, Load};
use crate::service::{self, Service};
use crate::world::World;

const EVENTS: usize = 5_000;
const CONNECTIONS: usize = 32;

pub async fn run() {
    let world = World::create("bench").await;
    let counts = service::directory().join("callgrind.out");
    let service = Service::start_profiled(&["serve", "--no-worker"], &world.env, &counts).await;
    let requests = world.numbers(EVENTS).map(accept::event).collect();
    Load::of(CONNECTIONS).post(service.http, load::prepared(requests)).await;
    service.stop().await;
    world.destroy().await;
    for inclusive in ["yes", "no"] {
        let mut annotate = Command::new("callgrind_annotate");
        annotate.arg(format!("--inclusive={inclusive}")).arg(&counts);
        let output = annotate.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{EVENTS} events, instructions, inclusive: {inclusive}\n");
        text.lines().filter(|line| line.contains('%')).take(60).for_each(|line| println!("{line}"));
    }
    println!("\nThe whole: {}", counts.display());
}
