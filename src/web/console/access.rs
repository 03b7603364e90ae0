//! Who may see and do what: tokens and their roles, sessions and bearers, and the proof that a
//! form was sent by one of our pages.
//!
//! A handler that takes a [`Visitor`] is reached by signed-in people alone. One that takes an
//! [`Act`] is reached by the acting role alone, from a form of ours, with a reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::session::SignedIn;
use super::{ConsoleState, Settings};
use crate::consent::opt_outs::{Note, NoteError};
use crate::database::with_timeout;
use crate::format::text;
use crate::http::body::{self, BodyLimits};
use crate::mail::mask::masked_recipient;
use crate::operators::{Channel, Instruction};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ConsoleRole {
    Act,
    Read,
}

/// The header in which an authenticating reverse proxy names the person.
#[derive(Clone, Debug)]
pub struct UserHeader(HeaderName);

#[derive(Debug, thiserror::Error)]
#[error("not a header that a proxy can use for a person's name")]
pub struct UserHeaderError;

/// An HMAC key that one session or one bearer has to itself.
#[derive(Clone)]
pub(super) struct Seal(Hmac<Sha256>);

/// A signed-in person, or a program with a token.
pub(super) struct Visitor {
    pub(super) name: String,
    pub(super) role: ConsoleRole,
    /// The page that was asked for.
    pub(super) uri: Uri,
    seal: Seal,
    is_session: bool,
}

/// A form that a [`Visitor`] sent, of any role.
pub(super) struct Submitted {
    pub(super) visitor: Visitor,
    pub(super) headers: HeaderMap,
    pub(super) fields: FormFields,
}

/// A form of the acting role, with the reason that the log of acts keeps.
pub(super) struct Act {
    pub(super) visitor: Visitor,
    pub(super) reason: Note,
    pub(super) fields: FormFields,
}

/// The fields of a form.
#[derive(Debug, Default)]
pub(super) struct FormFields(BTreeMap<String, String>);

/// A few fields; the longest is a note or a reason.
const FORM: BodyLimits = BodyLimits { max_bytes: 16 * 1024, timeout: Duration::from_secs(10) };
const MAX_NAME: usize = 80;
/// The name of a bearer that gives none.
const UNNAMED: &str = "token";
/// Headers that mean something else.
const NOT_A_NAME: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::HOST, header::ORIGIN];

impl ConsoleRole {
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for UserHeader {
    type Err = UserHeaderError;

    fn from_str(text: &str) -> Result<Self, UserHeaderError> {
        let name: HeaderName = text.parse().map_err(|_| UserHeaderError)?;
        if NOT_A_NAME.contains(&name) { Err(UserHeaderError) } else { Ok(Self(name)) }
    }
}

impl Settings {
    fn token(&self, role: ConsoleRole) -> Option<&SecretString> {
        match role {
            ConsoleRole::Act => self.token.as_ref(),
            ConsoleRole::Read => self.read_only_token.as_ref(),
        }
    }

    /// The role of a token. Compares digests, so the time tells nothing about the token.
    pub(super) fn role_of(&self, token: &str) -> Option<ConsoleRole> {
        let given = Sha256::digest(token);
        let is_token = |role| {
            let right = self.token(role).map(|right| Sha256::digest(right.expose_secret()));
            right.is_some_and(|right| right == given)
        };
        [ConsoleRole::Act, ConsoleRole::Read].into_iter().find(|role| is_token(*role))
    }

    /// Ties a session to the role's token. `None` if the role has none.
    pub(super) fn proof(&self, role: ConsoleRole, seal: &Seal) -> Option<Vec<u8>> {
        self.token(role).map(|token| seal.mac("token", token.expose_secret()).to_vec())
    }
}

impl Seal {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    fn mac(&self, purpose: &str, text: &str) -> [u8; 32] {
        let mac = self.0.clone().chain_update(purpose).chain_update(b"\0").chain_update(text);
        mac.finalize().into_bytes().into()
    }

    fn verifies(&self, purpose: &str, text: &str, code: &str) -> bool {
        let mac = self.0.clone().chain_update(purpose).chain_update(b"\0").chain_update(text);
        hex::decode(code).is_ok_and(|code| mac.verify_slice(&code).is_ok())
    }
}

impl Visitor {
    pub(super) fn can_act(&self) -> bool {
        self.role == ConsoleRole::Act
    }

    /// An address as this visitor may see it.
    pub(super) fn recipient(&self, address: &str) -> String {
        if self.can_act() { address.to_owned() } else { masked_recipient(address) }
    }

    /// The value that each form must carry.
    pub(super) fn csrf(&self) -> String {
        hex::encode(self.seal.mac("form", ""))
    }

    /// The URL of a page that says what was done. Sealed, so that no link can make a page say
    /// anything else.
    pub(super) fn done(&self, path: &str, said: &str) -> String {
        let code = hex::encode(self.seal.mac("said", said));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("said", said)
            .append_pair("code", &code)
            .finish();
        format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
    }

    /// What [`Visitor::done`] put into the URL of this page.
    pub(super) fn said(&self) -> Option<String> {
        let query = FormFields::parse(self.uri.query().unwrap_or_default().as_bytes());
        let said = query.0.get("said")?;
        self.seal.verifies("said", said, query.text("code")).then(|| said.clone())
    }

    /// This page with other values in its query, without the empty ones.
    pub(super) fn page_with(&self, values: &[(&str, &str)]) -> String {
        let mut query = FormFields::parse(self.uri.query().unwrap_or_default().as_bytes()).0;
        query.retain(|name, _| !["said", "code"].contains(&name.as_str()));
        query.extend(values.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        query.retain(|_, value| !value.is_empty());
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        let query = text.extend_pairs(query).finish();
        format!("{}?{query}", self.uri.path())
    }

    fn of_session(session: SignedIn, uri: Uri) -> Self {
        let SignedIn { name, role, seal } = session;
        Self { name, role, uri, seal, is_session: true }
    }
}

impl Act {
    pub(super) fn instruction(&self) -> Instruction {
        Instruction {
            operator: self.visitor.name.clone(),
            channel: Channel::Console,
            reason: Some(self.reason.clone()),
        }
    }
}

impl FormFields {
    pub(super) fn parse(text: &[u8]) -> Self {
        // Postgres stores no NUL.
        let stored = |text: std::borrow::Cow<'_, str>| text.replace('\0', "\u{fffd}");
        let fields = url::form_urlencoded::parse(text);
        Self(fields.map(|(name, value)| (stored(name), stored(value))).collect())
    }

    /// Trimmed; empty if there is no such field.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |text| text.trim())
    }
}

/// The id in a page's path. Stripe's ids and ours are plain words; anything else is not found.
pub(super) struct PageId(pub(super) String);

impl FromRequestParts<ConsoleState> for PageId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ConsoleState) -> Result<Self, Problem> {
        /// Stripe's ids have at most 255 characters.
        const MAX_LENGTH: usize = 255;
        let unknown = || Problem::NotFound("This page".to_owned());
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id = id.map(|Path(id)| id).map_err(|_| unknown())?;
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_plain && id.len() <= MAX_LENGTH { Ok(Self(id)) } else { Err(unknown()) }
    }
}

impl FromRequestParts<ConsoleState> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ConsoleState) -> Result<Self, Problem> {
        if let Some(authorization) = parts.headers.get(header::AUTHORIZATION) {
            state.limits.bearer.count(&client_of(parts)).map_err(Problem::TooOften)?;
            let token = authorization.to_str().ok().and_then(|text| text.split_once(' '));
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let settings = &state.console.settings;
            let role = token.and_then(|(_, token)| settings.role_of(token.trim()));
            let role = role.ok_or(Problem::WrongToken)?;
            let name = settings.user_header.as_ref().and_then(|UserHeader(header)| {
                person(str::from_utf8(parts.headers.get(header)?.as_bytes()).ok()?)
            });
            let name = name.unwrap_or_else(|| UNNAMED.to_owned());
            let seal = state.bearer_seal.clone();
            return Ok(Self { name, role, uri: parts.uri.clone(), seal, is_session: false });
        }
        let session = with_timeout(state.console.session(&parts.headers)).await?;
        // A form is not sent again after the sign-in.
        let is_page = parts.method == Method::GET;
        let next = if is_page { parts.uri.clone() } else { Uri::from_static("/console") };
        let session = session.ok_or(Problem::SignIn(next))?;
        Ok(Self::of_session(session, parts.uri.clone()))
    }
}

impl FromRequest<ConsoleState> for Submitted {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ConsoleState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await?;
        let is_ours = match origin(&parts.headers) {
            FormOrigin::Ours => true,
            FormOrigin::Foreign => false,
            // A program that brings its token has no cookies that a page could abuse.
            FormOrigin::Unknown => !visitor.is_session,
        };
        if !is_ours {
            return Err(Problem::ForeignForm);
        }
        let fields = read_form(&parts.headers, body).await?;
        if visitor.is_session && !visitor.seal.verifies("form", "", fields.text("csrf")) {
            return Err(Problem::ForeignForm);
        }
        Ok(Self { visitor, headers: parts.headers, fields })
    }
}

impl FromRequest<ConsoleState> for Act {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ConsoleState) -> Result<Self, Problem> {
        let Submitted { visitor, fields, .. } = Submitted::from_request(request, state).await?;
        if !visitor.can_act() {
            return Err(Problem::ReadOnly);
        }
        let reason = fields.text("reason").parse().map_err(|error: NoteError| {
            Problem::Invalid(format!("The log of acts needs a reason: {error}."))
        })?;
        Ok(Self { visitor, reason, fields })
    }
}

pub(super) async fn read_form(
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<FormFields, Problem> {
    let body = body::read(headers, body, FORM).await;
    body.map(|body| FormFields::parse(&body))
        .map_err(|_| Problem::Invalid("The form could not be read: send it again.".to_owned()))
}

/// A person's name as the log of acts keeps it. `None` if nothing visible is left.
pub(super) fn person(name: &str) -> Option<String> {
    let name: String = text::plain(name).chars().take(MAX_NAME).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// The address that a rate limit counts by. A reverse proxy is one client.
pub(super) fn client_of(parts: &Parts) -> String {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string())
}

/// Where a form was sent from, by the browser's account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FormOrigin {
    Ours,
    Foreign,
    /// The browser, or the program, does not say.
    Unknown,
}

/// `Sec-Fetch-Site` where the browser sends it, which it does over https and from loopback; else
/// `Origin`, which must name the host that was asked.
pub(super) fn origin(headers: &HeaderMap) -> FormOrigin {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let asked = text("host").and_then(|host| host.parse::<Authority>().ok());
            let sender = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
            sender.is_some() && sender == asked
        }
        (None, None) => return FormOrigin::Unknown,
    };
    if is_ours { FormOrigin::Ours } else { FormOrigin::Foreign }
}

/// Whether the browser reached us by https, by the `Origin` of its form.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}
