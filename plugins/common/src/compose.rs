//! Compose files: which services they list, and what becomes of each here.
//!
//! **Invariant: a compose file is read and never carried out.** It says how an application runs on a
//! developer's machine; one of its services may be this application, the others are run beside it.

use serde_json::Value;
use windlass_sdk::Source;

use crate::yaml;

/// Names of the file, the one that Compose itself prefers first.
pub const FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// Parts of image names, and the kind of service.
const KINDS: [(&str, &str); 16] = [
    ("postgres", "postgres"),
    ("postgis", "postgres"),
    ("pgvector", "postgres"),
    ("timescale", "postgres"),
    ("mariadb", "mariadb"),
    ("mysql", "mysql"),
    ("valkey", "redis"),
    ("redis", "redis"),
    ("mongo", "mongodb"),
    ("rabbitmq", "rabbitmq"),
    ("elasticsearch", "elasticsearch"),
    ("opensearch", "opensearch"),
    ("memcached", "memcached"),
    ("minio", "minio"),
    ("nats", "nats"),
    ("kafka", "kafka"),
];
/// Keys of a service that are done by other means or need no doing.
const QUIET: [&str; 14] = [
    "image",
    "build",
    "command",
    "entrypoint",
    "ports",
    "expose",
    "environment",
    "env_file",
    "depends_on",
    "container_name",
    "restart",
    "healthcheck",
    "platform",
    "working_dir",
];

/// The same of the service that is this application, where a key says something that is set here.
const QUIET_HERE: [&str; 6] =
    ["image", "build", "depends_on", "container_name", "restart", "platform"];
/// What sets the same here.
const INSTEAD: [(&str, &str); 18] = [
    ("build.args", "build.args"),
    ("build.dockerfile", "build.dockerfile"),
    ("build.target", "build.target"),
    ("command", "run.command"),
    ("cpus", "run.cpu"),
    ("deploy", "run.memory, run.cpu, run.replicas"),
    ("entrypoint", "run.command"),
    ("env_file", "windlass env import"),
    ("environment", "windlass env set"),
    ("expose", "run.port"),
    ("healthcheck", "health.path"),
    ("mem_limit", "run.memory"),
    ("networks", "network.allow"),
    ("ports", "run.port"),
    ("scale", "run.replicas"),
    ("secrets", "windlass env set --secret"),
    ("volumes", "run.volumes"),
    ("working_dir", "run.command"),
];

/// A compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compose {
    /// Its name.
    pub file: &'static str,
    /// Its services, in order of their names.
    pub services: Vec<Service>,
    /// Why it does not read.
    pub broken: Option<String>,
}

/// A service of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The image that it runs.
    pub image: Option<String>,
    /// The folder that it is built from, `.` for the compose file's own.
    pub context: Option<String>,
    /// The file that says how, if it is not the usual one.
    pub dockerfile: Option<String>,
    /// Its command, where it replaces the image's.
    pub command: Option<String>,
    /// Keys that mean nothing here.
    pub ignored: Vec<String>,
}

/// The compose file of the application's folder.
pub fn read(source: &Source) -> Option<Compose> {
    source.prefetch(&FILES);
    let file = FILES.into_iter().find(|file| source.is_file(file))?;
    let text = source.text(file).ok().flatten()?;
    Some(parse(file, &text))
}

/// Reads the text of a compose file.
pub fn parse(file: &'static str, text: &str) -> Compose {
    let keys = match yaml::parse(text) {
        Ok(keys) => keys,
        Err(why) => return Compose { file, services: Vec::new(), broken: Some(why) },
    };
    let services = keys.get("services").and_then(Value::as_object);
    let services = services.into_iter().flatten();
    Compose {
        file,
        services: services.map(|(name, keys)| service(name, keys)).collect(),
        broken: None,
    }
}

fn service(name: &str, keys: &Value) -> Service {
    let text = |value: Option<&Value>| value.map(yaml::text_of).filter(|text| !text.is_empty());
    let build = keys.get("build");
    let context = build.map(|build| {
        let context = text(build.get("context")).or_else(|| text(Some(build)));
        normal(&context.unwrap_or_default())
    });
    let command = match keys.get("command") {
        Some(Value::Array(words)) => {
            Some(words.iter().map(yaml::text_of).collect::<Vec<_>>().join(" "))
        }
        other => text(other),
    };
    let is_here = context.as_deref() == Some(".");
    let quiet: &[&str] = if is_here { &QUIET_HERE } else { &QUIET };
    let map = keys.as_object().into_iter().flatten();
    let mut ignored: Vec<String> =
        map.map(|(key, _)| key.clone()).filter(|key| !quiet.contains(&key.as_str())).collect();
    if is_here {
        let of_build = build.and_then(Value::as_object).into_iter().flatten();
        let says = |(key, value): &(&String, &Value)| {
            let usual =
                *key == "context" || *key == "dockerfile" && yaml::text_of(value) == "Dockerfile";
            !usual
        };
        ignored.extend(of_build.filter(says).map(|(key, _)| format!("build.{key}")));
    }
    Service {
        name: name.to_owned(),
        image: text(keys.get("image")),
        context,
        dockerfile: build.and_then(|build| text(build.get("dockerfile"))),
        command,
        ignored,
    }
}

fn normal(folder: &str) -> String {
    let parts: Vec<&str> = folder.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

impl Service {
    /// The kind of service that its image is: `postgres`, `redis`, ...
    pub fn kind(&self) -> Option<&'static str> {
        let image = self.image.as_deref().filter(|_| self.context.is_none())?;
        let image = image.split('@').next().unwrap_or(image).to_ascii_lowercase();
        KINDS.iter().find(|(part, _)| image.contains(part)).map(|(_, kind)| *kind)
    }

    /// Whether it is built from the compose file's own folder.
    pub fn is_built_here(&self) -> bool {
        self.context.as_deref() == Some(".")
    }

    fn what(&self) -> String {
        let built = match (self.context.as_deref(), &self.image) {
            (Some("."), _) => "built from this folder".to_owned(),
            (Some(folder), _) => format!("built from {folder}"),
            (None, Some(image)) => format!("image {image}"),
            (None, None) => "neither built nor an image".to_owned(),
        };
        let advice = match (self.kind(), self.context.as_deref()) {
            (Some(kind), _) => format!(
                ": run it beside, then `windlass service add {} --kind {kind}` names it",
                self.name
            ),
            (None, Some(".")) => String::new(),
            (None, Some(folder)) if !folder.contains([':', '$']) && !folder.starts_with("..") => {
                format!(": deploy it as a project of its own, with build.app_dir = {folder:?}")
            }
            (None, _) => ": deploy it as a project of its own".to_owned(),
        };
        let ignored = match self.ignored.as_slice() {
            [] => String::new(),
            keys if self.is_built_here() => {
                let keys: Vec<String> = keys.iter().map(|key| with_instead(key)).collect();
                format!("; not taken: {}", keys.join(", "))
            }
            keys => format!(", without {}", keys.join(", ")),
        };
        format!("{} ({built}{advice}{ignored})", self.name)
    }
}

/// A key, and what sets the same here.
fn with_instead(key: &str) -> String {
    match INSTEAD.iter().find(|(name, _)| *name == key) {
        Some((_, instead)) => format!("{key} (set by {instead})"),
        None => key.to_owned(),
    }
}

impl Compose {
    /// The services and what becomes of each, in one line.
    pub fn summary(&self) -> String {
        let file = self.file;
        if let Some(why) = &self.broken {
            return format!("{file} does not read: {why}");
        }
        if self.services.is_empty() {
            return format!("{file} lists no services");
        }
        let services: Vec<String> = self.services.iter().map(Service::what).collect();
        format!("{file} is not carried out; it lists {}", services.join("; "))
    }

    /// What to do with a folder that has nothing but this file.
    pub fn alone(&self) -> String {
        format!("{}; {}", self.summary(), self.advice())
    }

    /// The same of a folder with an application that the [summary](Self::summary) may have been said for.
    pub fn beside(&self) -> String {
        let names: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
        match self.broken {
            Some(_) => self.alone(),
            None => {
                format!(
                    "{} lists {}, and is not carried out; {}",
                    self.file,
                    names.join(", "),
                    self.advice()
                )
            }
        }
    }

    fn advice(&self) -> String {
        let here = self.services.iter().find(|service| service.is_built_here());
        let elsewhere = self.services.iter().find_map(|service| {
            let folder = service.context.as_deref()?;
            (folder != "." && !folder.starts_with("..") && !folder.contains([':', '$']))
                .then_some(folder)
        });
        match (here, elsewhere) {
            (Some(Service { dockerfile: Some(file), .. }), _) => {
                format!("to build it as this file says, set build.dockerfile = {file:?} in windlass.toml")
            }
            (_, Some(folder)) => {
                format!("to deploy one of them, set build.app_dir = {folder:?} in windlass.toml")
            }
            _ => "a compose file is not carried out: deploy each application from its source, or an image \
                  with `windlass deploy --image`"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "version: '3.8'\nservices:\n  web:\n    build: .\n    ports: ['8080:80']\n    volumes:\n      - .:/app\n    depends_on: [db]\n  worker:\n    build: {context: ./jobs, dockerfile: Dockerfile.worker}\n    command: [\"python\", \"work.py\"]\n    deploy: {replicas: 2}\n  db:\n    image: postgres:17-alpine\n    environment:\n      POSTGRES_PASSWORD: ${PASSWORD:?}\n";

    #[test]
    fn services_are_listed_with_what_becomes_of_them() {
        let compose = parse("docker-compose.yml", SHOP);
        let names: Vec<_> = compose.services.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["db", "web", "worker"]);
        assert_eq!(compose.services[0].kind(), Some("postgres"));
        assert!(compose.services[1].is_built_here());
        assert_eq!(compose.services[2].command.as_deref(), Some("python work.py"));
        assert_eq!(compose.services[2].dockerfile.as_deref(), Some("Dockerfile.worker"));
        assert_eq!(
            compose.summary(),
            "docker-compose.yml is not carried out; it lists db (image postgres:17-alpine: run it beside, \
             then `windlass service add db --kind postgres` names it); web (built from this folder; not \
             taken: ports (set by run.port), volumes (set by run.volumes)); worker (built from jobs: deploy it as a project of its own, with build.app_dir = \
             \"jobs\", without deploy)"
        );
        assert!(compose.alone().contains("set build.app_dir = \"jobs\""));
    }

    #[test]
    fn what_the_application_s_own_service_says_in_vain_is_said_with_what_sets_it_here() {
        let text = "services:\n  web:\n    build: {context: ., dockerfile: Dockerfile, target: dev}\n    command: ./x\n    environment: [A=1]\n    restart: always\n    tty: true\n";
        let said = parse("compose.yaml", text).summary();
        for part in [
            "command (set by run.command)",
            "environment (set by windlass env set)",
            "tty, build.target (set by build.target))",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("restart") && !said.contains("build.dockerfile"), "{said}");
        let plain = parse("compose.yaml", "services:\n  web:\n    build: .\n").summary();
        assert!(plain.ends_with("web (built from this folder)"), "{plain}");
    }

    #[test]
    fn odd_files_are_said_to_be_odd() {
        assert!(parse("compose.yaml", "a: [").summary().contains("does not read"));
        assert!(parse("compose.yaml", "").summary().contains("no services"));
        let image = parse("compose.yaml", "services:\n  n8n:\n    image: n8nio/n8n\n");
        assert!(image.alone().contains("windlass deploy --image"), "{}", image.alone());
        let named = "services:\n  a:\n    build: {context: ., dockerfile: docker/a.Dockerfile}\n";
        assert!(
            parse("compose.yaml", named)
                .alone()
                .contains("build.dockerfile = \"docker/a.Dockerfile\"")
        );
    }
}
