//! The words for what is found: the build tool, the framework, the packaging.

use windlass_sdk::PluginError;

/// Every id of this plugin.
pub(crate) const IDS: [&str; 9] =
    ["spring-boot", "quarkus", "micronaut", "ktor", "play", "java", "kotlin", "scala", "clojure"];

/// What builds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Maven,
    Gradle,
    Sbt,
    Lein,
    ToolsBuild,
    /// The compiler alone.
    Javac,
    /// Nothing: the jar is committed.
    Nothing,
}

impl Tool {
    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Maven => "Maven",
            Self::Gradle => "Gradle",
            Self::Sbt => "sbt",
            Self::Lein => "Leiningen",
            Self::ToolsBuild => "tools.build",
            Self::Javac => "javac",
            Self::Nothing => "jar",
        }
    }
}

/// What it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Java,
    Kotlin,
    Scala,
    Clojure,
}

impl Language {
    /// The ecosystem, which is also the id where no framework is known.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Kotlin => "kotlin",
            Self::Scala => "scala",
            Self::Clojure => "clojure",
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Java => "Java",
            Self::Kotlin => "Kotlin",
            Self::Scala => "Scala",
            Self::Clojure => "Clojure",
        }
    }
}

/// What serves the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framework {
    SpringBoot,
    Quarkus,
    Micronaut,
    Ktor,
    Play,
    Dropwizard,
    /// None that is known.
    Plain,
}

impl Framework {
    /// The framework of an id.
    pub(crate) fn of(id: &str) -> Option<Self> {
        match id {
            "spring-boot" => Some(Self::SpringBoot),
            "quarkus" => Some(Self::Quarkus),
            "micronaut" => Some(Self::Micronaut),
            "ktor" => Some(Self::Ktor),
            "play" => Some(Self::Play),
            _ => None,
        }
    }

    /// The id, if it has one of its own, and the name.
    pub(crate) fn id(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::SpringBoot => Some(("spring-boot", "Spring Boot")),
            Self::Quarkus => Some(("quarkus", "Quarkus")),
            Self::Micronaut => Some(("micronaut", "Micronaut")),
            Self::Ktor => Some(("ktor", "Ktor")),
            Self::Play => Some(("play", "Play")),
            Self::Dropwizard | Self::Plain => None,
        }
    }

    /// Words of which the entry file of an application of this framework has one in it; none where it may have
    /// any.
    pub(crate) fn signs(self) -> &'static [&'static str] {
        match self {
            Self::SpringBoot => &["springframework", "SpringBootApplication", "SpringApplication"],
            Self::Micronaut => &["micronaut"],
            Self::Ktor => &["ktor"],
            Self::Dropwizard => &["dropwizard"],
            Self::Quarkus | Self::Play | Self::Plain => &[],
        }
    }
}

/// In what form the build leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Package {
    /// One jar that runs by itself.
    Jar,
    /// A jar, its dependencies beside it, and the class that is run.
    ClassPath(String),
    /// The folder that Quarkus leaves.
    Quarkus,
    /// A folder with `bin` and `lib`.
    Distribution,
    /// A folder of classes.
    Classes(String),
    /// A web archive for a servlet container.
    War,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct App {
    pub(crate) tool: Tool,
    pub(crate) language: Language,
    pub(crate) framework: Framework,
    pub(crate) package: Package,
    /// Folder of the module that runs; `""` for the application's own.
    pub(crate) module: String,
    /// The build file, or the file that is run.
    pub(crate) file: String,
    /// What in it was the sign.
    pub(crate) sign: String,
    /// The file with the main class, where one was looked for.
    pub(crate) entry: Option<String>,
    pub(crate) confidence: u8,
    /// What the build tool is told to do, beyond its usual: tasks.
    pub(crate) tasks: Vec<String>,
    /// Highest line of the JDK on which the build tool runs.
    pub(crate) jdk_max: Option<u32>,
    /// What the build file says of Java's version: key and value.
    pub(crate) java: Option<(String, String)>,
    /// Folders of the other modules that can run as well: nothing tells them apart.
    pub(crate) others: Vec<String>,
}

impl App {
    /// An application of one module at the root.
    pub(crate) fn new(tool: Tool, language: Language, package: Package, file: &str) -> Self {
        Self {
            tool,
            language,
            framework: Framework::Plain,
            package,
            module: String::new(),
            file: file.to_owned(),
            sign: String::new(),
            entry: None,
            confidence: 75,
            tasks: Vec::new(),
            jdk_max: None,
            java: None,
            others: Vec::new(),
        }
    }

    /// The first of these, which can all run; it is refused.
    pub(crate) fn first_of(several: &[Self]) -> Option<Self> {
        let (first, others) = several.split_first()?;
        let others = others.iter().map(|one| one.module.clone()).collect();
        Some(Self { others, ..first.clone() })
    }

    /// The refusal of an application of which several modules can run.
    pub(crate) fn several(&self) -> Option<PluginError> {
        let folder = |folder: &str| match folder {
            "" => "the root".to_owned(),
            folder => folder.to_owned(),
        };
        let other = self.others.first()?;
        let all = std::iter::once(&self.module).chain(&self.others);
        let names: Vec<String> = all.map(|name| folder(name)).collect();
        // The root has no folder to be named by.
        let named = if self.module.is_empty() { other } else { &self.module };
        let message = format!(
            "several modules can run, and nothing says which is the application: {}",
            names.join(", ")
        );
        Some(
            PluginError::new("jvm.several-modules", message)
                .hint(format!("name the module in windlass.toml:\n[build]\ntarget = {named:?}")),
        )
    }

    /// A path in the module's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        join(&self.module, name)
    }
}

/// A path below a folder; `""` is the application's.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
