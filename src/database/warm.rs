//! Connections that were used a moment ago.
//!
//! sqlx's pool hands out the connection that nobody has used for longest, and asks the server
//! whether it lives each time one is returned. So a busy service sends its statements to all servers in
//! turn, each of which has lost its place in the processor's caches since, and every other message
//! is a question. Here the connection that was used last is used next, and is not asked about: within
//! [`UNTESTED`] of its last use it is as good as it was.
//!
//! Whatever is not sure to be idle and well, because its user failed or was cancelled, goes back to
//! sqlx's pool, which finds out. So does what was not used for a minute, to be closed in time, and each
//! connection after a minute of use, to be replaced when it is old.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Postgres, pool::PoolConnection};
use tokio::time::timeout;

use super::DatabaseHealth;

/// A connection that was idle for longer is tested before it is used. One that broke within this
/// time fails its next user, as if it had broken a moment later.
const UNTESTED: Duration = Duration::from_secs(1);
/// How long a connection stays away from sqlx's pool, in constant use or without any. The pool has
/// it replaced after half an hour, or closed after ten minutes without use.
const MAX_WARM: Duration = Duration::from_mins(1);

/// A connection in use. If it is dropped, it goes back to sqlx's pool.
#[derive(Debug)]
pub(super) struct WarmConnection {
    connection: PoolConnection<Postgres>,
    /// When it was asked for at sqlx's pool.
    taken_at: Instant,
}

#[derive(Debug)]
pub(super) struct WarmConnections(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The one used last is at the end, with the time of its last use.
    idle: Vec<(WarmConnection, Instant)>,
    capacity: usize,
    /// Users that wait for sqlx's pool. What is given back must go there: they see nothing else.
    waiting: usize,
}

/// Waits for sqlx's pool.
pub(super) struct WaitingUser<'a>(&'a WarmConnections);

impl Drop for WaitingUser<'_> {
    fn drop(&mut self) {
        self.0.0.lock().waiting -= 1;
    }
}

impl WarmConnections {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Mutex::new(State { idle: Vec::new(), capacity, waiting: 0 }))
    }

    /// The connection that was used last, or one of `pool`.
    pub(super) async fn acquire(
        &self,
        pool: &PgPool,
        health: &DatabaseHealth,
    ) -> sqlx::Result<WarmConnection> {
        let last = self.0.lock().idle.pop();
        if let Some((mut warm, last_use)) = last {
            let limit = pool.options().get_acquire_timeout();
            let is_usable = health.may_use(warm.taken_at.elapsed())
                && timeout(limit, is_alive(&mut warm, last_use.elapsed())).await.unwrap_or(false);
            if is_usable {
                return Ok(warm);
            }
            self.disconnect(warm);
        }
        let taken_at = Instant::now();
        let _waiting = self.wait_for_pool();
        Ok(WarmConnection { connection: pool.acquire().await?, taken_at })
    }

    /// Closes a broken connection, and the others, which were used before it. sqlx's pool would wait
    /// for an answer on each.
    fn disconnect(&self, broken: WarmConnection) {
        let others = std::mem::take(&mut self.0.lock().idle);
        drop(broken.connection.detach());
        for (other, _) in others {
            drop(other.connection.detach());
        }
    }

    /// Gives all to sqlx's pool, and what is given back meanwhile.
    pub(super) fn wait_for_pool(&self) -> WaitingUser<'_> {
        let mut state = self.0.lock();
        state.waiting += 1;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
        WaitingUser(self)
    }

    /// Takes back a connection that is idle, outside of a transaction, and was well at its last use.
    pub(super) fn give_back(&self, connection: WarmConnection) {
        let mut state = self.0.lock();
        let is_kept = state.waiting == 0
            && state.idle.len() < state.capacity
            && connection.taken_at.elapsed() < MAX_WARM;
        if is_kept {
            state.idle.push((connection, Instant::now()));
        }
        let is_unused = |(_, last_use): &(_, Instant)| last_use.elapsed() >= MAX_WARM;
        let unused = state.idle.first().is_some_and(is_unused).then(|| state.idle.remove(0));
        drop(state);
        drop(unused);
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().idle.len()
    }

    /// Keeps none from now on.
    pub(super) fn close(&self) {
        self.0.lock().capacity = 0;
        drop(self.wait_for_pool());
    }
}

/// Whether a connection was used a moment ago, or answers.
pub(super) async fn is_alive(connection: &mut PgConnection, idle_for: Duration) -> bool {
    idle_for < UNTESTED || connection.ping().await.is_ok()
}

impl Deref for WarmConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for WarmConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
