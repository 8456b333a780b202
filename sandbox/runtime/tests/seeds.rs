//! The seeds of the fuzzer, and small changes to them, run as ordinary tests: no panic, whatever the bytes.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

/// How many changes are tried of each seed: a second or two, unoptimised.
const CHANGES: u32 = 1000;

/// What means something to the formats that are read.
const SIGNS: &[u8] = b"{}[]\",:-0129/.\\\n $";

/// Numbers that are the same in every run (a linear congruential generator, Knuth's constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// One to four changes: a byte, a piece cut out, a piece repeated elsewhere, the end cut off.
fn change(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len());
        let end = (at + 1 + numbers.below(32)).min(data.len());
        match numbers.below(5) {
            _ if data.is_empty() => data.push(b'{'),
            0 => data[at] = numbers.below(256) as u8,
            1 => data[at] = SIGNS[numbers.below(SIGNS.len())],
            2 => drop(data.drain(at..end)),
            3 => {
                let (piece, to) = (data[at..end].to_vec(), numbers.below(data.len()));
                data.splice(to..to, piece);
            }
            _ => data.truncate(at),
        }
    }
    data
}

fn run(target: &str, what: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut numbers = Numbers(1);
    let mut tried = 0;
    for seed in std::fs::read_dir(&seeds).unwrap() {
        let seed = std::fs::read(seed.unwrap().path()).unwrap();
        what(&seed);
        (0..CHANGES).for_each(|_| what(&change(&seed, &mut numbers)));
        tried += 1;
    }
    assert!(tried > 0, "{seeds:?} is empty");
}

#[test]
fn seccomp() {
    run("seccomp", isolab_runtime::fuzz::seccomp);
}

#[test]
fn plan() {
    run("plan", isolab_runtime::fuzz::plan);
}
