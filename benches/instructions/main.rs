//! Runs one of the subjects a number of times: `instructions SUBJECT COUNT`. Under valgrind, the
//! difference between two counts is what the subject costs, without the start of the program.
//!
//! `scripts/bench instructions` runs it and compares with the reference beside this file.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to measure")]
#![allow(unreachable_pub, reason = "a program's modules share their items by `pub`")]

#[path = "../events.rs"]
mod events;
#[path = "../subjects.rs"]
mod subjects;

use subjects::Subjects;

fn main() {
    // `cargo bench` adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (Some(name), Some(count)) = (arguments.next(), arguments.next()) else { return };
    let run = match name.as_str() {
        "verify" => Subjects::verify,
        "parse" => Subjects::parse,
        "batch" => Subjects::batch,
        "render" => Subjects::render,
        other => panic!("no subject is called {other}"),
    };
    let subjects = Subjects::new();
    for _ in 0..count.parse::<u32>().unwrap() {
        run(&subjects);
    }
}
