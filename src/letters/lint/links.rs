//! Where the letter's links lead: to stable pages, by https, and where they say that they lead.

use std::sync::LazyLock;

use regex::Regex;
use scraper::node::Element;
use url::Url;

use super::builtin_rules::builtin;
use super::words::{WordKind, Words, pattern};
use super::{Finding, Letter, Part, Passage};
use crate::http::is_loopback;

/// Parameters of signed, expiring or one-use links: those of S3, Google Cloud, `CloudFront` and
/// Azure, and the usual names of sessions, logins and confirmations.
static EXPIRING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?xi)^(?: exp | hmac | jwt | key-pair-id | magic | one_?time | otp | session
            | session_id | sid | sig | valid_until
            | (?:expir|x-amz-|x-goog-|x-oss-).* | .*(?:token|signature) )$",
    )
});
/// A JSON Web Token has three parts, of which the first is base64 of `{"`.
static WEB_TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^eyJ[^.]*\.[^.]*\.[^.]*$"));
/// `rocket.example/capital`, but not `e.g.` nor the end of one sentence before the next.
static BARE_ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:[a-z0-9-]+\.)+[a-z]{2,}(?:[/?#].*)?$"));

/// Services whose links hide where they lead.
const SHORTENERS: &str = "adf.ly bit.do bit.ly bitly.com bl.ink buff.ly cutt.ly db.tt dub.sh \
    goo.gl hubs.ly is.gd lnkd.in mcaf.ee ow.ly qr.ae rb.gy rebrand.ly s.id short.io shorturl.at \
    snip.ly soo.gd t.co t.ly tiny.cc tiny.one tinyurl.com v.gd wp.me";
/// Elements that mail programs remove, or for which they refuse a letter.
const ACTIVE_ELEMENTS: [&str; 8] =
    ["applet", "button", "embed", "form", "iframe", "input", "object", "script"];

/// A link, or an address in a text.
pub(super) struct Link {
    pub(super) address: String,
    pub(super) url: Option<Url>,
    pub(super) kind: LinkKind,
}

pub(super) enum LinkKind {
    /// It stands in the text, as mail programs make links of it.
    Written,
    Anchor {
        text: String,
        is_visible: bool,
    },
    /// It is loaded to be shown.
    Image,
}

impl Link {
    pub(super) fn new(address: &str, kind: LinkKind) -> Self {
        Self { address: address.to_owned(), url: parse(address), kind }
    }

    /// The web addresses that stand in a text, in the disclaimer too.
    pub(super) fn all_written(text: &Words) -> impl Iterator<Item = Self> {
        let words = text.all.iter().filter(|word| word.kind != WordKind::Word);
        let addresses = words.map(|word| text.written(word)).filter(|address| {
            address.contains(':') && !address.starts_with("mailto:") || is_bare(address)
        });
        addresses.map(|address| Self::new(address, LinkKind::Written))
    }

    /// Whether readers see words or an address to click on.
    pub(super) fn is_seen(&self) -> bool {
        match &self.kind {
            LinkKind::Written => true,
            LinkKind::Anchor { text, is_visible } => *is_visible && !text.trim().is_empty(),
            LinkKind::Image => false,
        }
    }

    /// The web page that it leads to.
    pub(super) fn page(&self) -> Option<&Url> {
        let is_image = matches!(self.kind, LinkKind::Image);
        self.url.as_ref().filter(|url| !is_image && matches!(url.scheme(), "http" | "https"))
    }
}

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Passage { part, links, .. } in letter.passages() {
        for link in links {
            let faults = faults(link, letter.input.unsubscribe_url);
            let found = |code| builtin(code).found(*part, shortened(&link.address));
            findings.extend(faults.into_iter().map(found));
            findings.extend(disguised(link));
        }
    }
    let active = letter.page.elements().filter_map(active);
    findings.extend(active.map(|found| builtin("active-content").found(Part::Html, found)));
    findings
}

/// An address as browsers read it: they ignore white space in it. `www.` needs no scheme.
fn parse(address: &str) -> Option<Url> {
    let is_ignored = |c: &char| c.is_control() || c.is_whitespace();
    let address: String = address.chars().filter(|c| !is_ignored(c)).collect();
    Url::parse(&if is_bare(&address) { format!("https://{address}") } else { address }).ok()
}

fn is_bare(address: &str) -> bool {
    address.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."))
}

/// The codes of the rules that a link breaks.
fn faults(link: &Link, unsubscribe_url: Option<&Url>) -> Vec<&'static str> {
    let Some(url) = &link.url else { return vec!["link-nowhere"] };
    let is_image = matches!(link.kind, LinkKind::Image);
    match url.scheme() {
        "https" | "http" => {}
        "mailto" | "tel" | "sms" if !is_image => return Vec::new(),
        "cid" if is_image => return Vec::new(),
        _ => return vec!["link-scheme"],
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_lowercase();
    // The links of a demonstration lead there; a merchant's cannot.
    let is_own_machine = is_loopback(&host) || host.ends_with(".localhost");
    let is_insecure = url.scheme() == "http" && !is_own_machine;
    let is_opt_out = unsubscribe_url == Some(url);
    let is_shortener = SHORTENERS.split_ascii_whitespace().any(|name| name == without_www(&host));
    let faults = [
        (is_insecure, "link-not-https"),
        (!is_opt_out && !url.username().is_empty(), "link-disguised"),
        (!is_opt_out && host == "connect.stripe.com", "account-link"),
        (!is_opt_out && is_shortener, "link-shortener"),
        // The link that stops the letters has a token of its own, which does not expire.
        (!is_opt_out && expires(url), "link-expires"),
    ];
    faults.into_iter().filter_map(|(is_broken, code)| is_broken.then_some(code)).collect()
}

fn expires(url: &Url) -> bool {
    let fragment = url.fragment().unwrap_or_default();
    let in_fragment = url::form_urlencoded::parse(fragment.as_bytes());
    let mut parameters = url.query_pairs().chain(in_fragment);
    parameters.any(|(name, value)| EXPIRING.is_match(&name) || WEB_TOKEN.is_match(&value))
        || url.path().split('/').any(|segment| WEB_TOKEN.is_match(segment))
}

fn active(element: &Element) -> Option<String> {
    let name = element.name();
    let handler = element.attrs().map(|(name, _)| name).find(|name| name.starts_with("on"));
    let is_refresh = |value: &str| value.eq_ignore_ascii_case("refresh");
    let redirects = name == "meta" && element.attr("http-equiv").is_some_and(is_refresh);
    match handler {
        Some(handler) => Some(format!("<{name} {handler}=…>")),
        None => (ACTIVE_ELEMENTS.contains(&name) || redirects).then(|| format!("<{name}>")),
    }
}

/// Where the text of a link is another address than the one that it leads to.
fn disguised(link: &Link) -> Vec<Finding> {
    let (LinkKind::Anchor { text, .. }, Some(target)) = (&link.kind, &link.url) else {
        return Vec::new();
    };
    let chunks = text.split_whitespace();
    let chunks =
        chunks.map(|chunk| chunk.trim_matches(['.', ',', ';', ':', '(', ')', '<', '>', '"']));
    let others = chunks.filter(|chunk| is_another(chunk, target));
    others
        .map(|chunk| {
            let found = format!("“{}” leads to {}", shortened(chunk), shortened(target.as_str()));
            builtin("link-disguised").found(Part::Html, found)
        })
        .collect()
}

fn is_another(said: &str, target: &Url) -> bool {
    if said.contains('@') && !said.contains('/') {
        return target.scheme() == "mailto"
            && !target.path().eq_ignore_ascii_case(said.trim_start_matches("mailto:"));
    }
    let has_scheme = said.contains("://") || is_bare(said);
    let bare = || BARE_ADDRESS.is_match(said).then(|| format!("https://{said}"));
    let address = if has_scheme { Some(said.to_owned()) } else { bare() };
    let Some(said) = address.and_then(|address| parse(&address)) else { return false };
    let host = |url: &Url| without_www(url.host_str().unwrap_or_default()).to_owned();
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    host(&said) != host(target)
        || !path(&said).is_empty() && path(&said) != path(target)
        || said.query().is_some() && said.query() != target.query()
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// Enough to find the address again. What follows the `?` may be a secret.
pub(super) fn shortened(address: &str) -> String {
    const MAX_CHARS: usize = 60;
    let (shown, query) = address.split_once('?').unwrap_or((address, ""));
    let cut: String = shown.chars().take(MAX_CHARS).collect();
    let is_cut = !query.is_empty() || cut.len() < shown.len();
    if is_cut { cut + "…" } else { cut }
}
