//! Names of images: `node:22-slim` is `docker.io/library/node:22-slim`.

use windlass_model::Digest;

/// The registry of names without one, and where it answers.
const DEFAULT_REGISTRY: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A parsed image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io`, `localhost:5000`
    pub registry: String,
    /// `library/node`
    pub repository: String,
    /// Tag, `latest` if neither a tag nor a digest was given.
    pub tag: Option<String>,
    /// Digest, which wins over the tag.
    pub digest: Option<Digest>,
}

/// Why a reference cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an image reference: {why}")]
pub struct InvalidReference {
    /// What was given.
    pub given: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl Reference {
    /// Where the registry answers.
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY.0 { DEFAULT_REGISTRY.1 } else { &self.registry }
    }

    /// Whether it is spoken to without TLS: only on this machine itself.
    pub fn is_plain_http(&self) -> bool {
        let host = self.registry.rsplit_once(':').map_or(self.registry.as_str(), |(host, _)| host);
        host == "localhost" || host == "127.0.0.1" || host == "[::1]"
    }

    /// Tag or digest, as the registry's API wants it.
    pub fn selector(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Reference {
    type Err = InvalidReference;
    fn from_str(given: &str) -> Result<Self, InvalidReference> {
        let bad = |why| InvalidReference { given: given.to_owned(), why };
        let (name, digest) = match given.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| bad("the digest is not a sha256"))?;
                (name, Some(digest))
            }
            None => (given, None),
        };
        let after_slash = name.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match name[after_slash..].find(':') {
            Some(at) => (&name[..after_slash + at], Some(&name[after_slash + at + 1..])),
            None => (name, None),
        };
        let is_registry = |part: &str| {
            !part.starts_with('.') && (part.contains(['.', ':']) || part == "localhost")
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY.0, name.to_owned()),
            None => (DEFAULT_REGISTRY.0, format!("library/{name}")),
        };
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        if path.split('/').any(|p| p.is_empty() || p == "..") || !path.chars().all(word) {
            return Err(bad("the name uses lower-case letters, digits, '.', '_', '-' and '/'"));
        }
        let tag_char = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if tag.is_some_and(|t| t.is_empty() || t.len() > 128 || !t.chars().all(tag_char)) {
            return Err(bad("the tag uses letters, digits, '.', '_' and '-', 128 at most"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository: path, tag, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed() {
        let hex = "a".repeat(64);
        for (given, full) in [
            ("node", "docker.io/library/node:latest".to_owned()),
            ("node:22-slim", "docker.io/library/node:22-slim".to_owned()),
            ("me/app", "docker.io/me/app:latest".to_owned()),
            ("ghcr.io/me/app:1", "ghcr.io/me/app:1".to_owned()),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest".to_owned()),
            (&format!("node@sha256:{hex}"), format!("docker.io/library/node@sha256:{hex}")),
        ] {
            assert_eq!(given.parse::<Reference>().unwrap().to_string(), full);
        }
        for bad in ["", "Node", "a//b", "a:b c", "../x", "node@sha256:1"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let plain = |text: &str| text.parse::<Reference>().unwrap().is_plain_http();
        assert!(plain("localhost:5000/a") && plain("127.0.0.1:5000/a"));
        assert!(!plain("docker.io/a") && !plain("localhost.example.org/a"));
    }
}
