//! Packages that need more than Node.js: system libraries where they run, compilers where they are
//! installed, browsers.

use crate::facts::Facts;

/// What the dependencies need of the system, as Debian packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Native {
    /// To install and to build.
    pub(crate) build: Vec<&'static str>,
    /// To run.
    pub(crate) run: Vec<&'static str>,
    /// For every command, and for the application.
    pub(crate) env: Vec<(&'static str, &'static str)>,
    /// A command behind the installation, and the folder of the package that has it.
    pub(crate) fetch: Option<(&'static str, String)>,
    /// Which packages it is for.
    pub(crate) why: Vec<&'static str>,
}

/// A package, what compiling it takes, and what running it takes.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const GYP: &[&str] = &["python3", "make", "g++"];
const SSL: &[&str] = &["openssl"];
const BROWSER: &[&str] = &[
    "fonts-liberation",
    "libasound2",
    "libatk-bridge2.0-0",
    "libatk1.0-0",
    "libatspi2.0-0",
    "libcairo2",
    "libcups2",
    "libdbus-1-3",
    "libdrm2",
    "libgbm1",
    "libglib2.0-0",
    "libnspr4",
    "libnss3",
    "libpango-1.0-0",
    "libx11-6",
    "libxcb1",
    "libxcomposite1",
    "libxdamage1",
    "libxext6",
    "libxfixes3",
    "libxkbcommon0",
    "libxrandr2",
];
/// Compiled where no ready-made binary fits, or can be fetched.
const ROWS: [Row; 29] = [
    ("prisma", SSL, SSL),
    ("@prisma/client", SSL, SSL),
    ("bcrypt", GYP, &[]),
    ("better-sqlite3", GYP, &[]),
    ("sqlite3", GYP, &[]),
    ("argon2", GYP, &[]),
    ("node-pty", GYP, &[]),
    ("isolated-vm", GYP, &[]),
    ("re2", GYP, &[]),
    ("zeromq", GYP, &[]),
    ("serialport", GYP, &[]),
    ("node-sass", GYP, &[]),
    ("farmhash", GYP, &[]),
    ("microtime", GYP, &[]),
    ("hiredis", GYP, &[]),
    ("leveldown", GYP, &[]),
    ("node-rdkafka", GYP, &[]),
    ("libxmljs", GYP, &[]),
    ("libxmljs2", GYP, &[]),
    ("kerberos", &["python3", "make", "g++", "libkrb5-dev"], &["libgssapi-krb5-2"]),
    ("deasync", GYP, &[]),
    ("tree-sitter", GYP, &[]),
    ("node-gyp", GYP, &[]),
    ("node-expat", GYP, &[]),
    ("odbc", &["python3", "make", "g++", "unixodbc-dev"], &["unixodbc"]),
    ("pg-native", &["python3", "make", "g++", "libpq-dev"], &["libpq5"]),
    ("libpq", &["python3", "make", "g++", "libpq-dev"], &["libpq5"]),
    (
        "canvas",
        &[
            "python3",
            "make",
            "g++",
            "pkg-config",
            "libcairo2-dev",
            "libpango1.0-dev",
            "libjpeg-dev",
            "libgif-dev",
            "librsvg2-dev",
        ],
        &[
            "libcairo2",
            "libpango-1.0-0",
            "libpangocairo-1.0-0",
            "libjpeg62-turbo",
            "libgif7",
            "librsvg2-2",
        ],
    ),
    ("gm", &[], &["graphicsmagick"]),
];
const BROWSERS: [&str; 2] = ["playwright", "playwright-chromium"];

/// What the dependencies need, those of the application and of the packages of its workspace that it needs.
pub(crate) fn needs(facts: &Facts) -> Native {
    let mut native = Native::default();
    let packages = facts.packages();
    for (name, build, run) in ROWS {
        if packages.iter().any(|(_, package)| package.uses(name)) {
            add(&mut native.build, build);
            native.why.push(name);
        }
        if packages.iter().any(|(_, package)| package.depends_on(name)) {
            add(&mut native.run, run);
        }
    }
    if facts.has("binding.gyp") {
        add(&mut native.build, GYP);
        native.why.push("binding.gyp");
    }
    let first = |names: &[&'static str]| {
        packages.iter().find_map(|(dir, package)| {
            Some((*names.iter().find(|name| package.depends_on(name))?, *dir))
        })
    };
    if first(&["puppeteer", "puppeteer-core"]).is_some() {
        // Debian's own browser brings its libraries, and is corrected with them.
        add(&mut native.run, &["chromium", "fonts-liberation"]);
        native.env.push(("PUPPETEER_SKIP_DOWNLOAD", "true"));
        native.env.push(("PUPPETEER_EXECUTABLE_PATH", "/usr/bin/chromium"));
        native.why.push("puppeteer");
    }
    if let Some((name, dir)) = first(&BROWSERS) {
        add(&mut native.run, BROWSER);
        native.env.push(("PLAYWRIGHT_BROWSERS_PATH", "/app/.browsers"));
        native.fetch = Some(("playwright install chromium", dir.to_owned()));
        native.why.push(name);
    }
    native
}

fn add(list: &mut Vec<&'static str>, more: &[&'static str]) {
    for name in more {
        if !list.contains(name) {
            list.push(name);
        }
    }
}
