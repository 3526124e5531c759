//! The guest with another heart: all that surrounds its core module stays, so whatever the core does
//! reaches the host as a plugin's own calls and answers do.

use super::bytes;
use super::texts::MANIFEST;

/// What a heart is made of.
#[derive(Default)]
pub struct Heart {
    /// Functions that it imports: how the interface's name begins, the function, its name and type in text.
    pub imports: &'static [(&'static str, &'static str, &'static str)],
    /// What it holds beside its functions.
    pub holds: &'static str,
    /// Bodies of functions, by how their name ends; `post#detect` is what follows `#detect`.
    pub bodies: &'static [(&'static str, &'static str)],
}

/// Where an answer lies of which every byte is zero: a report that says nothing.
const NOTHING: &str = "(i32.const 64)";
/// Hands out memory one piece after another.
const REALLOC: &str = "(local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.and (i32.const -16)
        (i32.add (i32.const 31) (i32.add (global.get $next) (local.get 3)))))
    (local.get $at)";

/// The component.
pub fn transplant(guest: &[u8], heart: &Heart) -> Vec<u8> {
    let imports: Vec<String> = heart
        .imports
        .iter()
        .map(|(interface, function, of)| {
            let module = bytes::imported(guest, interface);
            format!("(import {module:?} {function:?} (func {of}))")
        })
        .collect();
    let functions = bytes::functions(guest, |name| {
        let given = heart.bodies.iter().find(|(ends, _)| match name.strip_prefix("cabi_post_") {
            Some(rest) => ends.strip_prefix("post").is_some_and(|ends| rest.ends_with(ends)),
            None => name.ends_with(ends),
        });
        let usual = match name {
            "cabi_realloc" => REALLOC,
            name if name.starts_with("cabi_post_") => "",
            _ => NOTHING,
        };
        given.map_or(usual, |(_, body)| body).to_owned()
    });
    let module = format!(
        "(module {MANIFEST} {}
            (memory (export \"memory\") 4)
            (global $next (mut i32) (i32.const 65536))
            {} {functions})",
        imports.join(" "),
        heart.holds,
    );
    bytes::with_core(guest, &wat::parse_str(&module).unwrap())
}
