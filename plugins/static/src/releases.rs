//! Programs of releases on GitHub: what the archive for a platform is called, and how it is checked.
//!
//! **Invariant: a checksum here was published by somebody else too.** Hugo publishes a list of checksums
//! with each release, which is fetched with the archive; Zola and mdBook publish none, so those of some
//! releases are written down here, and any other release is taken as it comes, with a warning.

use windlass_plugin_common::version::npm;
use windlass_sdk::PluginError;

/// A program that is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Hugo,
    Zola,
    MdBook,
}

/// The archive of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The program in it.
    pub(crate) program: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Its folder, without a slash at the end.
    pub(crate) folder: String,
    pub(crate) check: Check,
}

/// How an archive is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// By this SHA-256, in hexadecimal digits.
    Known(&'static str),
    /// By the list of this name beside it.
    Listed(String),
    /// Not at all, other than these releases for the same platform.
    Unknown { known: Vec<&'static str> },
}

/// What a host runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arch {
    Amd64,
    Arm64,
}

/// SHA-256 of archives, by their names.
const KNOWN: [(&str, &str); 14] = [
    (
        "zola-v0.18.0-x86_64-unknown-linux-gnu.tar.gz",
        "521ca7990b60e1270df807e01cbeb1ce69ef099745883b7929a4944cd5625d3e",
    ),
    (
        "zola-v0.19.2-x86_64-unknown-linux-gnu.tar.gz",
        "0798e69b86c628ddcb264ebd86c8cc8dce7670b9049060bf94faa73f6857cd9c",
    ),
    (
        "zola-v0.20.0-x86_64-unknown-linux-gnu.tar.gz",
        "ca7ed5b33a739c5b5b35a0e207e5c3578a652cd12b61c675763b3ff34c322d08",
    ),
    (
        "zola-v0.20.0-aarch64-unknown-linux-gnu.tar.gz",
        "91b428514d1c6b5674ed0e7ec244152b98c0a3eb6b63bb2c887e5966f185f7fa",
    ),
    (
        "zola-v0.21.0-x86_64-unknown-linux-gnu.tar.gz",
        "5c37a8f706567d6cad3f0dbc0eaebe3b9591cc301bd67089e5ddc0d0401732d6",
    ),
    (
        "zola-v0.21.0-aarch64-unknown-linux-gnu.tar.gz",
        "da7e9def7b9acf0c9b78fb99ce72624504cfee1066ab7a161f09a4126dd7ffe6",
    ),
    (
        "mdbook-v0.4.52-x86_64-unknown-linux-musl.tar.gz",
        "c96bdabf3754d9e016fb803c1565a41050434479b2dc1e02a87c8d0da7524c6c",
    ),
    (
        "mdbook-v0.4.52-aarch64-unknown-linux-musl.tar.gz",
        "7273dda980915a1e2f114d63d432aa6284551e37f0358e3ce7653d1e49e6fa3f",
    ),
    (
        "mdbook-v0.5.0-x86_64-unknown-linux-musl.tar.gz",
        "34c7a1b8cbd8daec5060aa9ed85441e0c50219a37c8c7975b69b991848a202ce",
    ),
    (
        "mdbook-v0.5.0-aarch64-unknown-linux-musl.tar.gz",
        "1ee344daafd74ef12df3263bc71314b5ee30ef99fa330680082f6819229417f1",
    ),
    (
        "mdbook-v0.5.1-x86_64-unknown-linux-musl.tar.gz",
        "c6781d9e52cf9973960fa568d89ae1d32dd2487811f14ab553d37655cdac3e29",
    ),
    (
        "mdbook-v0.5.1-aarch64-unknown-linux-musl.tar.gz",
        "ea8d4f1f745dd473eeccb61d93ad6df23de0e8e4a961156afad1ca44830e35f4",
    ),
    (
        "mdbook-v0.5.2-x86_64-unknown-linux-musl.tar.gz",
        "8e9d802bbecea34380aabfc65bec4fdba23c07453ef2c7e06fa34c282082e2c4",
    ),
    (
        "mdbook-v0.5.2-aarch64-unknown-linux-musl.tar.gz",
        "fb229bfdc68dd6c93692e64c502a67a8d3d2fc35c37c61fc72768843e6476add",
    ),
];

impl Program {
    /// The archive of a release, given by its whole version without a `v`, for a platform such as `linux/arm64`.
    ///
    /// # Errors
    /// Code `static.platform-unsupported`: the release has none for it.
    pub(crate) fn archive(self, version: &str, platform: &str) -> Result<Archive, PluginError> {
        let arch = Arch::of(platform).ok_or_else(|| self.none(version, platform, None))?;
        let first = self.first_on_arm64();
        if arch == Arch::Arm64 && !reached(version, first) {
            return Err(self.none(version, platform, Some(first)));
        }
        let name = self.archive_name(version, arch);
        let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, sum)| *sum);
        let check = match (self, known) {
            (_, Some(sum)) => Check::Known(sum),
            (Self::Hugo, None) => Check::Listed(format!("hugo_{version}_checksums.txt")),
            (Self::Zola | Self::MdBook, None) => Check::Unknown { known: self.known(arch) },
        };
        let repository = match self {
            Self::Hugo => "gohugoio/hugo",
            Self::Zola => "getzola/zola",
            Self::MdBook => "rust-lang/mdBook",
        };
        let folder = format!("https://github.com/{repository}/releases/download/v{version}");
        Ok(Archive { program: self.id(), name, folder, check })
    }

    /// What a release calls its archive.
    fn archive_name(self, version: &str, arch: Arch) -> String {
        let machine = if arch == Arch::Amd64 { "x86_64" } else { "aarch64" };
        match self {
            Self::Hugo => {
                let system = match (arch, reached(version, "0.103.0")) {
                    (Arch::Amd64, true) => "linux-amd64",
                    (Arch::Arm64, true) => "linux-arm64",
                    (Arch::Amd64, false) => "Linux-64bit",
                    (Arch::Arm64, false) => "Linux-ARM64",
                };
                format!("hugo_extended_{version}_{system}.tar.gz")
            }
            Self::Zola => format!("zola-v{version}-{machine}-unknown-linux-gnu.tar.gz"),
            Self::MdBook => {
                let libc = if reached(version, "0.4.22") { "musl" } else { "gnu" };
                format!("mdbook-v{version}-{machine}-unknown-linux-{libc}.tar.gz")
            }
        }
    }

    /// The releases whose checksums are written down here.
    fn known(self, arch: Arch) -> Vec<&'static str> {
        let prefix = format!("{}-v", self.id());
        let version = |name: &'static str| {
            let (version, _) = name.strip_prefix(&prefix)?.split_once('-')?;
            (self.archive_name(version, arch) == name).then_some(version)
        };
        KNOWN.iter().filter_map(|(name, _)| version(name)).collect()
    }

    /// The release that is taken on a platform where nothing asks for another; Hugo's is Debian's.
    pub(crate) fn usual(self, platform: &str) -> &'static str {
        match self {
            Self::Hugo => "0.111.3",
            Self::Zola if Arch::of(platform) == Some(Arch::Arm64) => self.first_on_arm64(),
            Self::Zola => "0.19.2",
            Self::MdBook => "0.4.52",
        }
    }

    fn first_on_arm64(self) -> &'static str {
        match self {
            Self::Hugo => "0.102.0",
            Self::Zola => "0.20.0",
            Self::MdBook => "0.4.22",
        }
    }

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Hugo => "Hugo",
            Self::Zola => "Zola",
            Self::MdBook => "mdBook",
        }
    }

    /// The name of the program and of its setting.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Hugo => "hugo",
            Self::Zola => "zola",
            Self::MdBook => "mdbook",
        }
    }

    fn none(self, version: &str, platform: &str, first: Option<&str>) -> PluginError {
        let (title, id) = (self.title(), self.id());
        let message = format!("the release {version} of {title} has no program for {platform}");
        let hint = match first {
            Some(first) => format!(
                "the first with one is {first}: ask for it or a later one in windlass.toml\n\
                 [build.toolchain]\n\
                 {id} = \"{first}\""
            ),
            None => format!(
                "there are programs for linux/amd64 and linux/arm64: build the site elsewhere and deploy its \
                 files, or write a Dockerfile that brings {title}"
            ),
        };
        PluginError::new("static.platform-unsupported", message).hint(hint)
    }
}

impl Arch {
    /// `linux/amd64`, `linux/arm64`, and the latter with its usual variant.
    fn of(platform: &str) -> Option<Self> {
        match platform {
            "linux/amd64" => Some(Self::Amd64),
            "linux/arm64" | "linux/arm64/v8" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl Archive {
    /// Where it is fetched from.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }
}

/// Whether a whole version is this one or a later one.
fn reached(version: &str, first: &str) -> bool {
    let line = |version: &str| windlass_plugin_common::version::Interval::line(version);
    let sets = npm(&format!(">={first}")).unwrap_or_default();
    line(version).is_some_and(|line| sets.iter().any(|set| set.meets(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(program: Program, version: &str, platform: &str) -> String {
        program.archive(version, platform).unwrap().name
    }

    #[test]
    fn an_archive_is_called_as_its_release_calls_it() {
        use Program::{Hugo, MdBook, Zola};
        for (program, version, amd64, arm64) in [
            (
                Hugo,
                "0.121.1",
                "hugo_extended_0.121.1_linux-amd64",
                "hugo_extended_0.121.1_linux-arm64",
            ),
            (
                Hugo,
                "0.103.0",
                "hugo_extended_0.103.0_linux-amd64",
                "hugo_extended_0.103.0_linux-arm64",
            ),
            (
                Hugo,
                "0.102.3",
                "hugo_extended_0.102.3_Linux-64bit",
                "hugo_extended_0.102.3_Linux-ARM64",
            ),
            (
                Zola,
                "0.20.0",
                "zola-v0.20.0-x86_64-unknown-linux-gnu",
                "zola-v0.20.0-aarch64-unknown-linux-gnu",
            ),
            (
                MdBook,
                "0.4.22",
                "mdbook-v0.4.22-x86_64-unknown-linux-musl",
                "mdbook-v0.4.22-aarch64-unknown-linux-musl",
            ),
        ] {
            assert_eq!(name(program, version, "linux/amd64"), format!("{amd64}.tar.gz"));
            assert_eq!(name(program, version, "linux/arm64"), format!("{arm64}.tar.gz"));
        }
        assert_eq!(
            name(MdBook, "0.4.21", "linux/amd64"),
            "mdbook-v0.4.21-x86_64-unknown-linux-gnu.tar.gz"
        );
        assert_eq!(name(Zola, "0.21.0", "linux/arm64/v8"), name(Zola, "0.21.0", "linux/arm64"));
        let archive = Hugo.archive("0.121.1", "linux/arm64").unwrap();
        assert_eq!(
            archive.url(),
            "https://github.com/gohugoio/hugo/releases/download/v0.121.1/\
             hugo_extended_0.121.1_linux-arm64.tar.gz"
        );
    }

    #[test]
    fn what_a_release_does_not_have_is_refused_with_the_first_that_has_it() {
        for (program, version, first) in [
            (Program::Hugo, "0.101.0", "0.102.0"),
            (Program::Zola, "0.19.2", "0.20.0"),
            (Program::MdBook, "0.4.21", "0.4.22"),
        ] {
            assert!(program.archive(version, "linux/amd64").is_ok());
            let error = program.archive(version, "linux/arm64").unwrap_err();
            assert_eq!(error.code, "static.platform-unsupported");
            let line = format!("{} = \"{first}\"", program.id());
            assert!(error.hint.unwrap().contains(&line), "{}", error.message);
            let usual = program.usual("linux/riscv64");
            let other = program.archive(usual, "linux/riscv64").unwrap_err();
            assert!(other.message.contains("linux/riscv64"), "{}", other.message);
        }
    }

    #[test]
    fn each_usual_release_is_checked_and_no_checksum_is_cut() {
        for platform in ["linux/amd64", "linux/arm64"] {
            for program in [Program::Zola, Program::MdBook] {
                let archive = program.archive(program.usual(platform), platform).unwrap();
                assert!(matches!(archive.check, Check::Known(_)), "{archive:?}");
            }
        }
        for (name, sum) in KNOWN {
            let digits = sum.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            assert!(sum.len() == 64 && digits, "{name}");
            assert_eq!(KNOWN.iter().filter(|(_, other)| *other == sum).count(), 1, "{name}");
        }
        let listed = Program::Hugo.archive("0.140.2", "linux/amd64").unwrap().check;
        assert_eq!(listed, Check::Listed("hugo_0.140.2_checksums.txt".to_owned()));
        let unknown = |program: Program, version, platform, known: &[&'static str]| {
            let check = program.archive(version, platform).unwrap().check;
            assert_eq!(check, Check::Unknown { known: known.to_vec() });
        };
        let zola = ["0.18.0", "0.19.2", "0.20.0", "0.21.0"];
        unknown(Program::Zola, "0.17.2", "linux/amd64", &zola);
        unknown(Program::Zola, "0.22.0", "linux/arm64", &zola[2..]);
        let mdbook = ["0.4.52", "0.5.0", "0.5.1", "0.5.2"];
        unknown(Program::MdBook, "0.4.40", "linux/amd64", &mdbook);
    }
}
