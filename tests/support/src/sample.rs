//! Seeded samples of long matrices.
//!
//! `WINDLASS_TEST_EXTENT=full` plays a matrix in full; otherwise a sample is drawn from
//! `WINDLASS_TEST_SEED`, which is printed, so that a failure can be repeated.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A sample of `size` elements in the order of the matrix, or all of them.
///
/// # Panics
/// When `WINDLASS_TEST_SEED` is not a number.
pub fn of<T>(matrix: Vec<T>, size: usize) -> Vec<T> {
    if std::env::var("WINDLASS_TEST_EXTENT").is_ok_and(|extent| extent == "full") {
        eprintln!("the whole matrix: {} cases", matrix.len());
        return matrix;
    }
    let seed = std::env::var("WINDLASS_TEST_SEED").map_or_else(
        |_| RandomState::new().build_hasher().finish() % 1_000_000_007,
        |seed| seed.parse().unwrap_or_else(|e| panic!("WINDLASS_TEST_SEED={seed}: {e}")),
    );
    eprintln!("a sample of {size} of {} cases: WINDLASS_TEST_SEED={seed}", matrix.len());
    draw(matrix, size, seed)
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
    }
}
