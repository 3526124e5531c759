//! Haskell: the executables of a `.cabal` file or a `package.yaml`, built by Cabal, or by Stack where a
//! `stack.yaml` asks for it.

use windlass_plugin_common::compiled::built;
use windlass_plugin_common::wanted::{self, Pin};
use windlass_plugin_common::yaml;
use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::found::{Finding, Found, choose};

/// Packages that come with the compiler.
const WITH_GHC: [&str; 30] = [
    "array",
    "base",
    "binary",
    "bytestring",
    "cabal",
    "containers",
    "deepseq",
    "directory",
    "exceptions",
    "filepath",
    "ghc",
    "ghc-bignum",
    "ghc-boot",
    "ghc-prim",
    "haskeline",
    "hpc",
    "integer-gmp",
    "mtl",
    "parsec",
    "pretty",
    "process",
    "stm",
    "template-haskell",
    "terminfo",
    "text",
    "time",
    "transformers",
    "unix",
    "xhtml",
    "rts",
];
const ONLY_BUILD: [&str; 9] = [
    "**/*.hs",
    "**/*.cabal",
    "package.yaml",
    "stack.yaml",
    "stack.yaml.lock",
    "cabal.project*",
    "dist-newstyle/**",
    ".stack-work/**",
    "Dockerfile",
];

/// What a manifest says.
struct Package {
    file: String,
    name: String,
    executables: Vec<String>,
    dependencies: Vec<String>,
}

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    let cabal = facts.files.iter().find(|path| path.ends_with(".cabal") && !path.contains('/'));
    let stack = facts.has("stack.yaml");
    let package = match cabal {
        Some(file) => of_cabal(file, &facts.text(file)),
        None if facts.has("package.yaml") => match of_yaml(&facts.text("package.yaml")) {
            Some(package) => package,
            None => return Finding::Nothing,
        },
        None if stack => {
            let reason = "there is a stack.yaml, but no .cabal file or package.yaml beside it";
            return Finding::Near("haskell", reason.to_owned());
        }
        None => return Finding::Nothing,
    };
    if package.executables.is_empty() {
        let reason = format!("there is a {}, but it has no executable: a library", package.file);
        return Finding::Near("haskell", reason);
    }
    let chosen = choose(facts, &package.executables, &package.name);
    let detection = Detection::new("haskell", "Haskell", "haskell")
        .confidence(78)
        .evidence(package.file.clone(), format!("executable {}", package.executables.join(", ")));
    let pins: Vec<Pin> = wanted::shared(facts.source, &["ghc", "haskell"]);
    let found = Found::new(detection, facts, "haskell", pins)
        .packages(["libgmp-dev", "zlib1g-dev"])
        .without(&ONLY_BUILD);
    let name = match chosen {
        Err(error) => return found.refuse(error).finding(),
        Ok(name) => name,
    };
    if package.dependencies.iter().any(|one| one.starts_with("postgresql")) {
        return built_by(found.packages(["libpq-dev"]), &package, &name, stack);
    }
    built_by(found, &package, &name, stack)
}

fn built_by(found: Found, package: &Package, name: &str, stack: bool) -> Finding {
    let out = built(name);
    let found = found.program(name);
    if stack || package.file == "package.yaml" {
        let manifests = ["package.yaml", "stack.yaml*", "*.cabal"];
        let line = "stack build --only-dependencies";
        let build = format!("stack build --copy-bins --local-bin-path /out/app/bin :{name}");
        return found
            .cache("stack", "/root/.stack")
            .env("STACK_ROOT", "/root/.stack")
            .install(&manifests, line)
            .build(&build)
            .finding();
    }
    let line =
        format!("cabal build exe:{name} && install -D \"$(cabal list-bin exe:{name})\" {out}");
    let with_ghc = |one: &String| WITH_GHC.contains(&one.to_ascii_lowercase().as_str());
    if package.dependencies.iter().all(with_ghc) {
        return found.env("CABAL_DIR", "/root/.cabal").build(&line).finding();
    }
    let install = format!("cabal update && cabal build --only-dependencies exe:{name}");
    found
        .cache("cabal", "/root/.cabal")
        .env("CABAL_DIR", "/root/.cabal")
        .install(&["*.cabal", "cabal.project*"], &install)
        .build(&line)
        .finding()
}

fn of_cabal(file: &str, text: &str) -> Package {
    let mut package = Package {
        file: file.to_owned(),
        name: file.trim_end_matches(".cabal").to_owned(),
        executables: Vec::new(),
        dependencies: Vec::new(),
    };
    let (mut stanza, mut listing) = (String::new(), false);
    for line in text.lines().filter(|line| !line.trim_start().starts_with("--")) {
        let lower = line.to_ascii_lowercase();
        let indented = line.starts_with([' ', '\t']);
        if !indented && !line.trim().is_empty() {
            stanza = lower.split_whitespace().next().unwrap_or_default().to_owned();
            listing = false;
            if stanza == "executable" {
                package.executables.extend(line.split_whitespace().nth(1).map(str::to_owned));
            }
        }
        let trimmed = lower.trim();
        let field = trimmed.split_once(':').map(|(name, _)| name.trim());
        let is_field = field.is_some_and(|name| !name.contains([' ', ',']));
        if is_field {
            listing = field == Some("build-depends");
        }
        let counts = !stanza.starts_with("test-suite") && !stanza.starts_with("benchmark");
        if listing && counts {
            let start = if is_field { trimmed.find(':').map_or(0, |at| at + 1) } else { 0 };
            package.dependencies.extend(names(&trimmed[start..]));
        }
    }
    let own = package.name.to_ascii_lowercase();
    package.dependencies.retain(|name| *name != own);
    package
}

/// `base >=4 && <5, text` → `base`, `text`
fn names(list: &str) -> Vec<String> {
    let name = |part: &str| {
        let part = part.trim();
        let end =
            part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(part.len());
        Some(part[..end].to_owned()).filter(|name| !name.is_empty())
    };
    list.split(',')
        .filter_map(name)
        .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

fn of_yaml(text: &str) -> Option<Package> {
    let value = yaml::parse(text).ok()?;
    let name = yaml::text_of(&value["name"]);
    let mut executables: Vec<String> = value["executables"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    if !value["executable"].is_null() {
        executables.push(name.clone());
    }
    let haskell = ["executables", "executable", "library", "ghc-options", "dependencies"];
    let is = haskell.iter().any(|key| !value[*key].is_null());
    is.then(|| Package {
        file: "package.yaml".to_owned(),
        name,
        executables,
        dependencies: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::of_cabal;

    #[test]
    fn a_cabal_file_is_read() {
        let package = of_cabal(
            "shop.cabal",
            "name: shop\n-- executable no\nlibrary\n  build-depends: base >=4 && <5\n               , text\n\
             executable shop-server\n  main-is: Main.hs\n  build-depends: base, shop, warp\n\
             test-suite t\n  build-depends: hspec\n",
        );
        assert_eq!(package.executables, ["shop-server"]);
        assert_eq!(package.dependencies, ["base", "text", "base", "warp"]);
    }
}
