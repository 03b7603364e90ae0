//! Style sheets, as far as letters use them: rules with types, classes and ids, `>` and inside, in media queries about width and
//! darkness. A rule with any other selector, and a query about anything else, is passed over: mail programs do not agree on them.

use super::html::{Element, Page, Sheet};

/// How wide and how dark the place is that the letter is read in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    /// What it is called in a finding.
    pub(super) name: &'static str,
    /// Does the mail program keep style sheets?
    pub(super) sheets: bool,
    /// In CSS pixels.
    pub(super) width: f32,
    /// Does the reader prefer light on dark?
    pub(super) dark: bool,
}

/// `property: value`, in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) property: String,
    pub(super) value: String,
    pub(super) important: bool,
}

/// Some declarations and what they are for.
#[derive(Clone, Debug)]
pub(super) struct StyleRule {
    media: Vec<String>,
    selectors: Vec<Selector>,
    pub(super) declarations: Vec<Declaration>,
}

/// Counts of ids, of classes and of types: the higher wins.
pub(super) type Specificity = (usize, usize, usize);

#[derive(Clone, Debug)]
struct Selector {
    /// From outside inwards, each with whether it must stand directly in the one before.
    steps: Vec<(Compound, bool)>,
}

#[derive(Clone, Debug, Default)]
struct Compound {
    name: Option<String>,
    id: Option<String>,
    classes: Vec<String>,
}

/// More than any letter has; each costs a look at each element.
const MOST_RULES: usize = 2000;

/// All rules of all sheets, in order.
pub(super) fn read(sheets: &[Sheet]) -> Vec<StyleRule> {
    let mut rules = Vec::new();
    for sheet in sheets {
        let css = without_comments(&sheet.css);
        let media = if sheet.media.trim().is_empty() {
            Vec::new()
        } else {
            vec![sheet.media.to_lowercase()]
        };
        read_rules(&css, &media, &mut rules);
    }
    rules.truncate(MOST_RULES);
    rules
}

/// The declarations of a `style` attribute or of a rule.
pub(super) fn declarations(text: &str) -> Vec<Declaration> {
    let declaration = |text: &str| {
        let (property, value) = text.split_once(':')?;
        let value = value.trim().to_lowercase();
        let (value, important) = match value.strip_suffix("important").map(str::trim_end) {
            Some(before) if before.ends_with('!') => {
                (before.trim_end_matches('!').trim_end().to_owned(), true)
            }
            Some(_) | None => (value, false),
        };
        Some(Declaration { property: property.trim().to_lowercase(), value, important })
    };
    split_outside(&without_comments(text), ';')
        .iter()
        .filter_map(|text| declaration(text))
        .collect()
}

impl StyleRule {
    /// How specifically the rule is about each element here; none where it is not.
    pub(super) fn about(&self, page: &Page, place: Surroundings) -> Vec<Option<Specificity>> {
        let mut about = vec![None; page.elements.len()];
        if place.sheets && self.media.iter().all(|query| matches(query, place)) {
            for selector in &self.selectors {
                let fits = selector.fits(page);
                let hits = about.iter_mut().zip(fits).filter(|(_, fits)| *fits);
                hits.for_each(|(about, _)| *about = (*about).max(Some(selector.specificity())));
            }
        }
        about
    }
}

impl Selector {
    fn read(text: &str) -> Option<Self> {
        let spaced = text.replace('>', " > ");
        let (mut steps, mut directly) = (Vec::new(), false);
        for part in spaced.split_whitespace() {
            if part == ">" {
                directly = true;
            } else {
                steps.push((Compound::read(part)?, directly));
                directly = false;
            }
        }
        let complete = !directly && steps.first().is_some_and(|(_, directly)| !directly);
        complete.then_some(Self { steps })
    }

    /// Which elements it is about. One pass for each step, parents before their children.
    fn fits(&self, page: &Page) -> Vec<bool> {
        let mut fits = vec![true; page.elements.len()];
        for (at, (compound, directly)) in self.steps.iter().enumerate() {
            let (mut inside, mut next) = (vec![false; fits.len()], vec![false; fits.len()]);
            for (place, element) in page.elements.iter().enumerate() {
                let parent_fits = element.parent.is_some_and(|parent| fits[parent]);
                inside[place] = parent_fits || element.parent.is_some_and(|parent| inside[parent]);
                let outside = at == 0 || if *directly { parent_fits } else { inside[place] };
                next[place] = outside && compound.is(element);
            }
            fits = next;
        }
        fits
    }

    fn specificity(&self) -> Specificity {
        self.steps.iter().fold((0, 0, 0), |(ids, classes, types), (compound, _)| {
            let named = compound.name.as_deref().is_some_and(|name| name != "*");
            (
                ids + usize::from(compound.id.is_some()),
                classes + compound.classes.len(),
                types + usize::from(named),
            )
        })
    }
}

impl Compound {
    /// Reads `td.quiet#x`; none where there is more in it than types, classes and ids.
    fn read(text: &str) -> Option<Self> {
        let mut compound = Self::default();
        let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '#' | '*');
        let text = if text == ":root" { "html" } else { text };
        if !text.chars().all(known) {
            return None;
        }
        let starts: Vec<usize> = text
            .char_indices()
            .filter(|(at, c)| *at == 0 || matches!(c, '.' | '#'))
            .map(|(at, _)| at)
            .collect();
        for (at, start) in starts.iter().enumerate() {
            let part = &text[*start..starts.get(at + 1).copied().unwrap_or(text.len())];
            match (part.strip_prefix('.'), part.strip_prefix('#')) {
                (Some(class), _) => compound.classes.push(class.to_owned()),
                (None, Some(id)) => compound.id = Some(id.to_owned()),
                (None, None) => compound.name = Some(part.to_lowercase()),
            }
        }
        Some(compound)
    }

    fn is(&self, element: &Element) -> bool {
        self.name.as_ref().is_none_or(|name| name == "*" || *name == element.name)
            && self.id.as_ref().is_none_or(|id| element.get("id") == Some(id))
            && self.classes.iter().all(|wanted| element.classes().any(|class| class == wanted))
    }
}

fn read_rules(css: &str, media: &[String], rules: &mut Vec<StyleRule>) {
    /// Deeper than anybody nests media queries.
    const DEEPEST: usize = 8;
    let mut rest = css;
    while let Some(brace) = rest.find(['{', ';', '}']) {
        let (prelude, after) = rest.split_at(brace);
        if !after.starts_with('{') {
            rest = &after[1..];
            continue;
        }
        let length = block_length(after);
        let block = &after[1..length];
        let block = block.strip_suffix('}').unwrap_or(block);
        let prelude = prelude.trim();
        if let Some(query) = prelude.strip_prefix("@media") {
            let nested: Vec<String> =
                media.iter().cloned().chain([query.trim().to_lowercase()]).collect();
            if nested.len() < DEEPEST {
                read_rules(block, &nested, rules);
            }
        } else if !prelude.starts_with('@') {
            let selectors = prelude.split(',').filter_map(Selector::read).collect();
            rules.push(StyleRule {
                media: media.to_vec(),
                selectors,
                declarations: declarations(block),
            });
        }
        rest = &after[length..];
    }
}

/// How long the block is that begins here with its `{`, with its `}`.
fn block_length(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// A media query: one of its alternatives holds, all parts of it.
fn matches(query: &str, place: Surroundings) -> bool {
    query.split(',').any(|alternative| {
        let alternative = alternative.trim().trim_start_matches("only ").trim();
        alternative.split(" and ").all(|part| feature(part.trim(), place))
    })
}

fn feature(part: &str, place: Surroundings) -> bool {
    let inside = part.trim_start_matches('(').trim_end_matches(')');
    match inside.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
        None => matches!(inside, "all" | "screen"),
        Some(("prefers-color-scheme", scheme)) => (scheme == "dark") == place.dark,
        Some(("min-width" | "min-device-width", width)) => {
            pixels(width).is_some_and(|width| place.width >= width)
        }
        Some(("max-width" | "max-device-width", width)) => {
            pixels(width).is_some_and(|width| place.width <= width)
        }
        Some(_) => false,
    }
}

fn pixels(text: &str) -> Option<f32> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let number: f32 = number.trim().parse().ok()?;
    match unit {
        "px" => Some(number),
        "em" | "rem" => Some(number * 16.0),
        _ => None,
    }
}

/// Splits at a sign that is neither in quotation marks nor in parentheses.
pub(super) fn split_outside(text: &str, sign: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) => quote = (c != open).then_some(open),
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if c == sign && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn without_comments(css: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(css.len()), css);
    while let Some((before, after)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    (kept + rest).replace("<!--", "").replace("-->", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESK: Surroundings = Surroundings { name: "", sheets: true, width: 1024.0, dark: false };

    fn about(css: &str, html: &str, id: &str, place: Surroundings) -> Vec<Option<Specificity>> {
        let page = Page::read(html);
        let (element, _) =
            page.elements.iter().enumerate().find(|(_, e)| e.get("id") == Some(id)).unwrap();
        let rules = read(&[Sheet { media: String::new(), css: css.to_owned() }]);
        rules.iter().map(|rule| rule.about(&page, place)[element]).collect()
    }

    #[test]
    fn a_selector_is_about_what_it_says() {
        let html = "<div class='a b'><p><span id=x class=c></span></p></div>";
        for (selector, expected) in [
            ("span", Some((0, 0, 1))),
            (".a .c", Some((0, 2, 0))),
            ("div.a.b > p > span", Some((0, 2, 3))),
            ("#x", Some((1, 0, 0))),
            (".a > span", None),
            ("p, .nothing", None),
            ("* .c", Some((0, 1, 0))),
            ("span:hover", None),
            ("[data-x] span", None),
            ("div div span", None),
        ] {
            assert_eq!(
                about(&format!("{selector} {{ color: red }}"), html, "x", DESK),
                [expected],
                "{selector}"
            );
        }
    }

    #[test]
    fn a_media_query_holds_where_it_says() {
        let html = "<p id=x></p>";
        let dark = Surroundings { dark: true, ..DESK };
        let narrow = Surroundings { width: 375.0, ..DESK };
        let bare = Surroundings { sheets: false, ..DESK };
        for (query, place, holds) in [
            ("only screen and (max-width: 480px)", DESK, false),
            ("only screen and (max-width:480px)", narrow, true),
            ("(prefers-color-scheme: dark)", dark, true),
            ("(prefers-color-scheme: dark)", DESK, false),
            ("print, screen", DESK, true),
            ("print", DESK, false),
            ("(min-width: 40em)", narrow, false),
            ("(hover: hover)", DESK, false),
            ("screen", bare, false),
        ] {
            let css = format!(
                "@import url(x); @media {query} {{ @media screen {{ p {{ color: red }} }} }}"
            );
            assert_eq!(about(&css, html, "x", place), [holds.then_some((0, 0, 1))], "{query}");
        }
    }

    #[test]
    fn declarations_are_read_with_what_is_odd_in_them() {
        let read = declarations(
            "Color : RED ! important; background:url('a;b:c'); /* x */ font-size:12px;;nonsense",
        );
        let shown: Vec<String> = read
            .iter()
            .map(|d| format!("{}={}{}", d.property, d.value, if d.important { "!" } else { "" }))
            .collect();
        assert_eq!(shown, ["color=red!", "background=url('a;b:c')", "font-size=12px"]);
    }

    #[test]
    fn a_sheet_that_is_broken_is_read_as_far_as_it_goes() {
        for css in [
            "p {",
            "} p { color: red",
            "@media {",
            "@media x { p {",
            "{{{{",
            "}}}}",
            "/* p {",
            "p { } }",
            "@media é{é",
        ] {
            read(&[Sheet { media: String::new(), css: css.to_owned() }]);
        }
    }
}
