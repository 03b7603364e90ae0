//! A wrong wall clock for the first replica, by libfaketime. The monotonic clock stays right, as on
//! a machine whose time is set.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::World;

/// The environment variable that names the file from which libfaketime reads the offset.
const OFFSET_FILE_VARIABLE: &str = "FAKETIME_TIMESTAMP_FILE";

/// The environment for `scripts/campaign --clock`, which gives an offset such as `+90s`, or `jump`.
/// Empty without that option.
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
        env.insert(OFFSET_FILE_VARIABLE.to_owned(), file.display().to_string());
        env.insert("FAKETIME_CACHE_DURATION".to_owned(), "1".to_owned());
    } else {
        env.insert("FAKETIME".to_owned(), clock);
    }
    env
}

/// Sets a new offset every two seconds, if the clock is to jump.
pub async fn jump(world: Arc<World>) {
    let Some(file) = world.wrong_clock.get(OFFSET_FILE_VARIABLE) else { return };
    let mut rng = StdRng::seed_from_u64(world.plan.seed ^ 0xc10c);
    while !world.finished.is_cancelled() {
        let offset = ["+0s", "+90s", "-90s", "+1h", "-1h", "+400d"][rng.random_range(0..6)];
        std::fs::write(file, format!("{offset}\n")).unwrap();
        tokio::select! {
            () = world.finished.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}
