//! A wrong wall clock on the machine of the first replica, made by libfaketime. Its monotonic clock is
//! left alone, as that of a real machine is when somebody sets the time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::World;

/// The file that libfaketime reads the present offset from.
const OFFSET_FILE: &str = "FAKETIME_TIMESTAMP_FILE";

/// What `scripts/campaign --clock` asks for: an offset such as `+90s`, or `jump`. Nothing without it.
pub fn environment(dir: &Path) -> HashMap<String, String> {
    let Ok(clock) = std::env::var("COURIER_CAMPAIGN_CLOCK") else { return HashMap::new() };
    let library =
        std::env::var("COURIER_CAMPAIGN_FAKETIME").expect("scripts/campaign finds libfaketime");
    let mut env = HashMap::from([
        ("LD_PRELOAD".to_owned(), library),
        ("DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ]);
    if clock == "jump" {
        let file = dir.join("offset");
        std::fs::write(&file, "+0s\n").unwrap();
        env.insert(OFFSET_FILE.to_owned(), file.display().to_string());
        env.insert("FAKETIME_CACHE_DURATION".to_owned(), "1".to_owned());
    } else {
        env.insert("FAKETIME".to_owned(), clock);
    }
    env
}

/// Sets the clock anew every two seconds, where it is to jump.
pub async fn jump(world: Arc<World>) {
    let Some(file) = world.wrong_clock.get(OFFSET_FILE) else { return };
    let mut dice = StdRng::seed_from_u64(world.plan.seed ^ 0xc10c);
    while !world.over.is_cancelled() {
        let offset = ["+0s", "+90s", "-90s", "+1h", "-1h", "+400d"][dice.random_range(0..6)];
        std::fs::write(file, format!("{offset}\n")).unwrap();
        tokio::select! {
            () = world.over.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}
