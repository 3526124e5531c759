//! What a language answers: the detection together with how it is built and started.

use windlass_plugin_common::compiled::{self, Compiled, Start, program};
use windlass_plugin_common::wanted::{self, Pin};
use windlass_sdk::plan::Run;
use windlass_sdk::{Detection, PluginError};

use crate::facts::Facts;

/// A language's answer.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Nothing of it is here.
    Nothing,
    /// Something is, but it is no application: the id and the reason.
    Near(&'static str, String),
    /// An application.
    Found(Box<Found>),
}

/// An application.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) detection: Detection,
    pub(crate) compiled: Compiled,
    pub(crate) start: Start,
}

impl Found {
    /// An application without a program yet.
    pub(crate) fn new(
        detection: Detection,
        facts: &Facts,
        toolchain: &str,
        pins: Vec<Pin>,
    ) -> Self {
        let setting = facts.settings.build.toolchain.get(toolchain).map(String::as_str);
        let key = format!("build.toolchain.{toolchain}");
        let mut all: Vec<Pin> =
            Pin::new("windlass.toml", &key, setting.unwrap_or_default()).into_iter().collect();
        all.extend(pins);
        all.extend(wanted::elsewhere(facts.source, &[toolchain]));
        let (toolchain, evidence) = wanted::choose(toolchain, &all, facts.previous);
        let mut detection = detection.supersedes("static");
        detection.toolchains.push(toolchain.clone());
        if let Some((_, file, sign)) = &facts.declared.web {
            detection = detection.evidence(*file, sign.clone());
        }
        detection.evidence.extend(evidence);
        let mut compiled = Compiled::new(toolchain);
        compiled.env.push(("HOME".to_owned(), "/root".to_owned()));
        Self { detection, compiled, start: Start::default() }
    }

    /// With this program.
    pub(crate) fn program(mut self, name: &str) -> Self {
        self.start.argv = vec![program(name)];
        self.start.programs = vec![name.to_owned()];
        self
    }

    /// With Debian packages for the build.
    pub(crate) fn packages<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.compiled.packages.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// With a cache of the package manager; before [`Self::install`] and [`Self::build`].
    pub(crate) fn cache(mut self, id: &str, folder: &str) -> Self {
        self.compiled.caches.push((id.to_owned(), folder.to_owned()));
        self
    }

    /// With a variable of the build.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.compiled.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a line that installs what the manifests name.
    pub(crate) fn install(mut self, manifests: &[&str], line: &str) -> Self {
        self.compiled.manifests = manifests.iter().map(|glob| (*glob).to_owned()).collect();
        self.compiled.install = vec![self.compiled.run(Run::shell(line))];
        self
    }

    /// With a line that builds.
    pub(crate) fn build(mut self, line: &str) -> Self {
        let run = self.compiled.run(Run::shell(line));
        self.compiled.build.push(run);
        self
    }

    /// Without these globs of the source in the image.
    pub(crate) fn without(mut self, globs: &[&str]) -> Self {
        self.compiled.only_build.extend(globs.iter().map(|glob| (*glob).to_owned()));
        self
    }

    /// Refused, for this reason.
    pub(crate) fn refuse(mut self, error: PluginError) -> Self {
        self.detection.refusal = Some(error);
        self
    }

    /// As an answer.
    pub(crate) fn finding(self) -> Finding {
        Finding::Found(Box::new(self))
    }
}

/// Which of several programs is the application: the one that a declared command names, the only one,
/// the one that is called like the project, or like a server.
///
/// # Errors
/// Code `native.several-programs`.
pub(crate) fn choose(
    facts: &Facts,
    names: &[String],
    project: &str,
) -> Result<String, PluginError> {
    let declared =
        || facts.lines().find_map(|line| names.iter().find(|name| compiled::names(line, name)));
    if let Some(name) = declared() {
        return Ok(name.clone());
    }
    if let [only] = names {
        return Ok(only.clone());
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    compiled::likely(&all, project).map(str::to_owned).ok_or_else(|| {
        PluginError::new(
            "native.several-programs",
            format!(
                "there are several programs, and nothing says which is run: {}",
                all.join(", ")
            ),
        )
        .hint(format!(
            "name it in windlass.toml:\n[run]\ncommand = \"{}\"",
            all.first().copied().unwrap_or_default()
        ))
    })
}
