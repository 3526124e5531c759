//! The command that starts a published program, and declared lines that name the program where it lies on the
//! machine that wrote them.

use windlass_sdk::log;

use crate::facts::Facts;
use crate::project::Project;

/// What tells ASP.NET Core its address, in the environment or in a command line.
const ADDRESSES: [&str; 4] = ["ASPNETCORE_URLS", "ASPNETCORE_HTTP_PORTS", "DOTNET_URLS", "--urls"];

/// What starts a published program that lies in `out`.
pub(crate) fn line(project: &Project, web: bool) -> String {
    let assembly = &project.assembly;
    let program = match project.host {
        true => format!("./out/{assembly}"),
        false => format!("dotnet out/{assembly}.dll"),
    };
    if web { format!("ASPNETCORE_URLS=http://0.0.0.0:$PORT {program}") } else { program }
}

/// A declared command line with the program's place in the image: people write `dotnet Shop.dll`, `./Shop` and
/// `cd bin/Release/net10.0/publish && ./Shop`. A web process that is told no address gets the one of the host.
pub(crate) fn resolved(line: &str, project: &Project, web: bool) -> String {
    let command = match entered(line) {
        Some((folder, rest)) if is_output(folder) => rest,
        Some(_) => return line.to_owned(),
        None => line,
    };
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_before = |word: &&&str| matches!(**word, "exec" | "env") || word.contains('=');
    let before = words.iter().take_while(is_before).count();
    let names = |word: &str, ending: &str| {
        let file = word.rsplit('/').next().unwrap_or_default();
        file.strip_suffix(ending) == Some(project.assembly.as_str())
    };
    let last = match &words[before..] {
        ["dotnet", "exec", file, ..] if names(file, ".dll") => before + 2,
        ["dotnet", file, ..] if names(file, ".dll") => before + 1,
        [file, ..] if names(file, "") => before,
        _ => return line.to_owned(),
    };
    if !web && words[last].trim_start_matches("./").starts_with("out/") {
        return line.to_owned();
    }
    let told = ADDRESSES.iter().any(|name| line.contains(name));
    let assignments = words[..before].iter().filter(|word| word.contains('='));
    let mut all: Vec<String> = assignments.map(|word| (*word).to_owned()).collect();
    all.push(self::line(project, web && !told));
    all.extend(words[last + 1..].iter().map(|word| (*word).to_owned()));
    all.join(" ")
}

/// Says which declared line runs a project of the solution that is not published.
pub(crate) fn warn(facts: &Facts, project: &Project, line: &str) {
    let runs = |other: &&Project| {
        let file = format!("{}.dll", other.assembly);
        let mut words = line.split_whitespace();
        words.any(|word| word.rsplit('/').next() == Some(file.as_str()))
    };
    let mut others = facts.projects.iter().filter(|one| one.assembly != project.assembly);
    if let Some(other) = others.find(runs) {
        log::warn(format!(
            "`{line}` runs {}.dll, and only {} is published, into /app/out: publish both with build.command in \
             windlass.toml, or deploy {} as a project of its own",
            other.assembly, project.path, other.path
        ));
    }
}

/// The folder that a line enters first, and what it does there.
fn entered(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim().strip_prefix("cd ")?;
    let end = rest.find("&&").map(|at| (at, 2)).or_else(|| rest.find(';').map(|at| (at, 1)));
    let (at, length) = end?;
    Some((rest[..at].trim(), rest[at + length..].trim()))
}

/// Whether a folder is one that `dotnet publish` writes, here or on another platform.
fn is_output(folder: &str) -> bool {
    let usual = |part: &str| matches!(part, "out" | "publish" | "heroku_output");
    folder.split('/').any(usual) || folder.contains("bin/Release")
}
