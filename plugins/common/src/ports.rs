//! Applications that ask for their port under another name than `PORT`: the start command tells it to them under
//! that name, so that `run.port` and the host's own choice count as everywhere.

use windlass_sdk::plan::{Process, ProcessKind};

use crate::command;

/// Parts of the names of variables with the ports of other services, and of further ports of the application.
const OTHERS: [&str; 38] = [
    "DB",
    "DATABASE",
    "POSTGRES",
    "POSTGRESQL",
    "PG",
    "MYSQL",
    "MARIADB",
    "MSSQL",
    "SQL",
    "REDIS",
    "VALKEY",
    "CACHE",
    "MEMCACHED",
    "MONGO",
    "MONGODB",
    "RABBITMQ",
    "AMQP",
    "MQ",
    "KAFKA",
    "NATS",
    "MQTT",
    "SMTP",
    "MAIL",
    "EMAIL",
    "IMAP",
    "ELASTIC",
    "ELASTICSEARCH",
    "MINIO",
    "S3",
    "SSH",
    "FTP",
    "LDAP",
    "PROXY",
    "METRICS",
    "PROMETHEUS",
    "DEBUG",
    "HMR",
    "GRPC",
];

/// Whether a variable is called like the port that an application listens on: `SERVER_PORT`, `httpPort`, and not
/// `DB_PORT`. `PORT` itself is told anyway.
pub fn is_own(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let upper = name.to_ascii_uppercase();
    let other = upper.split('_').any(|part| OTHERS.contains(&part));
    name.chars().all(letters) && name != "PORT" && upper.contains("PORT") && !other
}

/// The value that a command line sets a variable to before its program: `SERVER_PORT=80 node a.js`.
pub fn set_by<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Lets the web process have its port in this variable, too.
pub fn tell(processes: &mut [Process], name: &str) {
    for process in processes.iter_mut().filter(|process| process.kind == ProcessKind::Web) {
        process.argv = told(&process.argv, name);
    }
}

/// What the log says of it.
pub fn said(name: &str, file: &str) -> String {
    format!(
        "{file} reads its port from {name}, and not from PORT: the start command sets it to the port"
    )
}

fn told(argv: &[String], name: &str) -> Vec<String> {
    match argv {
        [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => {
            command::shell(&format!("export {name}=\"$PORT\"; {line}"))
        }
        words => {
            let words: Vec<String> = words.iter().map(|word| command::quoted(word)).collect();
            command::shell(&format!("exec env {name}=\"$PORT\" {}", words.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_own_port_has_another_name() {
        for name in ["SERVER_PORT", "APP_PORT", "HTTP_PORT", "httpPort", "LISTEN_PORT", "port"] {
            assert!(is_own(name), "{name}");
        }
        for name in ["PORT", "DB_PORT", "REDIS_PORT", "METRICS_PORT", "SUPPORT MAIL", "HOST", ""] {
            assert!(!is_own(name), "{name}");
        }
    }

    #[test]
    fn the_process_is_told_and_stays_the_one_that_gets_signals() {
        let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let line = |words: &[&str]| told(&argv(words), "APP_PORT").pop().unwrap();
        assert_eq!(line(&["node", "a b.js"]), "exec env APP_PORT=\"$PORT\" node 'a b.js'");
        let chain = line(&["/bin/sh", "-c", "cd web && exec node a.js"]);
        assert_eq!(chain, "export APP_PORT=\"$PORT\"; cd web && exec node a.js");
        assert_eq!(set_by("A=1 APP_PORT=80 node a.js", "APP_PORT"), Some("80"));
        assert_eq!(set_by("APP_PORTS=80 node a.js", "APP_PORT"), None);
    }
}
