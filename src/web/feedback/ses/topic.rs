//! Topics of Amazon SNS, and what follows from a topic's region: the URLs of its certificates and
//! of the confirmation of its subscriptions, and the names that its certificates are issued to.

use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

/// The ARN of a topic, `arn:aws:sns:eu-west-1:123456789012:letters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicArn {
    arn: String,
    region: String,
    /// The suffix of the partition's host names.
    domain: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the ARN of an SNS topic in one of the partitions aws, aws-cn and aws-us-gov")]
pub struct BadTopicArn;

impl FromStr for TopicArn {
    type Err = BadTopicArn;

    fn from_str(text: &str) -> Result<Self, BadTopicArn> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else {
            return Err(BadTopicArn);
        };
        let (expected_partition, domain) = if region.starts_with("cn-") {
            ("aws-cn", "amazonaws.com.cn")
        } else if region.starts_with("us-gov-") {
            ("aws-us-gov", "amazonaws.com")
        } else {
            ("aws", "amazonaws.com")
        };
        if partition == expected_partition
            && REGION.is_match(region)
            && !account.is_empty()
            && !name.is_empty()
        {
            Ok(Self { arn: text.to_owned(), region: region.to_owned(), domain })
        } else {
            Err(BadTopicArn)
        }
    }
}

/// As in `eu-west-1` and `us-gov-west-1`. A looser pattern would accept names such as
/// `s3-ap-southeast-2`, below which customers choose their own host names.
static REGION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^[a-z]{2}(-[a-z]+)+-[0-9]+$").expect("the pattern is tested below")
});
/// The file name of a signing certificate.
static CERTIFICATE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^/SimpleNotificationService-[0-9a-f]{32}\\.pem$")
        .expect("the pattern is tested below")
});

impl TopicArn {
    pub(super) fn matches(&self, arn: &str) -> bool {
        self.arn == arn
    }

    /// The URL, if a certificate that signs messages of this topic can be there. The text itself is
    /// compared: a parser's reading of unusual spellings does not matter.
    pub(super) fn certificate_url(&self, text: &str) -> Option<Url> {
        let path = text.strip_prefix(&self.endpoint())?;
        CERTIFICATE.is_match(path).then(|| Url::parse(text).ok())?
    }

    /// The URL, if it confirms a subscription to this topic.
    pub(super) fn confirmation_url(&self, text: &str) -> Option<Url> {
        text.strip_prefix(&format!("{}/?", self.endpoint()))?;
        let url = Url::parse(text).ok()?;
        let has = |name: &str, value: &str| {
            let mut found = url.query_pairs().filter(|(key, _)| key == name);
            found.next().is_some_and(|(_, given)| given == value) && found.next().is_none()
        };
        (has("Action", "ConfirmSubscription") && has("TopicArn", &self.arn)).then_some(url)
    }

    /// The names that the region's signing certificates are issued to. AWS documents none; these
    /// are the ones that its SDK for Java expects (`SnsHostProvider`): `sns.amazonaws.com` in older
    /// regions, `sns-signing.<region>.…` in newer ones, separate ones in China and in `GovCloud`.
    /// All are hosts of Amazon.
    pub(super) fn certificate_names(&self) -> Vec<String> {
        let Self { region, domain, .. } = self;
        let gov = region.starts_with("us-gov-").then(|| format!("sns-us-gov-west-1.{domain}"));
        [
            format!("sns.{domain}"),
            format!("sns-signing.{region}.{domain}"),
            format!("sns-{region}.{domain}"),
        ]
        .into_iter()
        .chain(gov)
        .collect()
    }

    fn endpoint(&self) -> String {
        format!("https://sns.{}.{}", self.region, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem";

    fn topic(partition: &str, region: &str) -> TopicArn {
        format!("arn:{partition}:sns:{region}:123456789012:letters").parse().unwrap()
    }

    #[test]
    fn a_topic_is_in_a_region_of_its_partition() {
        for (partition, region) in [
            ("aws", "eu-west-1"),
            ("aws", "ap-southeast-2"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
        ] {
            topic(partition, region);
        }
        for bad in [
            "",
            "letters",
            "arn:aws:sqs:eu-west-1:123456789012:letters",
            "arn:aws:sns:eu-west-1:123456789012:",
            "arn:aws:sns:eu-west-1:123456789012:letters:4f2a",
            "arn:aws:sns:s3-ap-southeast-2:123456789012:letters",
            "arn:aws:sns:s3:123456789012:letters",
            "arn:aws:sns:eu--1:123456789012:letters",
            "arn:aws:sns:eu-1:123456789012:letters",
            "arn:aws:sns:eu-west-1.evil.example/:123456789012:letters",
            "arn:aws-cn:sns:eu-west-1:123456789012:letters",
            "arn:aws:sns:cn-north-1:123456789012:letters",
            "arn:aws:sns:us-gov-west-1:123456789012:letters",
        ] {
            assert_eq!(bad.parse::<TopicArn>(), Err(BadTopicArn), "{bad}");
        }
    }

    #[test]
    fn a_certificate_url_is_of_sns_in_the_topics_region() {
        for (partition, region, host) in [
            ("aws", "eu-west-1", "sns.eu-west-1.amazonaws.com"),
            ("aws-cn", "cn-north-1", "sns.cn-north-1.amazonaws.com.cn"),
            ("aws-us-gov", "us-gov-west-1", "sns.us-gov-west-1.amazonaws.com"),
        ] {
            let good = format!("https://{host}/{NAME}");
            let url = topic(partition, region).certificate_url(&good);
            assert_eq!(url.map(String::from), Some(good));
        }
        let ours = topic("aws", "eu-west-1");
        for bad in [
            format!("http://sns.eu-west-1.amazonaws.com/{NAME}"),
            format!("https://sns.us-east-1.amazonaws.com/{NAME}"),
            format!("https://sns.s3-eu-west-1.amazonaws.com/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com.cn/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com.evil.example/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com:443/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com:8443/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com@evil.example/{NAME}"),
            format!("https://user:pass@sns.eu-west-1.amazonaws.com/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com/x/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com/x/../{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com/{NAME}?Action=GetEndpointAttributes"),
            format!("https://sns.eu-west-1.amazonaws.com/?Action=GetEndpointAttributes&x={NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com/{NAME}#x"),
            format!("https://evil.example#https://sns.eu-west-1.amazonaws.com/{NAME}"),
            format!(" https://sns.eu-west-1.amazonaws.com/{NAME}"),
            format!("https://sns.eu-west-1.amazonaws.com/{}", NAME.replace("9c", "9C")),
            format!("https://sns.eu-west-1.amazonaws.com/{}", NAME.replace("9c", "")),
            format!("https://sns.eu-west-1.amazonaws.com/{}", NAME.replace("9c", "%39c")),
            "https://sns.eu-west-1.amazonaws.com/evil.pem".to_owned(),
            String::new(),
        ] {
            assert_eq!(ours.certificate_url(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_confirmation_url_is_of_the_topics_region_and_topic() {
        let ours = topic("aws", "eu-west-1");
        let url = |host: &str, topic: &str| {
            format!("https://{host}/?Action=ConfirmSubscription&TopicArn={topic}&Token=2336412f37")
        };
        let (host, arn) =
            ("sns.eu-west-1.amazonaws.com", "arn:aws:sns:eu-west-1:123456789012:letters");
        assert!(ours.confirmation_url(&url(host, arn)).is_some());
        for bad in [
            url("sns.us-east-1.amazonaws.com", arn),
            url("sns.eu-west-1.amazonaws.com.evil.example", arn),
            url(host, "arn:aws:sns:eu-west-1:123456789012:others"),
            url(host, arn).replace("ConfirmSubscription", "Publish"),
            url(host, arn) + "&Action=Publish",
            url(host, arn).replace("/?", "/x?"),
        ] {
            assert_eq!(ours.confirmation_url(&bad), None, "{bad}");
        }
    }
}
