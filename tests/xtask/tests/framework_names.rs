//! Plugins decide, the host acts: no framework's name appears in a host crate's source.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

/// Names, in lower case. Left out are those that are everyday words too: go, gin, rocket, spring.
const FRAMEWORKS: [&str; 51] = [
    "express",
    "fastify",
    "koa",
    "hapi",
    "nestjs",
    "nest.js",
    "next.js",
    "nextjs",
    "nuxt",
    "nuxtjs",
    "remix",
    "astro",
    "gatsby",
    "svelte",
    "sveltekit",
    "angular",
    "vuejs",
    "vue",
    "react",
    "preact",
    "solidjs",
    "vite",
    "webpack",
    "parcel",
    "eleventy",
    "hugo",
    "jekyll",
    "docusaurus",
    "ember",
    "flask",
    "django",
    "fastapi",
    "starlette",
    "streamlit",
    "gunicorn",
    "uvicorn",
    "celery",
    "alembic",
    "rails",
    "sinatra",
    "laravel",
    "symfony",
    "wordpress",
    "prisma",
    "sequelize",
    "knex",
    "typeorm",
    "drizzle",
    "hono",
    "phoenix",
    "springboot",
];

#[test]
fn no_host_crate_names_a_framework() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&host).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 100, "the host's sources are read: {}", files.len());
    let found: Vec<String> = files.iter().flat_map(|file| names_in(file)).collect();
    assert!(found.is_empty(), "frameworks are named in host crates:\n{}", found.join("\n"));
}

#[test]
fn a_name_is_found_as_a_word_and_in_any_case() {
    let name = |line| framework_in(line);
    assert_eq!(name("/// One line: `Express, 92% sure`"), Some("express"));
    assert_eq!(name("framework = \"next.js\""), Some("next.js"));
    assert_eq!(name("FLASK_APP"), Some("flask"));
    assert_eq!(name("an expression and its expressions"), None);
    assert_eq!(name("invite the reactor"), None);
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn names_in(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(n, line)| framework_in(line).map(|name| (n + 1, name, line)));
    found
        .map(|(n, name, line)| format!("{}:{n}: {name}: {}", file.display(), line.trim()))
        .collect()
}

/// The first framework that a line names, as a word of its own.
fn framework_in(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    FRAMEWORKS.into_iter().find(|name| {
        line.match_indices(name).any(|(start, _)| {
            let before = line[..start].chars().next_back();
            let after = line[start + name.len()..].chars().next();
            let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            !letter(before) && !letter(after)
        })
    })
}
