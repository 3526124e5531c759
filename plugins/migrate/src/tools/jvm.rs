//! The Java virtual machine: Flyway and Liquibase run inside the application, at its start; if they do
//! not, they are plugins of a build tool that the image does not have.

use windlass_plugin_common::lines::has_word;
use windlass_sdk::Evidence;

use crate::facts::Facts;
use crate::tool::{Found, Program, TOOL, Tool};

const JVM: &[&str] = &["java", "kotlin", "scala", "clojure"];
const SOURCES: &[&str] = &["**/*.{java,kt,groovy,scala,clj}"];
/// Settings of frameworks.
const SETTINGS: &[&str] = &["**/{application,bootstrap}*.{properties,yml,yaml,toml}"];
const SPRING: &[&str] =
    &["spring-boot-starter", "org.springframework.boot", "spring-boot-starter-parent"];

/// The tools.
pub(super) const TOOLS: [Tool; 4] = [
    Tool {
        name: "Flyway",
        ecosystems: JVM,
        packages: &[
            "flyway-core",
            "spring-boot-starter-flyway",
            "quarkus-flyway",
            "micronaut-flyway",
            "flyway-maven-plugin",
            "org.flywaydb.flyway",
            "flyway-play",
        ],
        migrations: &["**/{migration,migrations}/{**/,}{V,R,B}*__*.{sql,java,kt}"],
        argv: &["flyway", "migrate"],
        commands: &["flyway migrate", "flyway:migrate", "flywayMigrate"],
        signs: &["Flyway.configure(", "new Flyway("],
        sources: SOURCES,
        program: Program::Absent(
            "nothing in the application runs them, and the image has no flyway: call \
             Flyway.configure()…migrate() at its start, or set migrate.command in windlass.toml",
        ),
        create: "write them into src/main/resources/db/migration and commit them",
        special: |facts, found| at_start(facts, found, "flyway"),
        ..TOOL
    },
    Tool {
        name: "Liquibase",
        ecosystems: JVM,
        packages: &[
            "liquibase-core",
            "spring-boot-starter-liquibase",
            "quarkus-liquibase",
            "micronaut-liquibase",
            "liquibase-maven-plugin",
            "org.liquibase.gradle",
        ],
        migrations: &[
            "**/{changelog,changelogs,liquibase}/**/*.{xml,yaml,yml,json,sql}",
            "**/*changelog*.{xml,yaml,yml,json,sql}",
        ],
        argv: &["liquibase", "update"],
        commands: &["liquibase update", "liquibase:update"],
        signs: &["new Liquibase(", "CommandScope(\"update\")", "SpringLiquibase"],
        sources: SOURCES,
        program: Program::Absent(
            "nothing in the application runs them, and the image has no liquibase: run it at its start, \
             or set migrate.command in windlass.toml",
        ),
        create: "write a changelog into src/main/resources/db/changelog and commit it",
        special: |facts, found| at_start(facts, found, "liquibase"),
        ..TOOL
    },
    Tool {
        name: "Flyway",
        files: &["{*/,}flyway.{conf,toml}"],
        argv: &["flyway", "migrate"],
        commands: &["flyway migrate"],
        ..ELSEWHERE
    },
    Tool {
        name: "Liquibase",
        files: &["{*/,}liquibase.properties"],
        argv: &["liquibase", "update"],
        commands: &["liquibase update"],
        ..ELSEWHERE
    },
];

/// The same programs beside an application that has no Java.
const ELSEWHERE: Tool = Tool {
    ecosystems: &["node", "python", "go", "rust", "ruby", "php", "dotnet", "elixir"],
    program: Program::Absent(
        "the image has no such program, which needs Java: run it in your CI, or set migrate.command in \
         windlass.toml to a program of yours",
    ),
    ..TOOL
};

/// Whether a framework runs it at the start, as its settings say.
fn at_start(facts: &Facts, found: &mut Found, tool: &str) {
    let files = facts.matching(SETTINGS);
    let off = files.iter().find_map(|path| switched_off(&facts.text(path)?, path, tool));
    if facts.declared(SPRING).is_some() {
        match off {
            Some(sign) => {
                found.leave(format!(
                    "{tool} is switched off ({}, {}), so nothing migrates: set migrate.command in \
                     windlass.toml if something else should",
                    sign.path, sign.detail
                ));
                found.evidence.push(sign);
            }
            None => found.leave(format!("Spring Boot runs {tool} itself at its start")),
        }
        return;
    }
    if facts.declared(&[&format!("quarkus-{tool}")]).is_some() {
        let key = format!("{tool}.migrate-at-start=true");
        let starts = files.iter().any(|path| {
            facts.text(path).is_some_and(|text| {
                text.replace(' ', "").contains(&key) || text.contains("migrate-at-start: true")
            })
        });
        found.leave(if starts {
            format!("Quarkus runs {tool} itself at its start")
        } else {
            format!(
                "Quarkus runs {tool} only if it is told to: set quarkus.{tool}.migrate-at-start=true \
                 in application.properties"
            )
        });
    } else if facts.declared(&[&format!("micronaut-{tool}")]).is_some() {
        found.leave(format!("Micronaut runs {tool} itself at its start"));
    }
}

/// `spring.flyway.enabled=false`, or the same in YAML.
fn switched_off(text: &str, path: &str, tool: &str) -> Option<Evidence> {
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        let plain: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        if plain == format!("spring.{tool}.enabled=false")
            || inside && plain == "enabled:false"
            || plain == format!("spring.{tool}.enabled:false")
        {
            return Some(Evidence::new(path, format!("line {}", n + 1)));
        }
        if has_word(line, tool) && plain.ends_with(':') {
            inside = true;
        } else if plain.ends_with(':') {
            inside = false;
        }
    }
    None
}
