//! What a language answers: the detection together with how it is run.

use windlass_sdk::Detection;

/// A language's answer.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Nothing of it is here.
    Nothing,
    /// Something is, but it is no application: the id and the reason.
    Near(&'static str, String),
    /// An application.
    Found(Box<Program>),
}

/// An application that needs no compiler.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) detection: Detection,
    /// The toolchain that it runs on.
    pub(crate) toolchain: &'static str,
    /// Debian packages.
    pub(crate) packages: Vec<String>,
    pub(crate) argv: Vec<String>,
    /// Whether it answers no requests.
    pub(crate) worker: bool,
    /// Whether it is a site that is built.
    pub(crate) site: bool,
}

impl Program {
    /// A program without a command yet.
    pub(crate) fn new(detection: Detection, toolchain: &'static str) -> Self {
        let (packages, argv) = (Vec::new(), Vec::new());
        Self { detection, toolchain, packages, argv, worker: false, site: false }
    }
}
