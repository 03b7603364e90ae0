//! Writes letters: subject, text and HTML.
//!
//! First the blocks of a kind and language are rendered, each as one line of plain text. Then the
//! part templates place them, and MJML is converted to HTML, once for each layout (`layout`). Input
//! from outside is reduced to plain text, and escaped in HTML. With the operator's templates, every
//! kind is rendered in every language with sample facts at startup, so that a broken template stops
//! the start and not a letter.

pub mod approvals;
mod banner;
mod contacts;
mod disclaimer;
mod facts;
mod layout;
mod nesting;
mod sales_day;
mod sample_facts;
pub mod samples;
mod templates;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Kind;
use crate::brand::Brand;
use crate::format::locale::{Formats, Language};
use approvals::CopyId;
use layout::{Layouts, Skeleton};
use templates::{TemplatePart, Templates, words_of};
use words::{BLOCKS, Slots, one_line};

pub use banner::{BannerCopy, ContactLine, TermsLine};
pub use contacts::{Contact, ContactError, ContactSettings, Contacts};
pub use disclaimer::{Disclaimer, DisclaimerError, Disclaimers};
pub use facts::Facts;
pub use sales_day::SalesDay;
pub use sample_facts::{refill_cases, sample};
pub use templates::TemplateError;

/// What all letters of a platform share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Letters link to its dashboard.
    pub brand: Brand,
    pub postal_address: String,
    pub from_name: String,
    pub from_address: String,
    /// Receives replies, including those that say "unsubscribe".
    pub reply_to: String,
    /// Whether letters have an unsubscribe link, which changes their wording.
    pub has_link: bool,
    pub contacts: ContactSettings,
    /// The operator's templates, which override the built-in ones.
    pub templates_dir: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Writer {
    templates: Templates,
    /// `None` with the operator's own templates, which may do anything with a value.
    layouts: Option<Layouts>,
    settings: Settings,
}

/// The rendered parts of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenLetter {
    /// One line.
    pub subject: String,
    /// Shown next to the subject in an inbox.
    pub preview: String,
    pub text: String,
    pub html: String,
    /// Identifies the templates, independent of the facts.
    pub template_version: String,
}

impl Writer {
    /// Compiles the templates. Renders every kind in every language once if some of them are the
    /// operator's, so that their errors show at startup. For the built-in ones the tests do that: it
    /// would be most of the time that a start takes.
    pub fn new(settings: Settings) -> Result<Self, TemplateError> {
        let templates = Templates::load(settings.templates_dir.as_deref())?;
        if settings.templates_dir.is_none() {
            return Ok(Self { templates, layouts: Some(Layouts::default()), settings });
        }
        let writer = Self { templates, layouts: None, settings };
        for (kind, language) in kinds_and_languages() {
            for facts in sample_facts::covering_facts(kind, language) {
                writer.write_once(&facts)?;
            }
        }
        Ok(writer)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn write(&self, facts: &Facts) -> Result<WrittenLetter, TemplateError> {
        self.render(facts, self.layouts.as_ref())
    }

    /// As [`Writer::write`], without keeping the layout: for samples, most of which no letter will
    /// use again.
    fn write_once(&self, facts: &Facts) -> Result<WrittenLetter, TemplateError> {
        self.render(facts, None)
    }

    /// Without `layouts`, the letter's MJML is converted itself.
    fn render(
        &self,
        facts: &Facts,
        layouts: Option<&Layouts>,
    ) -> Result<WrittenLetter, TemplateError> {
        let slots = Slots::new(facts, &self.settings);
        let words = self.words(facts, &slots)?;
        let slots = slots.with(&words);
        let name = |part| self.templates.name(facts.kind, facts.language, part);
        let fill = |name: &str| {
            let template = self.templates.environment.get_template(name);
            let filled = template.and_then(|template| template.render(slots.clone()));
            filled.map_err(|error| self.templates.render_error(&error))
        };
        let html = name(TemplatePart::Html);
        let template = self.templates.environment.get_template(&html);
        let skeleton = template
            .and_then(|template| template.render_captured(slots.clone()))
            .map(Skeleton::of)
            .map_err(|error| self.templates.render_error(&error))?;
        let convert = |mjml: &str| self.render_html(&html, mjml);
        Ok(WrittenLetter {
            subject: one_line(&fill(&name(TemplatePart::Subject))?),
            preview: words.get("preview").cloned().unwrap_or_default(),
            text: fill(&name(TemplatePart::Text))?,
            html: match layouts {
                Some(layouts) => layouts.html(&skeleton, convert)?,
                None => convert(&skeleton.filled())?,
            },
            template_version: self.templates.version(facts.kind, facts.language).to_owned(),
        })
    }

    /// The hash of everything in a letter except the merchant's own data: see [`approvals`].
    pub fn copy_hash(&self, kind: Kind, disclaimer: &Disclaimer) -> String {
        let settings = &self.settings;
        let version = self.templates.version(kind, disclaimer.language);
        let Contacts { support, complaints } =
            settings.contacts.in_market(disclaimer.market.as_deref());
        let parts = [
            version,
            kind.as_str(),
            disclaimer.language.code(),
            &settings.brand.program_name,
            settings.brand.dashboard_url.as_str(),
            &settings.postal_address,
            &settings.from_name,
            &settings.from_address,
            &settings.reply_to,
            if settings.has_link { "link" } else { "mail" },
            &support.address,
            complaints.as_ref().map_or("", |complaints| &complaints.address),
            &disclaimer.variant,
        ];
        approvals::hash(parts.into_iter().chain(disclaimer.paragraphs.iter().map(String::as_str)))
    }

    /// The wording of a kind of letter with a disclaimer, as approvals name it.
    pub fn copy_id(&self, kind: Kind, disclaimer: &Disclaimer) -> CopyId {
        CopyId::new(kind.as_str(), disclaimer, self.copy_hash(kind, disclaimer))
    }

    /// Renders the blocks of a letter.
    fn words(
        &self,
        facts: &Facts,
        slots: &Slots<'_>,
    ) -> Result<BTreeMap<&'static str, String>, TemplateError> {
        let name = words_of(facts.kind, facts.language);
        let formats = Formats::new(facts.language, facts.country.as_deref());
        let fill = || {
            let template = self.templates.environment.get_template(&name)?;
            let mut rendered = template.render_captured(slots.values())?;
            let blocks = BLOCKS.iter().map(|block| {
                let words = rendered.with_state_mut(|state| state.render_block(block))?;
                Ok((*block, formats.typeset(&one_line(&words))))
            });
            blocks.collect::<Result<_, minijinja::Error>>()
        };
        fill().map_err(|error| self.templates.render_error(&error))
    }

    fn render_html(&self, name: &str, mjml: &str) -> Result<String, TemplateError> {
        let mangled: BTreeSet<char> = mjml.chars().filter(|c| is_mangled_by_mrml(*c)).collect();
        let mjml =
            &mangled.iter().fold(mjml.to_owned(), |mjml, c| mjml.replace(*c, &reference(*c)));
        if let Some(at) = nesting::too_deep(mjml) {
            let problem = format!("elements are nested more than {} deep", nesting::MAX_DEPTH);
            return Err(self.templates.invalid_mjml(name, mjml, &problem, line_at(at, mjml)));
        }
        let parsed = mrml::parse(mjml).map_err(|error| {
            self.templates.invalid_mjml(name, mjml, &problem(&error), line_of(&error, mjml))
        })?;
        // mrml drops unknown elements silently, which would change the layout.
        if let Some(warning) = parsed.warnings.first() {
            return Err(self.templates.invalid_mjml(
                name,
                mjml,
                warning.kind.as_str(),
                line_at(warning.span.start, mjml),
            ));
        }
        // Loading a font would tell its host who reads the letter, and when.
        let options = mrml::prelude::render::RenderOptions {
            fonts: std::collections::HashMap::new(),
            ..Default::default()
        };
        let rendered = parsed.element.render(&options);
        let html = rendered
            .map_err(|error| self.templates.invalid_mjml(name, mjml, &error.to_string(), 0))?;
        // An unknown element inside a known one is passed through without a warning.
        if let Some((_, rest)) = html.split_once("<mj-") {
            let tag = rest
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()
                .unwrap_or_default();
            let at = mjml.find(&format!("<mj-{tag}")).unwrap_or_default();
            let problem = format!("element mj-{tag} is unknown or not allowed here");
            return Err(self.templates.invalid_mjml(name, mjml, &problem, line_at(at, mjml)));
        }
        // minijinja escapes slashes too; some mail programs do not decode them in URLs.
        let html = html.replace("&#x2f;", "/");
        Ok(mangled.iter().fold(html, |html, c| html.replace(&reference(*c), &c.to_string())))
    }
}

/// Whether mrml would write this character into an attribute in Rust's notation (`\u{a0}`), as it
/// does for no-break spaces.
fn is_mangled_by_mrml(c: char) -> bool {
    !c.is_ascii() && c.escape_debug().len() > 1
}

/// The numeric HTML reference, which mrml leaves as it is.
fn reference(c: char) -> String {
    format!("&#x{:x};", u32::from(c))
}

/// mrml's message with the message of the parser below it.
fn problem(error: &mrml::prelude::parser::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn line_at(place: usize, mjml: &str) -> usize {
    mjml.get(..place).unwrap_or(mjml).matches('\n').count()
}

/// The line of the error, from 0; the last line if the input ended early.
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

pub fn kinds_and_languages() -> impl Iterator<Item = (Kind, Language)> {
    Kind::ALL.into_iter().flat_map(|kind| Language::ALL.map(|language| (kind, language)))
}

#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod look_tests;
#[cfg(test)]
mod tests;
