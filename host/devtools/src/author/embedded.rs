//! What the binary carries for authors: the contract, the SDKs, the templates.

/// A file of the repository.
#[derive(Debug)]
pub(super) struct Embedded {
    /// Its path there, with forward slashes.
    pub(super) path: &'static str,
    /// What is in it.
    pub(super) bytes: &'static [u8],
    /// Whether it can be run.
    pub(super) executable: bool,
}

/// All of them, by path.
pub(super) static FILES: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder, each with its path relative to that.
pub(super) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static Embedded)> {
    let prefix = format!("{}/", folder.trim_end_matches('/'));
    FILES.iter().filter_map(move |file| Some((file.path.strip_prefix(prefix.as_str())?, file)))
}

/// The text of one file; empty when there is none.
pub(super) fn text(path: &str) -> &'static str {
    let file = FILES.iter().find(|file| file.path == path);
    file.and_then(|file| std::str::from_utf8(file.bytes).ok()).unwrap_or_default()
}
