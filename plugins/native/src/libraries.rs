//! Debian packages of the libraries that C and C++ programs ask for by the name of CMake's or
//! pkg-config's module.

/// Names in lower case.
const LIBRARIES: [(&str, &[&str]); 44] = [
    ("openssl", &["libssl-dev"]),
    ("libssl", &["libssl-dev"]),
    ("libcrypto", &["libssl-dev"]),
    ("curl", &["libcurl4-openssl-dev"]),
    ("libcurl", &["libcurl4-openssl-dev"]),
    ("zlib", &["zlib1g-dev"]),
    ("sqlite3", &["libsqlite3-dev"]),
    ("postgresql", &["libpq-dev"]),
    ("libpq", &["libpq-dev"]),
    ("libpqxx", &["libpqxx-dev"]),
    ("mariadb", &["libmariadb-dev"]),
    ("libmariadb", &["libmariadb-dev"]),
    ("mysqlclient", &["default-libmysqlclient-dev"]),
    ("fmt", &["libfmt-dev"]),
    ("spdlog", &["libspdlog-dev"]),
    ("nlohmann_json", &["nlohmann-json3-dev"]),
    ("protobuf", &["libprotobuf-dev", "protobuf-compiler"]),
    ("grpc", &["libgrpc++-dev", "protobuf-compiler-grpc"]),
    ("grpc++", &["libgrpc++-dev", "protobuf-compiler-grpc"]),
    ("poco", &["libpoco-dev"]),
    ("cpprestsdk", &["libcpprest-dev"]),
    ("jsoncpp", &["libjsoncpp-dev"]),
    ("jansson", &["libjansson-dev"]),
    ("json-c", &["libjson-c-dev"]),
    ("libuv", &["libuv1-dev"]),
    ("libevent", &["libevent-dev"]),
    ("libev", &["libev-dev"]),
    ("libmicrohttpd", &["libmicrohttpd-dev"]),
    ("libwebsockets", &["libwebsockets-dev"]),
    ("drogon", &["libdrogon-dev", "libjsoncpp-dev", "uuid-dev"]),
    ("asio", &["libasio-dev"]),
    ("yaml-cpp", &["libyaml-cpp-dev"]),
    ("hiredis", &["libhiredis-dev"]),
    ("libxml2", &["libxml2-dev"]),
    ("libxml-2.0", &["libxml2-dev"]),
    ("eigen3", &["libeigen3-dev"]),
    ("tbb", &["libtbb-dev"]),
    ("uuid", &["uuid-dev"]),
    ("libsodium", &["libsodium-dev"]),
    ("glib-2.0", &["libglib2.0-dev"]),
    ("libsoup-3.0", &["libsoup-3.0-dev"]),
    ("zstd", &["libzstd-dev"]),
    ("libzstd", &["libzstd-dev"]),
    ("libpng", &["libpng-dev"]),
];
/// Parts of Boost that are not headers alone.
const BOOST: [&str; 14] = [
    "system",
    "filesystem",
    "thread",
    "program_options",
    "regex",
    "date_time",
    "chrono",
    "log",
    "json",
    "url",
    "context",
    "coroutine",
    "iostreams",
    "serialization",
];

/// The packages for a name.
pub(crate) fn packages(name: &str) -> &'static [&'static str] {
    let name = name.to_ascii_lowercase();
    LIBRARIES.iter().find(|(known, _)| *known == name).map_or(&[], |(_, packages)| packages)
}

/// The packages of Boost, with the parts that are asked for.
pub(crate) fn boost(words: &[&str]) -> Vec<String> {
    let mut found = vec!["libboost-dev".to_owned()];
    let parts = words.iter().filter(|word| BOOST.contains(word));
    found.extend(parts.map(|part| format!("libboost-{}-dev", part.replace('_', "-"))));
    found
}
