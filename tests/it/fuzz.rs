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
use crate::support::dice::{Dice, seed};
use crate::support::say;

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
    let seed = seed("FETCHD_FUZZ_SEED");
    say(&format!("FETCHD_FUZZ_SEED={seed} makes the same inputs"));
    for target in parsers::all() {
        let outcomes = fuzz(&target, Dice::new(seed, 0), count(INPUTS));
        say(&format!("{}: {outcomes} different outcomes", target.name));
    }
}

#[test]
fn clients_survive_whatever_is_answered() {
    let seed = seed("FETCHD_FUZZ_SEED");
    say(&format!("FETCHD_FUZZ_SEED={seed} makes the same inputs"));
    let mut dice = Dice::new(seed, 0);
    let answers = (0..count(ANSWERS)).map(|_| mutated(&answers::seeds(), &mut dice));
    answers::take(answers.collect());
}

/// Feeds one parser; says how many different outcomes there were.
fn fuzz(target: &Target, mut dice: Dice, inputs: usize) -> usize {
    let mut corpus = target.seeds.clone();
    let mut outcomes: BTreeSet<String> = corpus.iter().map(|input| eat(target, input)).collect();
    for _ in 0..inputs {
        let input = mutated(&corpus, &mut dice);
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
fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = dice.one_of(corpus).clone();
    for _ in 0..=dice.below(4) {
        change(&mut input, corpus, dice);
    }
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    let end = at + dice.below(input.len() - at + 1);
    match dice.below(9) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = *dice.one_of(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'"']),
        2 => input.truncate(at),
        3 => drop(input.drain(at..end)),
        4 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        5 => {
            let len = dice.below(8);
            input.splice(at..at, seeded(dice.number(), len));
        }
        // A number of many bytes, as lengths are written.
        6 => drop(input.splice(at..at, [0xff; 9].into_iter().chain([1]))),
        7 => drop(input.splice(at..at, *b"18446744073709551616")),
        _ => {
            let other = dice.one_of(corpus);
            let from = dice.below(other.len() + 1);
            let piece = other[from..].iter().copied();
            input.splice(at..end, piece.take(1 + dice.below(64)));
        }
    }
}

fn count(usual: usize) -> usize {
    let given = std::env::var("FETCHD_FUZZ").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(usual)
}
