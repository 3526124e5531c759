//! One project file: what it builds, for which framework, and with which packages.

use windlass_plugin_common::paths::{join, normal};
use windlass_plugin_common::xml::{self, Element};

/// What a project leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ASP.NET Core application.
    Web,
    /// A service that runs in the background.
    Worker,
    /// A Blazor WebAssembly application of its own: static files.
    Wasm,
    /// A program for the command line.
    Console,
    /// A library.
    Library,
    /// Tests.
    Test,
    /// Something that does not run on a server, for this reason.
    Other(&'static str),
}

/// A project file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// Path of the file.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// What decided the kind, and its line.
    pub(crate) sign: String,
    /// `net8.0`; several where it is built for several.
    pub(crate) frameworks: Vec<String>,
    /// Where `frameworks` stands.
    pub(crate) frameworks_in: String,
    /// Name of what is built, without extension.
    pub(crate) assembly: String,
    /// Packages and their versions.
    pub(crate) packages: Vec<(String, String)>,
    /// Stems of the projects that it refers to.
    pub(crate) references: Vec<String>,
    /// Whether an executable is made beside the library.
    pub(crate) host: bool,
    /// Where its build runs Node.js, if it does.
    pub(crate) node: Option<String>,
}

/// What a build calls that needs Node.js.
const NODE_TOOLS: [&str; 4] = ["npm ", "npx ", "yarn ", "pnpm "];
const TEST_PACKAGES: [&str; 7] = [
    "microsoft.net.test.sdk",
    "xunit",
    "xunit.v3",
    "nunit",
    "mstest",
    "mstest.testframework",
    "tunit",
];

impl Project {
    /// Reads a project; `inherited` is the `Directory.Build.props` that applies to it, with its path.
    pub(crate) fn read(path: &str, text: &str, inherited: Option<(&str, &str)>) -> Self {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let mut project = Self {
            path: path.to_owned(),
            kind: Kind::Other("the project file is not valid XML"),
            sign: String::new(),
            frameworks: Vec::new(),
            frameworks_in: path.to_owned(),
            assembly: stem.to_owned(),
            packages: Vec::new(),
            references: Vec::new(),
            host: true,
            node: None,
        };
        let Some(root) = xml::parse(text) else {
            return project;
        };
        let shared = inherited.and_then(|(path, text)| Some((path, xml::parse(text)?)));
        let file = File { root: &root, shared: shared.as_ref().map(|(_, root)| root) };
        project.read_frameworks(&file, shared.as_ref().map(|(path, _)| *path));
        if let Some(name) = file.value("AssemblyName").filter(|name| !name.contains('$')) {
            name.clone_into(&mut project.assembly);
        }
        project.packages = named(&root, "PackageReference");
        project.references = named(&root, "ProjectReference")
            .into_iter()
            .map(|(path, _)| stem_of(&path.replace('\\', "/")))
            .collect();
        project.host = file.value("UseAppHost").is_none_or(|value| !is_false(value));
        let calls = |line: &str| NODE_TOOLS.iter().any(|tool| line.contains(tool));
        let exec =
            || root.find("Exec").iter().any(|exec| exec.attribute("Command").is_some_and(calls));
        let place = file.value("SpaRoot").map(|folder| folder.replace('\\', "/"));
        let place = place.or_else(|| exec().then(String::new));
        project.node = place.map(|place| normal(&join(project.folder(), &place)));
        (project.kind, project.sign) = kind(&file, &project);
        project
    }

    fn read_frameworks(&mut self, file: &File, shared: Option<&str>) {
        for name in ["TargetFrameworks", "TargetFramework"] {
            let Some(value) = file.value(name) else { continue };
            self.frameworks = value
                .split(';')
                .map(|one| one.trim().to_ascii_lowercase())
                .filter(|one| !one.is_empty() && !one.contains('$'))
                .collect();
            if file.own(name).is_none() {
                shared.unwrap_or_default().clone_into(&mut self.frameworks_in);
            }
            if !self.frameworks.is_empty() {
                return;
            }
        }
    }

    /// The folder of the file, `""` for the application's.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether a setting names it: by path, folder or name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let name = name.trim_start_matches("./").trim_end_matches('/');
        name == self.path
            || (!name.is_empty() && name == self.folder())
            || name == stem_of(&self.path)
            || self.path.ends_with(&format!("/{name}"))
    }

    /// Name of the file without its extension.
    pub(crate) fn stem(&self) -> String {
        stem_of(&self.path)
    }

    /// The version of a package, `""` if it has none here; `None` if it is not used.
    pub(crate) fn package(&self, name: &str) -> Option<&str> {
        let found = self.packages.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, version)| version.as_str())
    }
}

/// A project file and what it inherits.
struct File<'a> {
    root: &'a Element,
    shared: Option<&'a Element>,
}

impl File<'_> {
    /// The last value of a property in the file itself.
    fn own(&self, name: &str) -> Option<&str> {
        property(self.root, name).map(|element| element.text.as_str())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let inherited = || property(self.shared?, name).map(|element| element.text.as_str());
        self.own(name).or_else(inherited)
    }

    fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The SDKs that it is built with, in one text.
    fn sdk(&self) -> String {
        let mut sdk = self.root.attribute("Sdk").unwrap_or_default().to_owned();
        for element in self.root.all("Sdk") {
            sdk.extend([";", element.attribute("Name").unwrap_or_default()]);
        }
        for element in self.root.all("Import") {
            sdk.extend([";", element.attribute("Sdk").unwrap_or_default()]);
        }
        sdk
    }
}

fn property<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let groups = root.children.iter().filter(|group| group.name == "PropertyGroup");
    let plain = groups.filter(|group| group.attribute("Condition").is_none());
    let mut values = plain.flat_map(|group| group.children.iter());
    let named = |one: &&Element| one.name.eq_ignore_ascii_case(name) && !one.text.is_empty();
    values.rfind(named)
}

fn kind(file: &File, project: &Project) -> (Kind, String) {
    let sdk = file.sdk();
    let with_sdk = |kind| (kind, format!("line {}: Sdk {sdk}", file.root.line));
    let of = |kind, sign: &str| (kind, sign.to_owned());
    let output = file.value("OutputType").unwrap_or_default().to_ascii_lowercase();
    if let Some(version) = file.value("TargetFrameworkVersion").filter(|_| sdk.is_empty()) {
        let reason = "it is built for .NET Framework, which runs on Windows only";
        return (Kind::Other(reason), format!("TargetFrameworkVersion {version}"));
    }
    let tests =
        |(name, _): &(String, String)| TEST_PACKAGES.contains(&name.to_ascii_lowercase().as_str());
    if file.is_true("IsTestProject") || project.packages.iter().any(tests) {
        return of(Kind::Test, "a test project");
    }
    if let Some(reason) = elsewhere(file, project, &sdk) {
        return (Kind::Other(reason), String::new());
    }
    if sdk.contains("Sdk.BlazorWebAssembly") {
        return with_sdk(Kind::Wasm);
    }
    if sdk.contains("Microsoft.NET.Sdk.Web") {
        return if output == "library" {
            of(Kind::Library, "OutputType Library")
        } else {
            with_sdk(Kind::Web)
        };
    }
    if sdk.contains("Microsoft.NET.Sdk.Worker") {
        return with_sdk(Kind::Worker);
    }
    if output == "exe" {
        let web = named(file.root, "FrameworkReference")
            .iter()
            .any(|(name, _)| name == "Microsoft.AspNetCore.App");
        let line = property(file.root, "OutputType").map_or(0, |element| element.line);
        let kind = if web { Kind::Web } else { Kind::Console };
        return (kind, format!("line {line}: OutputType Exe"));
    }
    of(Kind::Library, "no OutputType Exe")
}

/// Why the project is nothing for a Linux server.
fn elsewhere(file: &File, project: &Project, sdk: &str) -> Option<&'static str> {
    let desktop = ["UseWPF", "UseWindowsForms", "UseMaui"].iter().any(|name| file.is_true(name));
    let device = |framework: &String| {
        ["-windows", "-android", "-ios", "-maccatalyst", "-tizen"]
            .iter()
            .any(|suffix| framework.contains(suffix))
    };
    let all_devices = !project.frameworks.is_empty() && project.frameworks.iter().all(device);
    if desktop || all_devices {
        return Some("it is an application for desktops or phones");
    }
    if file.value("AzureFunctionsVersion").is_some() {
        return Some("it is an Azure Functions application, which needs their host");
    }
    if file.is_true("IsAspireHost") || sdk.contains("Aspire.AppHost") {
        return Some("it is an Aspire host, which starts the other projects in development");
    }
    if file.is_true("PackAsTool") {
        return Some("it is packed as a .NET tool");
    }
    None
}

/// `Include` and version of every item of that kind.
fn named(root: &Element, item: &str) -> Vec<(String, String)> {
    let name = |element: &&Element| element.attribute("Include").map(str::to_owned);
    let version = |element: &Element| {
        let found = element.attribute("Version").or_else(|| element.text_at(&["Version"]));
        found.unwrap_or_default().to_owned()
    };
    let found = root.find(item);
    found.iter().filter_map(|element| Some((name(element)?, version(element)))).collect()
}

fn stem_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let known = [".csproj", ".fsproj", ".vbproj"].iter().find_map(|end| file.strip_suffix(end));
    known.unwrap_or(file).to_owned()
}

fn is_false(value: &str) -> bool {
    value.eq_ignore_ascii_case("false")
}
