//! The platform's name, logo and color in the demo. Logos are served by the demo itself, as the
//! platform's web server would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::http::header;
use axum::routing::get;

use super::Options;

/// What letters and pages show of the platform.
#[derive(Clone, Debug)]
pub(super) struct DemoBrand {
    /// The name of the program.
    pub(super) name: String,
    /// `#rrggbb`; `None`: the service's default.
    pub(super) color: Option<String>,
    logo: Option<Logo>,
    logo_dark: Option<Logo>,
}

#[derive(Clone, Debug)]
struct Logo {
    path: &'static str,
    media_type: &'static str,
    bytes: Arc<[u8]>,
}

const NAME: &str = "Rocket Capital";
const COLOR: &str = "#0f766e";
const LOGO: &[u8] = include_bytes!("../../templates/demo/logo.png");
const DARK_LOGO: &[u8] = include_bytes!("../../templates/demo/logo-dark.png");
const LOGO_PATH: &str = "/brand/logo";
const DARK_LOGO_PATH: &str = "/brand/logo-dark";

/// Files by their extension: what browsers and mail programs show. Few mail programs show WebP, and
/// none of the large ones SVG.
const TYPES: [(&str, &str); 4] =
    [("png", "image/png"), ("jpg", "image/jpeg"), ("jpeg", "image/jpeg"), ("gif", "image/gif")];

impl DemoBrand {
    /// Reads the files. Without a name and a logo of the user's, the demo has a brand of its own.
    pub(super) fn new(options: &Options) -> anyhow::Result<Self> {
        if options.brand.is_none() && options.logo.is_none() {
            let color = options.color.clone().unwrap_or_else(|| COLOR.to_owned());
            return Ok(Self {
                name: NAME.to_owned(),
                color: Some(color),
                logo: Some(Logo::built_in(LOGO_PATH, LOGO)),
                logo_dark: Some(Logo::built_in(DARK_LOGO_PATH, DARK_LOGO)),
            });
        }
        let read = |file: &Option<PathBuf>, path| {
            file.as_deref().map(|file| Logo::read(file, path)).transpose()
        };
        Ok(Self {
            name: options.brand.clone().unwrap_or_else(|| NAME.to_owned()),
            color: options.color.clone(),
            logo: read(&options.logo, LOGO_PATH)?,
            logo_dark: read(&options.logo_dark, DARK_LOGO_PATH)?,
        })
    }

    /// The URLs of the logos, for light and for dark; empty where there is none.
    pub(super) fn logo_urls(&self, address: SocketAddr) -> [String; 2] {
        [&self.logo, &self.logo_dark].map(|logo| {
            logo.as_ref().map_or_else(String::new, |logo| format!("http://{address}{}", logo.path))
        })
    }

    pub(super) fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let logos = [&self.logo, &self.logo_dark].into_iter().flatten().cloned();
        logos.fold(Router::new(), |router, Logo { path, media_type, bytes }| {
            let show =
                move || async move { ([(header::CONTENT_TYPE, media_type)], bytes.to_vec()) };
            router.route(path, get(show))
        })
    }
}

impl Logo {
    fn built_in(path: &'static str, png: &[u8]) -> Self {
        Self { path, media_type: "image/png", bytes: png.into() }
    }

    fn read(file: &Path, path: &'static str) -> anyhow::Result<Self> {
        let extension = file.extension().and_then(|extension| extension.to_str());
        let known = TYPES.iter().find(|(name, _)| {
            extension.is_some_and(|extension| extension.eq_ignore_ascii_case(name))
        });
        let Some((_, media_type)) = known else {
            bail!(
                "{}: not a picture that all mail programs show: use a PNG, JPEG or GIF file",
                file.display()
            );
        };
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self { path, media_type, bytes: bytes.into() })
    }
}
