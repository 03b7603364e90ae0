//! A simulator in a process of its own, for a service that is tested from outside:
//!
//! ```sh
//! cargo run -p stripe-simulator --example standalone -- \
//!     sk_test_platform whsec_platform http://127.0.0.1:8080/webhooks/stripe
//! ```
//!
//! Prints its address, which takes commands at `/_simulator/…`, and runs until it is killed.

#![allow(clippy::print_stdout, reason = "the address is the output")]

use stripe_simulator::{Options, Simulator, TimeSource, WebhookEndpoint};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [api_key, webhook_secret, webhook_url] = arguments.as_slice() else {
        return Err("expected three arguments: API key, webhook secret, webhook URL".into());
    };
    let simulator = Simulator::start(Options {
        listen: "127.0.0.1:0".parse()?,
        api_key: api_key.clone(),
        time: TimeSource::system(),
    })
    .await?;
    simulator.register_webhook(WebhookEndpoint::new(webhook_url.parse()?, webhook_secret));
    println!("{}", simulator.base_url());
    std::future::pending().await
}
