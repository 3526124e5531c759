//! Mirrors: other places that have the images of a registry.

use std::str::FromStr;

use windlass_model::Failure;

/// A mirror of a registry. It is asked first; what it does not have, or gives wrong, the registry is asked
/// for. It is never pushed to and never shown the registry's login, only one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// `docker.io`
    pub registry: String,
    /// `https://mirror.example.org`, without a path.
    pub base: String,
}

impl Mirror {
    /// Host and port of the mirror: the registry that a login for it names.
    pub fn host(&self) -> &str {
        self.base.split_once("://").map_or(self.base.as_str(), |(_, host)| host)
    }
}

impl FromStr for Mirror {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self, Failure> {
        let refused = |why: &str| {
            Failure::app(
                "registry.invalid-mirror",
                format!("{text:?} names no mirror of a registry"),
                why,
                "windlass serve --registry-mirror docker.io=https://mirror.example.org",
            )
        };
        let Some((registry, base)) = text.split_once('=') else {
            return Err(refused("it has the form REGISTRY=ADDRESS"));
        };
        let host_char = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let is_host = |host: &str| !host.is_empty() && host.chars().all(host_char);
        let base = base.trim_end_matches('/');
        let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        if !is_host(registry) || !host.is_some_and(is_host) {
            return Err(refused(
                "the registry is a host name, and the address begins with https:// or http:// and has \
                 no path",
            ));
        }
        Ok(Self { registry: registry.to_owned(), base: base.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_read_and_nonsense_refused() {
        let mirror: Mirror = "docker.io=https://mirror.example:5000/".parse().unwrap();
        assert_eq!((mirror.registry.as_str(), mirror.host()), ("docker.io", "mirror.example:5000"));
        for bad in
            ["docker.io", "=https://a", "docker.io=a", "docker.io=https://a/b", "a b=http://c"]
        {
            assert_eq!(bad.parse::<Mirror>().unwrap_err().code, "registry.invalid-mirror", "{bad}");
        }
    }
}
