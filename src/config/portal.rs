//! The settings of the Capital section.

use url::Url;

use super::reader::Reader;
use crate::flow::email;
use crate::web::portal::{Brand, Keys, Settings};

impl Reader<'_> {
    /// The section needs an address that merchants reach, and something to verify the dashboard's tokens with. None where there is no
    /// such address, and where something is wrong, which is told as a fault.
    pub(super) fn portal(&mut self, email: Option<&email::Settings>) -> Option<Settings> {
        let audience =
            self.required("portal.token_audience", "the `aud` of the dashboard's tokens");
        let (secret, pem) =
            (self.text("portal.token_secret"), self.text("portal.token_public_key"));
        let session = self.duration("portal.session");
        let (logo, accent) =
            (self.maybe_url("portal.logo_url"), self.parsed("portal.accent_color", "#rrggbb"));
        let (refresh, back) =
            (self.maybe_url("capital.refresh_url"), self.maybe_url("capital.return_url"));
        let public_url = self.maybe_url("http.public_url")?;
        let keys = self.token_keys(&secret?, &pem?, &audience?)?;
        let email = email?;
        Some(Settings {
            keys,
            public_url,
            session: session?,
            refresh_url: refresh,
            return_url: back,
            locale_metadata_key: email.locale_metadata_key.clone(),
            brand: Brand {
                program_name: email.program_name.clone(),
                dashboard_url: email.dashboard_url.clone(),
                logo_url: logo,
                accent: accent?,
            },
        })
    }

    fn token_keys(&mut self, secret: &str, pem: &str, audience: &str) -> Option<Keys> {
        if pem.is_empty() {
            return (!secret.is_empty()).then(|| Keys::shared(&secret.to_owned().into(), audience));
        }
        match Keys::public(pem, audience) {
            Ok(keys) => Some(keys),
            Err(error) => {
                self.fault("portal.token_public_key", &error.to_string());
                None
            }
        }
    }

    fn maybe_url(&mut self, key: &str) -> Option<Url> {
        if self.text(key)?.is_empty() { None } else { self.url(key) }
    }
}
