//! The state on disk, as JSON: a host program saves it, and restores it at its next start. A file
//! is replaced as a whole, so a process that is killed leaves the previous one.
//!
//! Account Links and faults are not saved, nor the endpoint that the host registers itself.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::feed::{FeedEntry, NumberedEntry, Tone};
use crate::http::idempotency::{IdempotencyKeys, SavedKey};
use crate::state::State;

/// Changes with every change of what is saved: another format is refused, never half read.
const FORMAT: u32 = 1;
/// Changes come in bursts: one write for all of this time.
const AUTOSAVE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct SnapshotOf<'a> {
    format: u32,
    saved_at: DateTime<Utc>,
    state: &'a State,
    idempotency_keys: Vec<SavedKey>,
    feed: Vec<NumberedEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    #[serde(rename = "format")]
    _format: u32,
    saved_at: DateTime<Utc>,
    state: State,
    idempotency_keys: Vec<SavedKey>,
    feed: Vec<NumberedEntry>,
}

/// What every format has.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

pub(crate) fn save(engine: &Engine, keys: &IdempotencyKeys, path: &Path) -> io::Result<()> {
    // One writer at a time: the temporary file has one name, so that a killed process leaves one.
    let _writing = engine.writing();
    let json = {
        let state = engine.state();
        serde_json::to_vec(&SnapshotOf {
            format: FORMAT,
            saved_at: engine.time.now(),
            state: &state,
            idempotency_keys: keys.save(),
            feed: engine.feed.numbered(),
        })?
    };
    let temporary = temporary(path);
    let mut file = File::create(&temporary)?;
    file.write_all(&json)?;
    // Before the rename, or a crash of the machine could leave the new name with old content.
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Replaces the state. False if there is no file. The clock moves forward to the time of the
/// saving; it never moves back.
pub(crate) fn restore(engine: &Engine, keys: &IdempotencyKeys, path: &Path) -> io::Result<bool> {
    let json = match std::fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let refuse = |why: String| {
        let message = format!("cannot restore the simulated Stripe from {}: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let head: Head = serde_json::from_slice(&json)
        .map_err(|error| refuse(format!("it is no saved state ({error})")))?;
    if head.format != FORMAT {
        return Err(refuse(format!(
            "it was saved by another version (format {}, this version reads {FORMAT}); delete the \
             file to start anew",
            head.format
        )));
    }
    let saved: Snapshot =
        serde_json::from_slice(&json).map_err(|error| refuse(error.to_string()))?;
    let mut state = engine.state();
    if saved.state.livemode != state.livemode {
        return Err(refuse("its mode, live or test, is not that of the API key".to_owned()));
    }
    let (endpoint, last_id) = (state.endpoint.take(), state.last_id);
    *state = saved.state;
    state.endpoint = endpoint;
    // Ids that this process gave out already must not be given out again.
    state.last_id = state.last_id.max(last_id);
    drop(state);
    keys.restore(saved.idempotency_keys);
    engine.feed.restore(saved.feed);
    let ahead = saved.saved_at - engine.time.now();
    if ahead > chrono::TimeDelta::zero() {
        engine.time.advance(ahead);
    }
    Ok(true)
}

/// Saves after changes, until the simulator stops.
pub(crate) fn autosave(engine: &Arc<Engine>, keys: Arc<IdempotencyKeys>, path: PathBuf) {
    let engine = Arc::clone(engine);
    let tasks = engine.tasks.clone();
    tasks.spawn(async move {
        let mut changes = engine.changes();
        while !engine.stop.is_cancelled() {
            tokio::select! {
                () = engine.stop.cancelled() => {}
                _ = changes.changed() => {
                    tokio::select! {
                        () = engine.stop.cancelled() => {}
                        () = tokio::time::sleep(AUTOSAVE_INTERVAL) => {}
                    }
                }
            }
            // Before the saving: a change during it is saved next time.
            changes.mark_unchanged();
            let (saving, keys, path) = (Arc::clone(&engine), Arc::clone(&keys), path.clone());
            let saved = engine.tasks.spawn_blocking(move || save(&saving, &keys, &path)).await;
            if let Ok(Err(error)) = saved {
                report(&engine, &error);
            }
        }
    });
}

fn report(engine: &Engine, error: &io::Error) {
    let entry = FeedEntry {
        at: engine.time.now(),
        account: None,
        text: format!("The simulated Stripe was not saved: {error}"),
        link: None,
        tone: Tone::Bad,
    };
    engine.feed.push_merged("not_saved", entry);
}
