//! Seeded damage, for short fuzzing: the same seed and place make the same damage again.

use std::sync::Arc;

use serde_json::{Map, Value};
use wasm_mutate::WasmMutate;

use crate::sample;

/// How many cases a fuzzing loop plays: more where every matrix is played in full.
pub fn cases(short: u64, full: u64) -> u64 {
    if sample::is_full() { full } else { short }
}

/// Random numbers that follow from a seed and a place.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    place: u64,
    thrown: u64,
}

impl Dice {
    /// Those of one case.
    pub fn new(seed: u64, place: u64) -> Self {
        Self { seed, place, thrown: 0 }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.thrown += 1;
        let place = self.place.wrapping_mul(0x1_0000).wrapping_add(self.thrown);
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(sample::number(self.seed, place, bound)).unwrap_or(0)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Bytes that mean nothing.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed, 0);
    (0..length).map(|_| dice.byte()).collect()
}

/// Bytes with some of them changed, removed, doubled, moved, or cut off.
pub fn bytes(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    /// Bytes at which readers of lengths and signs go wrong.
    const ODD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'/', b'.', b'"'];
    let mut bad = good.to_vec();
    for _ in 0..=dice.below(8) {
        if bad.is_empty() {
            break;
        }
        let at = dice.below(bad.len());
        let length = (1 + dice.below(16)).min(bad.len() - at);
        match dice.below(7) {
            0 => bad[at] = dice.byte(),
            1 => bad[at] = *dice.one(&ODD),
            2 => bad[at] ^= 1 << dice.below(8),
            3 => drop(bad.drain(at..at + length)),
            4 => {
                let piece = bad[at..at + length].to_vec();
                let to = dice.below(bad.len());
                bad.splice(to..to, piece);
            }
            5 => {
                let odd = *dice.one(&ODD);
                bad[at..at + length].fill(odd);
            }
            _ if dice.below(8) == 0 => bad.truncate(at),
            _ => bad.insert(at, dice.byte()),
        }
    }
    bad
}

/// A core module that is changed once: an instruction, a constant, a function, some data, a type, an export or a
/// custom section. It is as valid as the good one is.
///
/// # Panics
/// When nothing in it can be changed.
pub fn module(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    /// Not every kind of change fits every module.
    const TRIES: usize = 200;
    (0..TRIES).find_map(|_| changed(good, dice)).unwrap()
}

/// The change that is drawn, if it fits.
fn changed(good: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    /// Places that are looked at for one that can be changed: a few for each function of a guest.
    const PLACES_MAX: u64 = 5_000;
    let seed = u64::try_from(dice.below(usize::MAX)).unwrap_or(u64::MAX);
    let spoil = move |data: &mut Vec<u8>, bytes_max: usize| -> wasm_mutate::Result<()> {
        *data = bytes(data, &mut Dice::new(seed, 0));
        data.truncate(bytes_max);
        Ok(())
    };
    let mut mutator = WasmMutate::default();
    mutator.seed(seed).fuel(PLACES_MAX).raw_mutate_func(Some(Arc::new(spoil)));
    let mut mutants = mutator.run(good).ok()?;
    let mutant = mutants.next()?.ok()?;
    wasmparser::validate(&mutant).is_ok().then_some(mutant)
}

/// JSON with some of its values exchanged for odd ones, removed, or doubled.
pub fn json(good: &Value, dice: &mut Dice) -> Value {
    let mut bad = good.clone();
    for _ in 0..=dice.below(4) {
        spoil(&mut bad, dice);
    }
    bad
}

/// Goes down to some value and spoils it.
fn spoil(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Array(list) if !list.is_empty() && dice.below(20) > 0 => {
            let at = dice.below(list.len());
            match dice.below(8) {
                0 => drop(list.remove(at)),
                1 => {
                    let again = list[at].clone();
                    let times = *dice.one(&[1, 2, 50, 300]);
                    list.extend(std::iter::repeat_n(again, times));
                }
                2 => list.reverse(),
                _ => spoil(&mut list[at], dice),
            }
        }
        Value::Object(fields) if !fields.is_empty() && dice.below(50) > 0 => {
            spoil_field(fields, dice);
        }
        other => *other = odd(other, dice),
    }
}

fn spoil_field(fields: &mut Map<String, Value>, dice: &mut Dice) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let name = dice.one(&names).clone();
    match dice.below(30) {
        0 => drop(fields.remove(&name)),
        1 => drop(fields.insert(format!("{name}x"), Value::Null)),
        _ => {
            if let Some(value) = fields.get_mut(&name) {
                spoil(value, dice);
            }
        }
    }
}

/// Something else, most often of the same type.
fn odd(value: &Value, dice: &mut Dice) -> Value {
    const TEXTS: [&str; 20] = [
        "",
        "/",
        ".",
        "..",
        "/..",
        "../../etc/passwd",
        "/a/../../b",
        "//",
        "a/./b",
        "a\0b",
        "a\nb",
        "\u{1b}[2J",
        "*/../*",
        "-",
        "A=B",
        "http://[::1",
        "file:///etc/passwd",
        "\u{202e}txt",
        "node_modules",
        "0",
    ];
    const NUMBERS: [i64; 8] = [0, -1, 1, 65_536, 4_294_967_295, 4_294_967_296, i64::MAX, i64::MIN];
    match (value, dice.below(40)) {
        (_, 0) => Value::Null,
        (_, 1) => Value::from(*dice.one(&NUMBERS)),
        (_, 2) => Value::Array(Vec::new()),
        (_, 3) => Value::Bool(true),
        (Value::String(text), 4..=9) => Value::from(format!("{text}{}", dice.one(&TEXTS))),
        (Value::String(text), 10..=15) => Value::from(format!("{}{text}", dice.one(&TEXTS))),
        (Value::String(_), 16..=18) => {
            Value::from("x".repeat(*dice.one(&[65, 300, 70_000, 200_000])))
        }
        (Value::Number(_), _) => Value::from(*dice.one(&NUMBERS)),
        (Value::Bool(yes), _) => Value::Bool(!yes),
        (Value::Array(_), _) => Value::Array(Vec::new()),
        _ => Value::from(*dice.one(&TEXTS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_is_damaged_in_the_same_way_again_and_another_in_another() {
        let good = b"some bytes that are good".as_slice();
        let damaged = |place| bytes(good, &mut Dice::new(7, place));
        assert_eq!(damaged(1), damaged(1));
        assert!((1..20).any(|place| damaged(place) != damaged(0)));
        let good = serde_json::json!({ "a": ["b", 1], "c": { "d": true } });
        let spoiled = |place| json(&good, &mut Dice::new(7, place));
        assert_eq!(spoiled(3), spoiled(3));
        assert!((0..20).any(|place| spoiled(place) != good));
        assert_eq!(noise(1, 40), noise(1, 40));
    }

    #[test]
    fn a_module_that_is_changed_is_another_and_stays_valid() {
        let good = wat::parse_str(
            "(module (func (export \"f\") (param i32) (result i32)
                (i32.add (local.get 0) (i32.const 7))))",
        )
        .unwrap();
        for place in 0..100 {
            let bad = module(&good, &mut Dice::new(7, place));
            assert_ne!(bad, good, "{place}");
            wasmparser::validate(&bad).unwrap();
            assert_eq!(bad, module(&good, &mut Dice::new(7, place)), "{place}");
        }
    }
}
