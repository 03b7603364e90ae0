//! The HTML part, as far as a letter needs it: its elements, its text with the element that each piece stands in, what else is read
//! out or shown, and its links.
//!
//! The tokens are the standard's; the tree is made by the few rules that letters need (elements without end, end tags that may be left
//! out). What only Outlook reads (`<!--[if mso]>`) counts as shown.

use std::collections::BTreeMap;
use std::ops::Range;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// An element.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: BTreeMap<String, String>,
    /// Where its parent is in the list: before it.
    pub(super) parent: Option<usize>,
    /// Where the first element is that is neither it nor in it.
    end: usize,
}

/// A piece of the text, and the element that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) element: usize,
}

/// A style sheet.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    pub(super) media: String,
    pub(super) css: String,
}

/// A letter's HTML.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    pub(super) elements: Vec<Element>,
    /// Blocks are parted by empty lines, as paragraphs of plain text are.
    pub(super) text: String,
    pub(super) pieces: Vec<Piece>,
    /// What is read besides the text: titles, texts for images, what only Outlook shows.
    pub(super) asides: String,
    pub(super) sheets: Vec<Sheet>,
}

/// Elements that have no end tag.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];
/// Browsers nest no deeper; what is further in counts as being there.
const DEEPEST: usize = 512;
/// Elements that do not end the head.
const IN_HEAD: [&str; 9] =
    ["html", "head", "title", "style", "meta", "link", "base", "script", "noscript"];
/// Elements whose text nobody reads.
const SILENT: [&str; 6] = ["head", "iframe", "noscript", "script", "style", "template"];
/// Attributes that are read out or shown.
const READ_OUT: [&str; 5] = ["alt", "title", "aria-label", "aria-description", "placeholder"];

impl Page {
    /// Reads HTML. There is none that cannot be read.
    pub(super) fn read(html: &str) -> Self {
        let mut builder = Builder::read(html, false);
        builder.end(0);
        builder.page
    }

    /// The text of an element with all that is in it.
    pub(super) fn text_of(&self, element: usize) -> String {
        let inside = self.pieces_of(element);
        inside.map(|piece| &self.text[piece.range.clone()]).collect::<Vec<_>>().join(" ")
    }

    /// The pieces of the text that stand in an element or in one inside it.
    pub(super) fn pieces_of(&self, element: usize) -> impl Iterator<Item = &Piece> {
        let inside = element..self.elements.get(element).map_or(element, |element| element.end);
        self.pieces.iter().filter(move |piece| inside.contains(&piece.element))
    }

    /// The elements of this name.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, &'a Element)> {
        self.elements.iter().enumerate().filter(move |(_, element)| element.name == name)
    }
}

impl Element {
    /// An attribute's value, where it has the attribute.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Its classes.
    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.get("class").unwrap_or_default().split_ascii_whitespace()
    }
}

#[derive(Default)]
struct Builder {
    /// It reads what stands in a comment: another in it is one.
    in_comment: bool,
    page: Page,
    open: Vec<usize>,
}

impl Builder {
    fn read(html: &str, in_comment: bool) -> Self {
        let mut builder = Self { in_comment, ..Self::default() };
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        for token in Tokenizer::new_with_emitter(html, emitter) {
            let Ok(token) = token;
            match token {
                Token::StartTag(tag) => builder.open(&tag),
                Token::EndTag(tag) => builder.close(&string(&tag.name)),
                Token::String(text) => builder.words(&string(&text)),
                Token::Comment(text) => builder.comment(&string(&text)),
                Token::Doctype(_) | Token::Error(_) => {}
            }
        }
        builder
    }

    fn open(&mut self, tag: &StartTag<()>) {
        let name = string(&tag.name);
        self.end_what_ends_before(&name);
        self.part(&name);
        let attributes: BTreeMap<String, String> =
            tag.attributes.iter().map(|(name, value)| (string(name), string(value))).collect();
        for read_out in READ_OUT.iter().filter_map(|name| attributes.get(*name)) {
            self.aside(read_out);
        }
        let place = self.page.elements.len();
        let parent = self.open.last().copied();
        let holds_more = !VOID.contains(&name.as_str()) && self.open.len() < DEEPEST;
        self.page.elements.push(Element { name, attributes, parent, end: place + 1 });
        if holds_more {
            self.open.push(place);
        }
    }

    /// Ends all elements from this depth on.
    fn end(&mut self, depth: usize) {
        let end = self.page.elements.len();
        for place in self.open.drain(depth..) {
            self.page.elements[place].end = end;
        }
    }

    fn close(&mut self, name: &str) {
        let Some(depth) = self.depth_of(&[name], boundaries(name)) else { return };
        self.end(depth);
        self.part(name);
    }

    /// End tags that may be left out, and are where the next such element begins.
    fn end_what_ends_before(&mut self, name: &str) {
        const TABLE: &[&str] = &["table"];
        let (ended, up_to): (&[&str], &[&str]) = match name {
            "li" => (&["li"], &["ul", "ol", "menu"]),
            "dt" | "dd" => (&["dt", "dd"], &["dl"]),
            "td" | "th" => (&["td", "th"], TABLE),
            "tr" => (&["tr"], TABLE),
            "tbody" | "thead" | "tfoot" => (&["tbody", "thead", "tfoot"], TABLE),
            _ => (&[], &[]),
        };
        let head: &[&str] = if IN_HEAD.contains(&name) { &[] } else { &["head"] };
        for (ended, up_to) in [(head, [].as_slice()), (ended, up_to)] {
            if let Some(depth) = self.depth_of(ended, up_to) {
                self.end(depth);
            }
        }
        let ends_paragraph =
            is_block(name) && !matches!(name, "td" | "th" | "tr" | "tbody" | "body");
        let paragraph = if ends_paragraph { self.depth_of(&["p"], boundaries("p")) } else { None };
        if let Some(depth) = paragraph {
            self.end(depth);
        }
    }

    /// How deep the innermost open element of one of these names is, unless one of the others is further in.
    fn depth_of(&self, names: &[&str], up_to: &[&str]) -> Option<usize> {
        for (depth, element) in self.open.iter().enumerate().rev() {
            let name = self.page.elements[*element].name.as_str();
            if names.contains(&name) {
                return Some(depth);
            }
            if up_to.contains(&name) {
                return None;
            }
        }
        None
    }

    fn words(&mut self, text: &str) {
        let inside = |name: &str| self.depth_of(&[name], &[]).is_some();
        if inside("style") {
            let media = self
                .open
                .last()
                .and_then(|open| self.page.elements[*open].get("media"))
                .unwrap_or_default();
            let sheet = Sheet { media: media.to_owned(), css: text.to_owned() };
            self.page.sheets.push(sheet);
        } else if inside("title") {
            self.aside(text);
        } else if !SILENT.iter().any(|name| inside(name)) {
            self.piece(text);
        }
    }

    fn piece(&mut self, text: &str) {
        let element = self.open.last().copied().unwrap_or_else(|| self.root());
        let start = self.page.text.len();
        let mut blank = self.page.text.is_empty() || self.page.text.ends_with([' ', '\n']);
        for c in text.chars() {
            let is_space = c.is_ascii_whitespace();
            if !is_space {
                self.page.text.push(c);
            } else if !blank {
                self.page.text.push(' ');
            }
            blank = is_space;
        }
        if start < self.page.text.len() {
            self.page.pieces.push(Piece { range: start..self.page.text.len(), element });
        }
    }

    /// A place for text that stands outside of everything.
    fn root(&mut self) -> usize {
        if self.page.elements.is_empty() {
            let name = "html".to_owned();
            self.page.elements.push(Element {
                name,
                attributes: BTreeMap::new(),
                parent: None,
                end: 1,
            });
        }
        0
    }

    fn part(&mut self, name: &str) {
        if name == "br" {
            self.page.text.push('\n');
        } else if is_block(name) && !self.page.text.is_empty() && !self.page.text.ends_with("\n\n")
        {
            self.page.text.push_str("\n\n");
        }
    }

    fn aside(&mut self, text: &str) {
        self.page.asides.push_str(text);
        self.page.asides.push_str("\n\n");
    }

    /// Outlook shows what stands between `[if mso]>` and `<![endif]`.
    fn comment(&mut self, text: &str) {
        let Some((condition, shown)) = text.trim_start().split_once("]>") else { return };
        if self.in_comment || !condition.starts_with("[if") || condition.contains("!mso") {
            return;
        }
        let shown = shown.rsplit_once("<![endif]").map_or(shown, |(shown, _)| shown);
        let inside = Self::read(shown, true);
        self.aside(&inside.page.text);
        self.aside(&inside.page.asides);
    }
}

/// Does it stand in lines of its own?
fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hr"
            | "li"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "p"
            | "pre"
            | "search"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
    )
}

/// An end tag ends nothing outside of these.
fn boundaries(name: &str) -> &'static [&'static str] {
    match name {
        "table" | "body" | "html" => &[],
        "td" | "th" | "tr" | "tbody" | "thead" | "tfoot" | "caption" => &["table"],
        _ => &["td", "th", "table", "caption"],
    }
}

/// The source was a `str`, and the tokens begin and end at characters.
fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_part_the_text_and_inline_elements_do_not() {
        let page = Page::read(
            "<p>One\n  <b>t</b>wo<br>three</p><td>four<td>five &amp; &ldquo;six&rdquo;</p>",
        );
        assert_eq!(page.text.trim(), "One two\nthree\n\nfour\n\nfive & “six”");
    }

    #[test]
    fn what_is_not_shown_is_not_text_and_what_is_read_out_is_beside_it() {
        let page = Page::read(
            "<head><title>T</title><style media=print>p{}</style></head><body><script>var x;</script><!-- c -->\
             <!--[if mso]><b title=o>only</b><![endif]--><!--[if !mso]><!-->a<!--<![endif]--><img alt='i'>b",
        );
        assert_eq!(page.text.trim(), "ab");
        let asides: Vec<&str> = page.asides.split_whitespace().collect();
        assert_eq!(asides, ["T", "only", "o", "i"]);
        assert_eq!((page.sheets[0].media.as_str(), page.sheets[0].css.as_str()), ("print", "p{}"));
    }

    #[test]
    fn an_element_ends_where_the_next_begins_that_may_not_be_in_it() {
        let page = Page::read("<table><tr><td id=a><p>1<p>2<td id=b>3<tr><td id=c>4</table>5");
        let inside = |id: &str| {
            let (place, _) =
                page.elements.iter().enumerate().find(|(_, e)| e.get("id") == Some(id)).unwrap();
            page.text_of(place)
        };
        assert_eq!((inside("a"), inside("b"), inside("c")), ("1 2".into(), "3".into(), "4".into()));
        assert!(page.text.ends_with('5'));
    }

    #[test]
    fn a_head_without_an_end_hides_nothing() {
        let page = Page::read("<html><head><title>t</title><style>p{}</style><p>seen");
        assert_eq!(page.text.trim(), "seen");
    }

    #[test]
    fn an_end_tag_that_ends_nothing_is_passed_over() {
        let page = Page::read("<div><td>a</div>b</td>c</div>d");
        assert_eq!(page.text.replace('\n', ""), "abcd");
        assert_eq!(page.named("div").count(), 1);
    }
}
