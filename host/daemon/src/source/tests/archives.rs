//! Archives made byte by byte, one for each thing that must not happen.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use windlass_model::{Digest, Failure, Source};

use super::{World, files_below};
use crate::source::{FetchedWorkspace, Tree, uploads};

/// An archive that says exactly what a test wants it to say.
#[derive(Default)]
struct Made(Vec<u8>);

impl Made {
    fn entry(mut self, kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        self.header(kind, name, link, content.len() as u64);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn header(&mut self, kind: u8, name: &[u8], link: &[u8], size: u64) {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name);
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link);
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend(header);
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(b'0', name.as_bytes(), b"", content.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name.as_bytes(), target.as_bytes(), b"")
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut body = String::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while length.to_string().len() + rest.len() != length {
                length += 1;
            }
            body.push_str(&format!("{length}{rest}"));
        }
        self.entry(b'x', b"pax", b"", body.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn unpack(world: &World, bytes: &[u8]) -> Result<FetchedWorkspace, Failure> {
    let digest = Digest::of(bytes);
    let path = uploads::path(&world.data(), &digest);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    world.fetch(&Source::Archive { digest, name: "shop".to_owned() }, None).await
}

#[track_caller]
fn assert_refused(world: &World, name: &str, got: Result<FetchedWorkspace, Failure>, code: &str) {
    let failure = got.map(|got| files_below(&got.dir)).unwrap_err();
    assert_eq!(failure.code, code, "{name}: {failure:?}");
    assert!(!failure.why.is_empty() && !failure.fix.is_empty());
    world.assert_nothing_left();
    let outside: Vec<String> = files_below(world.dir.path())
        .into_iter()
        .filter(|file| !file.starts_with("data/uploads/") && !file.starts_with("data/logs/"))
        .collect();
    assert!(outside.is_empty(), "{name}: {outside:?}");
}

#[tokio::test]
async fn a_good_archive_becomes_a_workspace() {
    let made = Made::default()
        .pax(&[("mtime", "1.5")])
        .folder("./")
        .file("./index.html", "hello")
        .folder("sub/")
        .file("sub/deep/a.txt", "a")
        .symlink("sub/link", "../index.html")
        .symlink("dangling", "not/there")
        .hard_link("copy.html", "index.html")
        .end();
    let world = World::new();
    for bytes in [made.clone(), gzip(&made)] {
        let got = unpack(&world, &bytes).await.unwrap();
        let files = ["copy.html", "dangling", "index.html", "sub/deep/a.txt", "sub/link"];
        assert_eq!(files_below(&got.dir), files);
        assert_eq!(std::fs::read_to_string(got.dir.join("sub/link")).unwrap(), "hello");
        assert_eq!((got.fetched.files, got.fetched.bytes), (5, 11));
        assert_eq!(got.fetched.commit, None);
        let tree = Tree::read(&got.tree_file).unwrap();
        assert_eq!(tree.entries["index.html"].oid, Digest::of(b"hello").to_string());
        assert_eq!(tree.entries["sub/link"].mode, "120000");
        assert_eq!(got.fetched.tree, tree.digest());
    }
}

#[tokio::test]
async fn what_the_real_tar_packs_is_unpacked() {
    let world = World::new();
    let from = tempfile::tempdir().unwrap();
    let long = "x".repeat(150);
    for name in ["run.sh", "ümlaut.txt", &format!("{long}/{long}.txt")] {
        let path = from.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, name).unwrap();
    }
    let run = from.path().join("run.sh");
    std::fs::set_permissions(run, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for format in ["gnu", "posix"] {
        let out = std::process::Command::new("tar")
            .args(["--format", format, "-cz", "-C"])
            .arg(from.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(out.status.success());
        let got = unpack(&world, &out.stdout).await.unwrap();
        assert_eq!(files_below(&got.dir), files_below(from.path()), "{format}");
        assert_eq!(Tree::read(&got.tree_file).unwrap().entries["run.sh"].mode, "100755");
    }
}

#[tokio::test]
async fn entries_that_could_do_harm_are_refused_with_the_whole_archive() {
    let outside = "../../../../outside";
    let good = || Made::default().file("index.html", "hello");
    let long_name = |name: &str| good().entry(b'L', b"././@LongLink", b"", name.as_bytes());
    let cases = [
        ("dot dot", good().file("../evil", "x")),
        ("dot dot inside", good().file("a/../../evil", "x")),
        ("absolute", good().file("/tmp/evil-absolute", "x")),
        ("dot dot in a long name", long_name("../evil").file("harmless", "x")),
        ("dot dot in a PAX name", good().pax(&[("path", "../evil")]).file("harmless", "x")),
        ("symlink to an absolute path", good().symlink("link", "/etc/passwd")),
        ("symlink outside", good().symlink("link", outside)),
        ("symlink outside by PAX", good().pax(&[("linkpath", outside)]).symlink("link", "ok")),
        ("symlink outside through another", {
            let made = good().folder("d").folder("a/b").symlink("a/b/l", "../../d");
            made.symlink("m", "a/b/l/../..")
        }),
        ("write through a symlink", good().folder("d").symlink("l", "d").file("l/x", "x")),
        ("symlinks in a circle", good().symlink("a", "b").symlink("b", "a")),
        ("hard link outside", good().hard_link("link", outside)),
        ("hard link to an absolute path", good().hard_link("link", "/etc/passwd")),
        ("hard link to a symlink", good().symlink("s", "index.html").hard_link("link", "s")),
        ("hard link to nothing", good().hard_link("link", "not-there")),
        ("character device", good().entry(b'3', b"dev", b"", b"")),
        ("block device", good().entry(b'4', b"dev", b"", b"")),
        ("named pipe", good().entry(b'6', b"fifo", b"", b"")),
        ("sparse file", good().entry(b'S', b"sparse", b"", b"")),
        ("contiguous file", good().entry(b'7', b"contiguous", b"", b"x")),
        ("unknown type", good().entry(b'Z', b"what", b"", b"")),
        ("two files of one name", good().file("index.html", "other")),
        ("two files, one with a dot", good().file("./index.html", "other")),
        ("file over folder", good().folder("d").file("d", "x")),
        ("file used as folder", good().file("index.html/x", "x")),
        ("symlink over file", good().symlink("index.html", "other")),
        ("two names for one entry", long_name("one").pax(&[("path", "two")]).file("three", "x")),
        ("two sizes for one entry", good().pax(&[("size", "1")]).file("a", "12345")),
        ("sparse file by PAX", good().pax(&[("GNU.sparse.major", "1")]).file("a", "x")),
        ("folder with contents", good().entry(b'5', b"d", b"", b"hidden")),
        ("symlink with contents", good().entry(b'2', b"l", b"index.html", b"hidden")),
        ("name that is not UTF-8", good().entry(b'0', b"\xff\xfe", b"", b"x")),
        ("NUL in a PAX name", good().pax(&[("path", "a\0b")]).file("a", "x")),
    ];
    let world = World::new();
    for (name, made) in cases {
        let got = unpack(&world, &made.end()).await;
        assert_refused(&world, name, got, "source.archive-unsafe-entry");
    }
    assert!(!std::path::Path::new("/tmp/evil-absolute").exists());
}

#[tokio::test]
async fn an_archive_behind_the_archive_is_refused() {
    let mut bytes = Made::default().file("a", "x").end();
    bytes.extend(Made::default().file("../evil", "x").end());
    let world = World::new();
    let got = unpack(&world, &bytes).await;
    assert_refused(&world, "two archives", got, "source.archive-unsafe-entry");
}

#[tokio::test]
async fn what_is_no_archive_says_so() {
    let whole = Made::default().file("a", &"x".repeat(2000)).end();
    let packed = gzip(&whole);
    let world = World::new();
    let cases: [(&str, &[u8]); 6] = [
        ("text", b"this is not an archive at all"),
        ("zip cut short", b"PK\x03\x04rest"),
        ("cut short", &whole[..1200]),
        ("gzip cut short", &packed[..packed.len() - 10]),
        ("empty archive", &[0; 1024]),
        (
            "damaged PAX header",
            &Made::default().entry(b'x', b"p", b"", b"99 a=b\n").file("a", "x").end(),
        ),
    ];
    for (name, bytes) in cases {
        let got = unpack(&world, bytes).await;
        assert_refused(&world, name, got, "source.archive-invalid");
    }
}

#[tokio::test]
async fn limits_hold_while_unpacking() {
    let mut world = World::new();
    world.limits.source_bytes_max = 10;
    let bomb = gzip(&Made::default().file("zeros", &"\0".repeat(1 << 20)).end());
    let got = unpack(&world, &bomb).await;
    assert_refused(&world, "bomb", got, "source.too-large");
    let links = Made::default().file("a", "123456").hard_link("b", "a").end();
    let got = unpack(&world, &links).await;
    assert_refused(&world, "hard links", got, "source.too-large");
    world.limits.source_files_max = 2;
    let many = Made::default().file("a", "").file("b", "").file("c", "").end();
    let got = unpack(&world, &many).await;
    assert_refused(&world, "many", got, "source.too-large");
}

fn zip(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        match mode & 0o170_000 {
            0o120_000 => {
                let target = std::str::from_utf8(content).unwrap();
                writer.add_symlink(*name, target, options).unwrap();
            }
            _ => {
                writer.start_file(*name, options).unwrap();
                writer.write_all(content).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

#[tokio::test]
async fn zip_and_zstd_are_known_by_their_contents() {
    let tar = Made::default().file("index.html", "hi").folder("a").file("a/b.txt", "b").end();
    let zst = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let zip = zip(&[("index.html", 0o100_644, b"hi"), ("a/b.txt", 0o100_644, b"b")]);
    for bytes in [tar, zst, zip] {
        let world = World::new();
        let got = unpack(&world, &bytes).await.unwrap();
        assert_eq!(files_below(&got.dir), ["a/b.txt", "index.html"]);
        assert_eq!((got.fetched.files, got.fetched.bytes), (2, 3));
    }
}

#[tokio::test]
async fn a_hostile_zip_is_refused_and_leaves_nothing() {
    let hostile: [(&str, u32, &[u8]); 5] = [
        ("../x", 0o100_644, b"x"),
        ("/etc/x", 0o100_644, b"x"),
        ("a/../../x", 0o100_644, b"x"),
        ("link", 0o120_777, b"/etc/passwd"),
        ("link", 0o120_777, b"../../x"),
    ];
    for entry in hostile {
        let world = World::new();
        let failure = unpack(&world, &zip(&[entry])).await.unwrap_err();
        assert_eq!(failure.code, "source.archive-unsafe-entry", "{entry:?}: {failure:?}");
        world.assert_nothing_left();
    }
    let mut world = World::new();
    world.limits.source_bytes_max = 1000;
    let zeros = vec![0_u8; 1 << 20];
    let failure = unpack(&world, &zip(&[("zeros", 0o100_644, &zeros)])).await.unwrap_err();
    assert_eq!(failure.code, "source.too-large");
    world.assert_nothing_left();
}
