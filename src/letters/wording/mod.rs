//! The writing of a letter: subject, text and HTML.
//!
//! The words of a kind and a language are filled in first, each as one line of plain text; then the templates of the parts put them in
//! their places, and MJML becomes HTML. What comes from outside is cleaned of all that is not plain text, and escaped where it
//! stands in HTML. Letters of every kind and language are written for nobody at start: a template that asks for something that there
//! is not stops the start, and no letter at night.

pub mod approvals;
mod disclaimer;
mod facts;
mod nesting;
mod sample_facts;
pub mod samples;
mod templates;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use url::Url;

use super::Kind;
use crate::format::locale::{Formats, Language};
use templates::{Part, Templates, words_of};
use words::{BLOCKS, Slots, one_line};

pub use disclaimer::{Disclaimer, DisclaimerError, Disclaimers};
pub use facts::Facts;
pub use sample_facts::{about_refills, sample};
pub use templates::TemplateError;

/// What is the same in all letters of a platform.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform's name for its Capital program.
    pub program_name: String,
    /// The stable page that the letter links to.
    pub dashboard_url: Url,
    /// The platform's postal address.
    pub postal_address: String,
    /// Who writes.
    pub from_name: String,
    /// From which address.
    pub from_address: String,
    /// Where answers go, also those that say "unsubscribe".
    pub reply_to: String,
    /// Letters have a link that stops them, which is another wording.
    pub has_link: bool,
    /// Where the operator's templates are.
    pub templates_dir: Option<PathBuf>,
}

/// Writes letters.
#[derive(Debug)]
pub struct Writer {
    templates: Templates,
    settings: Settings,
}

/// A letter's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// One line.
    pub subject: String,
    /// What a mail program shows beside the subject.
    pub preview: String,
    /// The part for readers of plain text.
    pub text: String,
    /// The part for everybody else.
    pub html: String,
    /// Names the templates that it was written with, whatever was filled in.
    pub template_version: String,
}

impl Writer {
    /// Compiles the templates and writes letters of each kind for nobody, so that a mistake shows now and not at night.
    pub fn new(settings: Settings) -> Result<Self, TemplateError> {
        let templates = Templates::load(settings.templates_dir.as_deref())?;
        let writer = Self { templates, settings };
        for (kind, language) in kinds_and_languages() {
            for facts in sample_facts::all_branches(kind, language) {
                writer.write(&facts)?;
            }
        }
        Ok(writer)
    }

    /// What is the same in all letters.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Writes one letter.
    pub fn write(&self, facts: &Facts) -> Result<Written, TemplateError> {
        let slots = Slots::new(facts, &self.settings);
        let words = self.words(facts, &slots)?;
        let slots = slots.with(&words);
        let name = |part| self.templates.name(facts.kind, facts.language, part);
        let fill = |name: &str| {
            let template = self.templates.environment.get_template(name);
            let filled = template.and_then(|template| template.render(slots.clone()));
            filled.map_err(|error| self.templates.wrong(&error))
        };
        let html = name(Part::Html);
        Ok(Written {
            subject: one_line(&fill(&name(Part::Subject))?),
            preview: words.get("preview").cloned().unwrap_or_default(),
            text: fill(&name(Part::Text))?,
            html: self.html_of(&html, &fill(&html)?)?,
            template_version: self.templates.version(facts.kind, facts.language).to_owned(),
        })
    }

    /// The hash of all that makes up a letter with this disclaimer but the merchant's own data: see [`super::wording::approvals`].
    pub fn copy_hash(&self, kind: Kind, disclaimer: &Disclaimer) -> String {
        let settings = &self.settings;
        let version = self.templates.version(kind, disclaimer.language);
        let ours = [
            version,
            kind.as_str(),
            disclaimer.language.code(),
            &settings.program_name,
            settings.dashboard_url.as_str(),
            &settings.postal_address,
            &settings.from_name,
            &settings.from_address,
            &settings.reply_to,
            if settings.has_link { "link" } else { "mail" },
            &disclaimer.variant,
        ];
        approvals::hash(ours.into_iter().chain(disclaimer.paragraphs.iter().map(String::as_str)))
    }

    /// Fills in the words of a letter, one by one.
    fn words(
        &self,
        facts: &Facts,
        slots: &Slots<'_>,
    ) -> Result<BTreeMap<&'static str, String>, TemplateError> {
        let name = words_of(facts.kind, facts.language);
        let formats = Formats::new(facts.language, facts.country.as_deref());
        let fill = || {
            let template = self.templates.environment.get_template(&name)?;
            let mut rendered = template.render_captured(slots.alone())?;
            let blocks = BLOCKS.iter().map(|block| {
                let words = rendered.with_state_mut(|state| state.render_block(block))?;
                Ok((*block, formats.typeset(&one_line(&words))))
            });
            blocks.collect::<Result<_, minijinja::Error>>()
        };
        fill().map_err(|error| self.templates.wrong(&error))
    }

    fn html_of(&self, name: &str, mjml: &str) -> Result<String, TemplateError> {
        let mangled: BTreeSet<char> = mjml.chars().filter(|c| mangles(*c)).collect();
        let mjml =
            &mangled.iter().fold(mjml.to_owned(), |mjml, c| mjml.replace(*c, &reference(*c)));
        if let Some(at) = nesting::too_deep(mjml) {
            let problem = format!("more than {} elements stand in each other", nesting::MAX_DEPTH);
            return Err(self.templates.not_mjml(name, mjml, &problem, line_at(at, mjml)));
        }
        let parsed = mrml::parse(mjml).map_err(|error| {
            self.templates.not_mjml(name, mjml, &problem(&error), line_of(&error, mjml))
        })?;
        // What MJML does not know is left out in silence: a look that nobody meant.
        if let Some(warning) = parsed.warnings.first() {
            return Err(self.templates.not_mjml(
                name,
                mjml,
                warning.kind.as_str(),
                line_at(warning.span.start, mjml),
            ));
        }
        // A font from elsewhere would tell its host who reads the letter, and when.
        let options = mrml::prelude::render::RenderOptions {
            fonts: std::collections::HashMap::new(),
            ..Default::default()
        };
        let rendered = parsed.element.render(&options);
        let html =
            rendered.map_err(|error| self.templates.not_mjml(name, mjml, &error.to_string(), 0))?;
        // So is an element that MJML does not know: it stays as it is.
        if let Some((_, rest)) = html.split_once("<mj-") {
            let tag = rest
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()
                .unwrap_or_default();
            let at = mjml.find(&format!("<mj-{tag}")).unwrap_or_default();
            let problem = format!("there is no element mj-{tag} that may stand here");
            return Err(self.templates.not_mjml(name, mjml, &problem, line_at(at, mjml)));
        }
        // minijinja escapes slashes too. Readers of addresses that know little of HTML are better off without that.
        let html = html.replace("&#x2f;", "/");
        Ok(mangled.iter().fold(html, |html, c| html.replace(&reference(*c), &c.to_string())))
    }
}

/// Would mrml put this character into an attribute as Rust writes it (`\u{a0}`)? No-break spaces are among them.
fn mangles(c: char) -> bool {
    !c.is_ascii() && c.escape_debug().len() > 1
}

/// The character as HTML can write any, which mrml leaves as it is.
fn reference(c: char) -> String {
    format!("&#x{:x};", u32::from(c))
}

/// What mrml says, with what the parser below it says.
fn problem(error: &mrml::prelude::parser::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn line_at(place: usize, mjml: &str) -> usize {
    mjml.get(..place).unwrap_or(mjml).matches('\n').count()
}

/// The line that it speaks of, from 0; the last where the end came too early.
fn line_of(error: &mrml::prelude::parser::Error, mjml: &str) -> usize {
    use mrml::prelude::parser::Error;
    let line_at = |at| line_at(at, mjml);
    match error {
        Error::UnexpectedElement { position, .. }
        | Error::UnexpectedToken { position, .. }
        | Error::MissingAttribute { position, .. }
        | Error::InvalidAttribute { position, .. }
        | Error::InvalidFormat { position, .. }
        | Error::IncludeLoaderError { position, .. } => line_at(position.start),
        Error::ParserError { source, .. } => {
            usize::try_from(source.pos().row).unwrap_or_default().saturating_sub(1)
        }
        Error::EndOfStream { .. } => mjml.trim_end().lines().count().saturating_sub(1),
        Error::SizeLimit { .. } | Error::NoRootNode => 0,
    }
}

/// Every letter that there is.
pub fn kinds_and_languages() -> impl Iterator<Item = (Kind, Language)> {
    Kind::ALL.into_iter().flat_map(|kind| Language::ALL.map(|language| (kind, language)))
}

#[cfg(test)]
mod tests;
