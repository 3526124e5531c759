//! Extensions of PHP: what each needs in the official image, which compiles them, and how it is called
//! among Debian's packages.

use std::collections::BTreeSet;

use windlass_plugin_common::assets::Files;

use crate::facts::Facts;

/// How the official image gets an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// `docker-php-ext-install`
    Bundled,
    /// `pecl install`
    Pecl,
}

/// An extension.
struct Extension {
    name: &'static str,
    source: Source,
    /// Debian packages that compile it, and that it needs then.
    build: &'static [&'static str],
    run: &'static [&'static str],
    /// Debian's own package of it, where the base does not bring it.
    debian: &'static str,
}

const fn bundled(
    name: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
    debian: &'static str,
) -> Extension {
    Extension { name, source: Source::Bundled, build, run, debian }
}

const fn pecl(
    name: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
    debian: &'static str,
) -> Extension {
    Extension { name, source: Source::Pecl, build, run, debian }
}

const GD: [&str; 4] = ["libfreetype-dev", "libjpeg-dev", "libpng-dev", "libwebp-dev"];
const GD_RUN: [&str; 4] = ["libfreetype6", "libjpeg62-turbo", "libpng16-16", "libwebp7"];

const TABLE: [Extension; 42] = [
    bundled("bcmath", &[], &[], "php-bcmath"),
    bundled("bz2", &["libbz2-dev"], &["libbz2-1.0"], "php-bz2"),
    bundled("calendar", &[], &[], ""),
    bundled("enchant", &["libenchant-2-dev"], &["libenchant-2-2"], "php-enchant"),
    bundled("exif", &[], &[], ""),
    bundled("ffi", &["libffi-dev"], &["libffi8"], ""),
    bundled("gd", &GD, &GD_RUN, "php-gd"),
    bundled("gettext", &[], &[], ""),
    bundled("gmp", &["libgmp-dev"], &["libgmp10"], "php-gmp"),
    bundled("intl", &["libicu-dev"], &["libicu72"], "php-intl"),
    bundled("ldap", &["libldap2-dev"], &["libldap-2.5-0"], "php-ldap"),
    bundled("mysqli", &[], &[], "php-mysql"),
    bundled("opcache", &[], &[], ""),
    bundled("pcntl", &[], &[], ""),
    bundled("pdo_mysql", &[], &[], "php-mysql"),
    bundled("pdo_pgsql", &["libpq-dev"], &["libpq5"], "php-pgsql"),
    bundled("pgsql", &["libpq-dev"], &["libpq5"], "php-pgsql"),
    bundled("shmop", &[], &[], ""),
    bundled("snmp", &["libsnmp-dev"], &["libsnmp40"], "php-snmp"),
    bundled("soap", &["libxml2-dev"], &["libxml2"], "php-soap"),
    bundled("sockets", &[], &[], ""),
    bundled("sysvmsg", &[], &[], ""),
    bundled("sysvsem", &[], &[], ""),
    bundled("sysvshm", &[], &[], ""),
    bundled("tidy", &["libtidy-dev"], &["libtidy5deb1"], "php-tidy"),
    bundled("xsl", &["libxslt1-dev"], &["libxslt1.1"], "php-xml"),
    bundled("zip", &["libzip-dev"], &["libzip4"], "php-zip"),
    pecl("amqp", &["librabbitmq-dev"], &["librabbitmq4"], "php-amqp"),
    pecl("apcu", &[], &[], "php-apcu"),
    pecl("ds", &[], &[], "php-ds"),
    pecl("excimer", &[], &[], "php-excimer"),
    pecl("igbinary", &[], &[], "php-igbinary"),
    pecl("imagick", &["libmagickwand-dev"], &["libmagickwand-6.q16-6"], "php-imagick"),
    pecl("mailparse", &[], &[], "php-mailparse"),
    pecl("memcached", &["libmemcached-dev", "zlib1g-dev"], &["libmemcached11"], "php-memcached"),
    pecl("mongodb", &["libssl-dev"], &[], "php-mongodb"),
    pecl("msgpack", &[], &[], "php-msgpack"),
    pecl("redis", &[], &[], "php-redis"),
    pecl("ssh2", &["libssh2-1-dev"], &["libssh2-1"], "php-ssh2"),
    pecl("uuid", &["uuid-dev"], &["libuuid1"], "php-uuid"),
    pecl("yaml", &["libyaml-dev"], &["libyaml-0-2"], "php-yaml"),
    pecl("grpc", &["zlib1g-dev"], &[], ""),
];
/// Variables that say where Redis is.
const REDIS_VARIABLES: [&str; 3] = ["REDIS_URL", "REDIS_HOST", "REDIS_CLUSTER"];
/// Variables of Laravel that name a store.
const STORES: [&str; 6] = [
    "SESSION_DRIVER",
    "CACHE_STORE",
    "CACHE_DRIVER",
    "QUEUE_CONNECTION",
    "BROADCAST_CONNECTION",
    "BROADCAST_DRIVER",
];
/// Files that have them.
const REDIS_FILES: [&str; 7] = [
    ".env",
    ".env.production",
    ".env.example",
    "config/cache.php",
    "config/queue.php",
    "config/session.php",
    "config/broadcasting.php",
];
/// In every base already.
const CORE: [&str; 35] = [
    "core",
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "ftp",
    "hash",
    "iconv",
    "json",
    "libxml",
    "lexbor",
    "mbstring",
    "mysqlnd",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "random",
    "readline",
    "reflection",
    "session",
    "simplexml",
    "sodium",
    "spl",
    "sqlite3",
    "standard",
    "tokenizer",
    "xml",
    "xmlreader",
    "xmlwriter",
    "zlib",
];

/// What is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    names: BTreeSet<String>,
    /// Extensions that nothing here can install.
    pub(crate) unknown: Vec<String>,
}

impl Wanted {
    /// What composer.json and the packages of its lock file need, and what every such application may use
    /// without saying so: databases, the compiled code's cache.
    pub(crate) fn of(facts: &Facts, id: &str, locked: &BTreeSet<String>) -> Self {
        let usual: &[&str] = match id {
            "wordpress" => &["exif", "gd", "intl", "mysqli", "opcache", "zip"],
            "drupal" => &["gd", "opcache", "pdo_mysql", "pdo_pgsql", "zip"],
            _ if facts.composer.is_some() => {
                &["bcmath", "intl", "opcache", "pcntl", "pdo_mysql", "pdo_pgsql", "zip"]
            }
            _ => &["mysqli", "opcache", "pdo_mysql", "pdo_pgsql"],
        };
        let declared = facts.composer.iter().flat_map(|composer| composer.extensions());
        let declared = declared.chain(locked.iter().map(String::as_str));
        let redis = id == "laravel" && takes_redis(facts);
        let declared = declared.chain(redis.then_some("redis"));
        let names = declared.map(str::to_ascii_lowercase).map(|name| match name.as_str() {
            "zend-opcache" | "zend opcache" => "opcache".to_owned(),
            _ => name,
        });
        let mut wanted = Self::default();
        for name in names.chain(usual.iter().map(|name| (*name).to_owned())) {
            if TABLE.iter().any(|known| known.name == name) {
                wanted.names.insert(name);
            } else if !CORE.contains(&name.as_str()) && !wanted.unknown.contains(&name) {
                wanted.unknown.push(name);
            }
        }
        wanted
    }

    fn of_source(&self, source: Source) -> impl Iterator<Item = &'static Extension> {
        let known = TABLE.iter().filter(move |known| known.source == source);
        known.filter(|known| self.names.contains(known.name))
    }

    /// A line that installs them in either kind of base.
    pub(crate) fn line(&self) -> String {
        format!(
            "if command -v docker-php-ext-install >/dev/null; then {}; else {}; fi",
            self.compiled(),
            self.packaged()
        )
    }

    fn compiled(&self) -> String {
        let all = || self.of_source(Source::Bundled).chain(self.of_source(Source::Pecl));
        let build = sorted(all().flat_map(|one| one.build.iter().copied()));
        let run = sorted(all().flat_map(|one| one.run.iter().copied()));
        let mut commands = Vec::new();
        if !build.is_empty() || !run.is_empty() {
            commands.push(apt(&format!("{run} {build}")));
        }
        if self.names.contains("gd") {
            let flags = "--with-freetype --with-jpeg --with-webp";
            commands.push(format!("docker-php-ext-configure gd {flags}"));
        }
        // Newer images bring this one.
        let unless = "$(php -r 'echo extension_loaded(\"Zend OPcache\") ? \"\" : \"opcache\";')";
        let names = self.of_source(Source::Bundled).map(|one| match one.name {
            "opcache" => unless,
            name => name,
        });
        let names = sorted(names);
        commands.push(format!("docker-php-ext-install -j\"$(nproc)\" {names}"));
        let pecl = sorted(self.of_source(Source::Pecl).map(|one| one.name));
        if !pecl.is_empty() {
            commands.push(format!("yes '' | pecl install {pecl} && docker-php-ext-enable {pecl}"));
        }
        if !build.is_empty() {
            commands.push(format!("apt-get purge -y --auto-remove {build}"));
        }
        commands.push("rm -rf /var/lib/apt/lists/* /tmp/pear".to_owned());
        commands.join(" && ")
    }

    fn packaged(&self) -> String {
        let all = self.of_source(Source::Bundled).chain(self.of_source(Source::Pecl));
        let packages = sorted(all.map(|one| one.debian).filter(|package| !package.is_empty()));
        if packages.is_empty() {
            return "true".to_owned();
        }
        // Debian's base brings most of them.
        let names = self.names.iter().map(String::as_str).filter(|name| *name != "opcache");
        let names = names.collect::<Vec<_>>().join(" ");
        format!(
            "php -r 'foreach (explode(\" \", $argv[1]) as $name) extension_loaded($name) || exit(1);' \
             \"{names}\" || {{ {} && rm -rf /var/lib/apt/lists/*; }}",
            apt(&packages)
        )
    }
}

/// Whether Laravel asks Redis through the extension, which it does unless Predis is there.
fn takes_redis(facts: &Facts) -> bool {
    if facts.requires("predis/predis").is_some() {
        return false;
    }
    let set = |name: &String| REDIS_VARIABLES.contains(&name.as_str());
    let in_file = |file: &str| {
        let text = facts.text(file).unwrap_or_default();
        text.lines().any(|line| STORES.iter().any(|store| names_redis(line, store)))
    };
    facts.requires("laravel/horizon").is_some()
        || facts.variables.iter().any(set)
        || REDIS_FILES.into_iter().any(in_file)
}

/// `SESSION_DRIVER=redis`, `env('SESSION_DRIVER', 'redis')`
fn names_redis(line: &str, store: &str) -> bool {
    let Some(rest) = line.split(store).nth(1) else {
        return false;
    };
    let value = rest.trim_start_matches(|c: char| c.is_whitespace() || "='\",".contains(c));
    let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
    !line.trim_start().starts_with(['#', '/', '*']) && &value[..end] == "redis"
}

/// Installs Debian packages.
pub(crate) fn apt(packages: &str) -> String {
    format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.trim())
}

fn sorted(words: impl Iterator<Item = &'static str>) -> String {
    let mut words: Vec<_> = words.collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::names_redis;

    #[test]
    fn a_store_is_redis_where_a_line_says_so() {
        for (line, expected) in [
            ("SESSION_DRIVER=redis", true),
            ("SESSION_DRIVER=\"redis\"", true),
            ("    'driver' => env('SESSION_DRIVER', 'redis'),", true),
            ("    'driver' => env(\"SESSION_DRIVER\", \"database\"),", false),
            ("# SESSION_DRIVER=redis", false),
            ("SESSION_DRIVER=rediska", false),
            ("CACHE_STORE=redis", false),
        ] {
            assert_eq!(names_redis(line, "SESSION_DRIVER"), expected, "{line}");
        }
    }
}
