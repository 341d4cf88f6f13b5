//! Every parser that meets outside bytes, fed with sound inputs that were changed at random.
//!
//! An input that makes a parser say something new is kept and changed further, so that the changes
//! go deeper than one step. Whatever comes in: no panic, and what is read must hold together.
//!
//! ```sh
//! cargo test --test it fuzz                                              # some seconds, seed printed
//! FETCHD_FUZZ=1000000 cargo test --release --test it fuzz -- --nocapture # so many inputs a parser
//! FETCHD_FUZZ_SEED=42 cargo test --test it fuzz                          # the same inputs again
//! ```

mod answers;
mod parsers;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::support::dag::seeded;

/// Inputs for each parser in every test run.
const INPUTS: usize = 3000;
/// Sockets are slower.
const ANSWERS: usize = 150;
/// The longest input that is kept: longer ones say nothing new.
const MAX_INPUT: usize = 64 << 10;

/// One parser.
struct Target {
    name: &'static str,
    /// Sound inputs.
    seeds: Vec<Vec<u8>>,
    /// Reads an input, checks what it finds, and says in words how it ended.
    eat: fn(&[u8]) -> String,
}

#[test]
fn parsers_survive_whatever_comes() {
    let seed = seed();
    say(&format!("FETCHD_FUZZ_SEED={seed} makes the same inputs"));
    for target in parsers::all() {
        let outcomes = fuzz(&target, Random(seed), count(INPUTS));
        say(&format!("{}: {outcomes} different outcomes", target.name));
    }
}

#[test]
fn clients_survive_whatever_is_answered() {
    let seed = seed();
    say(&format!("FETCHD_FUZZ_SEED={seed} makes the same inputs"));
    let mut random = Random(seed);
    let answers = (0..count(ANSWERS)).map(|_| mutated(&answers::seeds(), &mut random));
    answers::take(answers.collect());
}

/// Feeds one parser; says how many different outcomes there were.
fn fuzz(target: &Target, mut random: Random, inputs: usize) -> usize {
    let mut corpus = target.seeds.clone();
    let mut outcomes: BTreeSet<String> = corpus.iter().map(|input| eat(target, input)).collect();
    for _ in 0..inputs {
        let input = mutated(&corpus, &mut random);
        if outcomes.insert(eat(target, &input)) && input.len() <= MAX_INPUT {
            corpus.push(input);
        }
    }
    outcomes.len()
}

/// The outcome without what differs from input to input.
fn eat(target: &Target, input: &[u8]) -> String {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.eat)(input)));
    let Ok(outcome) = outcome else {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{} does not survive {hex}", target.name);
    };
    let kept = outcome
        .chars()
        .filter(|it| it.is_ascii_alphabetic() || *it == ' ');
    kept.take(80).collect()
}

/// One of these, changed in a few places.
fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        change(&mut input, corpus, random);
    }
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = at + random.below(input.len() - at + 1);
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"'][random.below(7)],
        2 => input.truncate(at),
        3 => drop(input.drain(at..end)),
        4 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        5 => {
            let len = random.below(8);
            input.splice(at..at, seeded(random.next(), len));
        }
        // A number of many bytes, as lengths are written.
        6 => drop(input.splice(at..at, [0xff; 9].into_iter().chain([1]))),
        7 => drop(input.splice(at..at, *b"18446744073709551616")),
        _ => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let piece = other[from..].iter().copied();
            input.splice(at..end, piece.take(1 + random.below(64)));
        }
    }
}

/// Reproducible numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        let bytes = seeded(self.0, 8);
        self.0 = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("below a length")
    }
}

fn count(usual: usize) -> usize {
    let given = std::env::var("FETCHD_FUZZ").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(usual)
}

fn seed() -> u64 {
    let given = std::env::var("FETCHD_FUZZ_SEED").ok();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| now.map_or(0, |now| now.as_secs()))
}

#[expect(
    clippy::print_stderr,
    reason = "the seed is needed to repeat a failure"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
