//! One file of Maven: `pom.xml`, or its forms in other languages.

use std::collections::BTreeMap;

use windlass_plugin_common::xml::{self, Element};

/// A plugin of the build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub(crate) artifact: String,
    /// Whether it is only configured, under `pluginManagement`.
    pub(crate) managed: bool,
    /// The main class that its configuration names.
    pub(crate) main: Option<String>,
    pub(crate) line: usize,
}

/// What a pom says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pom {
    pub(crate) path: String,
    /// Folder of it; `""` for the application's.
    pub(crate) folder: String,
    /// Whether nothing could be read in it.
    pub(crate) unknown: bool,
    pub(crate) packaging: String,
    pub(crate) modules: Vec<String>,
    pub(crate) plugins: Vec<Plugin>,
    /// Group and artifact of the dependencies that are there at run time.
    pub(crate) dependencies: Vec<(String, String)>,
    pub(crate) parent: (String, String),
    pub(crate) properties: BTreeMap<String, String>,
}

impl Pom {
    /// Reads a pom; `None` if it is not one.
    pub(crate) fn read(path: &str, text: &str) -> Option<Self> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let pom =
            Self { path: path.to_owned(), folder, packaging: "jar".into(), ..Self::default() };
        if text.trim().is_empty() {
            return Some(Self { unknown: true, ..pom });
        }
        if path.ends_with(".xml") { pom.of_xml(text) } else { Some(pom.of_text(text)) }
    }

    fn of_xml(mut self, text: &str) -> Option<Self> {
        let root = xml::parse(text).filter(|root| root.name == "project")?;
        for property in
            root.child("properties").map(|all| all.children.as_slice()).unwrap_or_default()
        {
            self.properties.insert(property.name.clone(), property.text.clone());
        }
        if let Some(packaging) = root.text_at(&["packaging"]) {
            packaging.clone_into(&mut self.packaging);
        }
        let modules = root.child("modules").map(|all| all.children.as_slice()).unwrap_or_default();
        self.modules = modules.iter().map(|module| module.text.clone()).collect();
        let text = |path: &[&str]| root.text_at(path).unwrap_or_default().to_owned();
        self.parent = (text(&["parent", "groupId"]), text(&["parent", "artifactId"]));
        self.dependencies = dependencies(&root);
        for (path, managed) in
            [(&["build", "plugins"][..], false), (&["build", "pluginManagement", "plugins"], true)]
        {
            let plugins = root.at(path).map(|all| all.children.as_slice()).unwrap_or_default();
            self.plugins.extend(plugins.iter().map(|one| plugin(one, managed)));
        }
        self.compiler(&root);
        Some(self)
    }

    /// The version that the compiler's plugin is given, as if it were a property.
    fn compiler(&mut self, root: &Element) {
        let plugins = root.find("plugin");
        let compiler = plugins
            .iter()
            .find(|one| one.text_at(&["artifactId"]) == Some("maven-compiler-plugin"));
        for key in ["release", "source", "target"] {
            let value = compiler.and_then(|one| one.text_at(&["configuration", key]));
            if let Some(value) = value {
                let name = format!("maven.compiler.{key}");
                self.properties.entry(name).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// YAML, Groovy, Ruby and the rest: only the names of what is known.
    fn of_text(mut self, text: &str) -> Self {
        let known = [
            "spring-boot-maven-plugin",
            "quarkus-maven-plugin",
            "micronaut-maven-plugin",
            "maven-shade-plugin",
            "maven-assembly-plugin",
            "maven-jar-plugin",
            "exec-maven-plugin",
            "kotlin-maven-plugin",
            "scala-maven-plugin",
        ];
        let main = text.lines().find_map(|line| {
            let (key, value) = line.split_once([':', '='])?;
            let key = key.trim().trim_matches(['"', '\'']);
            let fits = matches!(key, "mainClass" | ":mainClass" | "main_class");
            fits.then(|| value.trim().trim_matches(['>', ' ', '"', '\'', ',']).to_owned())
        });
        for (n, line) in text.lines().enumerate() {
            let found = known.iter().find(|name| line.contains(*name));
            self.plugins.extend(found.map(|name| Plugin {
                artifact: (*name).to_owned(),
                managed: false,
                main: main.clone(),
                line: n + 1,
            }));
            let pair = line.split_once(':').map(|(key, value)| (key.trim(), value.trim()));
            if let Some((key, value)) = pair
                && (key.starts_with("maven.compiler.") || key == "java.version")
            {
                self.properties.insert(key.to_owned(), value.trim_matches(['"', '\'']).to_owned());
            }
            if pair == Some(("packaging", "pom")) {
                "pom".clone_into(&mut self.packaging);
            }
        }
        self
    }

    /// A plugin that runs in the build.
    pub(crate) fn plugin(&self, artifact: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.artifact == artifact && !plugin.managed)
    }

    /// The main class that a plugin's configuration names, even where it is only managed.
    pub(crate) fn main_of(&self, artifact: &str) -> Option<String> {
        let plugins = self.plugins.iter().filter(|plugin| plugin.artifact == artifact);
        self.value(&plugins.filter_map(|plugin| plugin.main.clone()).next()?)
    }

    /// Whether a dependency's group, or the parent's, begins like this.
    pub(crate) fn uses(&self, group: &str) -> bool {
        self.parent.0.starts_with(group)
            || self.dependencies.iter().any(|(found, _)| found.starts_with(group))
    }

    /// A property with the properties in it replaced.
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        self.value(self.properties.get(name)?)
    }

    /// A text with the properties in it replaced; `None` if one of them is not known here.
    fn value(&self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        for _ in 0..8 {
            let Some(start) = text.find("${") else {
                return Some(text).filter(|text| !text.is_empty());
            };
            let end = start + text[start..].find('}')?;
            let value = self.properties.get(&text[start + 2..end])?.clone();
            text.replace_range(start..=end, &value);
        }
        None
    }
}

fn plugin(element: &Element, managed: bool) -> Plugin {
    let main = ["mainClass", "main-class", "Main-Class"]
        .iter()
        .flat_map(|name| element.find(name))
        .map(|found| found.text.clone())
        .find(|main| !main.is_empty());
    Plugin {
        artifact: element.text_at(&["artifactId"]).unwrap_or_default().to_owned(),
        managed,
        main,
        line: element.line,
    }
}

fn dependencies(root: &Element) -> Vec<(String, String)> {
    let all = root.child("dependencies").map(|all| all.children.as_slice()).unwrap_or_default();
    let at_run_time = |one: &&Element| {
        !matches!(one.text_at(&["scope"]), Some("test" | "provided" | "system" | "import"))
            && one.text_at(&["optional"]) != Some("true")
    };
    let text = |one: &Element, name| one.text_at(&[name]).unwrap_or_default().to_owned();
    all.iter()
        .filter(at_run_time)
        .map(|one| (text(one, "groupId"), text(one, "artifactId")))
        .collect()
}
