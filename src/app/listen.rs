//! The two listeners of a process: public and for operators.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parts::sample_link;
use super::{App, Role};
use crate::http;
use crate::letters::lint::Rules;
use crate::web::console::{self, Console, Wordings};
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
            .merge(ops::metrics(self.metric_sources()))
            .merge(self.console()?);
        // A limit of its own: probes are answered while the public listener is at its limit.
        let limits = http::ConnectionLimits {
            max_connections: ops::MAX_CONNECTIONS,
            ..self.settings.http.limits
        };
        Server::listen(self.settings.ops.listen, router, limits).await
    }

    /// The pages for operators, or a sentence where they are switched off.
    pub fn console(&self) -> anyhow::Result<Router> {
        let Some(settings) = self.settings.console.clone() else {
            return Ok(console::switched_off());
        };
        let (db, clock) = (self.database.pool.clone(), self.clock.clone());
        let wordings = Wordings {
            writer: self.banners.writer.clone(),
            disclaimers: self.banners.disclaimers.all(),
            rules: Arc::new(Rules::built_in().context("cannot use the rules of the lint")?),
            unsubscribe_link: sample_link(&self.settings.email),
        };
        let circuits = self.circuits.to_vec();
        let checks = Arc::new(self.check_parts());
        let console = Console { db, clock, wordings, circuits, checks, settings };
        console::router(console).context("cannot use a template of the console")
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
