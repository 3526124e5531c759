//! Submodules: each fetched at the commit that the parent's tree names, into the folder that it names.
//!
//! **Invariants**
//! - An address comes from strangers: it is checked like one that a person gave, and `file://` is only
//!   followed out of a repository that was itself reached by `file://`.
//! - The token and the deploy key go to the host that they were given for and to no other.
//! - All trees together keep to the limits of one source.

use std::path::Path;

use rustix::fs::{OFlags, ResolveFlags};
use windlass_containers::open_scoped;
use windlass_model::{Failure, Limits};

use super::export::{self, Exported};
use super::failures::{Asked, classify};
use super::kept::INDEX;
use super::run::{GitFailed, http_origin};
use super::{Opened, Remote};
use crate::source::address::ssh_host;
use crate::source::{Before, Credentials, Place, address, host_failed, too_large};

/// Submodules of submodules of …
const DEPTH_MAX: usize = 6;
/// Submodules of one source, over all depths.
const COUNT_MAX: usize = 200;

/// A submodule that is still to be fetched.
struct Wanted {
    /// Folder from the workspace's root.
    path: String,
    commit: String,
    url: String,
    parent_url: String,
    depth: usize,
}

/// Fetches every submodule of a tree into the place and adds their files to what was exported.
pub(super) async fn fetch(
    remote: Remote<'_>,
    opened: Opened<'_>,
    commit: &str,
    place: &Place,
    got: &mut Exported,
) -> Result<(), Failure> {
    let mut waiting = wanted(&opened, commit, "", &got.submodules, remote.url, 1).await?;
    // Two submodules of one address would wait for each other's turn.
    drop(opened);
    let mut fetched = 0;
    while let Some(next) = waiting.pop() {
        fetched += 1;
        if fetched > COUNT_MAX || next.depth > DEPTH_MAX {
            let why = format!("at most {COUNT_MAX} submodules, {DEPTH_MAX} deep, are fetched");
            return Err(failed(&next.path, &next.url, why));
        }
        waiting.extend(one(remote, &next, place, got).await?);
    }
    Ok(())
}

async fn one(
    remote: Remote<'_>,
    next: &Wanted,
    place: &Place,
    got: &mut Exported,
) -> Result<Vec<Wanted>, Failure> {
    refuse_local(next)?;
    let same_host = http_origin(&next.url).is_some_and(|o| http_origin(remote.url) == Some(o));
    let git_token = remote.credentials.git_token.clone().filter(|_| same_host);
    let to_same = ssh_host(&next.url).is_some_and(|h| ssh_host(remote.url) == Some(h));
    let deploy_key = remote.credentials.deploy_key.clone().filter(|_| to_same);
    let credentials = Credentials { git_token, deploy_key, ..Credentials::default() };
    let left = left_of(remote.limits, got)?;
    let remote = Remote {
        url: &next.url,
        credentials: &credentials,
        before: Before::default(),
        limits: &left,
        ..remote
    };
    remote.say(format!("fetching the submodule {} from {}", next.path, next.url));
    let within = |mut failure: Failure| {
        failure.what = format!("the submodule {}: {}", next.path, failure.what);
        failure
    };
    let opened = remote.open().await.map_err(within)?;
    let commit = opened.commit(Some(&next.commit)).await.map_err(within)?;
    let folder = plain_folder(&place.partial(), &next.path)?;
    let index = place.scratch(INDEX);
    let part = export::tree(&opened.git, &commit, &folder, &index, &left).await.map_err(within)?;
    got.files += part.files;
    got.bytes += part.bytes;
    let inside = |path: &str| format!("{}/{path}", next.path);
    got.pointers.extend(part.pointers.iter().map(|path| inside(path)));
    got.entries.extend(part.entries.into_iter().map(|(path, entry)| (inside(&path), entry)));
    wanted(&opened, &commit, &next.path, &part.submodules, &next.url, next.depth + 1).await
}

/// What is left of the limits.
fn left_of(limits: &Limits, got: &Exported) -> Result<Limits, Failure> {
    let (files, bytes) = (limits.source_files_max, limits.source_bytes_max);
    if got.files >= files || got.bytes >= bytes {
        return Err(too_large("its submodules are not all fetched yet", "source_bytes_max"));
    }
    let mut left = limits.clone();
    left.source_files_max = files - got.files;
    left.source_bytes_max = bytes - got.bytes;
    Ok(left)
}

/// The folder of a submodule, which no symbolic link may lead to.
fn plain_folder(root: &Path, path: &str) -> Result<std::path::PathBuf, Failure> {
    let folder = root.join(path);
    let opened =
        std::fs::create_dir_all(root).and_then(|()| std::fs::File::open(root)).and_then(|root| {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            Ok(open_scoped(root, path, flags, resolve)?)
        });
    match opened {
        Ok(_) => Ok(folder),
        Err(error) => Err(host_failed("open a submodule's folder", &error)),
    }
}

/// The submodules of a tree with the addresses that `.gitmodules` gives them.
async fn wanted(
    opened: &Opened<'_>,
    commit: &str,
    prefix: &str,
    submodules: &[(String, String)],
    parent_url: &str,
    depth: usize,
) -> Result<Vec<Wanted>, Failure> {
    if submodules.is_empty() {
        return Ok(Vec::new());
    }
    let blob = format!("{commit}:.gitmodules");
    let args =
        ["config", "--blob", &blob, "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"];
    let listed = match opened.git.quiet(&args).await {
        Ok(listed) => listed,
        Err(GitFailed::Exited { .. }) => Vec::new(),
        Err(other) => return Err(classify(other, &Asked::nothing())),
    };
    let known = parse(&String::from_utf8_lossy(&listed));
    submodules
        .iter()
        .map(|(path, commit)| {
            let shown = if prefix.is_empty() { path.clone() } else { format!("{prefix}/{path}") };
            let found = known.iter().find(|(known, _)| known == path);
            let Some((_, url)) = found else {
                let why = ".gitmodules does not say where it comes from".to_owned();
                return Err(failed(&shown, "", why));
            };
            let url = resolve(parent_url, url)
                .ok_or_else(|| failed(&shown, url, "its relative address leads nowhere".into()))?;
            address::check_url(&url).map_err(|failure| failed(&shown, &url, failure.why))?;
            let (commit, parent_url) = (commit.clone(), parent_url.to_owned());
            Ok(Wanted { path: shown, commit, url, parent_url, depth })
        })
        .collect()
}

/// `submodule.<name>.path\n<path>\0submodule.<name>.url\n<url>\0`, in any order: path and address.
fn parse(listed: &str) -> Vec<(String, String)> {
    let (mut paths, mut urls) = (Vec::new(), Vec::new());
    for record in listed.split('\0') {
        let Some((key, value)) = record.split_once('\n') else { continue };
        if let Some(name) = key.strip_suffix(".path") {
            paths.push((name.to_owned(), value.trim_end_matches('/').to_owned()));
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.push((name.to_owned(), value.to_owned()));
        }
    }
    let url = |name: &str| urls.iter().find(|(known, _)| known == name).map(|(_, url)| url.clone());
    paths.into_iter().filter_map(|(name, path)| Some((path, url(&name)?))).collect()
}

/// A relative address (`../lib.git`) is meant from the parent's, as Git has it.
fn resolve(parent: &str, url: &str) -> Option<String> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return Some(url.to_owned());
    }
    let (mut base, mut rest) = (parent.trim_end_matches('/').to_owned(), url);
    loop {
        if let Some(after) = rest.strip_prefix("../") {
            let cut = base.rfind(['/', ':'])?;
            // Not into `https://`, nor past the host.
            if base[..cut].ends_with('/') || base[..cut].ends_with(':') {
                return None;
            }
            let colon = base[cut..].starts_with(':');
            base.truncate(if colon { cut + 1 } else { cut });
            rest = after;
        } else if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else {
            let glue = if base.ends_with(':') { "" } else { "/" };
            return Some(format!("{base}{glue}{rest}"));
        }
    }
}

fn refuse_local(next: &Wanted) -> Result<(), Failure> {
    if next.url.starts_with("file:") && !next.parent_url.starts_with("file:") {
        let why = "a repository from elsewhere may not name folders of this machine".to_owned();
        return Err(failed(&next.path, &next.url, why));
    }
    Ok(())
}

fn failed(path: &str, url: &str, why: String) -> Failure {
    let from = if url.is_empty() { String::new() } else { format!(" from {url}") };
    Failure::app(
        "source.submodule-refused",
        format!("the submodule {path} cannot be fetched{from}"),
        why,
        "correct its address in .gitmodules (`git submodule set-url`), commit and push",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses_are_meant_from_the_parents() {
        let rows = [
            ("https://h/me/shop.git", "../lib.git", Some("https://h/me/lib.git")),
            ("https://h/me/shop.git", "../../you/lib", Some("https://h/you/lib")),
            ("https://h/me/shop.git", "./sub", Some("https://h/me/shop.git/sub")),
            ("https://h/shop", "../../../x", None),
            ("git@h:me/shop.git", "../lib.git", Some("git@h:me/lib.git")),
            ("git@h:shop.git", "../lib.git", Some("git@h:lib.git")),
            ("file:///srv/a/shop", "../lib", Some("file:///srv/a/lib")),
            ("https://h/x", "https://other/lib", Some("https://other/lib")),
        ];
        for (parent, url, expected) in rows {
            assert_eq!(resolve(parent, url).as_deref(), expected, "{parent} {url}");
        }
    }

    #[test]
    fn paths_and_addresses_are_matched_by_name() {
        let listed =
            "submodule.a.b.path\nvendor/a\0submodule.a.b.url\n../a\0submodule.c.url\n../c\0";
        assert_eq!(parse(listed), [("vendor/a".to_owned(), "../a".to_owned())]);
    }
}
