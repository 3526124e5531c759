//! The Debian packages that crates with code of other languages are built against.

use std::collections::BTreeSet;

use crate::facts::Facts;

/// Crates that are found in a lock file.
const LOCKED: [(&str, &[&str]); 30] = [
    ("openssl-sys", &["pkg-config", "libssl-dev"]),
    ("pq-sys", &["libpq-dev"]),
    ("libsqlite3-sys", &["gcc", "libc6-dev", "pkg-config", "libsqlite3-dev"]),
    ("mysqlclient-sys", &["default-libmysqlclient-dev"]),
    ("prost-build", &["protobuf-compiler", "libprotobuf-dev"]),
    ("protobuf-codegen", &["protobuf-compiler"]),
    ("ring", &["gcc", "libc6-dev"]),
    ("cc", &["gcc", "libc6-dev"]),
    ("aws-lc-sys", &["cmake", "gcc", "g++", "libc6-dev", "make"]),
    ("cmake", &["cmake", "gcc", "g++", "libc6-dev", "make"]),
    ("rdkafka-sys", &["cmake", "gcc", "g++", "make", "zlib1g-dev"]),
    ("bindgen", &["clang", "libclang-dev"]),
    ("librocksdb-sys", &["clang", "libclang-dev", "g++"]),
    ("zstd-sys", &["gcc", "libc6-dev", "pkg-config"]),
    ("libz-sys", &["gcc", "libc6-dev", "pkg-config"]),
    ("libgit2-sys", &["pkg-config", "cmake", "gcc"]),
    ("libssh2-sys", &["pkg-config", "libssl-dev", "gcc"]),
    ("curl-sys", &["pkg-config", "libcurl4-openssl-dev"]),
    ("libsodium-sys", &["pkg-config", "libsodium-dev"]),
    ("libsodium-sys-stable", &["pkg-config", "libsodium-dev"]),
    ("alsa-sys", &["pkg-config", "libasound2-dev"]),
    ("libudev-sys", &["pkg-config", "libudev-dev"]),
    ("libdbus-sys", &["pkg-config", "libdbus-1-dev"]),
    ("libxml", &["pkg-config", "libxml2-dev"]),
    ("fontconfig-sys", &["pkg-config", "libfontconfig1-dev"]),
    ("yeslogic-fontconfig-sys", &["pkg-config", "libfontconfig1-dev"]),
    ("freetype-sys", &["pkg-config", "libfreetype6-dev"]),
    (
        "ffmpeg-sys-next",
        &[
            "pkg-config",
            "clang",
            "libavcodec-dev",
            "libavformat-dev",
            "libavutil-dev",
            "libavfilter-dev",
            "libavdevice-dev",
            "libswscale-dev",
            "libswresample-dev",
        ],
    ),
    ("oracle", &["libaio1"]),
    ("zmq-sys", &["pkg-config", "libzmq3-dev"]),
];
/// Crates whose need follows from them, for projects without a lock file.
const DIRECT: [(&str, &[&str]); 8] = [
    ("openssl", &["pkg-config", "libssl-dev"]),
    ("native-tls", &["pkg-config", "libssl-dev"]),
    ("reqwest", &["pkg-config", "libssl-dev"]),
    ("rusqlite", &["gcc", "libc6-dev", "pkg-config", "libsqlite3-dev"]),
    ("tonic-build", &["protobuf-compiler", "libprotobuf-dev"]),
    ("rdkafka", &["cmake", "gcc", "g++", "make", "zlib1g-dev"]),
    ("rocksdb", &["clang", "libclang-dev", "g++"]),
    ("git2", &["pkg-config", "cmake", "gcc", "libssl-dev"]),
];

/// The packages of the build.
pub(crate) fn needed(facts: &Facts) -> Vec<String> {
    let crates = facts.locked();
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let direct: &[_] = if facts.text("Cargo.lock").is_empty() { &DIRECT } else { &[] };
    for (name, packages) in LOCKED.iter().chain(direct) {
        if crates.contains(*name) {
            found.extend(packages.iter());
        }
    }
    // A lock file lists what is optional, too: `diesel` names its client libraries by features.
    if crates.contains("openssl-src") {
        found.extend(["perl", "make", "gcc"]);
    }
    let features = facts.packages.values().filter_map(|package| package.dependencies.get("diesel"));
    for feature in features.flatten() {
        match feature.as_str() {
            "postgres" => drop(found.insert("libpq-dev")),
            "mysql" => drop(found.insert("default-libmysqlclient-dev")),
            "sqlite" => found.extend(["libsqlite3-dev", "pkg-config"]),
            _ => {}
        }
    }
    found.into_iter().map(str::to_owned).collect()
}
