//! How each element of a letter looks: the size and the colour of its text, what is behind it, and whether it is seen at all.
//!
//! Inline styles, style sheets ([`css`]), the old attributes (`bgcolor`, `<font>`) and inheritance are taken into account. Where a
//! mail program turns the colours of a letter around by itself, nobody can say what becomes of them.

use std::collections::HashMap;

use csscolorparser::Color;

use super::css::{self, Declaration, Specificity, StyleRule, Surroundings};
use super::html::{Element, Page};

/// How an element looks in some surroundings.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) font_px: f32,
    pub(super) color: Color,
    /// What is behind its text: opaque, all layers taken together.
    pub(super) background: Color,
    /// A picture is behind its text, so that nobody can tell the colours.
    pub(super) on_picture: bool,
    /// Why it is not seen at all.
    pub(super) hidden: Option<&'static str>,
    /// How much of the text's colour is left, from 0 to 1.
    opacity: f32,
    /// `visibility: hidden` is for all that is in the element, unless it says otherwise.
    invisible: bool,
}

impl Style {
    /// The contrast of the text with what is behind it, from 1 to 21 (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>).
    pub(super) fn contrast(&self) -> f32 {
        let shown = over(self.color, self.color.a * self.opacity, self.background);
        let (text, behind) = (luminance(shown), luminance(self.background));
        (text.max(behind) + 0.05) / (text.min(behind) + 0.05)
    }

    /// Is the text seen at all?
    pub(super) fn hidden(&self) -> Option<&'static str> {
        self.hidden.or(self.invisible.then_some("visibility: hidden"))
    }
}

/// How all elements of a page look.
pub(super) fn styles(page: &Page, rules: &[StyleRule], place: Surroundings) -> Vec<Style> {
    let about: Vec<Vec<Option<Specificity>>> =
        rules.iter().map(|rule| rule.about(page, place)).collect();
    let mut styles: Vec<Style> = Vec::with_capacity(page.elements.len());
    for (at, element) in page.elements.iter().enumerate() {
        let mut declared = Declared::default();
        for (order, rule) in rules.iter().enumerate() {
            if let Some(specificity) = about[order][at] {
                declared.add(&rule.declarations, (false, specificity, order));
            }
        }
        declared.add(&old_attributes(element), (false, (0, 0, 0), 0));
        declared.add(
            &css::declarations(element.get("style").unwrap_or_default()),
            (true, (0, 0, 0), 0),
        );
        let style = match element.parent {
            Some(parent) => declared.style(&styles[parent], element, page, place),
            None => declared.style(&canvas(page, place), element, page, place),
        };
        styles.push(style);
    }
    styles
}

/// Does the letter say that it knows what to look like in the dark?
pub(super) fn knows_the_dark(page: &Page) -> bool {
    let said = page.named("meta").any(|(_, meta)| {
        matches!(meta.get("name"), Some("color-scheme" | "supported-color-schemes"))
            && meta.get("content").is_some_and(|content| content.contains("dark"))
    });
    said || page.sheets.iter().any(|sheet| sheet.css.contains("prefers-color-scheme"))
}

/// What a page is laid on: white, or what browsers show to those who prefer the dark, where the page agrees.
fn canvas(page: &Page, place: Surroundings) -> Style {
    let dark = place.dark && knows_the_dark(page);
    let (color, background) = if dark {
        (grey(255), Color::from_rgba8(0x12, 0x12, 0x12, 255))
    } else {
        (grey(0), grey(255))
    };
    Style {
        font_px: ROOT_PX,
        color,
        background,
        on_picture: false,
        hidden: None,
        opacity: 1.0,
        invisible: false,
    }
}

/// What browsers write in where nothing else is said.
const ROOT_PX: f32 = 16.0;
/// Text that is shifted further is off the screen, or nearly.
const FAR_PX: f32 = 400.0;

fn grey(level: u8) -> Color {
    Color::from_rgba8(level, level, level, 255)
}

type Priority = (bool, bool, Specificity, usize);

/// The declarations about one element that win.
#[derive(Default)]
struct Declared(HashMap<&'static str, (Priority, String)>);

/// What matters for legibility; of shorthands, what they stand for.
const PROPERTIES: [&str; 22] = [
    "background-color",
    "background-image",
    "clip",
    "clip-path",
    "color",
    "display",
    "font-size",
    "height",
    "left",
    "margin-left",
    "max-height",
    "max-width",
    "mso-hide",
    "opacity",
    "overflow",
    "position",
    "text-indent",
    "top",
    "transform",
    "visibility",
    "width",
    "-webkit-text-fill-color",
];

impl Declared {
    fn add(
        &mut self,
        declarations: &[Declaration],
        (inline, specificity, order): (bool, Specificity, usize),
    ) {
        for declaration in declarations {
            let priority = (declaration.important, inline, specificity, order);
            for (property, value) in longhands(declaration) {
                let known = self.0.get(property).is_some_and(|(known, _)| *known > priority);
                if !known {
                    self.0.insert(property, (priority, value));
                }
            }
        }
    }

    fn get(&self, property: &str) -> &str {
        self.0.get(property).map_or("", |(_, value)| value.as_str())
    }

    fn style(&self, parent: &Style, element: &Element, page: &Page, place: Surroundings) -> Style {
        let fill = self.get("-webkit-text-fill-color");
        let color = color(if fill.is_empty() { self.get("color") } else { fill });
        let link = (element.name == "a"
            && element.get("href").is_some()
            && self.get("color").is_empty())
        .then(|| if place.dark && knows_the_dark(page) { (0x9e, 0x9e, 0xff) } else { (0, 0, 0xee) })
        .map(|(red, green, blue)| Color::from_rgba8(red, green, blue, 255));
        let own = self::color(self.get("background-color"));
        let opaque = own.is_some_and(|own| own.a >= 1.0);
        let picture = !matches!(self.get("background-image"), "" | "none");
        Style {
            font_px: font_size(self.get("font-size"), parent.font_px).unwrap_or(parent.font_px),
            color: color.or(link).unwrap_or(parent.color),
            background: own.map_or(parent.background, |own| over(own, own.a, parent.background)),
            on_picture: picture || parent.on_picture && !opaque,
            hidden: parent.hidden.or_else(|| self.hides(element)),
            opacity: parent.opacity
                * self.get("opacity").parse::<f32>().unwrap_or(1.0).clamp(0.0, 1.0),
            invisible: match self.get("visibility") {
                "hidden" | "collapse" => true,
                "visible" => false,
                _ => parent.invisible,
            },
        }
    }

    fn hides(&self, element: &Element) -> Option<&'static str> {
        let px = |property: &str| font_size(self.get(property), ROOT_PX);
        let nothing = |property: &str| px(property).is_some_and(|px| px <= 1.0);
        let far = |property: &str| px(property).is_some_and(|px| px < -FAR_PX);
        let cut = ["height", "max-height", "width", "max-width"].into_iter().any(nothing)
            && self.get("overflow") == "hidden";
        let clipped = self.get("clip").contains("rect(") && !self.get("clip").contains("auto")
            || ["inset(50%", "inset(100%", "circle(0"]
                .iter()
                .any(|shape| self.get("clip-path").starts_with(shape));
        let moved = matches!(self.get("position"), "absolute" | "fixed" | "relative")
            && (far("left") || far("top"))
            || far("text-indent")
            || far("margin-left");
        let scales = ["scale(0)", "scale(0,", "scale(0.0"];
        let tiny = scales.iter().any(|scale| self.get("transform").contains(scale));
        [
            (self.get("display") == "none" || element.get("hidden").is_some(), "display: none"),
            (self.get("mso-hide") == "all", "mso-hide: all"),
            (cut, "cut off by its height or width"),
            (clipped, "cut off by clip"),
            (moved, "moved off the screen"),
            (tiny, "scaled down to nothing"),
        ]
        .into_iter()
        .find_map(|(hides, why)| hides.then_some(why))
    }
}

/// What a declaration says of the properties that matter here.
fn longhands(declaration: &Declaration) -> Vec<(&'static str, String)> {
    let value = &declaration.value;
    match declaration.property.as_str() {
        "background" => {
            let parts = css::split_outside(value, ' ');
            let own =
                parts.iter().find(|part| color(part).is_some()).map_or("transparent", |part| *part);
            let picture = ["url(", "gradient(", "image("].iter().any(|image| value.contains(image));
            vec![
                ("background-color", own.to_owned()),
                ("background-image", if picture { "picture" } else { "none" }.to_owned()),
            ]
        }
        "font" => {
            let sizes = css::split_outside(value, ' ')
                .into_iter()
                .map(|part| part.split('/').next().unwrap_or(part));
            let size = sizes.filter(|part| !part.starts_with(|c: char| c.is_ascii_alphabetic()));
            let size = size
                .into_iter()
                .find(|part| part.ends_with(|c: char| c.is_ascii_alphabetic() || c == '%'));
            size.map(|size| ("font-size", size.to_owned())).into_iter().collect()
        }
        property => {
            let known = PROPERTIES.iter().find(|known| **known == property);
            known.map(|known| (*known, value.clone())).into_iter().collect()
        }
    }
}

/// `bgcolor`, `<font color size>` and their like, as declarations.
fn old_attributes(element: &Element) -> Vec<Declaration> {
    const SIZES: [&str; 7] = ["10px", "13px", "16px", "18px", "24px", "32px", "48px"];
    let size = element
        .get("size")
        .filter(|_| element.name == "font")
        .and_then(|size| size.parse::<usize>().ok());
    let picture = element.get("background").filter(|picture| !picture.is_empty());
    let font = element.get("color").filter(|_| element.name == "font");
    let small = matches!(element.name.as_str(), "small" | "sub" | "sup").then_some("smaller");
    [
        ("background-color", element.get("bgcolor")),
        ("background-image", picture.map(|_| "picture")),
        ("color", font.or(element.get("text").filter(|_| element.name == "body"))),
        ("font-size", size.and_then(|size| SIZES.get(size.clamp(1, 7) - 1).copied()).or(small)),
    ]
    .into_iter()
    .filter_map(|(property, value)| {
        let value = value?.trim().to_lowercase();
        Some(Declaration { property: property.to_owned(), value, important: false })
    })
    .collect()
}

/// None where the value says to take the parent's, or nothing that is known.
fn color(value: &str) -> Option<Color> {
    let inherits = matches!(value, "" | "inherit" | "currentcolor" | "unset");
    if inherits { None } else { csscolorparser::parse(value).ok() }
}

/// A length in CSS pixels; `em` and `%` of `parent_px`.
fn font_size(value: &str, parent_px: f32) -> Option<f32> {
    let named = match value {
        "xx-small" => Some(9.0),
        "x-small" => Some(10.0),
        "small" => Some(13.0),
        "medium" | "initial" => Some(ROOT_PX),
        "large" => Some(18.0),
        "x-large" => Some(24.0),
        "xx-large" => Some(32.0),
        "smaller" => Some(parent_px * 0.83),
        "larger" => Some(parent_px * 1.2),
        "0" => Some(0.0),
        _ => None,
    };
    let (number, unit) =
        value.split_at(value.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(0));
    let measured = number.trim().parse::<f32>().ok().and_then(|number| match unit {
        "px" => Some(number),
        "pt" => Some(number * 4.0 / 3.0),
        "em" => Some(number * parent_px),
        "%" => Some(number / 100.0 * parent_px),
        "rem" => Some(number * ROOT_PX),
        "mm" => Some(number * 96.0 / 25.4),
        "cm" => Some(number * 96.0 / 2.54),
        "in" => Some(number * 96.0),
        _ => None,
    });
    named.or(measured)
}

/// A colour laid over an opaque one.
fn over(top: Color, alpha: f32, below: Color) -> Color {
    let mix = |top: f32, below: f32| top * alpha + below * (1.0 - alpha);
    Color { r: mix(top.r, below.r), g: mix(top.g, below.g), b: mix(top.b, below.b), a: 1.0 }
}

/// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>
fn luminance(color: Color) -> f32 {
    let linear = |part: f32| {
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESK: Surroundings = Surroundings { name: "", sheets: true, width: 1024.0, dark: false };

    fn style(html: &str, place: Surroundings) -> Style {
        let page = Page::read(html);
        let (at, _) =
            page.elements.iter().enumerate().find(|(_, e)| e.get("id") == Some("x")).unwrap();
        styles(&page, &css::read(&page.sheets), place)[at].clone()
    }

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() < 0.05
    }

    #[test]
    fn the_contrast_is_that_of_the_standard() {
        for (html, contrast) in [
            ("<p id=x style='color:#000'>", 21.0),
            ("<p id=x style='color:#fff'>", 1.0),
            ("<p id=x style='color:#767676'>", 4.54),
            ("<p id=x style='color:gray'>", 3.95),
            ("<body bgcolor=#000000><p id=x style='color:rgba(255,255,255,.5)'>", 5.28),
            (
                "<div style='background:#333 url(x)'><p id=x style='color:#333; background:white'>",
                12.63,
            ),
            ("<div style='opacity:0'><p id=x>", 1.0),
            ("<a id=x href=y>", 9.4),
        ] {
            let found = style(html, DESK).contrast();
            assert!(close(found, contrast), "{html}: {found}");
        }
    }

    #[test]
    fn a_size_is_inherited_and_measured() {
        for (html, px) in [
            ("<td style='font-size:0px'><p id=x style='font:italic 12pt/1.5 Arial'>", 16.0),
            ("<td style='font-size:20px'><p style='font-size:.5em'><b id=x>", 10.0),
            ("<font size=1 id=x>", 10.0),
            ("<td style='font-size:20px'><p id=x style='font-size:50%'>", 10.0),
            (
                "<style>p{font-size:8px} #x{font-size:9px!important}</style><p id=x style='font-size:14px'>",
                9.0,
            ),
            ("<style>.a p{font-size:8px} p{font-size:9px}</style><div class=a><p id=x>", 8.0),
        ] {
            assert!(close(style(html, DESK).font_px, px), "{html}: {}", style(html, DESK).font_px);
        }
    }

    #[test]
    fn what_is_not_seen_says_why() {
        for (html, hidden) in [
            ("<div style='display:none'><p id=x>", true),
            ("<div style='visibility:hidden'><p id=x style='visibility:visible'>", false),
            ("<div style='visibility:hidden'><p id=x>", true),
            ("<div style='max-height:0;overflow:hidden'><p id=x>", true),
            ("<div style='overflow:hidden'><p id=x>", false),
            ("<p id=x style='text-indent:-9999px'>", true),
            ("<p id=x style='position:absolute;left:-5000px'>", true),
            ("<p id=x style='mso-hide:all'>", true),
            ("<p id=x hidden>", true),
            ("<p id=x style='clip:rect(0 0 0 0)'>", true),
            ("<p id=x>", false),
        ] {
            assert_eq!(style(html, DESK).hidden().is_some(), hidden, "{html}");
        }
    }

    #[test]
    fn the_dark_has_its_own_colours() {
        let html = "<meta name=color-scheme content='light dark'><style>@media (prefers-color-scheme: dark) \
                    { .q div { color: #a9b4c0 !important } }</style><td class=q><div id=x style='color:#566070'>";
        let dark = Surroundings { dark: true, ..DESK };
        assert!(style(html, DESK).contrast() > 6.0 && style(html, dark).contrast() > 8.0);
        assert!(
            style("<p id=x style='color:#333'>", dark).contrast() > 12.0,
            "a page that knows no dark stays light"
        );
    }
}
