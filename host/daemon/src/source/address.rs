//! Which repository addresses and references are accepted. Plain functions, used where a deployment
//! is asked for and again before Git sees them.

use windlass_model::Failure;

/// The transports that Git may use, redirects included.
pub(super) const PROTOCOLS: &str = "https:http:ssh:git:file";

/// Checks a repository's address.
///
/// # Errors
/// `source.url-invalid`, or `source.url-has-credentials` (an address is shown and stored in clear).
pub fn check_url(url: &str) -> Result<(), Failure> {
    let invalid = |why: &str| {
        Err(Failure::app(
            "source.url-invalid",
            format!("{:?} is not a repository address", without_credentials(url)),
            why,
            "use https://…, ssh://…, git@host:path, git://… or file:///absolute/path",
        ))
    };
    if url.is_empty() || url.len() > 2048 {
        return invalid("it must have 1 to 2048 characters");
    }
    if url.starts_with('-') {
        return invalid("it starts with a hyphen");
    }
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return invalid("it contains white space or control characters");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return if is_scp_like(url) { Ok(()) } else { invalid("it names no transport") };
    };
    if !PROTOCOLS.split(':').any(|known| known == scheme) {
        return invalid("this transport is not allowed");
    }
    if scheme == "file" && !rest.starts_with('/') {
        return invalid("a file address needs an absolute path: file:///srv/git/shop.git");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if scheme != "file" && authority.rsplit('@').next().unwrap_or_default().is_empty() {
        return invalid("it names no host");
    }
    if scheme != "file" && authority.starts_with('-') {
        return invalid("its host starts with a hyphen");
    }
    if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        return Err(Failure::app(
            "source.url-has-credentials",
            "the repository address contains a password or token",
            "addresses are stored and shown in clear",
            "take it out of the address and pass it as the Git token (`--git-token-env`), which is \
             stored encrypted; change it at its service if it was shown anywhere",
        ));
    }
    Ok(())
}

/// Checks a branch, tag or commit by the rules of `git check-ref-format`.
///
/// # Errors
/// `source.reference-invalid`.
pub fn check_reference(reference: &str) -> Result<(), Failure> {
    let bad_char = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let fits = (1..=255).contains(&reference.len())
        && !reference.starts_with(['-', '/', '.'])
        && !reference.ends_with(['/', '.'])
        && !reference.ends_with(".lock")
        && !["..", "@{", "//", "/."].iter().any(|part| reference.contains(part))
        && reference != "@"
        && !reference.chars().any(bad_char);
    if fits {
        return Ok(());
    }
    Err(Failure::app(
        "source.reference-invalid",
        format!("{reference:?} cannot be a branch, tag or commit"),
        "Git allows no white space, no `..`, none of ~^:?*[\\ and no hyphen at its start",
        "name a branch, a tag or a commit id, for instance `main` or `v1.2.0`",
    ))
}

/// Checks a commit's full id.
///
/// # Errors
/// `source.reference-invalid`.
pub fn check_commit(id: &str) -> Result<(), Failure> {
    if matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Failure::app(
        "source.reference-invalid",
        format!("{id:?} is no commit id"),
        "a full commit id has 40 or 64 hexadecimal digits",
        "give the full id: `git rev-parse HEAD` shows it",
    ))
}

/// The host of an SSH address as `known_hosts` names it: `example.org`, `[example.org]:2222`.
pub(super) fn ssh_host(url: &str) -> Option<String> {
    let authority = match url.split_once("://") {
        Some(("ssh", rest)) => rest.split('/').next()?,
        Some(_) => return None,
        None => return url.split_once(':')?.0.rsplit('@').next().map(str::to_owned),
    };
    let host = authority.rsplit('@').next()?;
    match host.rsplit_once(':') {
        Some((name, "22")) => Some(name.to_owned()),
        Some((name, port)) if !host.ends_with(']') => Some(format!("[{name}]:{port}")),
        _ => Some(host.to_owned()),
    }
}

/// Refuses to send a token in clear over a network; this machine itself is none.
///
/// # Errors
/// `source.token-in-clear`.
pub(super) fn refuse_clear_token(url: &str) -> Result<(), Failure> {
    let Some(rest) = url.strip_prefix("http://") else { return Ok(()) };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address: Option<std::net::IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return Ok(());
    }
    Err(Failure::app(
        "source.token-in-clear",
        format!("the Git token is not sent to {url}"),
        "over http:// everyone on the way could read it",
        "use the repository's https:// address; or, if it is public, remove the token: windlass project \
         token --remove",
    ))
}

/// The project name that an address suggests: its last part without `.git`.
pub fn base_name(url: &str) -> &str {
    let path = url.trim_end_matches('/');
    let last = path.rsplit(['/', ':']).next().unwrap_or(path);
    last.strip_suffix(".git").unwrap_or(last)
}

/// An address fit to be shown: without a password, should it have one.
pub(super) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) if rest[..at].contains(':') => {
            format!("{scheme}://{}{}", windlass_model::secret::MASK, &rest[at..])
        }
        _ => url.to_owned(),
    }
}

fn is_scp_like(url: &str) -> bool {
    let Some((host, path)) = url.split_once(':') else {
        return false;
    };
    let host_char = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    !host.is_empty()
        && host.chars().all(host_char)
        && !host.split('@').any(|part| part.is_empty() || part.starts_with('-'))
        && !path.is_empty()
        && !path.starts_with([':', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_addresses_are_accepted() {
        for url in [
            "https://example.org/me/shop.git",
            "https://me@example.org/me/shop",
            "http://127.0.0.1:3000/shop.git",
            "ssh://git@example.org:2222/me/shop.git",
            "git@example.org:me/shop.git",
            "git://example.org/shop",
            "file:///srv/git/shop.git",
        ] {
            check_url(url).unwrap();
        }
    }

    #[test]
    fn what_could_run_a_command_or_means_nothing_is_refused() {
        for url in [
            "",
            "-uxterm",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "ext::id",
            "fd::3",
            "ftp://example.org/x",
            "/srv/git/shop.git",
            "file://shop.git",
            "https:///x",
            "ssh://-oProxyCommand=id/x",
            "git@-oProxyCommand=id:x",
            "https://example.org/a b",
            "https://example.org/\n",
        ] {
            let failure = check_url(url).unwrap_err();
            assert_eq!(failure.code, "source.url-invalid", "{url}");
        }
    }

    #[test]
    fn a_token_in_an_address_is_refused_and_not_repeated() {
        let failure = check_url("https://me:hunter2@example.org/x").unwrap_err();
        assert_eq!(failure.code, "source.url-has-credentials");
        let failure = check_url("ftp://me:hunter2@example.org/x").unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"));
    }

    #[test]
    fn references_follow_gits_own_rule() {
        for good in ["main", "feature/x", "v1.2.0", "refs/pull/7/head", "a1b2c3d", "HEAD"] {
            check_reference(good).unwrap();
        }
        for bad in ["", "-x", "a..b", "a b", "a:b", "x.lock", "a^", "@", "/a", "a/", "a~1", ".a"] {
            assert!(check_reference(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_goes_over_plain_http_to_this_machine_alone() {
        for url in
            ["https://h/x", "http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]:1/x"]
        {
            refuse_clear_token(url).unwrap();
        }
        for url in ["http://h/x", "http://10.0.0.1/x", "http://127.0.0.1.evil.example/x"] {
            assert_eq!(refuse_clear_token(url).unwrap_err().code, "source.token-in-clear", "{url}");
        }
    }

    #[test]
    fn the_host_of_an_ssh_address_is_named_as_ssh_does() {
        let rows = [
            ("git@h:me/shop.git", Some("h")),
            ("ssh://git@h/me/shop.git", Some("h")),
            ("ssh://git@h:22/x", Some("h")),
            ("ssh://h:2222/x", Some("[h]:2222")),
            ("https://h/x", None),
        ];
        for (url, host) in rows {
            assert_eq!(ssh_host(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn an_address_suggests_a_project() {
        assert_eq!(base_name("https://example.org/me/shop.git/"), "shop");
        assert_eq!(base_name("git@example.org:shop.git"), "shop");
    }
}
