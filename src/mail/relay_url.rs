//! `SMTP_URL`: who takes the letters, and how.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use crate::http::is_loopback;

/// A relay's address, read and found to make sense.
#[derive(Clone, Debug)]
pub enum RelayUrl {
    /// `smtp://`, `smtps://`
    Smtp(Server),
    /// `file:DIR`: each letter becomes a file there.
    File(PathBuf),
}

/// An SMTP server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// 25, 465 or 587 where the URL does not say.
    pub port: u16,
    /// How the line is protected.
    pub tls: Tls,
    /// User and password.
    pub login: Option<(String, SecretString)>,
}

/// How the line to the relay is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// `STARTTLS` where the relay offers it.
    Opportunistic,
    /// `STARTTLS`, or no letter (RFC 3207).
    Required,
    /// From the first byte (RFC 8314).
    Implicit,
}

/// Why a URL is no relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RelayUrlError(&'static str);

const FORM: &str = "write smtp://host:25, smtps://user:password@host, smtp://user:password@host:587?tls=required, or file:DIR";

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
        // A bracketed IPv6 address is written without its brackets when one connects to it.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = tls(&url)?;
        let login = login(&url)?;
        // `opportunistic` is no better than `none` here: who can read the password can take the offer of STARTTLS away.
        let may_be_plain = matches!(tls, Tls::None | Tls::Opportunistic);
        if login.is_some() && may_be_plain && !is_loopback(&host) {
            return Err(RelayUrlError(
                "could send the password unencrypted: write ?tls=required, or use smtps://",
            ));
        }
        let port = url.port().unwrap_or(match tls {
            Tls::Implicit => 465,
            Tls::Required => 587,
            Tls::None | Tls::Opportunistic => 25,
        });
        Ok(Self::Smtp(Server { host, port, tls, login }))
    }
}

impl RelayUrl {
    /// The host to which letters may travel unencrypted over a network; none where TLS is certain, and
    /// where there is no network.
    pub fn unencrypted_host(&self) -> Option<&str> {
        match self {
            Self::Smtp(Server { host, tls: Tls::None | Tls::Opportunistic, .. }) => {
                (!is_loopback(host)).then_some(host)
            }
            Self::Smtp(_) | Self::File(_) => None,
        }
    }
}

fn tls(url: &Url) -> Result<Tls, RelayUrlError> {
    let mut wanted = None;
    for (key, value) in url.query_pairs() {
        if key != "tls" {
            return Err(RelayUrlError("the only parameter of a relay's URL is `tls`"));
        }
        wanted = Some(value);
    }
    match (url.scheme(), wanted.as_deref()) {
        ("smtps", None | Some("wrapper" | "required")) => Ok(Tls::Implicit),
        ("smtp", None | Some("none")) => Ok(Tls::None),
        ("smtp", Some("required")) => Ok(Tls::Required),
        ("smtp", Some("opportunistic")) => Ok(Tls::Opportunistic),
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

/// Without user and password.
impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(server) => {
                let scheme = if server.tls == Tls::Implicit { "smtps" } else { "smtp" };
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

    fn server(given: &str) -> Server {
        match given.parse().unwrap() {
            RelayUrl::Smtp(server) => server,
            RelayUrl::File(dir) => panic!("{given} was read as the folder {}", dir.display()),
        }
    }

    #[test]
    fn the_port_follows_from_how_the_line_is_protected() {
        let cases = [
            ("smtp://mail.example", 25, Tls::None),
            ("smtp://mail.example?tls=opportunistic", 25, Tls::Opportunistic),
            ("smtp://mail.example?tls=required", 587, Tls::Required),
            ("smtps://mail.example", 465, Tls::Implicit),
            ("smtps://mail.example:2465", 2465, Tls::Implicit),
        ];
        for (given, port, tls) in cases {
            assert_eq!((server(given).port, server(given).tls), (port, tls), "{given}");
        }
    }

    #[test]
    fn user_and_password_may_hold_any_character_and_are_never_printed() {
        let given = "smtp://us%40er:p%2Bss+%3A@mail.example:587?tls=required";
        let (user, password) = server(given).login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("us@er", "p+ss+:"));
        let url: RelayUrl = given.parse().unwrap();
        assert_eq!(url.to_string(), "smtp://mail.example:587");
        assert!(!format!("{url:?}").contains("ss+"));
    }

    #[test]
    fn a_url_that_makes_no_sense_is_refused() {
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
            assert!(bad.parse::<RelayUrl>().is_err(), "{bad:?} was let through");
        }
        for good in [
            "smtp://user:pw@localhost:1025",
            "smtp://user:pw@LOCALHOST?tls=opportunistic",
            "smtp://user:pw@[::1]?tls=opportunistic",
            "smtp://user:pw@mail.example?tls=required",
        ] {
            assert!(good.parse::<RelayUrl>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn letters_may_travel_unencrypted_where_tls_is_not_certain() {
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
    fn a_folder_can_be_relative_or_absolute() {
        for (given, dir) in [
            ("file:mail", "mail"),
            ("file:/tmp/mail", "/tmp/mail"),
            ("file:///tmp/mail", "/tmp/mail"),
        ] {
            assert!(
                matches!(given.parse().unwrap(), RelayUrl::File(path) if path == std::path::Path::new(dir)),
                "{given}"
            );
        }
    }
}
