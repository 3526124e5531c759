//! Where a compiled program listens, as the text of its main file shows it: a port that is written there or read from a
//! variable, an address that nothing reaches. A look at single lines and at what they assign, and no evaluation.

use crate::ports;

/// The port that a program's text has fixed, also by a constant or as the default of a flag, where it reads none
/// from its environment.
pub fn fixed_port(text: &str) -> Option<u16> {
    if reads_port(text) {
        return None;
    }
    if let Some(port) = by_flag(text) {
        return Some(port);
    }
    if text.contains("\"port\"") {
        return None;
    }
    let listening = || text.lines().filter(|line| listens(line));
    let constant = |line: &str| by_constant(text, line, CONSTANTS_DEEP);
    listening().find_map(port_of).or_else(|| listening().find_map(constant))
}

/// Whether a program's text reads the variable `PORT`: a constant of this name alone is none.
fn reads_port(text: &str) -> bool {
    let read = |line: &str| {
        let lower = line.to_ascii_lowercase();
        let quoted = ["\"PORT", "'PORT", "`PORT", "$PORT", "{PORT", "PORT\""];
        let near = ["env", "viper", "config", "settings", "args"];
        quoted.iter().any(|sign| line.contains(sign))
            || near.iter().any(|sign| lower.contains(sign))
    };
    text.lines().filter(|line| line.contains("PORT")).any(read)
}

/// The default of Go's flag for the port: `flag.Int("port", 8080, "...")`. The program is started without flags.
fn by_flag(text: &str) -> Option<u16> {
    let flags = ["flag.Int(\"port\",", "flag.Uint(\"port\",", "flag.String(\"port\","];
    let pointers = ["&port, \"port\",", "&Port, \"port\",", ".port, \"port\",", ".Port, \"port\","];
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let value = |line: &str| {
        let sign = flags.iter().chain(&pointers).find(|sign| line.contains(**sign))?;
        let value = line.split(*sign).nth(1)?.split(',').next()?.trim();
        number(value.trim_matches('"').trim_start_matches(':'))
    };
    lines().find_map(value)
}

/// So many constants lead from one to the next.
const CONSTANTS_DEEP: usize = 3;

/// The port of a constant that a line names: `const port = "4444"`, `let PORT: u16 = 8080;`, `addr := ":" + port`.
fn by_constant(text: &str, line: &str, deep: usize) -> Option<u16> {
    let names = names_of(line, &["port", "addr"]);
    let value = |(name, value): (&str, &str)| {
        if !names.contains(&name) {
            return None;
        }
        let literal = value.trim_matches('"').rsplit(':').next()?;
        number(literal).or_else(|| by_constant(text, value, deep.checked_sub(1)?))
    };
    assigned(text).find_map(value)
}

/// The names in a line that contain one of these words.
fn names_of<'t>(line: &'t str, words: &[&str]) -> Vec<&'t str> {
    let names = line.split(|c| !identifier(c)).filter(|name| {
        let lower = name.to_ascii_lowercase();
        words.iter().any(|word| lower.contains(word))
    });
    names.collect()
}

/// The names that a text assigns, each with what is assigned.
fn assigned(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().flat_map(|line| {
        let (left, right) = line.trim().split_once('=').unwrap_or_default();
        let plain = |c: char| identifier(c) || matches!(c, ' ' | '\t' | ':' | '&' | '\'');
        let names = left.split(|c| !identifier(c)).filter(|name| !name.is_empty());
        let right = right.split(" //").next().unwrap_or_default();
        // A block may go on behind the assignment: `func main() { addr := ":80"; ... }`.
        let value = right.trim().trim_end_matches(';').trim_end();
        let names = names.filter(|_| left.chars().all(plain)).collect::<Vec<_>>();
        names.into_iter().map(move |name| (name, value))
    })
}

fn identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A port of a server: the lowest numbers are other things.
fn number(text: &str) -> Option<u16> {
    text.trim().parse::<u16>().ok().filter(|port| *port >= 80)
}

/// Signs that a line puts a port behind an address: what is read is then a number alone.
const JOINS: [&str; 6] = [":\"", ":%", ":{", "0\", ", "::\", ", "], "];

/// The variable that a program's text reads the port from that it listens on, if that is not `PORT`:
/// `net.Listen("tcp", ":" + os.Getenv("APP_PORT"))`, also by names in between.
pub fn port_variable(text: &str) -> Option<String> {
    if ["\"PORT\"", "'PORT'", "`PORT`", "$PORT", "{PORT"].iter().any(|sign| text.contains(sign)) {
        return None;
    }
    let calls = ["listen", "bind(", "serve(", ".run(", ".start(", "addr:", "socketaddr"];
    let called = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        listens(line) && calls.iter().any(|call| lower.contains(call))
    };
    text.lines().filter(called).find_map(|line| by_variable(text, line, false, CONSTANTS_DEEP))
}

fn by_variable(text: &str, line: &str, joined: bool, deep: usize) -> Option<String> {
    let read = read_by(line);
    let before = read.map_or(line, |(at, _)| &line[..at]);
    let joined = joined || JOINS.iter().any(|sign| before.contains(sign));
    if let Some((_, name)) = read {
        return (joined && ports::is_own(name)).then(|| name.to_owned());
    }
    let names = names_of(line, &["port", "addr"]);
    let deep = deep.checked_sub(1)?;
    let mut values = assigned(text).filter(|(name, _)| names.contains(name));
    values.find_map(|(_, value)| by_variable(text, value, joined, deep))
}

/// Where a line reads a variable of the environment, and its name: `os.Getenv("APP_PORT")`, `env::var("APP_PORT")`.
fn read_by(line: &str) -> Option<(usize, &str)> {
    let lower = line.to_ascii_lowercase();
    let signs = ["env(\"", "env::var(\""];
    let (at, sign) = signs.iter().find_map(|sign| Some((lower.find(sign)?, sign)))?;
    Some((at, line[at + sign.len()..].split('"').next()?))
}

/// Whether a program's text listens on the loopback address only, also by a constant.
pub(super) fn on_loopback(text: &str) -> bool {
    let local = ["\"127.0.0.1:", "\"localhost:", "\"127.0.0.1\",", "[127, 0, 0, 1]"];
    let lines = || text.lines().filter(|line| listens(line));
    let by_constant = |line: &str| {
        let hosts = names_of(line, &["host", "addr"]);
        let mut values = assigned(text).filter(|(name, _)| hosts.contains(name));
        values.any(|(_, value)| matches!(value, "\"127.0.0.1\"" | "\"localhost\""))
    };
    lines().any(|line| local.iter().any(|address| line.contains(address)) || by_constant(line))
        && !lines().any(|line| line.contains("0.0.0.0") || line.contains("[0, 0, 0, 0]"))
}

fn listens(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| line.contains(word));
    any(&["listen", "bind", "serve", ".run(", ".start(", "addr"])
        && !any(&[
            "redis", "postgres", "mysql", "mongo", "amqp", "kafka", "smtp", "dial", "connect",
        ])
        && !line.trim_start().starts_with("//")
}

/// `":8080"`, `"0.0.0.0:8080"`, `("0.0.0.0", 8080)`, `([0, 0, 0, 0], 8080)`
fn port_of(line: &str) -> Option<u16> {
    let digits = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse::<u16>().ok().filter(|port| *port >= 80)
    };
    for mark in ["\":", "0.0.0.0:", "127.0.0.1:", "localhost:", "[::]:", "[::1]:"] {
        let end = |rest: &str| digits(rest).filter(|_| rest.contains('"'));
        if let Some(port) = line.split(mark).skip(1).find_map(end) {
            return Some(port);
        }
    }
    for mark in ["0.0.0.0\",", "127.0.0.1\",", "localhost\",", "0, 0, 0, 0],", "127, 0, 0, 1],"] {
        if let Some(port) = line.split(mark).skip(1).find_map(digits) {
            return Some(port);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_where_none_is_taken_from_the_environment() {
        for (text, port) in [
            ("http.ListenAndServe(\":8080\", nil)", Some(8080)),
            ("e.Logger.Fatal(e.Start(\":1323\"))", Some(1323)),
            ("TcpListener::bind(\"0.0.0.0:3000\").await", Some(3000)),
            (".bind((\"127.0.0.1\", 8080))?", Some(8080)),
            ("let addr = SocketAddr::from(([0, 0, 0, 0], 4000));", Some(4000)),
            ("p := os.Getenv(\"PORT\")\nhttp.ListenAndServe(\":8080\", nil)", None),
            ("redis.Connect(\"localhost:6379\")", None),
            ("const port = \"4444\"\nhttp.ListenAndServe(\":\"+port, nil)", Some(4444)),
            ("const PORT: u16 = 8081;\nTcpListener::bind((\"0.0.0.0\", PORT))", Some(8081)),
            ("addr := \":8082\" // mine\nhttp.ListenAndServe(addr, nil)", Some(8082)),
            ("port := os.Getenv(\"APP\")\nhttp.ListenAndServe(\":\"+port, nil)", None),
            ("PORT := env(\"X\")\nhttp.ListenAndServe(\":8080\", nil)", None),
            (
                "const port = \"4445\"\naddr := \":\" + port\nhttp.ListenAndServe(addr, nil)",
                Some(4445),
            ),
            ("port := flag.Int(\"port\", 4000, \"the port\")\nserve(*port)", Some(4000)),
            ("flag.StringVar(&cfg.port, \"port\", \":4001\", \"the port\")", Some(4001)),
            ("port := viper.GetInt(\"port\")\nhttp.ListenAndServe(\":8080\", nil)", None),
            ("const addr = \"x\"\nlet addr = addr;\nlisten(addr)", None),
            ("fmt.Println(\"a:80\")", None),
        ] {
            assert_eq!(fixed_port(text), port, "{text}");
        }
        for (text, name) in [
            ("http.ListenAndServe(\":\"+os.Getenv(\"APP_PORT\"), nil)", Some("APP_PORT")),
            (
                "port := os.Getenv(\"SERVER_PORT\")\nif port == \"\" {\nport = \"80\"\n}\naddr := fmt.Sprintf(\":%s\", port)\n\
                 log.Fatal(http.ListenAndServe(addr, nil))",
                Some("SERVER_PORT"),
            ),
            ("port := getEnv(\"HTTP_PORT\", \"80\")\nr.Run(\":\" + port)", Some("HTTP_PORT")),
            (
                "let port: u16 = env::var(\"APP_PORT\").unwrap();\nTcpListener::bind((\"0.0.0.0\", port))",
                Some("APP_PORT"),
            ),
            (
                "let port = std::env::var(\"APP_PORT\")?;\nTcpListener::bind(format!(\"0.0.0.0:{port}\"))",
                Some("APP_PORT"),
            ),
            // The whole address, a port of something else, and one of two.
            ("http.ListenAndServe(os.Getenv(\"APP_PORT\"), nil)", None),
            ("net.Listen(\"tcp\", os.Getenv(\"APP_PORT\"))", None),
            ("Addr: os.Getenv(\"REDIS_HOST\") + \":\" + os.Getenv(\"REDIS_PORT\"),", None),
            (
                "p := os.Getenv(\"PORT\")\nhttp.ListenAndServe(\":\"+os.Getenv(\"APP_PORT\"), nil)",
                None,
            ),
            ("http.ListenAndServe(\":8080\", nil)", None),
        ] {
            assert_eq!(port_variable(text).as_deref(), name, "{text}");
        }
        assert!(on_loopback(".bind((\"127.0.0.1\", 8080))"));
        assert!(!on_loopback(".bind((\"0.0.0.0\", 8080))"));
        let by_host = |host: &str| {
            on_loopback(&format!("const host = {host}\nnet.Listen(\"tcp\", host+\":80\")"))
        };
        assert!(by_host("\"localhost\"") && !by_host("\"0.0.0.0\"") && !by_host("env(\"HOST\")"));
    }
}
