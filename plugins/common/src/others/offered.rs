//! Which versions of toolchains can be had, as far as another platform's file matters: what it asks for in
//! vain is ignored. The host's table of bases decides; a test of `windlass-build` compares the two.

use crate::version::npm;

/// Toolchains, and what there is of them, as npm's ranges.
const OFFERED: [(&str, &str); 19] = [
    ("node", "14 || 16 || 18 || 20 || 22 || 24 || 26"),
    ("python", ">=3.7 <3.15"),
    ("ruby", ">=3.1 <3.5 || 4.0"),
    ("go", ">=1.20 <1.28"),
    ("php", ">=8.1 <8.6"),
    // Another line gets the next one above it.
    ("java", ">=1.5 <26"),
    ("rust", ">=1.70 <1.101"),
    ("bun", "1"),
    ("deno", "1 || 2"),
    ("elixir", ">=1.14 <1.20"),
    ("erlang", ">=25 <29"),
    ("gleam", "1"),
    ("dotnet", "6.0 || 7.0 || 8.0 || 9.0 || 10.0"),
    ("dotnet-sdk", "6.0 || 7.0 || 8.0 || 9.0 || 10.0"),
    ("dart", "2 || 3"),
    ("swift", "5.10 || >=6.0 <6.4"),
    ("crystal", ">=1.14 <1.21"),
    ("haskell", "9.4 || 9.6 || 9.8 || 9.10 || 9.12"),
    ("zig", ">=0.11 <0.18"),
];

/// Whether some version that is asked for can be had. Of other programs nothing is known.
pub(crate) fn has(tool: &str, asked: &str) -> bool {
    let Some((_, there)) = OFFERED.iter().find(|(name, _)| *name == tool) else {
        return true;
    };
    let (asked, there) = (npm(asked).unwrap_or_default(), npm(there).unwrap_or_default());
    asked.iter().any(|asked| there.iter().any(|line| line.meets(*asked)))
}

#[cfg(test)]
mod tests {
    use super::{OFFERED, has};
    use crate::version::npm;

    #[test]
    fn what_cannot_be_had_is_told_from_what_can() {
        assert!(OFFERED.iter().all(|(_, there)| npm(there).is_some()));
        for (tool, asked) in [
            ("node", "18"),
            ("node", "20.11.1"),
            ("node", ">=12"),
            ("python", "3.11.4"),
            ("ruby", "4.0.1"),
            ("hugo", "0.121.1"),
        ] {
            assert!(has(tool, asked), "{tool} {asked}");
        }
        for (tool, asked) in [
            ("node", "12"),
            ("node", "19"),
            ("python", "3.6"),
            ("python", "2.7.18"),
            ("php", "7.4"),
        ] {
            assert!(!has(tool, asked), "{tool} {asked}");
        }
    }
}
