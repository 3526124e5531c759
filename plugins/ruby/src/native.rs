//! Debian packages that gems with native code need: to be compiled, and to run.

use crate::facts::Facts;
use crate::framework::Kind;

/// A gem, what compiles it, and what it needs to run.
struct Native {
    gem: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
}

const fn native(
    gem: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
) -> Native {
    Native { gem, build, run }
}

const TABLE: [Native; 31] = [
    native("pg", &["libpq-dev"], &["libpq5"]),
    native("mysql2", &["libmariadb-dev"], &["libmariadb3"]),
    native("trilogy", &["libssl-dev"], &[]),
    native("sqlite3", &["libsqlite3-dev"], &["libsqlite3-0"]),
    native("tiny_tds", &["freetds-dev"], &["libsybdb5"]),
    native("nokogiri", &["libxml2-dev", "libxslt1-dev"], &["libxml2", "libxslt1.1"]),
    native("ffi", &["libffi-dev"], &["libffi8"]),
    native("psych", &["libyaml-dev"], &["libyaml-0-2"]),
    native("ruby-vips", &[], &["libvips42"]),
    native("image_processing", &[], &["libvips42"]),
    native("mini_magick", &[], &["imagemagick"]),
    native("rmagick", &["libmagickwand-dev"], &["libmagickwand-6.q16-6", "imagemagick"]),
    native("charlock_holmes", &["libicu-dev", "zlib1g-dev"], &["libicu72"]),
    native("curb", &["libcurl4-openssl-dev"], &["libcurl4"]),
    native("patron", &["libcurl4-openssl-dev"], &["libcurl4"]),
    native("ethon", &[], &["libcurl4"]),
    native("typhoeus", &[], &["libcurl4"]),
    native("rugged", &["cmake", "libssl-dev", "libssh2-1-dev"], &["libssh2-1"]),
    native("rdkafka", &["librdkafka-dev"], &["librdkafka1"]),
    native("hiredis", &["libhiredis-dev"], &["libhiredis0.14"]),
    native("memcached", &["libsasl2-dev"], &["libsasl2-2"]),
    native("idn-ruby", &["libidn-dev"], &["libidn12"]),
    native("geos", &["libgeos-dev"], &["libgeos-c1v5"]),
    native("rgeo", &["libgeos-dev"], &["libgeos-c1v5"]),
    native("gssapi", &[], &["libgssapi-krb5-2"]),
    native("rbnacl", &[], &["libsodium23"]),
    native("streamio-ffmpeg", &[], &["ffmpeg"]),
    native("poppler", &["libpoppler-glib-dev"], &["libpoppler-glib8"]),
    native("ferrum", &[], &["chromium"]),
    native("snappy", &["libsnappy-dev"], &["libsnappy1v5"]),
    native("leveldb-ruby", &["libleveldb-dev"], &["libleveldb1d"]),
];

/// What every gem with native code may need.
const COMPILERS: [&str; 4] = ["build-essential", "git", "libyaml-dev", "pkg-config"];

/// What the gems are compiled with.
pub(crate) fn build(facts: &Facts) -> Vec<&'static str> {
    let used = TABLE.iter().filter(|native| facts.uses(native.gem));
    sorted(COMPILERS.into_iter().chain(used.flat_map(|native| native.build.iter().copied())))
}

/// What the application needs to run.
pub(crate) fn run(facts: &Facts, kind: Kind) -> Vec<&'static str> {
    let used = TABLE.iter().filter(|native| facts.uses(native.gem));
    let zones = kind == Kind::Rails || facts.uses("tzinfo");
    let zones = (zones && !facts.uses("tzinfo-data")).then_some("tzdata");
    sorted(used.flat_map(|native| native.run.iter().copied()).chain(zones))
}

fn sorted(packages: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut packages: Vec<_> = packages.collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}
