//! `gradle.lockfile`; and of a `pom.xml`, which locks nothing, what it names with an exact version.

use windlass_plugin_common::xml::{self, Element};

use crate::{Ecosystem, Locked, Package};

pub(crate) fn gradle(text: &str) -> Result<Locked, String> {
    let mut locked = Locked::default();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("empty=") {
            continue;
        }
        let (module, configurations) = line.split_once('=').unwrap_or((line, ""));
        let Some((name, version)) = module.rsplit_once(':').filter(|(name, _)| name.contains(':'))
        else {
            return Err(format!("{line:?} is no group:artifact:version=configurations"));
        };
        let mut package = Package::new(Ecosystem::Maven, name, version);
        let is_runtime = |one: &str| one.to_ascii_lowercase().ends_with("runtimeclasspath");
        let is_test = |one: &str| one.to_ascii_lowercase().contains("test");
        package.development =
            !configurations.split(',').any(|one| is_runtime(one) && !is_test(one));
        locked.packages.push(package);
    }
    Ok(locked)
}

pub(crate) fn pom(text: &str) -> Result<Locked, String> {
    let project = xml::parse(text).filter(|root| root.name == "project");
    let project = project.ok_or("it is no pom.xml: its root is no project")?;
    let mut locked = Locked::default();
    let mut open = 0_usize;
    let listed = project.child("dependencies");
    for entry in listed.into_iter().flat_map(|list| list.all("dependency")) {
        let field = |name: &str| entry.text_at(&[name]).map(|text| filled(text, &project));
        let (Some(Some(group)), Some(Some(artifact))) = (field("groupId"), field("artifactId"))
        else {
            continue;
        };
        // A range, or a version that a parent or a bill of materials says, is not known here.
        let version = field("version").flatten().filter(|text| !text.starts_with(['[', '(']));
        let Some(version) = version else {
            open += 1;
            continue;
        };
        let mut package = Package::new(Ecosystem::Maven, &format!("{group}:{artifact}"), &version);
        package.development = matches!(entry.text_at(&["scope"]), Some("test" | "provided"));
        locked.roots.push(package.key());
        locked.packages.push(package);
    }
    let mut note = "a pom.xml names direct dependencies alone".to_owned();
    if open > 0 {
        note.push_str(&format!("; {open} of them without an exact version are left out"));
    }
    locked.notes.push(note);
    Ok(locked)
}

/// The text with properties of the same file; `None` where one is of somewhere else.
fn filled(text: &str, project: &Element) -> Option<String> {
    let mut text = text.trim().to_owned();
    for _ in 0..8 {
        let Some(start) = text.find("${") else {
            return Some(text);
        };
        let end = start + text.get(start..)?.find('}')?;
        let name = text.get(start + 2..end)?;
        let value = match name {
            "project.version" => project.text_at(&["version"]),
            "project.groupId" => project.text_at(&["groupId"]),
            name => project.text_at(&["properties", name]),
        }?;
        text = format!("{}{value}{}", &text[..start], &text[end + 1..]);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradle_says_what_runs() {
        let text = "# This is a Gradle generated file\norg.slf4j:slf4j-api:2.0.9=compileClasspath,runtimeClasspath\norg.junit:junit-bom:5.10.0=testCompileClasspath,testRuntimeClasspath\nempty=annotationProcessor\n";
        let locked = gradle(text).unwrap();
        assert_eq!(locked.packages[0].name, "org.slf4j:slf4j-api");
        assert_eq!(locked.packages[0].version, "2.0.9");
        assert!(!locked.packages[0].development && locked.packages[1].development);
        assert!(gradle("hello").is_err());
    }

    #[test]
    fn a_pom_is_read_where_it_is_exact() {
        let text = "<?xml version=\"1.0\"?><project><version>1.0</version><properties><jackson.version>2.15.2</jackson.version></properties><dependencies><dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-databind</artifactId><version>${jackson.version}</version></dependency><dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-web</artifactId></dependency><dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>[4,5)</version></dependency></dependencies></project>";
        let locked = pom(text).unwrap();
        assert_eq!(locked.packages.len(), 1);
        assert_eq!(locked.packages[0].name, "com.fasterxml.jackson.core:jackson-databind");
        assert_eq!(locked.packages[0].version, "2.15.2");
        assert!(locked.notes[0].contains("2 of them"), "{:?}", locked.notes);
        assert!(pom("<html></html>").is_err());
    }
}
