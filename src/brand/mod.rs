//! The platform's branding: the name of its Capital program, its dashboard, its logo and its
//! color. Letters, the Capital section and the unsubscribe page show the same.

mod color;

use serde::Serialize;
use url::Url;

pub use color::{Accent, BadColor};

/// Templates use the names of the fields.
#[derive(Clone, Debug, Serialize)]
pub struct Brand {
    /// The name of the platform's Capital program.
    pub program_name: String,
    /// The platform's page that signs merchants in.
    pub dashboard_url: Url,
    /// For light backgrounds. Without `logo_dark_url` it stands on a light plate in dark mode.
    pub logo_url: Option<Url>,
    /// For dark backgrounds.
    pub logo_dark_url: Option<Url>,
    /// Buttons, bars and links.
    pub accent: Accent,
}

impl Brand {
    /// Those that are set.
    pub fn logos(&self) -> impl Iterator<Item = &Url> {
        [&self.logo_url, &self.logo_dark_url].into_iter().flatten()
    }

    /// The logos' origins, as a source list of a Content-Security-Policy.
    pub fn image_sources(&self) -> String {
        let origins = self.logos().map(|url| url.origin().ascii_serialization());
        let mut origins: Vec<_> = origins.collect();
        origins.dedup();
        if origins.is_empty() { "'none'".to_owned() } else { origins.join(" ") }
    }
}

#[cfg(test)]
impl Brand {
    /// Without a logo.
    pub(crate) fn sample() -> Self {
        let dashboard = Url::parse("https://rocket.example/capital?tab=offer&from=letter");
        Self {
            program_name: "Rocket Capital".to_owned(),
            dashboard_url: dashboard.unwrap(),
            logo_url: None,
            logo_dark_url: None,
            accent: Accent::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_load_the_logos_and_no_other_image() {
        let sources = |logo: Option<&str>, dark: Option<&str>| {
            let url = |of: Option<&str>| of.map(|text| Url::parse(text).unwrap());
            let (logo_url, logo_dark_url) = (url(logo), url(dark));
            Brand { logo_url, logo_dark_url, ..Brand::sample() }.image_sources()
        };
        let [here, there] = ["https://cdn.example/a.png", "https://img.example:8443/b.png?v=2"];
        assert_eq!(sources(None, None), "'none'");
        assert_eq!(sources(Some(here), None), "https://cdn.example");
        assert_eq!(sources(Some(here), Some("https://cdn.example/b.png")), "https://cdn.example");
        let both = "https://cdn.example https://img.example:8443";
        assert_eq!(sources(Some(here), Some(there)), both);
    }
}
