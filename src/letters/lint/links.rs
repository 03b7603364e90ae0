//! Where the letter's links lead: to stable pages, by https, and to where they say that they do.

use url::{Host, Url};

use super::html::Element;
use super::ours::{self, Ours};
use super::words::{Kind, Words};
use super::{Finding, Letter, Part};

/// Parameters of signed, expiring or one-use links: those of S3, Google Cloud, `CloudFront` and Azure, and what sessions, logins and
/// confirmations are usually called.
const EXPIRING: [&str; 13] = [
    "exp",
    "hmac",
    "jwt",
    "key-pair-id",
    "magic",
    "one_time",
    "onetime",
    "otp",
    "session",
    "session_id",
    "sid",
    "sig",
    "valid_until",
];
const EXPIRING_BEGIN: [&str; 4] = ["expir", "x-amz-", "x-goog-", "x-oss-"];
const EXPIRING_END: [&str; 2] = ["token", "signature"];

/// Services whose links hide where they lead.
const SHORTENERS: [&str; 30] = [
    "adf.ly",
    "bit.do",
    "bit.ly",
    "bitly.com",
    "bl.ink",
    "buff.ly",
    "cutt.ly",
    "db.tt",
    "dub.sh",
    "goo.gl",
    "hubs.ly",
    "is.gd",
    "lnkd.in",
    "mcaf.ee",
    "ow.ly",
    "qr.ae",
    "rb.gy",
    "rebrand.ly",
    "s.id",
    "short.io",
    "shorturl.at",
    "snip.ly",
    "soo.gd",
    "t.co",
    "t.ly",
    "tiny.cc",
    "tiny.one",
    "tinyurl.com",
    "v.gd",
    "wp.me",
];

/// Elements that do something.
const ACTIVE: [&str; 8] =
    ["applet", "button", "embed", "form", "iframe", "input", "object", "script"];

/// What is wrong with the links, and with what else reaches out of the letter.
pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, words) in letter.parts() {
        let shown = words.all.iter().filter(|word| word.kind != Kind::Word && is_web(&word.cased));
        for word in shown {
            findings.extend(
                faults(letter, &word.cased, false)
                    .iter()
                    .map(|rule| rule.found(part, shortened(&word.cased))),
            );
        }
    }
    for element in &letter.page.elements {
        for (target, is_image) in targets(element) {
            let found = faults(letter, target, is_image);
            findings.extend(found.iter().map(|rule| rule.found(Part::Html, shortened(target))));
        }
        findings.extend(active(element));
    }
    findings.extend(disguised(letter));
    findings
}

/// An address as browsers read it: without the white space that they pass over, and with a scheme where the text has none.
pub(super) fn parse(address: &str) -> Option<Url> {
    let address: String =
        address.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let bare = address.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
    Url::parse(&if bare { format!("https://{address}") } else { address }).ok()
}

/// The web addresses of a part, but the one that stops the letters.
pub(super) fn addresses(letter: &Letter<'_>, part: Part, words: &Words) -> Vec<Url> {
    let shown =
        words.all.iter().filter(|word| word.kind != Kind::Word).map(|word| word.cased.as_str());
    let linked =
        letter.page.elements.iter().filter(|element| part == Part::Html && element.name == "a");
    let linked = linked.filter_map(|element| element.get("href"));
    let all = shown.filter(|address| is_web(address)).chain(linked).filter_map(parse);
    all.filter(|url| {
        matches!(url.scheme(), "http" | "https") && Some(url) != letter.specimen.unsubscribe_url
    })
    .collect()
}

fn is_web(address: &str) -> bool {
    address.contains(':') && !address.starts_with("mailto:")
        || address.to_lowercase().starts_with("www.")
}

fn targets(element: &Element) -> impl Iterator<Item = (&str, bool)> {
    let is_link = matches!(element.name.as_str(), "a" | "area");
    let links = [("href", is_link, false), ("src", true, true), ("background", true, true)];
    links
        .into_iter()
        .filter(|(_, applies, _)| *applies)
        .filter_map(|(name, _, is_image)| Some((element.get(name)?, is_image)))
}

/// The rules that an address breaks.
fn faults(letter: &Letter<'_>, address: &str, is_image: bool) -> Vec<Ours> {
    let Some(url) = parse(address) else { return vec![ours::NOWHERE] };
    let mut faults = Vec::new();
    match url.scheme() {
        "https" => {}
        "http" if is_own_machine(&url) => {}
        "http" => faults.push(ours::NOT_HTTPS),
        "mailto" | "tel" | "sms" if !is_image => return faults,
        "cid" if is_image => return faults,
        _ => return vec![ours::SCHEME],
    }
    if letter.specimen.unsubscribe_url == Some(&url) {
        return faults;
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_lowercase();
    faults.extend((!url.username().is_empty()).then_some(ours::DISGUISED));
    faults.extend((host == "connect.stripe.com").then_some(ours::ACCOUNT_LINK));
    faults.extend(SHORTENERS.contains(&without_www(&host)).then_some(ours::SHORTENER));
    faults.extend(expires(&url).then_some(ours::EXPIRES));
    faults
}

/// A demonstration's links lead there. No merchant's do.
fn is_own_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn expires(url: &Url) -> bool {
    let fragment = url.fragment().unwrap_or_default();
    let in_fragment = url::form_urlencoded::parse(fragment.as_bytes());
    let mut parameters = url.query_pairs().chain(in_fragment);
    let signed = parameters.any(|(name, value)| {
        let name = name.to_lowercase();
        EXPIRING.contains(&name.as_str())
            || EXPIRING_BEGIN.iter().any(|start| name.starts_with(start))
            || EXPIRING_END.iter().any(|end| name.ends_with(end))
            || is_web_token(&value)
    });
    signed || url.path().split('/').any(is_web_token)
}

/// A JSON Web Token: three parts, of which the first begins as `{"` does in base64.
fn is_web_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.matches('.').count() == 2
}

fn active(element: &Element) -> Option<Finding> {
    let handler = element.attributes.keys().find(|name| name.starts_with("on"));
    let moves = element.name == "meta"
        && element.get("http-equiv").is_some_and(|what| what.eq_ignore_ascii_case("refresh"));
    let found = if let Some(handler) = handler {
        format!("<{} {handler}=…>", element.name)
    } else if ACTIVE.contains(&element.name.as_str()) || moves {
        format!("<{}>", element.name)
    } else {
        return None;
    };
    Some(ours::ACTIVE.found(Part::Html, found))
}

/// Links whose words are another address than the one that they lead to.
fn disguised(letter: &Letter<'_>) -> Vec<Finding> {
    let page = &letter.page;
    let mut findings = Vec::new();
    for (place, anchor) in page.named("a") {
        let Some(target) = anchor.get("href").and_then(parse) else { continue };
        let said = page.text_of(place);
        let lies = said
            .split_whitespace()
            .map(|chunk| chunk.trim_matches(['.', ',', ';', ':', '(', ')', '<', '>', '"']));
        let lies = lies.filter(|chunk| says_another(chunk, &target));
        findings.extend(lies.map(|chunk| {
            ours::DISGUISED.found(
                Part::Html,
                format!("“{}” leads to {}", shortened(chunk), shortened(target.as_str())),
            )
        }));
    }
    findings
}

fn says_another(said: &str, target: &Url) -> bool {
    if said.contains('@') && !said.contains('/') {
        return target.scheme() == "mailto"
            && !target.path().eq_ignore_ascii_case(said.trim_start_matches("mailto:"));
    }
    let Some(said) = address_in(said) else { return false };
    let host = |url: &Url| without_www(url.host_str().unwrap_or_default()).to_owned();
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    host(&said) != host(target)
        || !path(&said).is_empty() && path(&said) != path(target)
        || said.query().is_some() && said.query() != target.query()
}

/// `rocket.example/capital` and the like. `e.g.` and the end of one sentence before the next are none.
fn address_in(said: &str) -> Option<Url> {
    if said.contains("://") || said.to_lowercase().starts_with("www.") {
        return parse(said);
    }
    let host = said.split(['/', '?', '#']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let label = |label: &&str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let ending = labels
        .last()
        .is_some_and(|last| last.len() > 1 && last.chars().all(|c| c.is_ascii_lowercase()));
    if labels.len() > 1 && labels.iter().all(label) && ending {
        parse(&format!("https://{said}"))
    } else {
        None
    }
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// Enough to find it again. What is after the `?` may be a secret.
pub(super) fn shortened(address: &str) -> String {
    const LONGEST: usize = 60;
    let (shown, rest) =
        address.split_once('?').map_or((address, false), |(shown, _)| (shown, true));
    let cut: String = shown.chars().take(LONGEST).collect();
    let more = rest || cut.len() < shown.len();
    format!("{cut}{}", if more { "…" } else { "" })
}
