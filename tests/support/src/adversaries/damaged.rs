//! Files that are no components any more, or never were.

use crate::mutate;

use super::bytes::{number, section};
use super::texts::{holding, parsed};

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
    super::bytes::with_core(&parsed(&holding("(core module)")), &module)
}
