//! The secrets of a demo: made at its first start and kept in its folder, readable by its user
//! alone, so that no other local program can guess them.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The file in the folder.
pub(super) const FILE: &str = "secrets.json";

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secrets {
    /// Of the simulated Stripe.
    pub(super) stripe_key: String,
    pub(super) webhook_secret: String,
    /// `portal.token_secret`
    pub(super) token_secret: String,
    /// Signs the visitors of the console in.
    pub(super) ops_token: String,
    /// Of the service's API, once it is created.
    pub(super) api_key: Option<String>,
}

impl Secrets {
    /// Those in the folder, or new ones.
    pub(super) fn of(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged: delete {}", file.display(), dir.display())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = Self::random();
                new.save(dir)?;
                Ok(new)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn random() -> Self {
        let hex = || hex::encode(rand::random::<[u8; 20]>());
        Self {
            stripe_key: format!("sk_test_{}", hex()),
            webhook_secret: format!("whsec_{}", hex()),
            token_secret: hex(),
            ops_token: hex(),
            api_key: None,
        }
    }

    /// Replaces the file at once: a crash leaves the old one or the new one.
    pub(super) fn save(&self, dir: &Path) -> anyhow::Result<()> {
        let partial = dir.join(format!("{FILE}.partial"));
        let write = || -> io::Result<()> {
            // The mode is given to new files only.
            let _ = std::fs::remove_file(&partial);
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&partial)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&partial, dir.join(FILE))
        };
        write().with_context(|| format!("cannot write {}", dir.join(FILE).display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_folder_keeps_secrets_of_its_own_for_its_user_alone() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut first = Secrets::of(one.path()).unwrap();
        first.api_key = Some("courier_1".to_owned());
        first.save(one.path()).unwrap();
        let again = Secrets::of(one.path()).unwrap();
        assert_eq!(again.token_secret, first.token_secret);
        assert_eq!(again.api_key, first.api_key);
        assert_ne!(Secrets::of(other.path()).unwrap().token_secret, first.token_secret);
        let mode = std::fs::metadata(one.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
