//! `SMTP_URL`: the relay, and how to connect to it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use crate::http::is_loopback;

/// A valid relay URL.
#[derive(Clone, Debug)]
pub enum RelayUrl {
    /// `smtp://`, `smtps://`
    Smtp(SmtpServer),
    /// `file:DIR`: each letter is written to a file in the folder.
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    /// Defaults to 25, 465 or 587, depending on `tls`.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    pub login: Option<(String, SecretString)>,
}

/// How the connection to the relay is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    None,
    /// `STARTTLS` if the relay offers it.
    Opportunistic,
    /// `STARTTLS`, or the connection fails (RFC 3207).
    Required,
    /// TLS from the first byte (RFC 8314).
    Implicit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RelayUrlError(&'static str);

const FORM: &str = "must be smtp://host:25, smtps://user:password@host, \
    smtp://user:password@host:587?tls=required, or file:DIR";

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(given: &str) -> Result<Self, RelayUrlError> {
        if let Some(dir) = given.strip_prefix("file:") {
            let dir = dir.strip_prefix("//").unwrap_or(dir);
            return if dir.is_empty() {
                Err(RelayUrlError(FORM))
            } else {
                Ok(Self::File(dir.into()))
            };
        }
        let url = Url::parse(given).map_err(|_| RelayUrlError(FORM))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(RelayUrlError(FORM))?;
        // `TcpStream::connect` takes an IPv6 address without brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = tls(&url)?;
        let login = login(&url)?;
        // `opportunistic` is no safer than `none`: an attacker who can read the password can also
        // strip the STARTTLS offer.
        let may_be_plain = matches!(tls, TlsMode::None | TlsMode::Opportunistic);
        if login.is_some() && may_be_plain && !is_loopback(&host) {
            return Err(RelayUrlError(
                "could send the password unencrypted: write ?tls=required, or use smtps://",
            ));
        }
        let port = url.port().unwrap_or(match tls {
            TlsMode::Implicit => 465,
            TlsMode::Required => 587,
            TlsMode::None | TlsMode::Opportunistic => 25,
        });
        Ok(Self::Smtp(SmtpServer { host, port, tls, login }))
    }
}

impl RelayUrl {
    /// The host that letters may reach unencrypted over a network. `None` if TLS is guaranteed or
    /// no network is involved.
    pub fn unencrypted_host(&self) -> Option<&str> {
        match self {
            Self::Smtp(SmtpServer {
                host, tls: TlsMode::None | TlsMode::Opportunistic, ..
            }) => (!is_loopback(host)).then_some(host),
            Self::Smtp(_) | Self::File(_) => None,
        }
    }
}

fn tls(url: &Url) -> Result<TlsMode, RelayUrlError> {
    let mut mode = None;
    for (key, value) in url.query_pairs() {
        if key != "tls" {
            return Err(RelayUrlError("the only parameter of a relay URL is `tls`"));
        }
        mode = Some(value);
    }
    match (url.scheme(), mode.as_deref()) {
        ("smtps", None | Some("wrapper" | "required")) => Ok(TlsMode::Implicit),
        ("smtp", None | Some("none")) => Ok(TlsMode::None),
        ("smtp", Some("required")) => Ok(TlsMode::Required),
        ("smtp", Some("opportunistic")) => Ok(TlsMode::Opportunistic),
        ("smtp" | "smtps", Some(_)) => {
            Err(RelayUrlError("`tls` is none, opportunistic or required"))
        }
        _ => Err(RelayUrlError(FORM)),
    }
}

fn login(url: &Url) -> Result<Option<(String, SecretString)>, RelayUrlError> {
    let decoded = |part| {
        let decoded = percent_decode_str(part).decode_utf8();
        decoded
            .map(Cow::into_owned)
            .map_err(|_| RelayUrlError("user or password are not percent-encoded UTF-8"))
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(RelayUrlError("a password without a user")),
        (_, None) => Err(RelayUrlError("a user without a password")),
        (user, Some(password)) => Ok(Some((decoded(user)?, decoded(password)?.into()))),
    }
}

/// Omits the credentials.
impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(server) => {
                let scheme = if server.tls == TlsMode::Implicit { "smtps" } else { "smtp" };
                write!(f, "{scheme}://{}:{}", server.host, server.port)
            }
            Self::File(dir) => write!(f, "file:{}", dir.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn server(given: &str) -> SmtpServer {
        match given.parse().unwrap() {
            RelayUrl::Smtp(server) => server,
            RelayUrl::File(dir) => panic!("{given} was parsed as the folder {}", dir.display()),
        }
    }

    #[test]
    fn the_default_port_depends_on_the_tls_mode() {
        let cases = [
            ("smtp://mail.example", 25, TlsMode::None),
            ("smtp://mail.example?tls=opportunistic", 25, TlsMode::Opportunistic),
            ("smtp://mail.example?tls=required", 587, TlsMode::Required),
            ("smtps://mail.example", 465, TlsMode::Implicit),
            ("smtps://mail.example:2465", 2465, TlsMode::Implicit),
        ];
        for (given, port, tls) in cases {
            assert_eq!((server(given).port, server(given).tls), (port, tls), "{given}");
        }
    }

    #[test]
    fn credentials_may_contain_any_character_and_are_never_printed() {
        let given = "smtp://us%40er:p%2Bss+%3A@mail.example:587?tls=required";
        let (user, password) = server(given).login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("us@er", "p+ss+:"));
        let url: RelayUrl = given.parse().unwrap();
        assert_eq!(url.to_string(), "smtp://mail.example:587");
        assert!(!format!("{url:?}").contains("ss+"));
    }

    #[test]
    fn invalid_or_unsafe_urls_are_rejected() {
        for bad in [
            "",
            "mail.example",
            "http://mail.example",
            "smtp://",
            "file:",
            "smtp://mail.example?tls=maybe",
            "smtp://mail.example?timeout=5",
            "smtp://user@mail.example",
            "smtp://user:pw@mail.example",
            "smtp://user:pw@mail.example?tls=none",
            "smtp://user:pw@mail.example?tls=opportunistic",
            "smtp://user:pw@10.0.0.1?tls=opportunistic",
            "smtp://user:pw@localhost.example?tls=opportunistic",
        ] {
            assert!(bad.parse::<RelayUrl>().is_err(), "{bad:?} was accepted");
        }
        for good in [
            "smtp://user:pw@localhost:1025",
            "smtp://user:pw@LOCALHOST?tls=opportunistic",
            "smtp://user:pw@[::1]?tls=opportunistic",
            "smtp://user:pw@mail.example?tls=required",
        ] {
            assert!(good.parse::<RelayUrl>().is_ok(), "{good:?} was rejected");
        }
    }

    #[test]
    fn without_guaranteed_tls_the_host_may_get_plain_text() {
        for (given, host) in [
            ("smtp://mail.example", Some("mail.example")),
            ("smtp://mail:25?tls=opportunistic", Some("mail")),
            ("smtp://mail.example?tls=required", None),
            ("smtps://mail.example", None),
            ("smtp://127.0.0.1", None),
            ("file:mail", None),
        ] {
            assert_eq!(given.parse::<RelayUrl>().unwrap().unencrypted_host(), host, "{given}");
        }
    }

    #[test]
    fn a_folder_may_be_relative_or_absolute() {
        for (given, dir) in [
            ("file:mail", "mail"),
            ("file:/tmp/mail", "/tmp/mail"),
            ("file:///tmp/mail", "/tmp/mail"),
        ] {
            let RelayUrl::File(path) = given.parse().unwrap() else { panic!("{given}") };
            assert_eq!(path, PathBuf::from(dir), "{given}");
        }
    }
}
