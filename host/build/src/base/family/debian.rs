//! What Debian 12 has, and what it takes to be used as the official image is: the same commands, the same
//! variables, the same folders.

use super::Debian;

const fn packages(version: &'static str, packages: &'static [&'static str]) -> Debian {
    Debian { version, packages, setup: &[], env: &[], path: "" }
}

/// Python's hooks and packages are the recipe's own.
pub(in crate::base) const PYTHON: Debian = packages("3.11.2", &[]);

pub(super) const BARE: Debian = packages("12", &[]);

pub(super) const GO: Debian = Debian {
    env: &[("GOPATH", "/go"), ("GOTOOLCHAIN", "local")],
    path: "/go/bin:",
    setup: &["install -d -m 1777 \"$1/go\" \"$1/go/src\" \"$1/go/bin\""],
    ..packages(
        "1.19.8",
        &["golang-go", "gcc", "g++", "libc6-dev", "make", "pkg-config", "git", "curl"],
    )
};

/// `rustc` of Debian 12 is of 2022; `rustc-web` is the one that its browsers are built with, and moves with
/// them.
pub(super) const RUST: Debian = Debian {
    env: &[("CARGO_HOME", "/usr/local/cargo")],
    path: "/usr/local/cargo/bin:",
    setup: &["install -d -m 1777 \"$1/usr/local/cargo\" \"$1/usr/local/cargo/bin\""],
    ..packages("1.96.0", &["rustc-web", "cargo-web", "gcc", "libc6-dev"])
};

pub(super) const RUBY: Debian = Debian {
    env: &[
        ("LANG", "C.UTF-8"),
        ("GEM_HOME", "/usr/local/bundle"),
        ("BUNDLE_SILENCE_ROOT_WARNING", "1"),
        ("BUNDLE_APP_CONFIG", "/usr/local/bundle"),
    ],
    path: "/usr/local/bundle/bin:",
    setup: &["install -d -m 1777 \"$1/usr/local/bundle\""],
    ..packages("3.1.2", &["ruby", "ruby-dev", "ruby-bundler", "rake"])
};

/// As `docker-php.conf` of the official image.
const PHP_CONF: &str = "cat > \"$1/etc/apache2/conf-available/docker-php.conf\" <<'EOF'
<FilesMatch \\.php$>
	SetHandler application/x-httpd-php
</FilesMatch>

DirectoryIndex disabled
DirectoryIndex index.php index.html

<Directory /var/www/>
	Options -Indexes
	AllowOverride All
</Directory>
EOF";

/// Its variables can be set from outside, and its logs are the process's own output.
const APACHE_FOLDERS: &str = "chroot \"$1\" sh -ec '
sed -ri \"s/^export ([^=]+)=(.*)\\$/: \\${\\1:=\\2}\\nexport \\1/\" /etc/apache2/envvars
. /etc/apache2/envvars
rm -rf \"$APACHE_LOG_DIR\"
install -d -m 1777 -o www-data -g www-data \"$APACHE_LOG_DIR\"
ln -s /dev/stderr \"$APACHE_LOG_DIR/error.log\"
ln -s /dev/stdout \"$APACHE_LOG_DIR/access.log\"
ln -s /dev/stdout \"$APACHE_LOG_DIR/other_vhosts_access.log\"
rm -f /var/www/html/index.html
chown www-data:www-data /var/www/html
chmod 1777 /var/www/html
install -d /usr/local/etc/php/conf.d
'";

/// The command that the official image runs: Apache in the place of the shell. What it writes while it runs
/// goes below `/tmp`: `/run` is empty in a base, and not every user may write there.
const APACHE_FOREGROUND: &str = "cat > \"$1/usr/local/bin/apache2-foreground\" <<'EOF'
#!/bin/sh
set -e
: \"${APACHE_CONFDIR:=/etc/apache2}\"
: \"${APACHE_ENVVARS:=$APACHE_CONFDIR/envvars}\"
: \"${APACHE_RUN_DIR:=/tmp/apache2}\"
: \"${APACHE_LOCK_DIR:=/tmp/apache2}\"
: \"${APACHE_PID_FILE:=/tmp/apache2/apache2.pid}\"
. \"$APACHE_ENVVARS\"
for folder in \"$APACHE_LOCK_DIR\" \"$APACHE_RUN_DIR\" \"$APACHE_LOG_DIR\"; do
	mkdir -p \"$folder\"
done
rm -f \"$APACHE_PID_FILE\"
exec apache2 -DFOREGROUND \"$@\"
EOF";

pub(super) const PHP: Debian = Debian {
    env: &[
        ("PHP_INI_DIR", "/usr/local/etc/php"),
        // The usual files first, then those that a plan writes where the official image has them.
        ("PHP_INI_SCAN_DIR", ":/usr/local/etc/php/conf.d"),
        ("APACHE_CONFDIR", "/etc/apache2"),
        ("APACHE_ENVVARS", "/etc/apache2/envvars"),
    ],
    setup: &[
        APACHE_FOREGROUND,
        "chmod 755 \"$1/usr/local/bin/apache2-foreground\"",
        PHP_CONF,
        APACHE_FOLDERS,
        "chroot \"$1\" sh -ec 'a2dismod -q mpm_event || true; a2enmod -q mpm_prefork php8.2; \
         a2enconf -q docker-php' >&2",
    ],
    ..packages(
        "8.2",
        &[
            "apache2",
            "libapache2-mod-php8.2",
            "php8.2-cli",
            "php8.2-bcmath",
            "php8.2-curl",
            "php8.2-gd",
            "php8.2-intl",
            "php8.2-mbstring",
            "php8.2-mysql",
            "php8.2-opcache",
            "php8.2-pgsql",
            "php8.2-sqlite3",
            "php8.2-xml",
            "php8.2-zip",
            "composer",
            "unzip",
        ],
    )
};

/// Temurin's images have it at this place.
const JAVA_HOME: &[(&str, &str)] = &[("JAVA_HOME", "/opt/java/openjdk"), ("LANG", "C.UTF-8")];
const JAVA_LINK: &str = "chroot \"$1\" sh -ec 'mkdir -p /opt/java; \
     ln -s /usr/lib/jvm/java-17-openjdk-* /opt/java/openjdk'";
const JAVA_PATH: &str = "/opt/java/openjdk/bin:";

const fn java(packages: &'static [&'static str]) -> Debian {
    Debian { version: "17", packages, setup: &[JAVA_LINK], env: JAVA_HOME, path: JAVA_PATH }
}

pub(super) const JAVA: Debian = java(&["openjdk-17-jdk-headless"]);
pub(super) const JRE: Debian = java(&["openjdk-17-jre-headless"]);
pub(super) const MAVEN: Debian = java(&["openjdk-17-jdk-headless", "maven"]);
pub(super) const GRADLE: Debian = java(&["openjdk-17-jdk-headless", "gradle"]);
pub(super) const CLOJURE: Debian = java(&["openjdk-17-jdk-headless", "leiningen", "clojure"]);

pub(super) const ELIXIR: Debian = Debian {
    env: &[("LANG", "C.UTF-8")],
    ..packages(
        "1.14.0",
        &["elixir", "erlang-nox", "erlang-dev", "git", "make", "gcc", "g++", "libc6-dev", "curl"],
    )
};

pub(super) const ERLANG: Debian =
    Debian { env: &[("LANG", "C.UTF-8")], ..packages("25", &["erlang-nox"]) };

/// With the libraries that most programs link; `shards` is not in Debian 12.
pub(super) const CRYSTAL: Debian = packages(
    "1.6.0",
    &[
        "crystal",
        "git",
        "libgmp-dev",
        "libssl-dev",
        "libxml2-dev",
        "libyaml-dev",
        "make",
        "zlib1g-dev",
    ],
);

pub(super) const HASKELL: Debian = Debian {
    env: &[("LANG", "C.UTF-8")],
    ..packages(
        "9.0.2",
        &[
            "ghc",
            "cabal-install",
            "gcc",
            "g++",
            "git",
            "libc6-dev",
            "libgmp-dev",
            "make",
            "zlib1g-dev",
        ],
    )
};

pub(super) const GCC: Debian = packages(
    "12",
    &["gcc", "g++", "libc6-dev", "make", "cmake", "meson", "ninja-build", "pkg-config"],
);

pub(super) const COBOL: Debian = packages("3", &["gnucobol3", "gcc", "libc6-dev", "make"]);

pub(super) const SCHEME: Debian =
    Debian { env: &[("LANG", "C.UTF-8")], ..packages("3", &["guile-3.0"]) };
