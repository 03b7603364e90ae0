//! Where the words and the look of the letters come from: the templates that are compiled in, and those that the operator put in their
//! place.
//!
//! ```text
//! words/<language>.txt             the words that all letters of a language share, a block each
//! <kind>/<language>/words.txt      what a kind says instead
//! subject.txt body.txt body.mjml   put the words in their places, for all letters
//! <kind>/<language>/body.mjml …    the same for one letter alone, where the operator wants another look
//! partials/…                       the operator's own, for `{% include %}`
//! ```
//!
//! Everything that can be wrong with a template is found at start, with its file and its line.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::approvals;
use super::kinds_and_languages;
use super::words::{self, BLOCKS};
use crate::format::locale::Language;
use crate::letters::Kind;

/// The templates that are compiled in, by their paths below `templates/emails/`.
macro_rules! compiled_in {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/", $name)))),+]
    };
}

const OURS: &[(&str, &str)] = compiled_in! {
    "subject.txt" "body.txt" "body.mjml"
    "words/en.txt" "words/de.txt" "words/fr.txt"
    "offer/en/words.txt" "offer/de/words.txt" "offer/fr/words.txt"
    "refill/en/words.txt" "refill/de/words.txt" "refill/fr/words.txt"
    "repeat/en/words.txt" "repeat/de/words.txt" "repeat/fr/words.txt"
    "reminder_7d/en/words.txt" "reminder_7d/de/words.txt" "reminder_7d/fr/words.txt"
    "reminder_14d/en/words.txt" "reminder_14d/de/words.txt" "reminder_14d/fr/words.txt"
    "re_engagement/en/words.txt" "re_engagement/de/words.txt" "re_engagement/fr/words.txt"
};

/// A template is a page or two; a file of this size is something else.
const MAX_BYTES: u64 = 256 * 1024;
/// What filling in one template may cost: an instruction, or 64 bytes, is one. Ours cost some thousands; a loop in a loop that would
/// take for ever, or all memory, ends here.
const MAX_FUEL: u64 = 1_000_000;
/// Where operators keep what their templates include.
const PARTIALS: &str = "partials/";

/// A part of a letter that has a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Subject,
    Text,
    Html,
}

impl Part {
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
    /// A file or a folder cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing looks for a file of this name.
    #[error(
        "{}: no letter has a template of this name. There are subject.txt, body.txt, body.mjml, words/<language>.txt, \
         the same four in <kind>/<language>/ (words.txt for the last), and partials/ for what they include",
        .0.display()
    )]
    Stray(PathBuf),
    /// A file is much too long for a template.
    #[error("{}: longer than any template", .0.display())]
    TooLong(PathBuf),
    /// It cannot be read as a template, or fails when it is filled in.
    #[error("{place}, line {line}: {problem}")]
    Wrong {
        /// Which file.
        place: String,
        /// From 1.
        line: usize,
        /// What.
        problem: String,
    },
    /// It asks for something that there is not.
    #[error("{place}, line {line}: there is no `{name}` to fill in; there are {known}")]
    NoSuchName {
        /// Which file.
        place: String,
        /// From 1.
        line: usize,
        /// What it asks for.
        name: String,
        /// What it can ask for.
        known: String,
    },
    /// What comes out of it is no MJML.
    #[error("{place}, near line {line}: not MJML: {problem}")]
    Mjml {
        /// Which file.
        place: String,
        /// From 1.
        line: usize,
        /// What mrml says.
        problem: String,
    },
}

/// All templates, compiled.
#[derive(Debug)]
pub(super) struct Templates {
    pub environment: Environment<'static>,
    sources: BTreeMap<String, Source>,
    /// Hashing all sources takes longer than writing a letter.
    versions: HashMap<(Kind, Language), String>,
}

#[derive(Debug)]
struct Source {
    text: String,
    /// Where it is, for a person: the operator's file, or ours in this repository.
    place: String,
}

impl Templates {
    /// Compiles our templates, and the operator's from `dir` in their place.
    pub(super) fn load(dir: Option<&Path>) -> Result<Self, TemplateError> {
        let ours = OURS.iter().map(|(name, text)| {
            let place = format!("templates/emails/{name}");
            ((*name).to_owned(), Source { text: (*text).to_owned(), place })
        });
        let mut sources: BTreeMap<String, Source> = ours.collect();
        if let Some(dir) = dir {
            read_folder(dir, "", &mut sources)?;
        }
        let mut templates = Self { environment: environment()?, sources, versions: HashMap::new() };
        for (name, source) in &templates.sources {
            let added = templates.environment.add_template_owned(name.clone(), source.text.clone());
            added.map_err(|error| templates.wrong(&error))?;
        }
        templates.check_names()?;
        let letters = kinds_and_languages()
            .map(|(kind, language)| ((kind, language), templates.hash(kind, language)));
        templates.versions = letters.collect();
        Ok(templates)
    }

    /// The template of a part: the letter's own where it has one, else that of all letters.
    pub(super) fn name(&self, kind: Kind, language: Language, part: Part) -> String {
        let own = format!("{kind}/{language}/{}", part.file());
        if self.sources.contains_key(&own) { own } else { part.file().to_owned() }
    }

    /// Names all that a letter of a kind is made from, by its content: whoever reads a letter years later can find its words.
    pub(super) fn version(&self, kind: Kind, language: Language) -> &str {
        self.versions
            .get(&(kind, language))
            .expect("made for every kind and language when the templates were loaded")
    }

    fn hash(&self, kind: Kind, language: Language) -> String {
        let parts = Part::ALL.map(|part| self.name(kind, language, part));
        let words = [words_of(kind, language), format!("words/{language}.txt")];
        let partials = self.sources.keys().filter(|name| name.starts_with(PARTIALS));
        let names = parts.iter().chain(&words).chain(partials);
        approvals::hash(names.flat_map(|name| [name.as_str(), self.sources[name].text.as_str()]))
    }

    /// An error of the template engine with its place.
    pub(super) fn wrong(&self, error: &minijinja::Error) -> TemplateError {
        let mut cause = error;
        // The innermost error is the one with the file that is wrong.
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
        TemplateError::Wrong { place, line: cause.line().unwrap_or_default(), problem }
    }

    /// What is no MJML: `line`, counted from 0, is of what was filled in. In the template, whose lines are others, it is the one that
    /// begins most like it.
    pub(super) fn not_mjml(
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

    /// Names that no letter fills in would come up at night, in the one branch that no sample takes.
    fn check_names(&self) -> Result<(), TemplateError> {
        for (name, source) in &self.sources {
            let Ok(template) = self.environment.get_template(name) else { continue };
            let mut asked: Vec<String> = template.undeclared_variables(true).into_iter().collect();
            asked.sort();
            let is_words = !name.starts_with(PARTIALS)
                && (name.starts_with("words/") || name.rsplit('/').next() == Some("words.txt"));
            let mut known = words::names(is_words);
            known.extend(self.environment.globals().map(|(name, _)| name.to_owned()));
            // A partial also knows what is set where it is included.
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
                return Err(TemplateError::NoSuchName {
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

/// The file in which a kind says what is particular to it.
pub(super) fn words_of(kind: Kind, language: Language) -> String {
    format!("{kind}/{language}/words.txt")
}

/// The names of the blocks of a template.
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
    environment.set_syntax(syntax.map_err(|error| TemplateError::Wrong {
        place: "the syntax of the templates".to_owned(),
        line: 0,
        problem: error.to_string(),
    })?);
    environment.set_auto_escape_callback(|name| {
        if extension(name) == Some("mjml") { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_path_join_callback(|name, parent| joined(name, parent).into());
    environment.add_filter("wrapped", |text: &str, indent: Option<usize>| {
        words::wrapped(text, indent.unwrap_or_default())
    });
    environment.add_filter("padded", |text: &str| words::padded(text));
    Ok(environment)
}

/// Puts the operator's files in the place of ours. One that no letter would look for is a mistake.
fn read_folder(
    root: &Path,
    below: &str,
    sources: &mut BTreeMap<String, Source>,
) -> Result<(), TemplateError> {
    let folder = root.join(below);
    let unreadable =
        |path: &Path, source| TemplateError::Unreadable { path: path.to_owned(), source };
    for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
        let path = entry.map_err(|error| unreadable(&folder, error))?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(TemplateError::Stray(path));
        };
        // What editors and version control leave about.
        if file.starts_with('.') || file.ends_with('~') {
            continue;
        }
        let name = format!("{below}{file}");
        if path.is_dir() {
            read_folder(root, &format!("{name}/"), sources)?;
            continue;
        }
        if !is_known(&name) {
            return Err(TemplateError::Stray(path));
        }
        if std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?.len() > MAX_BYTES {
            return Err(TemplateError::TooLong(path));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        sources.insert(name, Source { text, place: path.display().to_string() });
    }
    Ok(())
}

/// What a template may pull in: the words of a language, and partials of its own kind. A text in MJML would not be escaped, and what a
/// letter is made from must be known for its version.
fn joined(name: &str, parent: &str) -> String {
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
    let is_part = |file: &str| Part::ALL.iter().any(|part| part.file() == file);
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
