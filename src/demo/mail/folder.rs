//! The folder of messages: one `.eml` file each, whose name is the message's id.
//!
//! A file begins with trace fields: `Return-Path` (RFC 5321 section 4.4) and one `X-Original-To`
//! for each recipient of the envelope. The rest are the bytes as received. Files without trace
//! fields, as `SMTP_URL=file:` writes them, are read as well. A file never changes once it has its
//! name, so what was read is kept in memory.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::session::{MAX_MESSAGE, MailEnvelope};
use crate::web::letter_view::ParsedEmail;

/// Handle to the folder. Clones share what was read.
#[derive(Clone, Debug)]
pub struct MailFolder {
    dir: Arc<Path>,
    /// By id.
    read: Arc<Mutex<HashMap<String, Arc<IndexedMail>>>>,
    /// Held while a message gets its name.
    naming: Arc<tokio::sync::Mutex<()>>,
}

/// What a list shows of a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MailSummary {
    pub id: String,
    /// The merchant's address.
    pub recipient: String,
    /// Recipients of the envelope that the header does not name, such as Stripe's blind copy.
    pub copies: Vec<String>,
    pub subject: String,
    /// The header `Date`.
    pub sent_at: Option<DateTime<Utc>>,
    /// `Feedback-ID` says it, as `letters.kind` and `letters.locale`.
    pub kind: Option<String>,
    pub locale: Option<String>,
    pub letter_id: Option<String>,
}

/// A message with its bytes as received.
#[derive(Debug)]
pub(super) struct StoredMail {
    pub(super) summary: MailSummary,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
struct IndexedMail {
    summary: MailSummary,
    arrived: DateTime<Utc>,
    /// In lower case: what a search looks at.
    searched: String,
}

/// Selects messages. Empty fields select all.
#[derive(Clone, Debug, Default)]
pub(super) struct MailFilter {
    /// Words that must occur in subject, addresses or text.
    pub(super) search: String,
    /// The whole address.
    pub(super) recipient: String,
}

/// The newest selected messages, and how many there are.
pub(super) struct MailList {
    pub(super) newest: Vec<MailSummary>,
    pub(super) total: usize,
}

pub(super) const MAX_LISTED: usize = 200;
/// Older messages stay in the folder and are neither listed nor searched.
const MAX_INDEXED: usize = 5_000;
/// Of a message, in bytes: an email of this service has a tenth.
const MAX_SEARCHED: usize = 16 * 1024;
/// Trace fields included.
const MAX_FILE: u64 = MAX_MESSAGE as u64 + 64 * 1024;
const MAX_ID: usize = 100;
/// Leaves room for `-<number>` in the name of the file. Ours have 39.
const MAX_LETTER_ID: usize = 64;

const RETURN_PATH: &str = "Return-Path: <";
const ORIGINAL_TO: &str = "X-Original-To: ";

impl MailFolder {
    pub(super) fn create(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self::open(dir))
    }

    /// A folder that need not exist yet.
    pub fn open(dir: PathBuf) -> Self {
        Self { dir: dir.into(), read: Arc::default(), naming: Arc::default() }
    }

    /// Writes a message. When this returns, a power failure does not lose it; a crash before that
    /// leaves at most a hidden partial file.
    pub(super) async fn store(
        &self,
        envelope: &MailEnvelope,
        message: &[u8],
    ) -> io::Result<MailSummary> {
        let mut bytes = trace_fields(envelope).into_bytes();
        bytes.extend_from_slice(message);
        let mut summary = index(String::new(), &bytes).summary;
        let name = summary.letter_id.clone();
        let name = name.unwrap_or_else(|| format!("message_{}", Uuid::now_v7().simple()));
        // A letter that is sent again gets the next number.
        let _naming = self.naming.lock().await;
        let mut number = 1;
        while tokio::fs::try_exists(self.file(&format!("{name}-{number}"))).await? {
            number += 1;
        }
        summary.id = format!("{name}-{number}");
        let partial = self.dir.join(format!(".{}.partial", summary.id));
        let mut file = tokio::fs::File::create(&partial).await?;
        file.write_all(&bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&partial, self.file(&summary.id)).await?;
        // The name is durable only when the folder is.
        tokio::fs::File::open(&self.dir).await?.sync_all().await?;
        Ok(summary)
    }

    /// Blocks on the file system.
    pub(super) fn list(&self, filter: &MailFilter) -> io::Result<MailList> {
        let words: Vec<String> = filter.search.split_whitespace().map(str::to_lowercase).collect();
        let mut all = self.indexed()?;
        all.retain(|mail| {
            let is_recipient = filter.recipient.is_empty()
                || mail.summary.recipient.eq_ignore_ascii_case(&filter.recipient);
            is_recipient && words.iter().all(|word| mail.searched.contains(word))
        });
        let newest = all.iter().take(MAX_LISTED).map(|mail| mail.summary.clone()).collect();
        Ok(MailList { newest, total: all.len() })
    }

    /// Blocks on the file system. `None` if no message has this id.
    pub(super) fn find(&self, id: &str) -> io::Result<Option<StoredMail>> {
        if !is_id(id) {
            return Ok(None);
        }
        let Some(bytes) = read_file(&self.file(id))? else { return Ok(None) };
        let summary = index(id.to_owned(), &bytes).summary;
        let received = split_trace(&bytes).1.to_vec();
        Ok(Some(StoredMail { summary, bytes: received }))
    }

    /// The newest first.
    fn indexed(&self) -> io::Result<Vec<Arc<IndexedMail>>> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".eml"));
            let Some(id) = id.filter(|id| is_id(id)) else { continue };
            files.push((DateTime::<Utc>::from(entry.metadata()?.modified()?), id.to_owned()));
        }
        files.sort_unstable_by(|one, other| other.cmp(one));
        files.truncate(MAX_INDEXED);
        let mut read = self.read.lock();
        let known = std::mem::take(&mut *read);
        let mut all = Vec::new();
        for (arrived, id) in files {
            let mail = match known.get(&id).filter(|mail| mail.arrived == arrived) {
                Some(mail) => Arc::clone(mail),
                // Another program may have removed it meanwhile.
                None => match read_file(&self.file(&id))? {
                    Some(bytes) => Arc::new(IndexedMail { arrived, ..index(id.clone(), &bytes) }),
                    None => continue,
                },
            };
            read.insert(id, Arc::clone(&mail));
            all.push(mail);
        }
        Ok(all)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.eml"))
    }
}

/// An id is part of a path, and comes from URLs.
fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_plain)
}

/// `None` if there is no such file, or it is none of ours by its size.
fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() <= MAX_FILE => std::fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn trace_fields(envelope: &MailEnvelope) -> String {
    let recipients = envelope.to.iter().map(|to| format!("{ORIGINAL_TO}{to}\r\n"));
    let from = &envelope.from;
    format!("{RETURN_PATH}{from}>\r\n") + &recipients.collect::<String>()
}

/// The recipients in the trace fields, and the bytes as received.
fn split_trace(file: &[u8]) -> (Vec<String>, &[u8]) {
    let mut rest = file;
    let mut recipients = Vec::new();
    let mut prefix = RETURN_PATH;
    while rest.starts_with(prefix.as_bytes()) {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        if prefix == ORIGINAL_TO {
            recipients.push(String::from_utf8_lossy(&line[prefix.len()..]).into_owned());
        }
        rest = after.get(2..).unwrap_or_default();
        prefix = ORIGINAL_TO;
    }
    (recipients, rest)
}

fn index(id: String, file: &[u8]) -> IndexedMail {
    let (recipients, bytes) = split_trace(file);
    let email = ParsedEmail::parse(bytes);
    let named = email.header("To").unwrap_or_default();
    let (to, copies): (Vec<_>, Vec<_>) = recipients
        .into_iter()
        .partition(|address| named.to_ascii_lowercase().contains(&address.to_ascii_lowercase()));
    let recipient = to.into_iter().next().unwrap_or_else(|| named.to_owned());
    let date = email.header("Date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let (kind, locale) = email.header("Feedback-ID").and_then(feedback_id).unzip();
    let letter_id = email.header("X-PM-Metadata-letter-id");
    let letter_id = letter_id.filter(|id| is_id(id) && id.len() <= MAX_LETTER_ID);
    let summary = MailSummary {
        id,
        copies,
        subject: email.header("Subject").unwrap_or_default().to_owned(),
        sent_at: date.map(|date| date.to_utc()),
        kind,
        locale,
        letter_id: letter_id.map(str::to_owned),
        recipient,
    };
    let text = email.text.as_deref().unwrap_or_default();
    let mut searched =
        [&summary.subject, named, &summary.recipient, text].join("\n").to_lowercase();
    searched.truncate(searched.floor_char_boundary(MAX_SEARCHED));
    IndexedMail { summary, arrived: DateTime::default(), searched }
}

/// Kind and locale: `offer:en:capital-offer:rocket.example`.
fn feedback_id(value: &str) -> Option<(String, String)> {
    let mut parts = value.split(':');
    let (kind, locale, campaign) = (parts.next()?, parts.next()?, parts.next()?);
    (campaign == "capital-offer").then(|| (kind.to_owned(), locale.to_owned()))
}
