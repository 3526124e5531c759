//! Static trees: what is served, and what never is.

use std::os::unix::fs::symlink;
use std::path::Path;

use windlass_proxy::Targets;

use crate::support::{Message, Proxy, Wire, ask, get};

fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A tree with a file beside it that nobody may see.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "outside.txt", "outside");
    let root = folder.path().join("site");
    for (name, content) in [
        ("index.html", "home"),
        ("about.html", "about"),
        ("docs/index.html", "docs"),
        ("docs/a b.txt", "a b"),
        ("empty/only.txt", "only"),
        ("app.js", "plain script"),
        ("app.js.br", "brotli script"),
        ("digits.txt", "0123456789"),
        ("404.html", "lost"),
        (".env", "SECRET=1"),
        (".git/config", "git"),
        (".well-known/security.txt", "contact"),
    ] {
        write(&root, name, content);
    }
    symlink("digits.txt", root.join("inside-link")).unwrap();
    symlink("../outside.txt", root.join("outside-link")).unwrap();
    symlink(folder.path().join("outside.txt"), root.join("absolute-link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    folder
}

fn tree(folder: &Path, spa: Option<&str>, not_found: Option<&str>) -> Targets {
    Targets::Static {
        root: folder.join("site"),
        spa_fallback: spa.map(str::to_owned),
        not_found: not_found.map(str::to_owned),
        withheld: Vec::new(),
    }
}

async fn serving(spa: Option<&str>, not_found: Option<&str>) -> (Proxy, tempfile::TempDir) {
    let folder = site();
    let proxy = Proxy::start().await;
    proxy.publish(1, tree(folder.path(), spa, not_found)).await;
    (proxy, folder)
}

async fn with_headers(proxy: &Proxy, path: &str, headers: &str) -> Message {
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n{headers}\r\n");
    ask(proxy.address, &request).await
}

#[tokio::test]
async fn files_are_served_and_nothing_else() {
    let (proxy, _folder) = serving(None, None).await;
    for (path, status, body) in [
        ("/", 200, "home"),
        ("/index.html", 200, "home"),
        ("/about", 200, "about"),
        ("/docs/", 200, "docs"),
        ("/docs/a%20b.txt", 200, "a b"),
        ("//docs//a%20b.txt", 200, "a b"),
        ("/inside-link", 200, "0123456789"),
        ("/.well-known/security.txt", 200, "contact"),
        ("/digits.txt?v=1", 200, "0123456789"),
    ] {
        let got = get(proxy.address, "shop.test", path).await;
        assert_eq!((got.status(), got.text()), (status, body), "{path}");
    }
    for path in [
        "/missing",
        "/empty",
        "/empty/",
        "/digits.txt/",
        "/digits.txt/x",
        "/.env",
        "/.git/config",
        "/%2egit/config",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/docs/../../outside.txt",
        "/docs\\..\\..\\outside.txt",
        "/docs%5c..%5c..%5coutside.txt",
        "/outside-link",
        "/absolute-link",
        "/up/outside.txt",
        "/magic/etc/hostname",
        "/index.html%00.txt",
        "/%ff%fe",
        "/fifo",
    ] {
        let got = get(proxy.address, "shop.test", path).await;
        assert_eq!(got.status(), 404, "{path}");
        assert!(got.text().contains("no such page"), "{path}: {}", got.text());
    }
    let name = "n".repeat(300);
    assert_eq!(get(proxy.address, "shop.test", &format!("/{name}")).await.status(), 404);
}

#[tokio::test]
async fn a_folder_is_redirected_to_its_slash_on_this_host() {
    let (proxy, folder) = serving(None, None).await;
    write(folder.path(), "site/evil.example/x/index.html", "x");
    for (path, location) in
        [("/docs", "/docs/"), ("/docs?a=b", "/docs/?a=b"), ("//evil.example/x", "/evil.example/x/")]
    {
        let got = get(proxy.address, "shop.test", path).await;
        assert_eq!((got.status(), got.header("location")), (308, Some(location)), "{path}");
    }
}

#[tokio::test]
async fn only_get_and_head_are_for_files() {
    let (proxy, _folder) = serving(None, None).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        let got = ask(proxy.address, &request).await;
        assert_eq!((got.status(), got.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let mut wire = Wire::open(proxy.address).await;
    wire.send("HEAD /digits.txt HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let head = wire.head().await.unwrap();
    assert_eq!((head.status(), head.header("content-length")), (200, Some("10")));
    assert_eq!(wire.get("/digits.txt").await.text(), "0123456789", "HEAD had no body");
}

#[tokio::test]
async fn a_single_page_application_answers_its_own_paths() {
    let (proxy, _folder) = serving(Some("index.html"), Some("404.html")).await;
    assert_eq!(get(proxy.address, "shop.test", "/cart/7").await.text(), "home");
    let page = with_headers(&proxy, "/user/a.b", "Accept: text/html,*/*\r\n").await;
    assert_eq!((page.status(), page.text()), (200, "home"));
    let script = get(proxy.address, "shop.test", "/assets/gone.js").await;
    assert_eq!((script.status(), script.text()), (404, "lost"), "a script is never a page");
    assert_eq!(script.header("etag"), None);

    let hidden = get(proxy.address, "shop.test", "/.env").await;
    assert_eq!((hidden.status(), hidden.text()), (404, "lost"));
}

#[tokio::test]
async fn what_is_withheld_is_not_there_whatever_asks_for_it() {
    let folder = site();
    for name in ["app.js.map", "app.js.map.br", "docs/a.css.map", "secret/index.html"] {
        write(folder.path(), &format!("site/{name}"), "withheld");
    }
    let proxy = Proxy::start().await;
    let globs = ["**/*.map", "secret/**", "app.js.br"].map(str::to_owned);
    let targets = Targets::Static {
        root: folder.path().join("site"),
        spa_fallback: Some("index.html".to_owned()),
        not_found: None,
        withheld: globs.to_vec(),
    };
    proxy.publish(1, targets).await;
    let paths =
        ["/app.js.map", "/app.js.map.br", "/app%2ejs%2emap", "//app.js.map", "/docs/a.css.map"];
    for path in paths {
        for headers in ["", "Accept: text/html\r\n", "Accept-Encoding: br\r\n"] {
            let got = with_headers(&proxy, path, headers).await;
            assert_eq!(got.status(), 404, "{path} {headers}");
        }
    }
    let folder_of_it = get(proxy.address, "shop.test", "/secret/").await;
    assert_eq!(folder_of_it.text(), "home", "a page of the application, not the file");
    let script = with_headers(&proxy, "/app.js", "Accept-Encoding: br\r\n").await;
    assert_eq!((script.status(), script.text()), (200, "plain script"));

    let broken = Targets::Static {
        root: folder.path().join("site"),
        spa_fallback: None,
        not_found: None,
        withheld: vec!["[a".to_owned()],
    };
    assert!(proxy.client.put_route(&crate::support::route(2, broken)).await.is_err());
}

#[tokio::test]
async fn a_fallback_outside_the_tree_is_refused() {
    let folder = site();
    let proxy = Proxy::start().await;
    let outside = crate::support::route(1, tree(folder.path(), Some("../outside.txt"), None));
    assert!(proxy.client.put_route(&outside).await.is_err());
}

#[tokio::test]
async fn visitors_keep_what_has_not_changed() {
    let (proxy, folder) = serving(None, None).await;
    let first = get(proxy.address, "shop.test", "/digits.txt").await;
    assert_eq!(first.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let (etag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for (condition, status) in [
        (format!("If-None-Match: {etag}"), 304),
        (format!("If-None-Match: \"other\", W/{etag}"), 304),
        ("If-None-Match: \"other\"".to_owned(), 200),
        (format!("If-Modified-Since: {modified}"), 304),
        (format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {modified}"), 200),
    ] {
        let got = with_headers(&proxy, "/digits.txt", &format!("{condition}\r\n")).await;
        assert_eq!(got.status(), status, "{condition}");
        assert_eq!(got.header("etag"), Some(etag), "{condition}");
    }
    // The same size and modification time in the next version: still another file.
    let path = folder.path().join("site/digits.txt");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "9876543210").unwrap();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(before).unwrap();
    let changed = with_headers(&proxy, "/digits.txt", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((changed.status(), changed.text()), (200, "9876543210"));
}

#[tokio::test]
async fn parts_of_a_file_are_served() {
    let (proxy, _folder) = serving(None, None).await;
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=99-", 416, "", Some("bytes */10")),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("bytes=1-2\r\nIf-Range: \"other\"", 200, "0123456789", None),
    ] {
        let got = with_headers(&proxy, "/digits.txt", &format!("Range: {range}\r\n")).await;
        assert_eq!((got.status(), got.text()), (status, body), "{range}");
        assert_eq!(got.header("content-range"), content_range, "{range}");
    }
}

#[tokio::test]
async fn a_precompressed_form_is_served_to_who_takes_it() {
    let (proxy, _folder) = serving(None, None).await;
    let packed = with_headers(&proxy, "/app.js", "Accept-Encoding: gzip, br\r\n").await;
    assert_eq!((packed.text(), packed.header("content-encoding")), ("brotli script", Some("br")));
    assert_eq!(packed.header("content-type"), Some("text/javascript; charset=utf-8"));
    let plain = with_headers(&proxy, "/app.js", "Accept-Encoding: gzip\r\n").await;
    assert_eq!((plain.text(), plain.header("content-encoding")), ("plain script", None));
    for got in [packed, plain] {
        assert_eq!(got.header("vary"), Some("accept-encoding"));
    }
}

#[tokio::test]
async fn a_tree_that_is_gone_at_the_start_is_named_and_can_be_published_again() {
    let (proxy, folder) = serving(None, None).await;
    let route = proxy.client.routes().await.unwrap().remove(0);
    let aside = folder.path().join("aside");
    std::fs::rename(folder.path().join("site"), &aside).unwrap();
    assert_eq!(get(proxy.address, "shop.test", "/").await.text(), "home", "still held open");

    let state = proxy.stop().await;
    let limits = windlass_proxy::ProxyLimits { hold_ms: 1, ..Default::default() };
    let proxy = Proxy::within(state, limits).await;
    let got = get(proxy.address, "shop.test", "/").await;
    assert_eq!(got.status(), 503);
    assert!(got.text().contains("files are missing"), "{}", got.text());

    std::fs::rename(&aside, folder.path().join("site")).unwrap();
    proxy.client.put_route(&route).await.unwrap();
    assert_eq!(get(proxy.address, "shop.test", "/").await.text(), "home");
}
