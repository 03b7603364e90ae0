//! Converts MJML to HTML once for each layout, not for each letter.
//!
//! The letters of a kind and language differ in a few values: amounts, names, days. While the MJML
//! template is rendered, a placeholder takes the place of each value that it prints (the function `print`).
//! What remains, the skeleton, is the same for all letters that take the same branches. Its HTML is
//! kept, and the values of a letter are put into it.
//!
//! The HTML must be what a conversion of the complete MJML gives. So a skeleton is converted both
//! ways when it is first seen, and one whose results differ is never used.

use std::collections::HashMap;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Captured, Error, HtmlEscape, Output, State, escape_formatter};
use parking_lot::Mutex;

use super::TemplateError;

/// Surrounds the number of a value. No letters, which a filter could change.
const MARK: &str = "~~";
/// Each takes some 40 KB. A platform sends a few kinds in a few languages; refills, missing names and
/// the number of disclaimers make more of them.
const MAX_LAYOUTS: usize = 64;

/// MJML without its values.
#[derive(Debug)]
pub(super) struct Skeleton {
    mjml: String,
    /// Escaped for HTML.
    values: Vec<String>,
}

/// HTML in which values are missing.
#[derive(Debug)]
struct Layout {
    /// Text, and the value that follows it.
    parts: Vec<(String, usize)>,
    end: String,
}

/// The layouts that were converted; none for a skeleton that cannot be used.
#[derive(Debug, Default)]
pub(super) struct Layouts(Mutex<HashMap<String, Option<Layout>>>);

/// The values that a template has printed.
#[derive(Default)]
struct Printed(Vec<String>);

/// Prints a value of a template: in MJML, its placeholder.
pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    // What is safe was printed before, into the result of a macro or a block.
    let is_text = value.kind() == ValueKind::String && !value.is_safe();
    let is_value = is_text || value.kind() == ValueKind::Number;
    let text = value.to_string();
    // An element may be laid out in another way without its text.
    if !is_value || text.is_empty() || *state.auto_escape() != AutoEscape::Html {
        return escape_formatter(out, state, value);
    }
    let Printed(values) = state.get_or_insert_extension(Printed::default());
    let number = values.len();
    values.push(HtmlEscape(&text).to_string());
    Ok(write!(out, "{MARK}{number}{MARK}")?)
}

impl Skeleton {
    pub(super) fn of(mut rendered: Captured<'_>) -> Self {
        let values = rendered.with_state_mut(|state| {
            state.get_extension_mut::<Printed>().map(std::mem::take).unwrap_or_default().0
        });
        Self { mjml: rendered.into_output(), values }
    }

    /// The complete MJML.
    pub(super) fn filled(&self) -> String {
        Layout::parse(&self.mjml).fill(&self.values)
    }

    /// Whether the conversion copies each value as it is: it writes attributes in Rust's notation,
    /// and may trim white space.
    fn is_plain(&self) -> bool {
        self.values.iter().all(|value| {
            value.trim() == value && !value.contains(|c: char| c == '\\' || c.is_ascii_control())
        })
    }
}

impl Layout {
    /// Finds the placeholders.
    fn parse(text: &str) -> Self {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once(MARK) {
            literal.push_str(before);
            let number = after.split_once(MARK).and_then(|(number, after)| {
                let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                Some((number.parse::<usize>().ok().filter(|_| is_number)?, after))
            });
            if let Some((number, after)) = number {
                parts.push((std::mem::take(&mut literal), number));
                rest = after;
            } else {
                literal.push_str(MARK);
                rest = after;
            }
        }
        literal.push_str(rest);
        Self { parts, end: literal }
    }

    fn fill(&self, values: &[String]) -> String {
        let length = self.parts.iter().map(|(text, _)| text.len() + 32).sum::<usize>();
        let mut filled = String::with_capacity(length + self.end.len());
        for (text, number) in &self.parts {
            filled.push_str(text);
            filled.push_str(values.get(*number).map_or("", String::as_str));
        }
        filled.push_str(&self.end);
        filled
    }
}

impl Layouts {
    /// The HTML of a letter. `convert` converts MJML.
    pub(super) fn html(
        &self,
        skeleton: &Skeleton,
        convert: impl Fn(&str) -> Result<String, TemplateError>,
    ) -> Result<String, TemplateError> {
        if !skeleton.is_plain() {
            return convert(&skeleton.filled());
        }
        // As in the whole letter: minijinja escapes slashes too.
        let unescape = |value: &String| value.replace("&#x2f;", "/");
        let values: Vec<String> = skeleton.values.iter().map(unescape).collect();
        match self.0.lock().get(&skeleton.mjml) {
            Some(Some(layout)) => return Ok(layout.fill(&values)),
            Some(None) => return convert(&skeleton.filled()),
            None => {}
        }
        let html = convert(&skeleton.filled())?;
        let layout = convert(&skeleton.mjml).ok().map(|html| Layout::parse(&html));
        let layout = layout.filter(|layout| layout.fill(&values) == html);
        let mut layouts = self.0.lock();
        if layouts.len() >= MAX_LAYOUTS {
            layouts.clear();
        }
        layouts.insert(skeleton.mjml.clone(), layout);
        Ok(html)
    }

    /// How many skeletons were seen, and how many of them can be used.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let layouts = self.0.lock();
        (layouts.len(), layouts.values().flatten().count())
    }
}
