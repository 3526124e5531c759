//! Where the value of a variable points at: `postgres://user:password@db:5432/shop` at `db:5432`.
//!
//! **Invariant: nothing but host and port of a value goes on from here.**

/// Schemes of services that an application cannot run without, and their ports. Web addresses are left
/// out: they are as often the application's own public address, or one that is asked for now and then.
const SCHEMES: [(&str, u16); 15] = [
    ("postgres", 5432),
    ("postgresql", 5432),
    ("postgis", 5432),
    ("mysql", 3306),
    ("mysql2", 3306),
    ("mariadb", 3306),
    ("mssql", 1433),
    ("sqlserver", 1433),
    ("redis", 6379),
    ("rediss", 6379),
    ("valkey", 6379),
    ("amqp", 5672),
    ("amqps", 5671),
    ("mongodb", 27017),
    ("nats", 4222),
];

/// Hosts and ports that a value points at; several when it lists several. Empty when it is no address of
/// a service.
pub(super) fn targets(value: &str) -> Vec<(String, u16)> {
    let Some((scheme, rest)) = value.trim().split_once("://") else {
        return Vec::new();
    };
    let scheme = scheme.to_ascii_lowercase();
    // `postgresql+asyncpg`: the driver behind the plus changes nothing. `mongodb+srv` names no host.
    let (family, driver) = scheme.split_once('+').unwrap_or((&scheme, ""));
    let known = SCHEMES.iter().find(|(name, _)| *name == family && driver != "srv");
    let Some((_, default_port)) = known else {
        return Vec::new();
    };
    let authority = rest.split(['/', '?', '#', ';']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').filter_map(|host| one(host, *default_port)).collect()
}

fn one(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) if !port.is_empty() => port.parse().ok()?,
        _ => default_port,
    };
    // A host in percent encoding is the path of a socket.
    (!host.is_empty() && !host.contains('%')).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_services_are_understood() {
        for (value, expected) in [
            ("postgres://app:p%40ss@db:5433/shop?sslmode=require", vec![("db", 5433)]),
            ("postgresql+asyncpg://app:pw@db/shop", vec![("db", 5432)]),
            ("mysql://root@10.0.0.5/shop", vec![("10.0.0.5", 3306)]),
            ("redis://:pw@cache:6380/0", vec![("cache", 6380)]),
            ("rediss://CACHE", vec![("cache", 6379)]),
            ("mongodb://a:b@one:27017,two:27018/db", vec![("one", 27017), ("two", 27018)]),
            ("amqp://mq", vec![("mq", 5672)]),
            ("postgres://app@[::1]:5432/x", vec![("::1", 5432)]),
            ("sqlserver://db:1433;database=x", vec![("db", 1433)]),
        ] {
            let expected: Vec<(String, u16)> =
                expected.into_iter().map(|(h, p)| (h.to_owned(), p)).collect();
            assert_eq!(targets(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_service_is_left_alone() {
        for value in [
            "https://shop.example.com",
            "mongodb+srv://cluster.example/db",
            "hello",
            "",
            "postgres://%2Fvar%2Frun/db",
            "postgres:///db",
            "postgres://db:port/x",
            "sqlite:///x.db",
            "file:///etc/passwd",
        ] {
            assert_eq!(targets(value), [], "{value}");
        }
    }
}
