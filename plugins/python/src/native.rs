//! Packages that need something of the system: a table, not code. What compiles is only there while the
//! dependencies are installed; what is loaded is in the image too. Most packages bring all of it in their
//! wheels (numpy, Pillow, lxml, cryptography, psycopg2-binary) and are not in the table.

use crate::facts::Facts;

/// What a package needs.
struct Needs {
    package: &'static str,
    /// To be compiled: packages of Debian. None means that its wheels are enough.
    build: &'static [&'static str],
    /// To run.
    run: &'static [&'static str],
}

const fn needs(
    package: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
) -> Needs {
    Needs { package, build, run }
}

const NEEDS: [Needs; 30] = [
    needs("psycopg2", &["libpq-dev"], &["libpq5"]),
    needs("psycopg-c", &["libpq-dev"], &["libpq5"]),
    needs("mysqlclient", &["default-libmysqlclient-dev", "pkg-config"], &["libmariadb3"]),
    needs("pyodbc", &[], &["unixodbc"]),
    needs("python-ldap", &["libldap-dev", "libsasl2-dev"], &["libldap-2.5-0", "libsasl2-2"]),
    needs("uwsgi", &["libpcre2-dev"], &["libpcre2-8-0"]),
    needs("pycairo", &["libcairo2-dev", "pkg-config"], &["libcairo2"]),
    needs("cairosvg", &[], &["libcairo2"]),
    needs("cairocffi", &[], &["libcairo2"]),
    needs(
        "weasyprint",
        &[],
        &["libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core"],
    ),
    needs("pygraphviz", &["graphviz", "libgraphviz-dev", "pkg-config"], &["graphviz"]),
    needs("graphviz", &[], &["graphviz"]),
    needs("opencv-python", &[], &["libgl1", "libglib2.0-0"]),
    needs("opencv-contrib-python", &[], &["libgl1", "libglib2.0-0"]),
    needs("ultralytics", &[], &["libgl1", "libglib2.0-0"]),
    needs("pdf2image", &[], &["poppler-utils"]),
    needs("pytesseract", &[], &["tesseract-ocr"]),
    needs("ocrmypdf", &[], &["tesseract-ocr", "ghostscript"]),
    needs("pydub", &[], &["ffmpeg"]),
    needs("ffmpeg-python", &[], &["ffmpeg"]),
    needs("openai-whisper", &[], &["ffmpeg"]),
    needs("yt-dlp", &[], &["ffmpeg"]),
    needs("moviepy", &[], &["ffmpeg"]),
    needs("python-magic", &[], &["libmagic1"]),
    needs("pyzbar", &[], &["libzbar0"]),
    needs("wand", &[], &["libmagickwand-6.q16-6"]),
    needs("pyaudio", &["portaudio19-dev"], &["libportaudio2"]),
    needs("xmlsec", &["libxmlsec1-dev", "pkg-config"], &["libxmlsec1-openssl"]),
    needs("gdal", &["libgdal-dev", "g++"], &["libgdal32"]),
    needs("pyicu", &["libicu-dev", "pkg-config", "g++"], &["libicu72"]),
];
/// To compile any extension, beside Python's own headers.
const COMPILER: [&str; 2] = ["gcc", "libc6-dev"];
/// Python's headers, which official images bring and Debian's Python does not.
const HEADERS: &str = "test -f \"$(python3 -c 'import sysconfig; \
                       print(sysconfig.get_path(\"include\"))')/Python.h\" || ";

/// The system packages of an application.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct System {
    /// While its dependencies are installed.
    pub(crate) build: Vec<&'static str>,
    /// In its image.
    pub(crate) run: Vec<&'static str>,
    /// Whether extensions are compiled.
    pub(crate) compiles: bool,
}

/// What the declared packages need.
pub(crate) fn system(facts: &Facts) -> System {
    let mut system = System::default();
    let names = facts.manifests.names();
    let mut add = |build: &[&'static str], run: &[&'static str]| {
        system.build.extend(build);
        system.run.extend(run);
    };
    for needs in NEEDS.iter().filter(|needs| names.contains(needs.package)) {
        add(needs.build, needs.run);
    }
    if facts.has_extra("psycopg", &["c"]) {
        add(&["libpq-dev"], &["libpq5"]);
    } else if names.contains("psycopg")
        && !facts.has_extra("psycopg", &["binary"])
        && !names.contains("psycopg-binary")
    {
        add(&[], &["libpq5"]);
    }
    if facts.has_extra("discord-py", &["voice"]) {
        add(&[], &["ffmpeg", "libopus0"]);
    }
    if geo(facts) {
        add(&[], &["libgdal32", "libgeos-c1v5", "libproj25"]);
    }
    system.compiles = !system.build.is_empty();
    if fetches_with_git(facts) {
        system.build.push("git");
    }
    for list in [&mut system.build, &mut system.run] {
        list.sort_unstable();
        list.dedup();
    }
    system
}

impl System {
    /// The command line that installs what is needed to build; none if nothing is.
    pub(crate) fn build_line(&self) -> Option<String> {
        let compiler = COMPILER.into_iter().filter(|_| self.compiles);
        let all: Vec<&str> = compiler.chain(self.build.iter().copied()).collect();
        let headers = if self.compiles {
            format!(" && {{ {HEADERS}apt-get install -y --no-install-recommends python3-dev; }}")
        } else {
            String::new()
        };
        (!all.is_empty()).then(|| apt(&all, &headers))
    }

    /// The command line that installs what is needed to run; none if nothing is.
    pub(crate) fn run_line(&self) -> Option<String> {
        (!self.run.is_empty()).then(|| apt(&self.run, ""))
    }
}

fn apt(packages: &[&str], then: &str) -> String {
    format!(
        "apt-get update && apt-get install -y --no-install-recommends {}{then} && rm -rf \
         /var/lib/apt/lists/*",
        packages.join(" ")
    )
}

/// Whether Django's geographic part is used.
fn geo(facts: &Facts) -> bool {
    let settings = facts.files.iter().filter(|file| file.contains("settings")).take(20);
    facts.declares("django")
        && settings.into_iter().any(|file| facts.text(file).contains("django.contrib.gis"))
}

/// Whether a dependency comes out of a Git repository.
fn fetches_with_git(facts: &Facts) -> bool {
    let manifests = &facts.manifests;
    let lines =
        manifests.requirements.iter().chain(manifests.included.iter().map(|(_, text)| text));
    let git = |text: &str| text.contains("git+") || text.contains("git =") || text.contains("git=");
    let pip = manifests.conda.iter().flat_map(|conda| &conda.pip);
    lines.chain(pip).any(|text| text.contains("git+"))
        || ["pyproject.toml", "Pipfile"].iter().any(|file| git(&facts.text(file)))
}
