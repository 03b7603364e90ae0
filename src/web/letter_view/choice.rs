//! What the address of a page selects (`?view=text&width=phone`), and the links to the other
//! choices. An unknown value is the default, as is a missing one.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use super::email::ParsedEmail;
use super::frame::{FrameLinks, FrameOptions, ImageLoading, Scheme};

/// The choices in the address of the page and of the frame.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ViewQuery {
    view: String,
    width: String,
    scheme: String,
    images: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
enum Facet {
    #[default]
    Html,
    Text,
    Headers,
    Raw,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
enum FrameWidth {
    #[default]
    Desktop,
    /// 375 pixels.
    Phone,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ViewChoice {
    facet: Facet,
    width: FrameWidth,
    scheme: Scheme,
    loading: ImageLoading,
}

/// Where the page that shows the email has its parts.
#[derive(Clone, Debug)]
pub struct LetterSources<'a> {
    pub page: String,
    pub frame: String,
    /// What all addresses keep, as `name=value&…`.
    pub query: String,
    pub links: FrameLinks,
    /// The exact bytes; `None` if this visitor may not see them.
    pub raw: Option<&'a [u8]>,
}

/// The variable `letter` of the template.
#[derive(Clone, Debug, Serialize)]
pub struct LetterView {
    facets: Vec<ChoiceLink>,
    options: Vec<ChoiceGroup>,
    frame: Option<LetterFrame>,
    text: Option<String>,
    headers: Option<Vec<(String, String)>>,
    raw: Option<RawMessage>,
}

#[derive(Clone, Debug, Serialize)]
struct RawMessage {
    text: String,
    /// The text is only the beginning.
    is_cut: bool,
    bytes: usize,
    /// Of all bytes, in hexadecimal.
    sha256: String,
}

#[derive(Clone, Debug, Serialize)]
struct ChoiceLink {
    label: &'static str,
    url: String,
    is_current: bool,
}

#[derive(Clone, Debug, Serialize)]
struct ChoiceGroup {
    label: &'static str,
    choices: Vec<ChoiceLink>,
}

#[derive(Clone, Debug, Serialize)]
struct LetterFrame {
    url: String,
    width: &'static str,
    scheme: &'static str,
    sandbox: &'static str,
}

/// A browser shows more of a text only slowly.
const MAX_RAW: usize = 256 * 1024;

impl ViewQuery {
    /// For the frame, whose address has the choices of the page's.
    pub fn options<'a>(
        &self,
        links: FrameLinks,
        images: impl IntoIterator<Item = &'a Url>,
    ) -> FrameOptions<'a> {
        let ViewChoice { scheme, loading, .. } = self.choice();
        FrameOptions { scheme, loading, images: images.into_iter().collect(), links }
    }

    fn choice(&self) -> ViewChoice {
        ViewChoice {
            facet: parse(&self.view),
            width: parse(&self.width),
            scheme: parse(&self.scheme),
            loading: parse(&self.images),
        }
    }
}

fn parse<T: FromStr + Default>(value: &str) -> T {
    value.parse().unwrap_or_default()
}

impl ViewChoice {
    /// The address without choices that are the default.
    fn url(self, page: &str, query: &str) -> String {
        let default = Self::default();
        let fields: [(&str, &str, bool); 4] = [
            ("view", self.facet.into(), self.facet == default.facet),
            ("width", self.width.into(), self.width == default.width),
            ("scheme", self.scheme.into(), self.scheme == default.scheme),
            ("images", self.loading.into(), self.loading == default.loading),
        ];
        let mut encoded = form_urlencoded::Serializer::new(query.to_owned());
        for (name, value, is_default) in fields {
            if !is_default {
                encoded.append_pair(name, value);
            }
        }
        let encoded = encoded.finish();
        if encoded.is_empty() { page.to_owned() } else { format!("{page}?{encoded}") }
    }
}

impl LetterView {
    pub fn new(email: &ParsedEmail, query: &ViewQuery, sources: &LetterSources<'_>) -> Self {
        let mut choice = query.choice();
        let has = |facet: &Facet| match facet {
            Facet::Html => email.html.is_some(),
            Facet::Text => email.text.is_some(),
            Facet::Headers => !email.headers.is_empty(),
            Facet::Raw => sources.raw.is_some(),
        };
        let facets = [Facet::Html, Facet::Text, Facet::Headers, Facet::Raw];
        if !has(&choice.facet) {
            choice.facet = facets.into_iter().find(has).unwrap_or_default();
        }
        let link = |label, other: ViewChoice| ChoiceLink {
            label,
            // The fragment keeps the email in sight.
            url: other.url(&sources.page, &sources.query) + "#letter",
            is_current: other == choice,
        };
        let is = |facet| choice.facet == facet;
        let label = |facet| match facet {
            Facet::Html => "HTML",
            Facet::Text => "Text",
            Facet::Headers => "Headers",
            Facet::Raw => "Raw",
        };
        let facets = facets.into_iter().filter(has);
        Self {
            facets: facets
                .map(|facet| link(label(facet), ViewChoice { facet, ..choice }))
                .collect(),
            options: if is(Facet::Html) { options(choice, link) } else { Vec::new() },
            frame: email.html.as_ref().filter(|_| is(Facet::Html)).map(|_| LetterFrame {
                url: choice.url(&sources.frame, &sources.query),
                width: choice.width.into(),
                scheme: choice.scheme.into(),
                sandbox: sources.links.sandbox(),
            }),
            text: email.text.clone().filter(|_| is(Facet::Text)),
            headers: is(Facet::Headers).then(|| email.headers.clone()),
            raw: sources.raw.filter(|_| is(Facet::Raw)).map(RawMessage::new),
        }
    }
}

impl RawMessage {
    fn new(bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(MAX_RAW)];
        Self {
            text: String::from_utf8_lossy(shown).into_owned(),
            is_cut: shown.len() < bytes.len(),
            bytes: bytes.len(),
            sha256: hex::encode(Sha256::digest(bytes)),
        }
    }
}

fn options(
    choice: ViewChoice,
    link: impl Fn(&'static str, ViewChoice) -> ChoiceLink,
) -> Vec<ChoiceGroup> {
    let width = |width| ViewChoice { width, ..choice };
    let scheme = |scheme| ViewChoice { scheme, ..choice };
    let loading = |loading| ViewChoice { loading, ..choice };
    vec![
        ChoiceGroup {
            label: "Width",
            choices: vec![
                link("Desktop", width(FrameWidth::Desktop)),
                link("Phone", width(FrameWidth::Phone)),
            ],
        },
        ChoiceGroup {
            label: "Colors",
            choices: vec![link("Light", scheme(Scheme::Light)), link("Dark", scheme(Scheme::Dark))],
        },
        ChoiceGroup {
            label: "Images",
            choices: vec![
                link("On", loading(ImageLoading::On)),
                link("Off", loading(ImageLoading::Off)),
            ],
        },
    ]
}
