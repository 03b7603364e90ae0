//! Deliveries, as the receiver of webhooks and the Events API see them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stripe_simulator::sign;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::*;

const SECRET: &str = "whsec_simulator";

/// A receiver that answers with these statuses in turn, and the last one ever after.
pub struct Receiver {
    pub url: Url,
    received: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub async fn start(statuses: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks", listener.local_addr().unwrap()).parse().unwrap();
        let received = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&received);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(request);
                    log.len()
                };
                let status = statuses[(number - 1).min(statuses.len() - 1)];
                let response = format!(
                    "HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                );
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        Self { url, received }
    }

    pub fn requests(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request ends early");
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = header(head, "content-length").parse().unwrap();
        if body.len() == length {
            return text;
        }
    }
}

pub fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|(given, _)| given.eq_ignore_ascii_case(name));
    found.next().unwrap_or_else(|| panic!("no {name} in {request}")).1
}

/// The ids of the events that the API lists.
async fn listed(client: &Client, query: &str) -> Vec<String> {
    let (_, list) = client.get(&format!("/v1/events?{query}")).await;
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    list["data"].as_array().unwrap().iter().map(id).collect()
}

pub fn endpoint(url: &Url) -> WebhookEndpoint {
    let first_retry_after = Duration::from_millis(1);
    WebhookEndpoint { first_retry_after, ..WebhookEndpoint::new(url.clone(), SECRET) }
}

#[tokio::test]
async fn an_event_without_a_registered_endpoint_is_not_undelivered() {
    let (client, account, _) = Client::start().await;
    assert_eq!(client.simulator.events()[0]["pending_webhooks"], 0);
    assert_eq!(listed(&client, "delivery_success=false").await, [""; 0]);
    assert_eq!(listed(&client, "type=capital.*").await.len(), 1, "it is found by its type");

    // Events of the past are not sent once an endpoint is registered.
    let receiver = Receiver::start(&["500 Internal Server Error"]).await;
    client.simulator.register_webhook(endpoint(&receiver.url));
    client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    let newest = client.simulator.events().pop().unwrap();
    assert_eq!(newest["pending_webhooks"], 1);
    assert_eq!(listed(&client, "delivery_success=false").await, [newest["id"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_delivery_is_tried_again_until_2xx_and_signed_anew_each_time() {
    let (client, account, _) = Client::start().await;
    let statuses = &["302 Found", "500 Internal Server Error", "204 No Content"];
    let receiver = Receiver::start(statuses).await;
    client.simulator.register_webhook(endpoint(&receiver.url));
    let offer = client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3, "a redirect is a failure, and is not followed");
    let (_, body) = requests[2].split_once("\r\n\r\n").unwrap();
    let signature = header(&requests[2], "stripe-signature");
    let expected = sign(body.as_bytes(), &[SECRET.to_owned()], client.time.now());
    assert!(signature.starts_with(&expected), "{signature}");
    assert!(signature.contains(",v0="), "a test event has a false signature as well");
    assert!(client.simulator.is_event_delivered(&offer));
    assert_eq!(listed(&client, "delivery_success=false").await, [""; 0]);
}

#[tokio::test]
async fn a_delivery_ends_after_the_last_attempt_and_can_be_made_once_more_by_hand() {
    let (client, account, _) = Client::start().await;
    let down = Receiver::start(&["503 Service Unavailable"]).await;
    client.simulator.register_webhook(endpoint(&down.url));
    let offer = client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    assert_eq!(down.requests().len(), 4, "the first attempt and three retries");
    assert!(!client.simulator.is_event_delivered(&offer));

    let up = Receiver::start(&["200 OK"]).await;
    client.simulator.resend_events(&offer, &up.url).await;
    assert!(client.simulator.is_event_delivered(&offer));
    assert_eq!(up.requests().len(), 1);
}

#[tokio::test]
async fn each_event_is_sent_as_often_as_was_asked() {
    let (client, account, _) = Client::start().await;
    let receiver = Receiver::start(&["200 OK"]).await;
    let twice = WebhookEndpoint { copies: 2, ..endpoint(&receiver.url) };
    client.simulator.register_webhook(twice);
    client.simulator.create_offer(&account, &NewOffer::default());
    client.simulator.deliveries_finished().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&requests[0]), body(&requests[1]));
}
