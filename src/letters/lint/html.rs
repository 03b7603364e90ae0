//! The HTML part: what readers see, what they may see or hear besides, and its links.
//!
//! Inline styles that hide an element count; style sheets, colors and sizes do not.

use std::sync::LazyLock;

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use regex::Regex;
use scraper::node::Element;
use scraper::{Html, Node};

use super::links::{Link, LinkKind};
use super::words::pattern;

/// A letter's HTML.
pub(super) struct Page {
    html: Html,
    /// What readers see. Empty lines separate blocks, as in plain text.
    pub(super) text: String,
    /// What else is shown or read out: the preview, titles, alternative texts, hidden elements,
    /// and what only Outlook shows.
    pub(super) asides: String,
    /// What its elements refer to.
    pub(super) links: Vec<Link>,
}

const BLOCKS: &str = "address article aside blockquote body caption center dd details dialog div \
    dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main menu nav ol p \
    pre search section summary table tbody td tfoot th thead title tr ul";
/// Elements whose text no reader sees.
const SILENT: [&str; 6] = ["head", "iframe", "noscript", "script", "style", "template"];
/// Attributes that are shown or read out.
const SPOKEN: [&str; 5] = ["alt", "title", "aria-label", "aria-description", "placeholder"];

static WHITE_SPACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[ \t\r\n\x0c]+"));
static HIDES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?xi) display\s*:\s*none | visibility\s*:\s*hidden
            | (?:opacity|max-height)\s*:\s*0(?:\.0+)?(?:px|em|%)?\s*(?:!important\s*)?(?:;|$)",
    )
});

impl Page {
    /// Parses HTML as browsers do: none of it is invalid.
    pub(super) fn parse(source: &str) -> Self {
        Self::parse_part(source, false)
    }

    fn parse_part(source: &str, is_comment: bool) -> Self {
        let html = Html::parse_document(source);
        let (mut text, mut asides, mut links) = (String::new(), String::new(), Vec::new());
        for edge in html.tree.root().traverse() {
            let (Edge::Open(node) | Edge::Close(node)) = edge;
            if let Some(element) = node.value().as_element() {
                separate(element.name(), [&mut text, &mut asides]);
            }
            if matches!(edge, Edge::Close(_)) {
                continue;
            }
            if let Some(piece) = node.value().as_text() {
                let shown = match visibility(node) {
                    Visibility::Shown => &mut text,
                    Visibility::Aside => &mut asides,
                    Visibility::Silent => continue,
                };
                shown.push_str(&WHITE_SPACE.replace_all(piece, " "));
            } else if let Some(element) = node.value().as_element() {
                for spoken in SPOKEN.iter().filter_map(|name| element.attr(name)) {
                    asides.extend(["\n\n", spoken, "\n\n"]);
                }
                links.extend(links_of(node, element));
            } else if let Some(comment) = node.value().as_comment() {
                // Comments do not nest: one in the text of another would only recurse.
                let for_outlook = (!is_comment).then(|| outlook_only(comment)).flatten();
                if let Some(inside) = for_outlook.map(|inside| Self::parse_part(inside, true)) {
                    asides.extend(["\n\n", &inside.text, "\n\n", &inside.asides, "\n\n"]);
                }
            }
        }
        Self { html, text, asides, links }
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.html.tree.values().filter_map(Node::as_element)
    }
}

enum Visibility {
    Shown,
    Aside,
    Silent,
}

fn visibility(node: NodeRef<'_, Node>) -> Visibility {
    for element in node.ancestors().filter_map(|ancestor| ancestor.value().as_element()) {
        if element.name() == "title" || is_hidden(element) {
            return Visibility::Aside;
        }
        if SILENT.contains(&element.name()) {
            return Visibility::Silent;
        }
    }
    Visibility::Shown
}

fn is_hidden(element: &Element) -> bool {
    element.attr("hidden").is_some()
        || element.attr("style").is_some_and(|style| HIDES.is_match(style))
}

fn links_of(node: NodeRef<'_, Node>, element: &Element) -> Vec<Link> {
    let mut links = Vec::new();
    if matches!(element.name(), "a" | "area")
        && let Some(href) = element.attr("href")
    {
        let text = node.descendants().filter_map(|node| Some(&**node.value().as_text()?)).collect();
        let is_visible = !is_hidden(element) && matches!(visibility(node), Visibility::Shown);
        links.push(Link::new(href, LinkKind::Anchor { text, is_visible }));
    }
    let images = ["src", "background"].into_iter().filter_map(|name| element.attr(name));
    links.extend(images.map(|address| Link::new(address, LinkKind::Image)));
    links
}

/// Outlook shows what stands between `[if mso]>` and `<![endif]`.
fn outlook_only(comment: &str) -> Option<&str> {
    let (condition, shown) = comment.trim_start().split_once("]>")?;
    let is_for_outlook = condition.starts_with("[if") && !condition.contains("!mso");
    is_for_outlook.then(|| shown.rsplit_once("<![endif]").map_or(shown, |(shown, _)| shown))
}

fn separate(name: &str, texts: [&mut String; 2]) {
    let is_block = BLOCKS.split_ascii_whitespace().any(|block| block == name);
    for text in texts {
        if name == "br" {
            text.push('\n');
        } else if is_block && !text.is_empty() && !text.ends_with("\n\n") {
            text.push_str("\n\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn blocks_separate_the_text_and_inline_elements_do_not() {
        let page = Page::parse(
            "<p>One\n  <b>t</b>wo<br>three<table><tr><td>four<td>five &amp; \
             &ldquo;six&rdquo;</table>",
        );
        assert_eq!(lines(&page.text), ["One two", "three", "four", "five & “six”"]);
        assert!(page.text.contains("three\n\n"));
    }

    #[test]
    fn what_is_not_seen_is_not_text_and_what_is_read_out_is_an_aside() {
        let page = Page::parse(
            "<head><title>T</title><style media=print>p{}</style></head><body>\
             <script>var x;</script><!-- c --><!--[if mso]><b title=o>only</b><![endif]-->\
             <!--[if !mso]><!-->a<!--<![endif]--><img alt='i'>b\
             <div style='color:red;DISPLAY : none'>h1</div><i hidden>h2</i>\
             <p style='max-height:0'>h3\
             <p style='max-height:0.5em; opacity: 0.9'>c",
        );
        assert_eq!(lines(&page.text), ["ab", "c"]);
        assert_eq!(lines(&page.asides), ["T", "only", "o", "i", "h1", "h2", "h3"]);
    }

    #[test]
    fn links_are_listed_with_their_text() {
        let page = Page::parse(
            "<a href=x>one <b>two</b></a><a>none</a><p hidden><a href=y>three</a><img src=z>",
        );
        let found: Vec<(&str, Option<(&str, bool)>)> = page
            .links
            .iter()
            .map(|link| match &link.kind {
                LinkKind::Anchor { text, is_visible } => {
                    (link.address.as_str(), Some((text.as_str(), *is_visible)))
                }
                LinkKind::Image | LinkKind::Written => (link.address.as_str(), None),
            })
            .collect();
        assert_eq!(
            found,
            [("x", Some(("one two", true))), ("y", Some(("three", false))), ("z", None)]
        );
    }
}
