//! The two addresses that a process listens on: the public one, and the operators'.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, Role};
use crate::http;
use crate::web::ops;

/// A listener, and what it serves.
pub(super) struct Side {
    pub(super) address: SocketAddr,
    listener: TcpListener,
    router: Router,
    limits: http::Limits,
}

impl Side {
    async fn listen(
        listen: SocketAddr,
        router: Router,
        limits: http::Limits,
    ) -> anyhow::Result<Self> {
        let listener = http::bind(listen).await?;
        Ok(Self { address: listener.local_addr()?, listener, router, limits })
    }

    pub(super) fn serve(
        self,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        http::serve(self.listener, self.router, self.limits, tracker.clone(), stop.clone())
    }
}

impl App {
    pub(super) async fn ops_side(&self) -> anyhow::Result<Side> {
        let sources = ops::Sources {
            db: self.database.pool.clone(),
            clock: self.clock.clone(),
            circuits: self.circuits.to_vec(),
            reports: self.reports.clone(),
        };
        let router = ops::router(self.database.pool.clone(), self.clock.clone())
            .merge(ops::metrics(sources));
        // Connections of its own: probes get through while the public side is full.
        let limits =
            http::Limits { max_connections: ops::MAX_CONNECTIONS, ..self.settings.http.limits };
        Side::listen(self.settings.ops.listen, router, limits).await
    }

    /// None where this process takes no webhooks.
    pub(super) async fn public_side(&self, role: Role) -> anyhow::Result<Option<Side>> {
        if role == Role::Worker {
            return Ok(None);
        }
        let http::Settings { listen, mut limits } = self.settings.http;
        limits.max_connections = http::descriptors::affordable(limits.max_connections);
        Side::listen(listen, self.router()?, limits).await.map(Some)
    }
}
