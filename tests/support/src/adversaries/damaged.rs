//! Files that are no components any more, or never were; and components that are still, with another core.

use crate::mutate::{self, Dice};
use crate::sample;

use super::bytes::{self, number, section};
use super::hearts::{Heart, transplant};
use super::texts::{holding, parsed};
use super::{Adversary, Ends, Kind, Made};

/// A detector that branches, counts and stores: it answers with three near misses.
const COUNTING: Heart = Heart {
    imports: &[],
    holds: "(data (i32.const 256) \"near\")",
    bodies: &[(
        "#detect",
        "(local $n i32) (local $miss i32)
        (loop $more
            (local.set $miss
                (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 16))))
            (i32.store (local.get $miss) (i32.const 256))
            (i32.store offset=4 (local.get $miss) (i32.const 4))
            (i32.store offset=8 (local.get $miss) (i32.const 256))
            (i32.store offset=12 (local.get $miss) (i32.const 4))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 3))))
        (i32.store offset=12 (i32.const 64) (i32.const 131072))
        (i32.store offset=16 (i32.const 64) (i32.const 3))
        (i32.const 64)",
    )],
};

/// So many components whose core was changed, once or up to four times, and which are valid: they are compiled and
/// called, unless it was the manifest that changed. Every fourth is the guest, the others are small.
pub fn mutants(many: u64) -> impl Iterator<Item = Adversary> {
    let seed = sample::seed();
    (0..many).map(move |place| match place % 4 {
        0 => {
            mutated(format!("mutated guest {place} of {seed}"), seed, place, |guest| guest.to_vec())
        }
        _ => small_mutant(seed, place),
    })
}

/// A small one of them. Its name is its own, so it takes nobody's place on a host where the guest is installed.
pub(crate) fn small_mutant(seed: u64, place: u64) -> Adversary {
    let name = format!("mutated core {place} of {seed}");
    mutated(name, seed, place, |guest| transplant(guest, &COUNTING))
}

fn mutated(name: String, seed: u64, place: u64, good: fn(&[u8]) -> Vec<u8>) -> Adversary {
    let damage = move |guest: &[u8]| mutant(&good(guest), &mut Dice::new(seed, place));
    Adversary::new(Kind::Mutated, name, Made::File(Box::new(damage)), Ends::Named)
}

fn mutant(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut whole = good.to_vec();
    for _ in 0..=dice.below(4) {
        // Without an export that is needed, it would be no component any more.
        whole = loop {
            let core = mutate::module(bytes::core(&whole), dice);
            let changed = bytes::with_core(&whole, &core);
            if wasmparser::validate(&changed).is_ok() {
                break changed;
            }
        };
    }
    whole
}

/// Bytes that mean nothing, from a seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    mutate::noise(seed, length)
}

/// The same with the first bytes of a component.
pub(crate) fn noise_with_a_header(seed: u64) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend(noise(seed, 4_096));
    bytes
}

/// A component with so many functions of so many additions each: quick to send, slow to compile.
pub(crate) fn compile_bomb(functions: usize, additions: usize) -> Vec<u8> {
    let (mut types, mut declared, mut code) = (Vec::new(), Vec::new(), Vec::new());
    // One type: from a number to a number.
    types.extend([1, 0x60, 1, 0x7f, 1, 0x7f]);
    number(&mut declared, functions);
    declared.extend(vec![0; functions]);
    let mut body = vec![0];
    body.extend([0x20, 0]);
    for n in 0..additions {
        // Each is of what came before, so that nothing can be left out.
        let operation = [0x6a, 0x6c, 0x73, 0x6b][n % 4];
        body.extend([0x20, 0, 0x41, u8::try_from(n % 60).unwrap(), 0x74, operation]);
    }
    body.push(0x0b);
    number(&mut code, functions);
    for _ in 0..functions {
        number(&mut code, body.len());
        code.extend(&body);
    }
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in [(1, types), (3, declared), (10, code)] {
        section(&mut module, id, &content);
    }
    bytes::with_core(&parsed(&holding("(core module)")), &module)
}
