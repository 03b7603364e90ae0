//! A real PgBouncer in front of a test's own database. `scripts/test` finds or installs it.

use std::process::Stdio;
use std::time::Duration;

use sqlx::PgPool;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::process::url_of;

pub struct PgBouncer {
    _server: Child,
    _folder: TempDir,
    /// The database, through PgBouncer.
    pub url: String,
}

impl PgBouncer {
    /// Starts a PgBouncer in this pool mode with `servers` connections to Postgres. `extra` lines
    /// are added to a configuration without any setting made for this service.
    pub async fn start(db: &PgPool, mode: &str, servers: u32, extra: &str) -> Self {
        let command = std::env::var("COURIER_TEST_PGBOUNCER")
            .unwrap_or_else(|_| "/usr/sbin/pgbouncer".to_owned());
        let direct = url::Url::parse(&url_of(db)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (host, server_port) = (direct.host_str().unwrap(), direct.port().unwrap_or(5432));
        let (user, password) = (direct.username(), direct.password().unwrap_or_default());
        // PgBouncer refuses to run as root.
        let id = std::process::Command::new("id").arg("-u").output().unwrap();
        let as_user = if id.stdout == b"0\n" { "user = nobody" } else { "" };
        let configuration = format!(
            "[databases]\n* = host={host} port={server_port} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\n{as_user}\n\
             pool_mode = {mode}\ndefault_pool_size = {servers}\nmax_client_conn = 500\n{extra}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, configuration).unwrap();
        // PgBouncer reads the file as that user.
        let opened =
            std::process::Command::new("chmod").arg("-R").arg("a+rX").arg(folder.path()).status();
        assert!(opened.unwrap().success());
        let server = Command::new(command)
            .arg("-q")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listens).await.expect("PgBouncer listens");
        let mut url = direct;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        Self { _server: server, _folder: folder, url: url.into() }
    }
}
