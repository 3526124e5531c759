//! Causes that have nothing to do with a language: the operating system, the network, a database.
//!
//! Their codes are in the list of `model` like all codes of the host. Order matters: the more telling
//! first.

use windlass_model::failure::codes;
use windlass_model::plugin::KnownFailure;

struct Rule {
    code: &'static str,
    patterns: &'static [&'static str],
    cause: &'static str,
    fix: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        code: "app.port-in-use",
        patterns: &[
            r"EADDRINUSE.*?(?::::|:)(?<port>\d+)\b",
            r"(?i)address already in use.*?[:\s](?<port>\d{2,5})\b",
            r"(?i)address already in use|EADDRINUSE|port is already allocated",
        ],
        cause: "something in the same container listens on the port {port} already",
        fix: "start one server only: a start command that starts two, or a server that forks, binds the \
              same port twice",
    },
    Rule {
        code: "app.port-forbidden",
        patterns: &[r"listen EACCES.*?:(?<port>\d+)\b", r"(?i)bind.*permission denied"],
        cause: "ports below 1024 need root, and the application runs as another user",
        fix: "let it listen on the port in the variable PORT",
    },
    Rule {
        code: "app.disk-full",
        patterns: &[r"(?i)no space left on device", r"\bENOSPC\b", r"(?i)disk quota exceeded"],
        cause: "a file system that the command writes to is full",
        fix: "look at `df -h` on this machine; /dev/shm and /tmp of a container are small: write less, or \
              elsewhere",
    },
    Rule {
        code: "app.certificate-untrusted",
        patterns: &[
            r"(?i)self[- ]signed certificate",
            r"(?i)unable to (?:get local issuer|verify the first) certificate",
            r"CERTIFICATE_VERIFY_FAILED",
            r"(?i)certificate signed by unknown authority",
            r"(?i)SSL certificate problem",
        ],
        cause: "the other end's certificate is not signed by an authority that is trusted here",
        fix: "install the authority's certificate on this machine (builds get this machine's bundle), or \
              give the application its file in SSL_CERT_FILE or NODE_EXTRA_CA_CERTS",
    },
    Rule {
        code: "app.database-login",
        patterns: &[
            r#"(?i)password authentication failed for user "?(?<user>[^"\s]+)"#,
            r"(?i)Access denied for user '(?<user>[^']+)'",
            r"(?i)WRONGPASS|NOAUTH Authentication required",
        ],
        cause: "the database refused the login of {user}",
        fix: "correct the user and the password in the variable that holds the address: `windlass env set \
              --secret DATABASE_URL=…`",
    },
    Rule {
        code: "app.database-missing",
        patterns: &[
            r#"database "(?<database>[^"]+)" does not exist"#,
            r"(?i)Unknown database '(?<database>[^']+)'",
        ],
        cause: "the server has no database {database}",
        fix: "create it, or correct the name at the end of the address: `windlass env set --secret \
              DATABASE_URL=…`",
    },
    Rule {
        code: "app.name-not-found",
        patterns: &[
            r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?<host>[^\s:,']+)",
            r#"could not translate host name "(?<host>[^"]+)""#,
            r"(?i)could not resolve host:? (?<host>[^\s;]+)",
            r"(?i)(?:name or service not known|temporary failure in name resolution|no such host)",
        ],
        cause: "the name {host} is not found from inside the environment",
        fix: "correct the address in the variables (`windlass env list`); a service of the environment is \
              made known with `windlass service add`",
    },
    Rule {
        code: "app.connection-refused",
        patterns: &[
            r"connect ECONNREFUSED (?<address>[^\s,]+)",
            r#"connection to server at "(?<address>[^"]+)".*failed: Connection refused"#,
            r"(?i)connection refused",
        ],
        cause: "nothing listens at {address}",
        fix: "start what should answer there, or correct the address in the variables; 127.0.0.1 is the \
              application's own container, not this machine",
    },
    Rule {
        code: "app.variable-missing",
        patterns: &[
            r"(?i)(?:missing|required|undefined|unset) (?:required )?(?:environment|env) variables?:? [`'\x22]?(?<variable>[A-Z][A-Z0-9_]+)",
            r"(?i)environment variable not found: [`'\x22]?(?<variable>[A-Z][A-Z0-9_]+)",
            r"(?i:environment variable|env var) [`'\x22]?(?<variable>[A-Z][A-Z0-9_]+)[`'\x22]? (?i:is not set|is missing|is required|must be set|not set|not found)",
            r"\b(?<variable>[A-Z][A-Z0-9]*_[A-Z0-9_]+)[`'\x22]? (?:environment variable )?(?:is not set|is not defined|is missing|is required|must be set|not set)",
            r": (?<variable>[A-Z][A-Z0-9_]+): (?:parameter not set|unbound variable)",
        ],
        cause: "the program asks for {variable}",
        fix: "set it: `windlass env set {variable}=…` (with --secret for what nobody may read; with --scope \
              build for the build), and name it in `run.required_variables` so that its absence is noticed \
              before any work",
    },
    Rule {
        code: "app.library-missing",
        patterns: &[
            r"error while loading shared libraries: (?<library>[^\s:]+): cannot open shared object file",
            r"(?<library>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        ],
        cause: "the shared library {library} is not in the image",
        fix: "use a package that brings its own binary for this system, or a base that has {library}",
    },
    Rule {
        code: "app.exec-format",
        patterns: &[
            r"(?i)exec(?:utable file)? format error",
            r"\bENOEXEC\b",
            r"(?i)cannot execute binary file",
            // A shell takes a foreign program for a script.
            r"^[^:]+: \d+: .?ELF",
        ],
        cause: "the file is made for another processor or system, or is no program at all",
        fix: "build it for this machine (`uname -m` says which), and do not commit binaries of another one",
    },
    Rule {
        code: "app.command-not-found",
        patterns: &[
            r"(?:^|: )(?:\d+: |line \d+: )?(?<command>[\w./@+-]+): (?:command )?not found$",
            r#"exec: "(?<command>[^"]+)": (?:executable file not found|stat .*no such file)"#,
            r"spawn (?<command>\S+) ENOENT",
        ],
        cause: "there is no command {command} in the image",
        fix: "add the package that brings {command} to the dependencies, or correct the command in \
              windlass.toml",
    },
    Rule {
        code: "app.permission-denied",
        patterns: &[
            r"EACCES: permission denied, \w+ '(?<path>[^']+)'",
            r"PermissionError: .*Permission denied: '(?<path>[^']+)'",
            r"(?:^|: )(?:\d+: |line \d+: )?(?<path>[\w./@+-]+): Permission denied",
            r#"exec: "(?<path>[^"]+)": permission denied"#,
        ],
        cause: "the application's user may not use {path}",
        fix: "make a program executable in the repository (`git update-index --chmod=+x {path}`); write \
              files below the application's own folder or /tmp",
    },
];

/// The rules, with the codes' titles.
pub(super) fn all() -> impl Iterator<Item = KnownFailure> {
    RULES.iter().map(|rule| KnownFailure {
        code: rule.code.to_owned(),
        title: codes::find(rule.code).map_or(rule.code, |code| code.title).to_owned(),
        cause: rule.cause.to_owned(),
        fix: rule.fix.to_owned(),
        patterns: rule.patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        steps: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use windlass_model::{LogLine, StepName, Stream};

    use super::*;

    #[test]
    fn every_pattern_reads_and_every_code_is_listed() {
        for known in all() {
            assert!(codes::find(&known.code).is_some(), "{}", known.code);
            for pattern in &known.patterns {
                assert!(super::super::compile(pattern).is_some(), "{}: {pattern}", known.code);
            }
        }
    }

    #[test]
    fn the_words_of_many_programs_are_understood() {
        let known: Vec<KnownFailure> = all().collect();
        for (text, code, says) in [
            ("Error: listen EADDRINUSE: address already in use :::3000", "app.port-in-use", "3000"),
            ("OSError: [Errno 98] Address already in use", "app.port-in-use", "port"),
            ("write error: No space left on device", "app.disk-full", "full"),
            ("Error: self-signed certificate", "app.certificate-untrusted", "authority"),
            ("FATAL: password authentication failed for user \"app\"", "app.database-login", "app"),
            ("error: database \"absent\" does not exist", "app.database-missing", "absent"),
            ("Error: getaddrinfo ENOTFOUND db.internal", "app.name-not-found", "db.internal"),
            (
                "Error: connect ECONNREFUSED 10.0.0.5:5432",
                "app.connection-refused",
                "10.0.0.5:5432",
            ),
            (
                "Error: Environment variable not found: DATABASE_URL.",
                "app.variable-missing",
                "DATABASE_URL",
            ),
            ("Error: SECRET_KEY is required", "app.variable-missing", "SECRET_KEY"),
            ("/bin/sh: 1: API_KEY: parameter not set", "app.variable-missing", "API_KEY"),
            (
                "./tool: error while loading shared libraries: libghost.so: cannot open shared object file: No such file",
                "app.library-missing",
                "libghost.so",
            ),
            ("exec /app/tool: exec format error", "app.exec-format", "processor"),
            ("/bin/sh: 1: tsc: not found", "app.command-not-found", "tsc"),
            ("bash: line 1: tsc: command not found", "app.command-not-found", "tsc"),
            (
                "OCI runtime create failed: exec: \"servr\": executable file not found in $PATH: unknown",
                "app.command-not-found",
                "servr",
            ),
            ("sh: 1: ./start.sh: Permission denied", "app.permission-denied", "./start.sh"),
            (
                "Error: EACCES: permission denied, open '/data/x'",
                "app.permission-denied",
                "/data/x",
            ),
        ] {
            let lines = [LogLine::now(Stream::Stderr, text)];
            let found = super::super::recognise(&lines, StepName::Check, &known);
            let found = found.unwrap_or_else(|| panic!("nothing is recognised in {text:?}"));
            assert_eq!(found.code, code, "{text}");
            assert!(found.cause.contains(says), "{text}: {}", found.cause);
        }
    }

    #[test]
    fn what_is_no_failure_is_left_alone() {
        let known: Vec<KnownFailure> = all().collect();
        for text in ["GET /missing 404 not found", "User was not found", "listening on :3000"] {
            let lines = [LogLine::now(Stream::Stdout, text)];
            assert_eq!(super::super::recognise(&lines, StepName::Check, &known), None, "{text}");
        }
    }
}
