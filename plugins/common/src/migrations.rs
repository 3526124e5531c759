//! The migration tools of Node.js: what brings their programs, and how people's own scripts call them.
//! The builder asks whether the image must keep development dependencies for one of them; the migration
//! plugin asks for the command.

use crate::package_json::PackageJson;

/// A tool with a program of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct NodeTool {
    /// For people.
    pub name: &'static str,
    /// Packages that bring the program.
    pub packages: &'static [&'static str],
    /// The program.
    pub program: &'static str,
    /// Its command that applies what is new.
    pub verb: &'static str,
    /// Files and folders one of which shows that it is in use; none where the package does.
    pub signs: &'static [&'static str],
    /// Whether it reads TypeScript by itself.
    pub reads_typescript: bool,
}

/// All of them.
pub const NODE_TOOLS: [&NodeTool; 11] = [
    &PRISMA,
    &DRIZZLE,
    &KNEX,
    &TYPEORM,
    &SEQUELIZE,
    &MIKRO_ORM,
    &NODE_PG_MIGRATE,
    &DBMATE,
    &KYSELY,
    &DB_MIGRATE,
    &PAYLOAD,
];

/// Prisma Migrate
pub const PRISMA: NodeTool = NodeTool {
    name: "Prisma",
    packages: &["prisma"],
    program: "prisma",
    verb: "migrate deploy",
    signs: &["prisma", "schema.prisma", "prisma.config.ts", "prisma.config.js", "db", "src/prisma"],
    reads_typescript: true,
};
/// Drizzle Kit
pub const DRIZZLE: NodeTool = NodeTool {
    name: "Drizzle",
    packages: &["drizzle-kit"],
    program: "drizzle-kit",
    verb: "migrate",
    signs: &[
        "drizzle.config.ts",
        "drizzle.config.js",
        "drizzle.config.mjs",
        "drizzle.config.json",
        "drizzle",
    ],
    reads_typescript: true,
};
/// Knex
pub const KNEX: NodeTool = NodeTool {
    name: "Knex",
    packages: &["knex"],
    program: "knex",
    verb: "migrate:latest",
    signs: &["knexfile.js", "knexfile.ts", "knexfile.mjs", "knexfile.cjs"],
    reads_typescript: false,
};
/// TypeORM
pub const TYPEORM: NodeTool = NodeTool {
    name: "TypeORM",
    packages: &["typeorm"],
    program: "typeorm",
    verb: "migration:run",
    signs: &[],
    reads_typescript: false,
};
/// Sequelize CLI
pub const SEQUELIZE: NodeTool = NodeTool {
    name: "Sequelize",
    packages: &["sequelize-cli"],
    program: "sequelize-cli",
    verb: "db:migrate",
    signs: &[],
    reads_typescript: false,
};
/// MikroORM
pub const MIKRO_ORM: NodeTool = NodeTool {
    name: "MikroORM",
    packages: &["@mikro-orm/cli"],
    program: "mikro-orm",
    verb: "migration:up",
    signs: &[],
    reads_typescript: false,
};
/// node-pg-migrate
pub const NODE_PG_MIGRATE: NodeTool = NodeTool {
    name: "node-pg-migrate",
    packages: &["node-pg-migrate"],
    program: "node-pg-migrate",
    verb: "up",
    signs: &[],
    reads_typescript: false,
};
/// dbmate, whose package brings its program
pub const DBMATE: NodeTool = NodeTool {
    name: "dbmate",
    packages: &["dbmate"],
    program: "dbmate",
    verb: "migrate",
    signs: &[],
    reads_typescript: true,
};
/// Kysely's own program
pub const KYSELY: NodeTool = NodeTool {
    name: "Kysely",
    packages: &["kysely-ctl"],
    program: "kysely",
    verb: "migrate:latest",
    signs: &[],
    reads_typescript: true,
};
/// db-migrate
pub const DB_MIGRATE: NodeTool = NodeTool {
    name: "db-migrate",
    packages: &["db-migrate"],
    program: "db-migrate",
    verb: "up",
    signs: &["database.json", "migrations"],
    reads_typescript: true,
};
/// Payload
pub const PAYLOAD: NodeTool = NodeTool {
    name: "Payload",
    packages: &["payload"],
    program: "payload",
    verb: "migrate",
    signs: &[],
    reads_typescript: true,
};

/// Further commands that change a database: program and words.
const FURTHER: [(&str, &str); 8] = [
    ("prisma", "db push"),
    ("drizzle-kit", "push"),
    ("drizzle-kit", "push:pg"),
    ("knex", "migrate:up"),
    ("kysely", "migrate latest"),
    ("dbmate", "up"),
    ("ace", "migration:run"),
    ("build/ace.js", "migration:run"),
];

/// What runs TypeScript for tools that do not.
const LOADERS: [&str; 5] = ["tsx", "ts-node", "@swc-node/register", "@swc/core", "tsconfig-paths"];
/// Scripts that are part of something else.
const OTHER_SCRIPTS: [&str; 8] =
    ["start", "prestart", "start:prod", "build", "dev", "test", "pretest", "predev"];

/// The script of package.json that is this tool's command and nothing else, with its name. It knows where
/// the tool's settings lie.
pub fn script<'p>(package: &'p PackageJson, tool: &NodeTool) -> Option<(&'p str, &'p str)> {
    package.scripts().filter(|(name, _)| !OTHER_SCRIPTS.contains(name)).find_map(|(name, line)| {
        let line = runner_stripped(line);
        let verb = line.split(tool.verb).nth(1);
        let whole = verb.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        let called = line.split_whitespace().any(|word| calls(word, tool.program));
        let single = !line.contains(['&', ';', '|', '>', '$', '`']);
        let shown = line.contains("--help") || line.contains("--dry-run") || line.contains(" down");
        let from_file = line.contains("dotenv") || line.contains("--env-file");
        (whole && called && single && !shown && !from_file).then_some((name, line))
    })
}

/// The line without `npx` and its like in front of it.
fn runner_stripped(line: &str) -> &str {
    let runners = ["npx --no-install ", "npx ", "pnpm exec ", "pnpm dlx ", "yarn run ", "bunx "];
    runners.into_iter().find_map(|runner| line.strip_prefix(runner)).unwrap_or(line).trim()
}

/// `typeorm`, `typeorm-ts-node-commonjs`, `./node_modules/typeorm/cli.js`, `node_modules/.bin/typeorm`
fn calls(word: &str, program: &str) -> bool {
    let first = program.strip_suffix("-cli").unwrap_or(program);
    let wrapped = word.strip_prefix(program).is_some_and(|rest| rest.starts_with("-ts-node"));
    let in_modules = word.contains("node_modules/") && word.split('/').any(|part| part == program);
    word == program || word == first || wrapped || in_modules
}

/// Whether a single command applies migrations, or changes a database in another way.
pub fn applies(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let usual = NODE_TOOLS.into_iter().map(|tool| (tool.program, tool.verb));
    usual.chain(FURTHER).any(|(program, verb)| {
        let verb: Vec<&str> = verb.split(' ').collect();
        let Some(at) = words.iter().position(|word| calls(word, program)) else {
            return false;
        };
        words[at + 1..].windows(verb.len()).any(|part| part == verb)
    })
}

/// Whether a tool is in use that is among the development dependencies, or that needs one of them.
pub fn needs_development(package: &PackageJson, has: impl Fn(&str) -> bool) -> bool {
    NODE_TOOLS.into_iter().filter(|tool| in_use(package, tool, &has)).any(|tool| {
        let loader = |name: &&'static str| package.develops_with(name);
        let line = script(package, tool).map(|(_, line)| line).unwrap_or_default();
        let typescript = tool.signs.iter().any(|sign| sign.ends_with(".ts") && has(sign));
        tool.packages.iter().any(|name| package.develops_with(name))
            || LOADERS.iter().filter(|name| line.contains(**name)).any(&loader)
            || typescript && !tool.reads_typescript && LOADERS.iter().any(loader)
    })
}

/// Whether any tool is in use.
pub fn any(package: &PackageJson, has: impl Fn(&str) -> bool) -> bool {
    NODE_TOOLS.into_iter().any(|tool| in_use(package, tool, &has))
}

fn in_use(package: &PackageJson, tool: &NodeTool, has: &impl Fn(&str) -> bool) -> bool {
    tool.packages.iter().any(|name| package.uses(name))
        && (tool.signs.is_empty() || tool.signs.iter().any(|sign| has(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> PackageJson {
        PackageJson::parse(text).unwrap()
    }

    #[test]
    fn development_dependencies_are_kept_for_a_tool_that_is_in_use() {
        let needs = |text: &str, files: &[&str]| {
            needs_development(&package(text), |path| files.contains(&path))
        };
        let drizzle = r#"{"dependencies":{"pg":"8"},"devDependencies":{"drizzle-kit":"1"}}"#;
        assert!(needs(drizzle, &["drizzle.config.ts"]));
        assert!(!needs(drizzle, &["src"]), "without its settings it is not in use");
        let prisma = r#"{"dependencies":{"prisma":"6"},"devDependencies":{"tsx":"4"}}"#;
        assert!(!needs(prisma, &["prisma"]), "nothing of it is a development dependency");
        let knex = r#"{"dependencies":{"knex":"3"},"devDependencies":{"ts-node":"10"}}"#;
        assert!(needs(knex, &["knexfile.ts"]));
        assert!(!needs(knex, &["knexfile.js"]));
        let typeorm = r#"{"dependencies":{"typeorm":"1"},"devDependencies":{"ts-node":"10"},
            "scripts":{"migrate":"typeorm-ts-node-commonjs migration:run -d src/db.ts"}}"#;
        assert!(needs(typeorm, &[]));
        assert!(!needs(r#"{"dependencies":{"typeorm":"1"},"devDependencies":{"tsx":"4"}}"#, &[]));
    }

    #[test]
    fn commands_that_change_a_database_are_known() {
        for command in [
            "npx prisma migrate deploy --schema db/schema.prisma",
            "dotenv -e .env -- prisma db push",
            "node ./node_modules/typeorm/cli.js migration:run",
            "sequelize db:migrate",
            "npm run typeorm -- migration:run",
            "knex --knexfile db/knexfile.js migrate:latest",
            "node ace migration:run --force",
        ] {
            assert!(applies(command), "{command}");
        }
        for command in [
            "prisma generate",
            "drizzle-kit generate",
            "next build",
            "sequelize db:migrate:undo",
            "node-pg-migrate create up-to-date",
            "payload migrate:create",
        ] {
            assert!(!applies(command), "{command}");
        }
    }

    #[test]
    fn a_script_of_the_tool_alone_is_its_command() {
        let of = |line: &str, tool: &NodeTool| {
            let text = serde_json::json!({ "scripts": { "db:up": line } }).to_string();
            script(&package(&text), tool).map(|(_, line)| line.to_owned())
        };
        let some = |line: &str| Some(line.to_owned());
        let typeorm = "typeorm migration:run -d dist/db.js";
        assert_eq!(of(&format!("npx {typeorm}"), &TYPEORM), some(typeorm));
        let loaded = "ts-node ./node_modules/typeorm/cli.js migration:run -d src/db.ts";
        assert_eq!(of(loaded, &TYPEORM), some(loaded));
        assert_eq!(of("sequelize db:migrate", &SEQUELIZE), some("sequelize db:migrate"));
        assert_eq!(of("sequelize db:migrate:undo", &SEQUELIZE), None);
        assert_eq!(of("knex migrate:latest && knex seed:run", &KNEX), None);
        assert_eq!(of("dotenv -e .env -- drizzle-kit migrate", &DRIZZLE), None);
        assert_eq!(of("npm run typeorm migration:run", &KNEX), None);
        let start = r#"{"scripts":{"start":"prisma migrate deploy"}}"#;
        assert_eq!(script(&package(start), &PRISMA), None);
    }
}
