//! The path filter, against real repositories.

use windlass_model::{EnvironmentName, Failure};

use super::World;
use super::git::Repo;
use crate::source::Credentials;
use crate::source::changes::{Affected, ChangeRequest, PathFilter, affected};

impl World {
    async fn affected(&self, repo: &Repo, old: &str, new: &str) -> Result<Affected, Failure> {
        let request = ChangeRequest {
            url: &repo.url(),
            credentials: &Credentials::default(),
            data_dir: &self.data(),
            project: &self.project,
            environment: &EnvironmentName::production(),
            limits: &self.limits,
            old,
            new,
        };
        affected(request, &self.cancel).await
    }
}

const SETTINGS: &str = "[deploy]\npaths = [\"apps/web/**\", \"!apps/web/docs\"]\n";

fn monorepo() -> (Repo, String) {
    let repo = Repo::new();
    let files = [
        ("windlass.toml", SETTINGS),
        ("apps/web/page.js", "one"),
        ("apps/web/docs/a.md", "doc"),
        ("apps/api/main.py", "one"),
    ];
    let first = repo.commit("first", &files);
    (repo, first)
}

/// Filter, changes, and whether they concern it.
type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], bool);

#[tokio::test]
async fn added_modified_and_removed_files_of_the_filter_count_and_others_do_not() {
    let (repo, mut last) = monorepo();
    let world = World::new();
    let rows: [Row<'_>; 7] = [
        (&[], &[("apps/api/main.py", "two")], false),
        (&[], &[("apps/web/new.js", "added")], true),
        (&[], &[("apps/web/page.js", "modified")], true),
        (&["rm", "--quiet", "apps/web/new.js"], &[], true),
        (&["mv", "apps/web/page.js", "apps/api/page.js"], &[], true),
        (&[], &[("apps/web/docs/a.md", "changed")], false),
        (&[], &[("windlass.toml", "[deploy]\npaths = [\"apps/api\"]\n")], true),
    ];
    for (n, (git, files, expected)) in rows.into_iter().enumerate() {
        if !git.is_empty() {
            repo.git(git);
        }
        let next = repo.commit(&format!("change {n}"), files);
        let seen = world.affected(&repo, &last, &next).await.unwrap();
        assert_eq!(seen.affected, expected, "change {n}: {}", seen.reason);
        last = next;
    }
}

#[tokio::test]
async fn without_a_filter_or_an_old_commit_every_push_counts() {
    let repo = Repo::new();
    let first = repo.commit("first", &[("a", "1")]);
    let second = repo.commit("second", &[("b", "1")]);
    let world = World::new();
    assert!(world.affected(&repo, &first, &second).await.unwrap().affected);
    assert!(!world.affected(&repo, &second, &second).await.unwrap().affected);
    let third = repo.commit("third", &[("windlass.toml", SETTINGS)]);
    let gone = "0123456789abcdef0123456789abcdef01234567";
    let seen = world.affected(&repo, gone, &third).await.unwrap();
    assert!(seen.affected && seen.reason.contains("not in the repository"), "{seen:?}");
    let failure = world.affected(&repo, &third, gone).await.unwrap_err();
    assert_eq!(failure.code, "source.reference-not-found");
    let failure = world.affected(&repo, "main", &third).await.unwrap_err();
    assert_eq!(failure.code, "source.reference-invalid");
}

#[test]
fn a_filter_is_globs_from_the_root() {
    let filter = |globs: &[&str]| {
        PathFilter::new(&globs.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>())
    };
    let web = filter(&["apps/web", "*.lock"]).unwrap();
    for path in ["apps/web/a/b.js", "apps/web", "yarn.lock", "windlass.toml"] {
        assert!(web.matches(path), "{path}");
    }
    for path in ["apps/website/a.js", "apps/api/yarn.lock", "README.md"] {
        assert!(!web.matches(path), "{path}");
    }
    let but_docs = filter(&["!docs/**"]).unwrap();
    assert!(but_docs.matches("src/a") && !but_docs.matches("docs/a"));
    assert_eq!(filter(&["a[", "b"]).unwrap_err().code, "source.path-filter-invalid");
}
