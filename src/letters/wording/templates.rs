//! Loads the templates of the letters: the built-in ones, and the operator's in their place.
//!
//! ```text
//! words/<language>.txt             the blocks that all letters of a language share
//! <kind>/<language>/words.txt      the blocks that a kind overrides
//! subject.txt body.txt body.mjml   place the blocks, for all letters
//! <kind>/<language>/body.mjml …    the same for a single letter, to give it another layout
//! partials/…                       the operator's own, for `{% include %}`
//! ```
//!
//! Every error is found at startup and reported with its file and line.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::approvals;
use super::kinds_and_languages;
use super::layout;
use super::words::{self, BLOCKS};
use crate::format::locale::Language;
use crate::letters::Kind;

/// The built-in templates, by their paths below `templates/emails/`.
macro_rules! compiled_in {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/", $name)))),+]
    };
}

const BUILTIN: &[(&str, &str)] = compiled_in! {
    "subject.txt" "body.txt" "body.mjml"
    "words/en.txt" "words/de.txt" "words/fr.txt"
    "offer/en/words.txt" "offer/de/words.txt" "offer/fr/words.txt"
    "previously_eligible/en/words.txt" "previously_eligible/de/words.txt"
    "previously_eligible/fr/words.txt"
    "refill/en/words.txt" "refill/de/words.txt" "refill/fr/words.txt"
    "repeat/en/words.txt" "repeat/de/words.txt" "repeat/fr/words.txt"
    "reminder_7d/en/words.txt" "reminder_7d/de/words.txt" "reminder_7d/fr/words.txt"
    "reminder_14d/en/words.txt" "reminder_14d/de/words.txt" "reminder_14d/fr/words.txt"
    "re_engagement/en/words.txt" "re_engagement/de/words.txt" "re_engagement/fr/words.txt"
};

/// A template has a page or two; a larger file is a mistake.
const MAX_BYTES: u64 = 256 * 1024;
/// The budget for rendering one template: an instruction, or 64 bytes of output, costs one. The
/// built-in ones cost a few thousand; this stops nested loops that would exhaust time or memory.
const MAX_FUEL: u64 = 1_000_000;
/// The folder for files that the operator's templates include.
const PARTIALS: &str = "partials/";

/// A part of a letter with a template of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TemplatePart {
    Subject,
    Text,
    Html,
}

impl TemplatePart {
    const ALL: [Self; 3] = [Self::Subject, Self::Text, Self::Html];

    fn file(self) -> &'static str {
        match self {
            Self::Subject => "subject.txt",
            Self::Text => "body.txt",
            Self::Html => "body.mjml",
        }
    }
}

/// Why the templates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// No letter uses a file of this name.
    #[error(
        "{}: unknown template name; known are subject.txt, body.txt, body.mjml, words/<language>.txt, \
         the same four in <kind>/<language>/ (words.txt for the last), and partials/ for what they include",
        .0.display()
    )]
    UnknownFile(PathBuf),
    #[error("{}: too large for a template", .0.display())]
    TooLarge(PathBuf),
    /// The template does not compile, or fails to render.
    #[error("{place}, line {line}: {problem}")]
    Invalid {
        /// The file.
        place: String,
        /// From 1.
        line: usize,
        problem: String,
    },
    /// The template uses an undefined name.
    #[error("{place}, line {line}: undefined name `{name}`; defined are {known}")]
    UnknownName {
        /// The file.
        place: String,
        /// From 1.
        line: usize,
        name: String,
        /// The names that are defined.
        known: String,
    },
    /// The rendered template is not valid MJML.
    #[error("{place}, near line {line}: not MJML: {problem}")]
    Mjml {
        /// The file.
        place: String,
        /// From 1.
        line: usize,
        /// mrml's message.
        problem: String,
    },
}

/// All templates, compiled.
#[derive(Debug)]
pub(super) struct Templates {
    pub environment: Environment<'static>,
    sources: BTreeMap<String, TemplateSource>,
    /// Cached, because hashing all sources takes longer than rendering a letter.
    versions: HashMap<(Kind, Language), String>,
}

#[derive(Debug)]
struct TemplateSource {
    text: String,
    /// For error messages: the operator's file, or the built-in path in this repository.
    place: String,
}

impl Templates {
    /// Compiles the built-in templates and the operator's in `dir`, which take precedence.
    pub(super) fn load(dir: Option<&Path>) -> Result<Self, TemplateError> {
        let builtin = BUILTIN.iter().map(|(name, text)| {
            let place = format!("templates/emails/{name}");
            ((*name).to_owned(), TemplateSource { text: (*text).to_owned(), place })
        });
        let mut sources: BTreeMap<String, TemplateSource> = builtin.collect();
        if let Some(dir) = dir {
            read_directory(dir, "", &mut sources)?;
        }
        let mut templates = Self { environment: environment()?, sources, versions: HashMap::new() };
        for (name, source) in &templates.sources {
            let added = templates.environment.add_template_owned(name.clone(), source.text.clone());
            added.map_err(|error| templates.render_error(&error))?;
        }
        templates.check_names()?;
        let letters = kinds_and_languages()
            .map(|(kind, language)| ((kind, language), templates.hash(kind, language)));
        templates.versions = letters.collect();
        Ok(templates)
    }

    /// The letter's own template of a part if there is one, else the shared one.
    pub(super) fn name(&self, kind: Kind, language: Language, part: TemplatePart) -> String {
        let own = format!("{kind}/{language}/{}", part.file());
        if self.sources.contains_key(&own) { own } else { part.file().to_owned() }
    }

    /// A hash of all sources of a letter, so that its wording can be found years later.
    pub(super) fn version(&self, kind: Kind, language: Language) -> &str {
        self.versions
            .get(&(kind, language))
            .expect("made for every kind and language when the templates were loaded")
    }

    fn hash(&self, kind: Kind, language: Language) -> String {
        let parts = TemplatePart::ALL.map(|part| self.name(kind, language, part));
        let words = [words_of(kind, language), format!("words/{language}.txt")];
        let partials = self.sources.keys().filter(|name| name.starts_with(PARTIALS));
        let names = parts.iter().chain(&words).chain(partials);
        approvals::hash(names.flat_map(|name| [name.as_str(), self.sources[name].text.as_str()]))
    }

    /// Adds the file and line to an error of the template engine.
    pub(super) fn render_error(&self, error: &minijinja::Error) -> TemplateError {
        let mut cause = error;
        // The innermost error names the file at fault.
        while let Some(inner) =
            std::error::Error::source(cause).and_then(|inner| inner.downcast_ref())
        {
            cause = inner;
        }
        let place = self.place(cause.name().or(error.name()).unwrap_or_default());
        let problem = cause.detail().map_or_else(
            || cause.kind().to_string(),
            |detail| format!("{}: {detail}", cause.kind()),
        );
        TemplateError::Invalid { place, line: cause.line().unwrap_or_default(), problem }
    }

    /// `line`, counted from 0, refers to the rendered text. The template's own lines differ, so
    /// this reports the one with the longest common prefix.
    pub(super) fn invalid_mjml(
        &self,
        name: &str,
        filled_in: &str,
        problem: &str,
        line: usize,
    ) -> TemplateError {
        let words = filled_in.lines().nth(line).unwrap_or_default().trim();
        let alike = |other: &str| {
            other.trim().chars().zip(words.chars()).take_while(|(one, other)| one == other).count()
        };
        let source = self.sources.get(name).map_or("", |source| source.text.as_str());
        let best = source
            .lines()
            .map(alike)
            .enumerate()
            .max_by_key(|(line, alike)| (*alike, std::cmp::Reverse(*line)));
        let line = best.filter(|(_, alike)| *alike > 0).map_or(line, |(line, _)| line);
        TemplateError::Mjml { place: self.place(name), line: line + 1, problem: problem.to_owned() }
    }

    fn place(&self, name: &str) -> String {
        self.sources.get(name).map_or_else(|| name.to_owned(), |source| source.place.clone())
    }

    /// Checks names statically: an undefined name in a branch that no sample takes would otherwise
    /// fail in production.
    fn check_names(&self) -> Result<(), TemplateError> {
        for (name, source) in &self.sources {
            let Ok(template) = self.environment.get_template(name) else { continue };
            let mut asked: Vec<String> = template.undeclared_variables(true).into_iter().collect();
            asked.sort();
            let is_words = !name.starts_with(PARTIALS)
                && (name.starts_with("words/") || name.rsplit('/').next() == Some("words.txt"));
            let mut known = words::names(is_words);
            known.extend(self.environment.globals().map(|(name, _)| name.to_owned()));
            // A partial also sees the variables of the template that includes it.
            asked.retain(|asked| !name.starts_with(PARTIALS) || asked.starts_with("words."));
            let mut wrong =
                asked.into_iter().find(|asked| !known.contains(asked)).map(|asked| (asked, known));
            if is_words && wrong.is_none() {
                let blocks: BTreeSet<String> =
                    BLOCKS.iter().map(|block| (*block).to_owned()).collect();
                wrong = blocks_in(&source.text)
                    .find(|block| !blocks.contains(block))
                    .map(|block| (block, blocks));
            }
            if let Some((name, known)) = wrong {
                let last = name.rsplit('.').next().unwrap_or(&name);
                let line =
                    source.text.lines().position(|line| line.contains(last)).unwrap_or_default()
                        + 1;
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                return Err(TemplateError::UnknownName {
                    place: source.place.clone(),
                    line,
                    name,
                    known,
                });
            }
        }
        Ok(())
    }
}

/// The file with the blocks of a kind.
pub(super) fn words_of(kind: Kind, language: Language) -> String {
    format!("{kind}/{language}/words.txt")
}

fn blocks_in(source: &str) -> impl Iterator<Item = String> {
    source.split("{%").skip(1).filter_map(|tag| {
        let mut words = tag.trim_start_matches(['-', '+']).split_whitespace();
        (words.next() == Some("block"))
            .then(|| words.next().unwrap_or_default().trim_end_matches(['-', '%', '}']).to_owned())
    })
}

fn environment() -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(MAX_FUEL));
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| TemplateError::Invalid {
        place: "the syntax of the templates".to_owned(),
        line: 0,
        problem: error.to_string(),
    })?);
    environment.set_auto_escape_callback(|name| {
        if extension(name) == Some("mjml") { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_formatter(layout::print);
    environment.set_path_join_callback(|name, parent| resolve_include(name, parent).into());
    environment.add_filter("wrapped", |text: &str, indent: Option<usize>| {
        words::wrapped(text, indent.unwrap_or_default())
    });
    environment.add_filter("padded", |text: &str| words::padded(text));
    Ok(environment)
}

/// Adds the operator's files, which override the built-in ones. An unknown file name is an error.
fn read_directory(
    root: &Path,
    below: &str,
    sources: &mut BTreeMap<String, TemplateSource>,
) -> Result<(), TemplateError> {
    let folder = root.join(below);
    let unreadable =
        |path: &Path, source| TemplateError::Unreadable { path: path.to_owned(), source };
    for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
        let path = entry.map_err(|error| unreadable(&folder, error))?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(TemplateError::UnknownFile(path));
        };
        // Hidden files and editors' backups.
        if file.starts_with('.') || file.ends_with('~') {
            continue;
        }
        let name = format!("{below}{file}");
        if path.is_dir() {
            read_directory(root, &format!("{name}/"), sources)?;
            continue;
        }
        if !is_known(&name) {
            return Err(TemplateError::UnknownFile(path));
        }
        if std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?.len() > MAX_BYTES {
            return Err(TemplateError::TooLarge(path));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        sources.insert(name, TemplateSource { text, place: path.display().to_string() });
    }
    Ok(())
}

/// Restricts includes: the blocks of a language, and partials with the same extension. Text
/// included in MJML would not be escaped, and the version must cover every source.
fn resolve_include(name: &str, parent: &str) -> String {
    let is_words = name.starts_with("words/") && is_known(name) && extension(parent) == Some("txt");
    let is_partial = name.starts_with(PARTIALS) && extension(name) == extension(parent);
    if is_words || is_partial {
        return name.to_owned();
    }
    format!(
        "{name} (only words/<language>.txt, and partials/… that end as the file that includes them)"
    )
}

fn extension(name: &str) -> Option<&str> {
    Path::new(name).extension()?.to_str()
}

fn is_known(name: &str) -> bool {
    let is_part = |file: &str| TemplatePart::ALL.iter().any(|part| part.file() == file);
    let is_language = |code: &str| Language::ALL.iter().any(|language| language.code() == code);
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [file] => is_part(file),
        ["words", file] => file.strip_suffix(".txt").is_some_and(is_language),
        [kind, language, file] if Kind::ALL.iter().any(|known| known.as_str() == *kind) => {
            is_language(language) && (is_part(file) || *file == "words.txt")
        }
        ["partials", ..] => matches!(extension(name), Some("txt" | "mjml")),
        _ => false,
    }
}
