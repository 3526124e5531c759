//! Seeded samples of long matrices.
//!
//! `WINDLASS_TEST_EXTENT=full` plays a matrix in full; otherwise a sample is drawn from
//! `WINDLASS_TEST_SEED`, which is printed, so that a failure can be repeated. Where cases have names,
//! `WINDLASS_TEST_ONLY=rails,phoenix` plays these alone.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A sample of `size` elements in the order of the matrix, or all of them.
///
/// # Panics
/// When `WINDLASS_TEST_SEED` is not a number.
pub fn of<T>(matrix: Vec<T>, size: usize) -> Vec<T> {
    if is_full() {
        eprintln!("the whole matrix: {} cases", matrix.len());
        return matrix;
    }
    let seed = seed();
    eprintln!("a sample of {size} of {} cases: WINDLASS_TEST_SEED={seed}", matrix.len());
    draw(matrix, size, seed)
}

/// The same, of cases with names: those of `WINDLASS_TEST_ONLY` where it is set.
///
/// # Panics
/// When `WINDLASS_TEST_ONLY` names a case that is not in the matrix.
pub fn of_named<T>(matrix: Vec<T>, size: usize, name: impl Fn(&T) -> String) -> Vec<T> {
    let Ok(only) = std::env::var("WINDLASS_TEST_ONLY") else {
        return of(matrix, size);
    };
    let names: Vec<&str> = only.split(',').collect();
    let is_unknown = |wanted: &&&str| !matrix.iter().any(|one| name(one) == **wanted);
    let unknown: Vec<_> = names.iter().filter(is_unknown).collect();
    assert!(unknown.is_empty(), "WINDLASS_TEST_ONLY: there is no {unknown:?}");
    matrix.into_iter().filter(|one| names.contains(&name(one).as_str())).collect()
}

/// Whether every matrix is to be played in full.
pub fn is_full() -> bool {
    std::env::var("WINDLASS_TEST_EXTENT").is_ok_and(|extent| extent == "full")
}

/// The seed of this run: the given one, or one that is drawn; whoever uses it prints it.
///
/// # Panics
/// When `WINDLASS_TEST_SEED` is not a number.
pub fn seed() -> u64 {
    std::env::var("WINDLASS_TEST_SEED").map_or_else(
        |_| RandomState::new().build_hasher().finish() % 1_000_000_007,
        |seed| seed.parse().unwrap_or_else(|e| panic!("WINDLASS_TEST_SEED={seed}: {e}")),
    )
}

/// A number below `bound` that follows from the seed and from where it is used.
pub fn number(seed: u64, place: u64, bound: u64) -> u64 {
    let mut state = seed.wrapping_add(place.wrapping_mul(0x2545_f491_4f6c_dd1d));
    next(&mut state) % bound.max(1)
}

fn draw<T>(matrix: Vec<T>, size: usize, seed: u64) -> Vec<T> {
    let mut state = seed;
    let mut keyed: Vec<(u64, usize, T)> =
        matrix.into_iter().enumerate().map(|(n, one)| (next(&mut state), n, one)).collect();
    keyed.sort_by_key(|(key, ..)| *key);
    keyed.truncate(size);
    keyed.sort_by_key(|(_, n, _)| *n);
    keyed.into_iter().map(|(.., one)| one).collect()
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_sample_in_the_matrix_s_order() {
        let matrix: Vec<u32> = (0..60).collect();
        let sample = draw(matrix.clone(), 6, 7);
        assert_eq!(sample.len(), 6);
        assert!(sample.is_sorted());
        assert_eq!(sample, draw(matrix.clone(), 6, 7));
        assert_ne!(sample, draw(matrix, 6, 8));
        assert_eq!(number(7, 1, 100), number(7, 1, 100));
        assert!((0..50).any(|place| number(7, place, 100) != number(7, 0, 100)));
    }
}
