//! What of a large repository is kept from one deployment to the next.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use windlass_model::DeploymentId;

use super::git::Repo;
use super::{World, files_below};
use crate::source::{FetchedWorkspace, Tree, gone, kept, release, remove_tree};

/// Enough that it is kept, also with two folders of a hundred less.
const FILES: usize = 900;
/// One that no commit of these tests changes.
const UNCHANGED: &str = "d1/f101.txt";

fn large() -> Repo {
    let repo = Repo::new();
    let files: Vec<(String, String)> =
        (0..FILES).map(|n| (format!("d{}/f{n}.txt", n / 100), format!("{n}\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    repo.commit("first", &files);
    repo
}

/// Does something to a kept checkout, or to its repository.
type Spoil<'a> = &'a dyn Fn(&Path, &Repo);

/// Every file by its path: its mode and what it holds.
fn contents(dir: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let read = |path: String| {
        let file = dir.join(&path);
        let meta = file.symlink_metadata().unwrap();
        let held = match meta.is_symlink() {
            true => std::fs::read_link(&file).unwrap().into_os_string().into_encoded_bytes(),
            false => std::fs::read(&file).unwrap(),
        };
        (path, (meta.mode(), held))
    };
    files_below(dir).into_iter().map(read).collect()
}

/// What tells a file from another one of its name, and from itself after it was written to.
fn identity(dir: &Path) -> (u64, i64, i64) {
    let meta = dir.join(UNCHANGED).metadata().unwrap();
    (meta.ino(), meta.ctime(), meta.ctime_nsec())
}

/// Ends the deployment of a world; the next one is another.
fn end(world: &mut World) {
    if let Some(aside) = release(&world.data(), &world.deployment).unwrap() {
        remove_tree(&aside).unwrap();
    }
    world.assert_nothing_left();
    world.deployment = DeploymentId::generate();
}

fn kept_one(world: &World) -> PathBuf {
    let mut all = kept::all(&world.data());
    assert_eq!(all.len(), 1);
    all.remove(0).0
}

/// A fetch where nothing is kept, for comparison.
async fn anew(repo: &Repo) -> (World, FetchedWorkspace) {
    let world = World::new();
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    (world, got)
}

#[tokio::test]
async fn of_a_large_repository_only_what_differs_is_written_for_the_next_deployment() {
    let repo = large();
    let mut world = World::new();
    let first = identity(&world.fetch_git(&repo.url(), None).await.unwrap().dir);
    end(&mut world);

    let at = |path: &str| repo.path().join(path);
    std::fs::remove_dir_all(at("d2")).unwrap();
    std::fs::remove_dir_all(at("d3")).unwrap();
    std::fs::set_permissions(at("d0/f1.txt"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::remove_file(at("d0/f2.txt")).unwrap();
    symlink("f1.txt", at("d0/f2.txt")).unwrap();
    repo.commit("second", &[("d0/f3.txt", "3!\n"), ("d2", "a file now"), ("new/a/b", "b")]);
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    let (_fresh, expected) = anew(&repo).await;
    assert_eq!(contents(&got.dir), contents(&expected.dir));
    assert_eq!(Tree::read(&got.tree_file).unwrap(), Tree::read(&expected.tree_file).unwrap(),);
    assert_eq!(got.fetched, expected.fetched);
    assert_eq!(identity(&got.dir), first);

    // Back again, over a third deployment.
    end(&mut world);
    repo.git(&["revert", "--no-edit", "HEAD"]);
    let got = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_eq!(contents(&got.dir), contents(&anew(&repo).await.1.dir));
    assert_eq!(identity(&got.dir), first);
}

#[tokio::test]
async fn a_checkout_that_is_in_doubt_is_thrown_away() {
    let write = |path: PathBuf, text: &str| std::fs::write(path, text).unwrap();
    let spoils: [(&str, Spoil<'_>); 9] = [
        ("a file was written to", &|kept, _| write(kept.join("source/d2/f200.txt"), "002\n")),
        ("a file is there", &|kept, _| write(kept.join("source/d2/more"), "")),
        ("a folder is there", &|kept, _| std::fs::create_dir(kept.join("source/more")).unwrap()),
        ("a file is gone", &|kept, _| {
            std::fs::remove_file(kept.join("source/d2/f200.txt")).unwrap();
        }),
        ("a folder has another mode", &|kept, _| {
            let mode = PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(kept.join("source/d2"), mode).unwrap();
        }),
        ("the index is damaged", &|kept, _| write(kept.join("index"), "DIRC")),
        ("the note is gone", &|kept, _| {
            std::fs::remove_file(kept.join("checkout.json")).unwrap();
        }),
        ("the machine was started since", &|kept, _| {
            let note = kept.join("checkout.json");
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            let text = std::fs::read_to_string(&note).unwrap();
            assert!(text.contains(boot.trim()), "{text}");
            write(note, &text.replace(boot.trim(), "another"));
        }),
        ("files are to look otherwise", &|_, repo| {
            repo.commit("attributes", &[(".gitattributes", "*.txt text eol=crlf\n")]);
        }),
    ];
    for (what, spoil) in spoils {
        let repo = large();
        let mut world = World::new();
        let first = identity(&world.fetch_git(&repo.url(), None).await.unwrap().dir);
        end(&mut world);
        spoil(&kept_one(&world), &repo);
        repo.commit("second", &[("d0/f3.txt", "3!\n")]);
        let got = world.fetch_git(&repo.url(), None).await.unwrap();
        let (_fresh, expected) = anew(&repo).await;
        assert_eq!(contents(&got.dir), contents(&expected.dir), "{what}");
        assert_ne!(identity(&got.dir), first, "{what}");
        assert!(kept::all(&world.data()).is_empty(), "{what}");
        end(&mut world);
        kept_one(&world);
    }
}

#[tokio::test]
async fn no_two_deployments_have_the_same_checkout_and_the_last_one_is_kept() {
    let repo = large();
    let mut world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    end(&mut world);
    let one = world.fetch_git(&repo.url(), None).await.unwrap();
    assert!(kept::all(&world.data()).is_empty());
    let ids = [world.deployment.clone(), DeploymentId::generate()];
    world.deployment = ids[1].clone();
    let other = world.fetch_git(&repo.url(), None).await.unwrap();
    assert_ne!(identity(&one.dir), identity(&other.dir));
    assert_eq!(contents(&one.dir), contents(&other.dir));
    let last = identity(&other.dir);
    for id in ids {
        world.deployment = id;
        end(&mut world);
    }
    assert_eq!(identity(&kept_one(&world).join("source")), last);
}

#[tokio::test]
async fn what_was_released_and_not_removed_goes_at_the_next_start() {
    let (repo, ..) = Repo::with_history();
    let world = World::new();
    world.fetch_git(&repo.url(), None).await.unwrap();
    let aside = release(&world.data(), &world.deployment).unwrap().unwrap();
    world.assert_nothing_left();
    assert!(aside.join("source/index.html").exists());
    assert_eq!(release(&world.data(), &world.deployment).unwrap(), None);
    world.fetch_git(&repo.url(), None).await.unwrap();
    let again = release(&world.data(), &world.deployment).unwrap().unwrap();
    let mut both = [aside, again];
    both.sort();
    let mut left = gone(&world.data());
    left.sort();
    assert_eq!(left, both);
    left.iter().for_each(|path| remove_tree(path).unwrap());
    assert_eq!(std::fs::read_dir(world.data().join("work")).unwrap().count(), 0);
    assert!(kept::all(&world.data()).is_empty(), "a small tree is not kept");
}
