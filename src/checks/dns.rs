//! The DNS records of the sender: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489). Gmail and
//! Yahoo require all three of bulk senders.

use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::{Check, CheckParts, MAX_WAIT};
use crate::mail::{Dkim, RelayUrl, Sender};

/// For one lookup.
const TIMEOUT: Duration = Duration::from_secs(3);
/// `example.com` has two labels; above it there are only registries.
const MIN_LABELS: usize = 2;

const SPF: &str = "SPF";
const DKIM: &str = "DKIM record";
const DMARC: &str = "DMARC";

pub(super) async fn check(parts: &CheckParts) -> Vec<Check> {
    let Some(email) = &parts.email else { return Vec::new() };
    // Emails that are written to files reach no receiver.
    if parts.relay.as_ref().is_some_and(|relay| matches!(relay.url, RelayUrl::File(_))) {
        return Vec::new();
    }
    match Dns::system() {
        Ok(dns) => {
            // Each lookup has its time, and DMARC may take several.
            let checks = tokio::time::timeout(MAX_WAIT, check_with(&dns, &email.sender)).await;
            let why = || format!("DNS did not answer within {} s", MAX_WAIT.as_secs());
            checks
                .unwrap_or_else(|_| vec![Check::skipped(SPF, why()), Check::skipped(DMARC, why())])
        }
        Err(error) => vec![cannot_ask(SPF, &error), cannot_ask(DMARC, &error)],
    }
}

async fn check_with(dns: &Dns, sender: &Sender) -> Vec<Check> {
    let from = sender.from.domain();
    let envelope = sender.return_path.as_ref().map_or(from, |path| path.domain());
    let (spf, dkim, dmarc) = tokio::join!(
        dns.txt(envelope),
        async {
            let dkim = sender.dkim.as_ref()?;
            Some(dns.txt(&dkim.record_name()).await.map(|found| judge_dkim(dkim, &found)))
        },
        find_dmarc(dns, from),
    );
    let mut checks =
        vec![spf.map_or_else(|error| cannot_ask(SPF, &error), |all| judge_spf(envelope, &all))];
    checks.extend(dkim.map(|judged| judged.unwrap_or_else(|error| cannot_ask(DKIM, &error))));
    checks.push(dmarc.unwrap_or_else(|error| cannot_ask(DMARC, &error)));
    checks
}

fn cannot_ask(name: &str, error: &NetError) -> Check {
    Check::skipped(name, format!("DNS cannot be asked ({error})"))
}

fn judge_spf(domain: &str, records: &[String]) -> Check {
    let is_spf = |text: &&String| *text == "v=spf1" || text.starts_with("v=spf1 ");
    let found: Vec<&String> = records.iter().filter(is_spf).collect();
    match found.as_slice() {
        [] => Check::warn(
            SPF,
            format!("{domain} has no SPF record"),
            format!("add the TXT record that your relay documents to {domain}"),
        ),
        [one] if one.split(' ').any(|term| matches!(term, "+all" | "all")) => Check::warn(
            SPF,
            format!("{domain} lets every server send: {one}"),
            "end the record with -all",
        ),
        [one] => Check::ok(SPF, format!("{domain}: {one}")),
        // RFC 7208 section 4.5.
        several => Check::warn(
            SPF,
            format!("{domain} has {} SPF records, so receivers use none", several.len()),
            "merge them into one",
        ),
    }
}

/// Compares the key. Other tags do not decide whether our signature is valid.
fn judge_dkim(dkim: &Dkim, records: &[String]) -> Check {
    let (name, expected) = (dkim.record_name(), public_key(&dkim.record()));
    if records.iter().any(|record| public_key(record) == expected) {
        return Check::ok(DKIM, format!("{name} has the public key"));
    }
    let found = if records.is_empty() { "does not exist" } else { "has another key" };
    Check::wrong(
        DKIM,
        format!("{name} {found}, so every signature is invalid"),
        "publish what `capital-courier email dkim-record` prints",
    )
}

/// The tag `p`. White space within it means nothing (RFC 6376 section 3.2).
fn public_key(record: &str) -> String {
    let tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let key = tags.into_iter().find(|(name, _)| name.trim() == "p");
    key.map(|(_, value)| value.split_whitespace().collect()).unwrap_or_default()
}

/// The record of the domain, else of the nearest domain above it that has one. Receivers look at
/// the organizational domain alone, which takes a list of public suffixes to find.
async fn find_dmarc(dns: &Dns, domain: &str) -> Result<Check, NetError> {
    let mut at = domain;
    loop {
        let records = dns.txt(&format!("_dmarc.{at}")).await?;
        if let Some(record) = records.iter().find(|record| record.starts_with("v=DMARC1")) {
            return Ok(Check::ok(DMARC, format!("{at}: {record}")));
        }
        match at.split_once('.') {
            Some((_, above)) if above.split('.').count() >= MIN_LABELS => at = above,
            Some(_) | None => break,
        }
    }
    Ok(Check::warn(
        DMARC,
        format!("{domain} has no DMARC record, which Gmail and Yahoo require of bulk senders"),
        format!("add `v=DMARC1; p=none; rua=mailto:…` as a TXT record to _dmarc.{domain}"),
    ))
}

/// A resolver with short timeouts.
struct Dns(TokioResolver);

impl Dns {
    /// With the name servers of this machine.
    fn system() -> Result<Self, NetError> {
        Self::build(TokioResolver::builder_tokio()?)
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NetError> {
        let options = builder.options_mut();
        (options.timeout, options.attempts) = (TIMEOUT, 1);
        builder.build().map(Self)
    }

    /// The TXT records of a name, each joined from its strings; empty if there is none.
    async fn txt(&self, name: &str) -> Result<Vec<String>, NetError> {
        // With a dot at the end the machine's search domains are not tried.
        let answer = match self.0.lookup(format!("{name}."), RecordType::TXT).await {
            Ok(answer) => answer,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let texts = answer.answers().iter().filter_map(|record| {
            let RData::TXT(text) = &record.data else { return None };
            Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned())
        });
        Ok(texts.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use tokio::net::UdpSocket;
    use tokio_util::task::{AbortOnDropHandle, TaskTracker};

    use super::super::CheckStatus::{self, Ok as Fine, Skipped, Warn, Wrong};
    use super::*;

    impl Dns {
        fn at(address: SocketAddr) -> Self {
            let mut connection = ConnectionConfig::udp();
            connection.port = address.port();
            let server = NameServerConfig::new(address.ip(), true, vec![connection]);
            let config = ResolverConfig::from_parts(None, vec![], vec![server]);
            let provider = TokioRuntimeProvider::default();
            Self::build(TokioResolver::builder_with_config(config, provider)).unwrap()
        }
    }

    /// The name in the question of a query, and where the question ends.
    fn question(query: &[u8]) -> (String, usize) {
        let (mut name, mut at) = (String::new(), 12);
        while query[at] > 0 {
            let end = at + 1 + usize::from(query[at]);
            name.push_str(std::str::from_utf8(&query[at + 1..end]).unwrap());
            name.push('.');
            at = end;
        }
        (name, at + 5)
    }

    /// The answer to a query: one TXT record of these strings, or NXDOMAIN.
    fn answer(query: &[u8], strings: Option<&[&str]>) -> Vec<u8> {
        let (_, end) = question(query);
        let mut bytes = query[..end].to_vec();
        let (code, answers) = if strings.is_some() { (0x80, 1) } else { (0x83, 0) };
        bytes[2..4].copy_from_slice(&[0x81, code]);
        bytes[6..12].copy_from_slice(&[0, answers, 0, 0, 0, 0]);
        let text: Vec<u8> = strings
            .into_iter()
            .flatten()
            .flat_map(|text| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat())
            .collect();
        if strings.is_some() {
            // A pointer to the name, type TXT, class IN, a TTL of a minute.
            bytes.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
            bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text);
        }
        bytes
    }

    /// Serves TXT records by name.
    async fn serve(
        records: &'static [(&'static str, &'static [&'static str])],
    ) -> (Dns, AbortOnDropHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Dns::at(socket.local_addr().unwrap());
        let serving = TaskTracker::new().spawn(async move {
            let mut query = [0; 1024];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                let query = &query[..length];
                let found = records.iter().find(|(name, _)| *name == question(query).0);
                let answer = answer(query, found.map(|(_, strings)| *strings));
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        (dns, AbortOnDropHandle::new(serving))
    }

    #[tokio::test]
    async fn records_are_found_and_their_strings_joined() {
        let (dns, _serving) = serve(&[
            ("mail.rocket.example.", &["v=spf1 include:", "relay.example -all"]),
            ("_dmarc.rocket.example.", &["v=DMARC1; p=none"]),
        ])
        .await;
        let found = dns.txt("mail.rocket.example").await.unwrap();
        assert_eq!(found, ["v=spf1 include:relay.example -all"]);
        assert!(dns.txt("rocket.example").await.unwrap().is_empty());
        // The record of the domain above applies.
        let dmarc = find_dmarc(&dns, "mail.rocket.example").await.unwrap();
        assert_eq!(status(&dmarc), Fine, "{dmarc:?}");
        assert_eq!(status(&find_dmarc(&dns, "other.example").await.unwrap()), Warn);
    }

    #[tokio::test]
    async fn without_an_answer_nothing_is_judged() {
        // Port 9 (discard): nothing listens there.
        let error = Dns::at("127.0.0.1:9".parse().unwrap()).txt("rocket.example").await;
        let check = cannot_ask(SPF, &error.unwrap_err());
        assert_eq!(status(&check), Skipped);
        assert!(check.text.starts_with("not checked: DNS cannot be asked"), "{check:?}");
    }

    fn status(check: &Check) -> CheckStatus {
        check.status
    }

    #[test]
    fn a_domain_has_one_spf_record_that_ends() {
        let judge = |records: &[&str]| {
            let records: Vec<String> = records.iter().map(|text| (*text).to_owned()).collect();
            status(&judge_spf("rocket.example", &records))
        };
        assert_eq!(judge(&["v=spf1 include:relay.example -all", "google-site=1"]), Fine);
        assert_eq!(judge(&[]), Warn);
        assert_eq!(judge(&["v=spf10 -all"]), Warn);
        assert_eq!(judge(&["v=spf1 -all", "v=spf1 ~all"]), Warn);
        assert_eq!(judge(&["v=spf1 +all"]), Warn);
    }

    #[test]
    fn the_dkim_record_must_have_our_key() {
        // The example key of RFC 8410 section 10.3.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----";
        let dkim = Dkim::new(&pem.to_owned().into(), "s1", "rocket.example", "rocket.example");
        let dkim = dkim.unwrap();
        let record = dkim.record();
        assert_eq!(status(&judge_dkim(&dkim, std::slice::from_ref(&record))), Fine);
        let spaced = record.replace("; ", ";").replacen("p=", "p= ", 1);
        assert_eq!(status(&judge_dkim(&dkim, &[spaced])), Fine);
        assert_eq!(status(&judge_dkim(&dkim, &["v=DKIM1; k=ed25519; p=other".to_owned()])), Wrong);
        assert_eq!(status(&judge_dkim(&dkim, &[])), Wrong);
    }
}
