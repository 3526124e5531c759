//! Fetching from local repositories with the real `git`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{World, files_below};
use crate::source::{Tree, read_settings, workspace_dir};

/// A repository with a working tree to commit in.
pub(super) struct Repo {
    pub(super) dir: tempfile::TempDir,
}

impl Repo {
    pub(super) fn new() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// With two commits on `main`, a tag on the first and a branch.
    pub(super) fn with_history() -> (Self, String, String) {
        let repo = Self::new();
        let first = repo.commit("first", &[("index.html", "one"), ("sub/a.txt", "a")]);
        repo.git(&["tag", "-a", "-m", "release", "v1"]);
        let second = repo.commit("second", &[("index.html", "two")]);
        repo.git(&["branch", "feature/x"]);
        (repo, first, second)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        let out = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(args)
            .current_dir(self.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn index(workspace: &Path) -> String {
    std::fs::read_to_string(workspace.join("index.html")).unwrap()
}

#[tokio::test]
async fn the_default_branch_becomes_a_workspace_without_git() {
    let (repo, _, second) = Repo::with_history();
    let world = World::new();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!(got.dir, workspace_dir(&world.data(), &world.deployment));
    assert_eq!(files_below(&got.dir), ["index.html", "sub/a.txt"]);
    assert_eq!(index(&got.dir), "two");
    assert_eq!(got.fetched.commit.as_deref(), Some(second.as_str()));
    assert_eq!(got.fetched.subject.as_deref(), Some("second"));
    assert_eq!(got.fetched.author.as_deref(), Some("Ada"));
    assert_eq!((got.fetched.files, got.fetched.bytes), (2, 4));
    let tree = Tree::read(&got.tree_file).unwrap();
    assert_eq!(tree.entries["index.html"].mode, "100644");
    assert_eq!(tree.entries["index.html"].oid, repo.git(&["rev-parse", "HEAD:index.html"]));
    let names: Vec<String> = files_below(got.dir.parent().unwrap());
    assert_eq!(names, ["source/index.html", "source/sub/a.txt", "tree.json"]);
}

#[tokio::test]
async fn branches_tags_and_commits_are_found() {
    let (repo, first, second) = Repo::with_history();
    let world = World::new();
    for (reference, commit) in [
        ("main", &second),
        ("feature/x", &second),
        ("v1", &first),
        ("refs/heads/main", &second),
        (first.as_str(), &first),
        (&first[..9], &first),
        (second.as_str(), &second),
    ] {
        let got = world.fetch_git(&repo.url(), Some(reference)).await;
        let got = got.unwrap_or_else(|failure| panic!("{reference}: {failure:?}"));
        assert_eq!(got.fetched.commit.as_ref(), Some(commit), "{reference}");
    }
}

#[tokio::test]
async fn one_commit_is_fetched_and_not_the_history() {
    let (repo, _, second) = Repo::with_history();
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    let project = world.data().join("cache/git/shop");
    let cache: PathBuf = std::fs::read_dir(project).unwrap().next().unwrap().unwrap().path();
    let out =
        Command::new("git").args(["rev-list", &second]).env("GIT_DIR", cache).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap().trim(), second);
}

#[tokio::test]
async fn the_same_tree_has_the_same_digest_whatever_the_commit() {
    let (repo, ..) = Repo::with_history();
    let world = World::new();
    let before = world.fetch_git(&repo.url(), None).await.unwrap();
    repo.git(&["commit", "--quiet", "--allow-empty", "-m", "nothing"]);
    let after = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_ne!(before.fetched.commit, after.fetched.commit);
    assert_eq!(before.fetched.tree, after.fetched.tree);
}

#[tokio::test]
async fn a_wrong_repository_and_a_wrong_reference_have_their_own_codes() {
    let (repo, ..) = Repo::with_history();
    let world = World::new();
    let failure = world.fetch_git("file:///no/such/repository.git", None).await.unwrap_err();
    assert_eq!(failure.code, "source.repository-not-found", "{failure:?}");
    world.assert_nothing_left();
    let failure = world.fetch_git(&repo.url(), Some("featur")).await.unwrap_err();
    assert_eq!(failure.code, "source.reference-not-found", "{failure:?}");
    assert!(failure.fix.contains("feature/x"), "{}", failure.fix);
    for missing in ["0123456789abcdef0123456789abcdef01234567", "abcd1234"] {
        let failure = world.fetch_git(&repo.url(), Some(missing)).await.unwrap_err();
        assert_eq!(failure.code, "source.reference-not-found", "{failure:?}");
    }
    world.assert_nothing_left();
    let empty = Repo::new();
    let failure = world.fetch_git(&empty.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.reference-not-found");
    assert!(failure.why.contains("empty"));
}

#[tokio::test]
async fn an_unreachable_host_says_so() {
    // Bound and dropped: nobody listens on that port now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = World::new();
    let url = format!("http://127.0.0.1:{port}/shop.git");
    let failure = world.fetch_git(&url, None).await.unwrap_err();
    assert_eq!(failure.code, "source.unreachable", "{failure:?}");
}

#[tokio::test]
async fn limits_on_files_and_bytes_hold() {
    let (repo, ..) = Repo::with_history();
    let mut world = World::new();
    world.limits.source_files_max = 1;
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.too-large");
    world.limits.source_files_max = 10;
    world.limits.source_bytes_max = 3;
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.too-large");
    world.assert_nothing_left();
}

#[tokio::test]
async fn a_cancelled_fetch_leaves_nothing() {
    let (repo, ..) = Repo::with_history();
    let world = World::new();
    world.cancel.cancel();
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.cancelled");
    world.assert_nothing_left();
}

#[tokio::test]
async fn cancelling_kills_git_and_what_it_started() {
    // A server that accepts and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("git://127.0.0.1:{}/shop.git", listener.local_addr().unwrap().port());
    let world = World::new();
    let cancel = world.cancel.clone();
    let accepted = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0_u8; 4];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut buffer).await.unwrap();
        cancel.cancel();
        // Ends only when git is gone and its socket closed with it.
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    };
    let both = async { tokio::join!(world.fetch_git(&url, None), accepted) };
    let deadline = std::time::Duration::from_secs(20);
    let (got, ()) = tokio::time::timeout(deadline, both).await.unwrap();
    assert_eq!(got.unwrap_err().code, "source.cancelled");
    world.assert_nothing_left();
}

/// Where the only repository that was fetched is kept.
fn cache_of(world: &World) -> PathBuf {
    let project = world.data().join("cache/git/shop");
    std::fs::read_dir(project).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_damaged_cache_is_made_anew() {
    let (repo, _, second) = Repo::with_history();
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    let cache = cache_of(&world);
    for pack in std::fs::read_dir(cache.join("objects/pack")).unwrap().flatten() {
        std::fs::remove_file(pack.path()).unwrap();
    }
    std::fs::write(cache.join("shallow.lock"), "").unwrap();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!(got.fetched.commit, Some(second));
}

#[tokio::test]
async fn a_commit_that_was_fetched_before_is_not_fetched_again() {
    let (repo, _, second) = Repo::with_history();
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    let cache = cache_of(&world);
    let fetched = || std::fs::metadata(cache.join("FETCH_HEAD")).unwrap().modified().unwrap();
    let before = fetched();
    let again = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!((again.fetched.commit, fetched()), (Some(second), before));
    let third = repo.commit("third", &[("index.html", "three")]);
    let newer = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!(newer.fetched.commit, Some(third));
    assert!(fetched() > before);
}

#[tokio::test]
async fn a_cache_that_lost_a_file_of_its_commit_is_made_anew() {
    let (repo, _, second) = Repo::with_history();
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    let cache = cache_of(&world);
    let packs = cache.join("objects/pack");
    let pack = std::fs::read_dir(&packs).unwrap().flatten().map(|entry| entry.path());
    let pack = pack.into_iter().find(|path| path.extension().is_some_and(|x| x == "pack")).unwrap();
    // Its objects one by one, without the content of one file.
    let aside = world.data().join("aside.pack");
    std::fs::rename(&pack, &aside).unwrap();
    for entry in std::fs::read_dir(&packs).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
    let unpacked = Command::new("git")
        .args(["-C", cache.to_str().unwrap(), "unpack-objects", "-q"])
        .stdin(std::fs::File::open(&aside).unwrap())
        .status();
    assert!(unpacked.unwrap().success());
    std::fs::remove_file(&aside).unwrap();
    let blob = repo.git(&["rev-parse", "HEAD:index.html"]);
    let (folder, file) = blob.trim().split_at(2);
    std::fs::remove_file(cache.join("objects").join(folder).join(file)).unwrap();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!((got.fetched.commit.as_deref(), index(&got.dir).as_str()), (Some(&*second), "two"));
}

/// The packs of a cache, with their sizes.
fn packs_of(world: &World) -> BTreeMap<PathBuf, u64> {
    let entries = std::fs::read_dir(cache_of(world).join("objects/pack")).unwrap().flatten();
    let packs = entries.map(|entry| (entry.path(), entry.metadata().unwrap().len()));
    packs.filter(|(path, _)| path.extension().is_some_and(|it| it == "pack")).collect()
}

#[tokio::test]
async fn of_a_newer_commit_only_what_is_new_is_fetched_and_a_cache_without_the_rest_is_made_anew() {
    let repo = Repo::new();
    let noise = |seed: u32| {
        let one = |n: u32| (n ^ seed).wrapping_mul(2_654_435_761).to_string();
        (0..20_000_u32).map(one).collect::<String>()
    };
    repo.commit("first", &[("large", &noise(1)), ("index.html", "one")]);
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    let first = packs_of(&world);
    for (text, is_whole) in [("two", true), ("three", false)] {
        let commit = repo.commit(text, &[("index.html", text)]);
        if !is_whole {
            // The newer pack alone: the commit that was fetched last is there, and a file of it is not.
            for pack in first.keys() {
                std::fs::remove_file(pack).unwrap();
                std::fs::remove_file(pack.with_extension("idx")).unwrap();
            }
        }
        let got = world.fetch_git(&repo.url(), None).await.unwrap();
        assert_eq!((got.fetched.commit, index(&got.dir)), (Some(commit), text.to_owned()));
        assert_eq!(std::fs::read_to_string(got.dir.join("large")).unwrap(), noise(1));
        let packs = packs_of(&world);
        let newer: u64 =
            packs.iter().filter(|(path, _)| !first.contains_key(*path)).map(|it| it.1).sum();
        let whole = first.values().sum::<u64>() / 2;
        assert_eq!(newer < whole, is_whole, "{packs:?} after {first:?}");
    }
}

#[tokio::test]
async fn what_a_damaged_cache_had_written_is_not_in_the_workspace() {
    let repo = Repo::new();
    let long: String = (0..4000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    let first = repo.commit("first", &[("a-gone.txt", "a"), ("index.html", "two"), ("z", &long)]);
    std::fs::remove_file(repo.path().join("a-gone.txt")).unwrap();
    let second = repo.commit("second", &[]);
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    // A cache that takes one commit for another, and can read the last of its files by half.
    let cache = cache_of(&world);
    let objects = cache.join("objects");
    std::fs::remove_dir_all(&objects).unwrap();
    let own = repo.path().join(".git/objects");
    let copied = Command::new("cp").arg("-r").args([&own, &objects]).status();
    assert!(copied.unwrap().success());
    std::fs::create_dir_all(cache.join("refs/replace")).unwrap();
    std::fs::write(cache.join("refs/replace").join(&second), format!("{first}\n")).unwrap();
    let blob = repo.git(&["rev-parse", "HEAD:z"]);
    let (folder, file) = blob.split_at(2);
    let blob = objects.join(folder).join(file);
    let bytes = std::fs::read(&blob).unwrap();
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, &bytes[..bytes.len() / 2]).unwrap();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert!(world.step_log().contains("is damaged"), "{}", world.step_log());
    assert_eq!(got.fetched.commit, Some(second));
    assert_eq!(files_below(&got.dir), ["index.html", "z"]);
}

#[tokio::test]
async fn hooks_and_settings_of_the_machine_have_no_effect() {
    let (repo, ..) = Repo::with_history();
    let hook = repo.path().join(".git/hooks/post-checkout");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let proof = repo.path().join("hook-ran");
    std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", proof.display())).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    repo.commit("attributes", &[(".gitattributes", "*.html filter=evil\n")]);
    repo.git(&["config", "filter.evil.smudge", "false"]);
    let world = World::new();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!(index(&got.dir), "two");
    assert!(!proof.exists());
}

#[tokio::test]
async fn lfs_pointers_are_refused_by_name_unless_the_settings_want_them() {
    let repo = Repo::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
                   oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n\
                   size 12345\n";
    repo.commit("pointer", &[("model.bin", pointer)]);
    let world = World::new();
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.lfs-missing");
    assert!(failure.what.contains("model.bin") && failure.fix.contains("lfs = false"));
    world.assert_nothing_left();
    repo.commit("settings", &[("windlass.toml", "[build]\nlfs = false\n")]);
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!(got.warnings[0].code, "source.lfs-pointers");
    assert!(got.warnings[0].message.contains("model.bin"));
}

/// A repository with a submodule, which has one itself; addresses are relative.
fn nested() -> (tempfile::TempDir, String) {
    let parent = tempfile::tempdir().unwrap();
    let git = |dir: &str, args: &[&str]| {
        let out = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(parent.path().join(dir))
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    for (name, sub) in [("inner", None), ("lib", Some("inner")), ("shop", Some("lib"))] {
        std::fs::create_dir(parent.path().join(name)).unwrap();
        git(name, &["init", "--quiet", "--initial-branch=main"]);
        std::fs::write(parent.path().join(name).join("name.txt"), name).unwrap();
        git(name, &["add", "--all"]);
        git(name, &["commit", "--quiet", "-m", "first"]);
        if let Some(sub) = sub {
            let from = format!("file://{}", parent.path().join(sub).display());
            git(name, &["submodule", "--quiet", "add", &from, "vendor"]);
            git(
                name,
                &["config", "--file", ".gitmodules", "submodule.vendor.url", &format!("../{sub}")],
            );
            git(name, &["add", "--all"]);
            git(name, &["commit", "--quiet", "-m", "submodule"]);
        }
    }
    let url = format!("file://{}", parent.path().join("shop").display());
    (parent, url)
}

#[tokio::test]
async fn submodules_are_fetched_at_their_commits_with_relative_addresses() {
    let (parent, url) = nested();
    // What comes after the commit that the parent names is not taken.
    std::fs::write(parent.path().join("lib/name.txt"), "newer").unwrap();
    let repo = parent.path().join("lib");
    let commit = ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "newer"];
    assert!(Command::new("git").args(commit).current_dir(repo).status().unwrap().success());
    let world = World::new();
    let got = world.fetch_git(&url, None).await.unwrap();
    let read = |path: &str| std::fs::read_to_string(got.dir.join(path)).unwrap();
    assert_eq!(read("name.txt"), "shop");
    assert_eq!(read("vendor/name.txt"), "lib");
    assert_eq!(read("vendor/vendor/name.txt"), "inner");
    let tree = Tree::read(&got.tree_file).unwrap();
    assert!(tree.entries.contains_key("vendor/vendor/name.txt"), "{tree:?}");
    assert_eq!(got.fetched.files, tree.entries.len() as u64);
}

#[tokio::test]
async fn a_submodule_that_cannot_be_had_is_named() {
    let repo = Repo::new();
    let commit = repo.commit("first", &[("a", "1")]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},vendor/lib")]);
    repo.git(&["commit", "--quiet", "-m", "without .gitmodules"]);
    let world = World::new();
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.submodule-refused", "{failure:?}");
    assert!(failure.what.contains("vendor/lib"));
    let modules = "[submodule \"x\"]\n\tpath = vendor/lib\n\turl = ext::sh -c id\n";
    std::fs::write(repo.path().join(".gitmodules"), modules).unwrap();
    repo.git(&["add", ".gitmodules"]);
    repo.git(&["commit", "--quiet", "-m", "evil"]);
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.submodule-refused", "{failure:?}");
    let modules = "[submodule \"x\"]\n\tpath = vendor/lib\n\turl = file:///no/such\n";
    std::fs::write(repo.path().join(".gitmodules"), modules).unwrap();
    repo.git(&["add", ".gitmodules"]);
    repo.git(&["commit", "--quiet", "-m", "gone"]);
    let failure = world.fetch_git(&repo.url(), None).await.unwrap_err();
    assert_eq!(failure.code, "source.repository-not-found", "{failure:?}");
    assert!(failure.what.contains("vendor/lib"), "{failure:?}");
    world.assert_nothing_left();
}

#[tokio::test]
async fn the_settings_are_read_from_the_workspace() {
    let repo = Repo::new();
    repo.commit("settings", &[("windlass.toml", "[run]\nport = 4000\n")]);
    let world = World::new();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    let production = windlass_model::EnvironmentName::production();
    assert_eq!(read_settings(&got.dir, &production).unwrap().run.port, Some(4000));
    std::fs::remove_file(got.dir.join("windlass.toml")).unwrap();
    assert_eq!(read_settings(&got.dir, &production).unwrap(), Default::default());
    std::os::unix::fs::symlink("/etc/passwd", got.dir.join("windlass.toml")).unwrap();
    assert_eq!(read_settings(&got.dir, &production).unwrap_err().code, "settings.unreadable");
}
