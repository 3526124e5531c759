//! The lines of releases.

use super::super::requirement::Version;
use super::Line;

const fn line(from: Version, until: Version, version: &'static str) -> Line {
    Line { from, until, version, manager: "", aliases: &[], tag: None, ended: false }
}

/// `9` with all that begins with it.
const fn major(number: u64, version: &'static str) -> Line {
    line((number, 0, 0), (number + 1, 0, 0), version)
}

/// `9.1` with all that begins with it.
const fn minor(major: u64, number: u64, version: &'static str) -> Line {
    line((major, number, 0), (major, number + 1, 0), version)
}

impl Line {
    const fn manager(self, manager: &'static str) -> Self {
        Self { manager, ..self }
    }

    const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn tag(self, tag: &'static str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    const fn ended(self) -> Self {
        Self { ended: true, ..self }
    }
}

/// What the default is also asked for by.
const DEFAULT: &[&str] = &["", "latest", "stable"];

pub(super) const NODE: [Line; 7] = [
    major(22, "22.23.3").manager("10.9.9").aliases(&["", "lts", "lts/*", "lts/jod", "node"]),
    major(26, "26.10.0").manager("11.21.2").aliases(&["latest", "current", "stable"]),
    major(24, "24.21.0").manager("11.21.2").aliases(&["lts/krypton"]),
    major(20, "20.20.2").manager("10.9.9").aliases(&["lts/iron"]).ended(),
    major(18, "18.20.8").manager("10.9.9").aliases(&["lts/hydrogen"]).ended(),
    major(16, "16.20.2").manager("8.19.4").aliases(&["lts/gallium"]).ended(),
    major(14, "14.21.3").manager("8.19.4").aliases(&["lts/fermium"]).ended(),
];

/// The variant without a name moves to the next Debian: these have the one that all others have.
pub(super) const PYTHON: [Line; 8] = [
    minor(3, 11, "3.11").tag("3.11-slim-bookworm").aliases(&["", "python3"]),
    minor(3, 14, "3.14").tag("3.14-slim-bookworm").aliases(&["latest"]),
    minor(3, 13, "3.13").tag("3.13-slim-bookworm"),
    minor(3, 12, "3.12").tag("3.12-slim-bookworm"),
    minor(3, 10, "3.10").tag("3.10-slim-bookworm").ended(),
    minor(3, 9, "3.9").tag("3.9-slim-bookworm").ended(),
    minor(3, 8, "3.8").tag("3.8-slim-bookworm").ended(),
    minor(3, 7, "3.7").tag("3.7-slim-bookworm").ended(),
];

pub(super) const DEBIAN: &[Line] =
    &[major(12, "12").aliases(&["", "bookworm", "stable"]).tag("bookworm-curl")];

pub(super) const GO: &[Line] = &[
    minor(1, 27, "1.27").aliases(DEFAULT),
    minor(1, 26, "1.26"),
    minor(1, 25, "1.25").ended(),
    minor(1, 24, "1.24").ended(),
    minor(1, 23, "1.23").ended(),
    minor(1, 22, "1.22").ended(),
    minor(1, 21, "1.21").ended(),
    minor(1, 20, "1.20").ended(),
];

/// Every minor release is a line, and the newest alone is supported; older ones are asked for by projects that
/// pin them, and that is no mistake.
macro_rules! rust {
    ($($number:literal)*) => {
        &[
            minor(1, 96, "1.96").aliases(DEFAULT),
            $(minor(1, $number, concat!("1.", stringify!($number)))),*
        ]
    };
}

pub(super) const RUST: &[Line] = rust!(
    100 99 98 97 95 94 93 92 91 90 89 88 87 86 85 84 83 82 81 80 79 78 77 76 75 74 73 72 71 70
);

pub(super) const RUBY: &[Line] = &[
    minor(3, 4, "3.4").aliases(DEFAULT),
    minor(4, 0, "4.0"),
    minor(3, 3, "3.3"),
    minor(3, 2, "3.2").ended(),
    minor(3, 1, "3.1").ended(),
];

pub(super) const PHP: &[Line] = &[
    minor(8, 4, "8.4").aliases(DEFAULT),
    minor(8, 5, "8.5"),
    minor(8, 3, "8.3"),
    minor(8, 2, "8.2"),
    minor(8, 1, "8.1").ended(),
];

pub(super) const JAVA: &[Line] = &[
    major(21, "21").aliases(&["", "lts", "stable"]),
    major(25, "25").aliases(&["latest"]),
    major(17, "17"),
    major(11, "11"),
    major(8, "8"),
];

pub(super) const GRADLE: &[Line] = &[
    major(21, "21").aliases(&["", "lts", "stable"]),
    major(25, "25").aliases(&["latest"]).tag("9-jdk25"),
    major(17, "17"),
    major(11, "11"),
    major(8, "8"),
];

/// Tags name the Java machine, sbt and Scala exactly. sbt fetches the versions that the project asks for.
pub(super) const SBT: &[Line] = &[
    major(21, "21").aliases(&["", "lts", "stable"]).tag("eclipse-temurin-21.0.8_9_1.12.0_3.7.4"),
    major(17, "17").tag("eclipse-temurin-17.0.15_6_1.11.7_2.12.20"),
];

pub(super) const CLOJURE: &[Line] = &[
    major(21, "21").aliases(&["", "lts", "stable"]),
    major(25, "25").aliases(&["latest"]),
    major(17, "17"),
    major(11, "11"),
    major(8, "8"),
];

pub(super) const DOTNET: &[Line] = &[
    minor(10, 0, "10.0").aliases(&["", "latest", "lts", "stable"]).tag("10.0-noble"),
    minor(9, 0, "9.0").ended(),
    minor(8, 0, "8.0").ended(),
    minor(7, 0, "7.0").ended(),
    minor(6, 0, "6.0").ended(),
];

pub(super) const ELIXIR: &[Line] = &[
    minor(1, 18, "1.18").aliases(DEFAULT),
    minor(1, 19, "1.19"),
    minor(1, 17, "1.17"),
    minor(1, 16, "1.16").tag("1.16-otp-26"),
    minor(1, 15, "1.15").tag("1.15-otp-26"),
    minor(1, 14, "1.14").tag("1.14-otp-25").ended(),
];

/// Gleam's images are built on the newest; what they compile runs on no older one.
pub(super) const ERLANG: &[Line] =
    &[major(28, "28").aliases(DEFAULT), major(27, "27"), major(26, "26"), major(25, "25").ended()];

pub(super) const GLEAM: &[Line] = &[major(1, "1.18.1").aliases(DEFAULT)];

pub(super) const DENO: &[Line] = &[major(2, "2.9.5").aliases(DEFAULT), major(1, "1.46.3").ended()];

pub(super) const BUN: &[Line] = &[major(1, "1.4.5").aliases(DEFAULT)];

pub(super) const DART: &[Line] = &[major(3, "3").aliases(DEFAULT), major(2, "2").ended()];

pub(super) const SWIFT: &[Line] = &[
    minor(6, 3, "6.3").aliases(DEFAULT),
    minor(6, 2, "6.2"),
    minor(6, 1, "6.1"),
    minor(6, 0, "6.0").ended(),
    minor(5, 10, "5.10").ended(),
];

pub(super) const CRYSTAL: &[Line] = &[
    minor(1, 20, "1.20").aliases(DEFAULT),
    minor(1, 19, "1.19"),
    minor(1, 18, "1.18"),
    minor(1, 17, "1.17"),
    minor(1, 16, "1.16"),
    minor(1, 15, "1.15"),
    minor(1, 14, "1.14"),
];

pub(super) const HASKELL: &[Line] = &[
    minor(9, 10, "9.10").aliases(DEFAULT),
    minor(9, 12, "9.12"),
    minor(9, 8, "9.8").tag("9.8-slim"),
    minor(9, 6, "9.6").tag("9.6-slim"),
    minor(9, 4, "9.4").tag("9.4-slim").ended(),
];

/// Before 1.0, every minor release is a line of its own, and projects fit one.
pub(super) const ZIG: &[Line] = &[
    minor(0, 17, "0.17.1").aliases(DEFAULT),
    minor(0, 16, "0.16.0"),
    minor(0, 15, "0.15.2"),
    minor(0, 14, "0.14.1"),
    minor(0, 13, "0.13.0"),
    minor(0, 12, "0.12.1"),
    minor(0, 11, "0.11.0"),
];

pub(super) const GCC: &[Line] = &[major(12, "12").aliases(DEFAULT)];
pub(super) const COBOL: &[Line] = &[major(3, "3").aliases(DEFAULT)];
pub(super) const SCHEME: &[Line] = &[major(3, "3").aliases(DEFAULT)];
