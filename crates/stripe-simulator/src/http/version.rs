//! `Stripe-Version`: a date, perhaps with a release's name, and perhaps with beta flags, such as
//! `2025-02-24.acacia; embedded_connect_beta=v2;`.

use super::request::ApiRequest;
use super::response::ApiResponse;

const HEADER: &str = "Stripe-Version";

pub(crate) struct Version<'a> {
    /// `acacia`, `preview`, ….
    pub(crate) release: Option<&'a str>,
    /// Name and value.
    pub(crate) flags: Vec<(&'a str, &'a str)>,
}

impl<'a> Version<'a> {
    /// None without the header, or if it is no version.
    pub(crate) fn of(request: &'a ApiRequest) -> Option<Self> {
        request.header(HEADER).and_then(Self::parse)
    }

    fn parse(version: &'a str) -> Option<Self> {
        let mut parts = version.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let (date, release) =
            named.split_once('.').map_or((named, None), |(date, release)| (date, Some(release)));
        // The parser takes dates without leading zeros, and Stripe does not.
        let is_date = date.len() == "2025-09-30".len()
            && chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok();
        let is_release = release.is_none_or(|release| {
            !release.is_empty() && release.bytes().all(|byte| byte.is_ascii_lowercase())
        });
        // Stripe's own examples end in a semicolon.
        let flags = parts.filter(|flag| !flag.is_empty());
        let flags = flags.map(|flag| flag.split_once('='));
        let flags = flags.collect::<Option<Vec<_>>>()?;
        let are_flags = flags.iter().all(|(_, value)| value.starts_with('v'));
        (is_date && is_release && are_flags).then_some(Self { release, flags })
    }
}

/// Refuses what is no version, and flags that the platform has no permission for, in Stripe's words
/// (<https://github.com/stripe-samples/link/issues/58>).
pub(crate) fn check(request: &ApiRequest, permitted: &[String]) -> Result<(), ApiResponse> {
    let Some(given) = request.header(HEADER) else { return Ok(()) };
    let refused = |message: &str| ApiResponse::invalid_request(None, message).not_executed();
    let Some(version) = Version::parse(given) else {
        return Err(refused(&format!("Invalid Stripe API version: {given}")));
    };
    let is_permitted = |name: &str| permitted.iter().any(|permitted| permitted == name);
    match version.flags.iter().find(|(name, _)| !is_permitted(name)) {
        None => Ok(()),
        Some((name, _)) => Err(refused(&format!(
            "Invalid Stripe API version: {given}. You do not have permission to pass this beta \
             header: {name}. If you have any questions, we can help at \
             https://support.stripe.com/."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn a_version_is_a_date_with_or_without_a_release_and_flags() {
        for version in [
            "2022-08-01",
            "2025-09-30.preview",
            "2026-03-25.dahlia; capital_line_of_credit_preview=v1",
            "2022-08-01;embedded_connect_beta=v2",
            "2025-02-24.acacia; embedded_connect_beta=v2;",
        ] {
            assert!(Version::parse(version).is_some(), "{version}");
        }
        for version in ["", "latest", "2019-2-19", "2022-08-01, 2022-08-01", "2022-08-01.", "v1"] {
            assert!(Version::parse(version).is_none(), "{version}");
        }
    }
}
