//! The two listeners of a process: public and for operators.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, Role};
use crate::http;
use crate::web::ops;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    listener: TcpListener,
    router: Router,
    limits: http::ConnectionLimits,
}

impl Server {
    async fn listen(
        listen: SocketAddr,
        router: Router,
        limits: http::ConnectionLimits,
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
    pub(super) async fn ops_server(&self) -> anyhow::Result<Server> {
        let router = ops::router(self.database.pool.clone(), self.clock.clone())
            .merge(ops::metrics(self.metric_sources()));
        // A limit of its own: probes are answered while the public listener is at its limit.
        let limits = http::ConnectionLimits {
            max_connections: ops::MAX_CONNECTIONS,
            ..self.settings.http.limits
        };
        Server::listen(self.settings.ops.listen, router, limits).await
    }

    /// `None` for a worker.
    pub(super) async fn public_server(&self, role: Role) -> anyhow::Result<Option<Server>> {
        if role == Role::Worker {
            return Ok(None);
        }
        let http::Settings { listen, mut limits } = self.settings.http;
        limits.max_connections = http::cap_to_descriptors(limits.max_connections);
        Server::listen(listen, self.router()?, limits).await.map(Some)
    }
}
