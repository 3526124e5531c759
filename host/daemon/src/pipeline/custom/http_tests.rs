use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;

use windlass_model::plugin::{Capability, Grants, effective};

use super::*;

/// A server on the loopback address that answers each request by its path, and keeps what it was sent.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let answers: HashMap<String, String> =
            answers.iter().map(|(path, it)| ((*path).to_owned(), (*it).to_owned())).collect();
        let keep = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !is_whole(&request) {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => break,
                        Ok(count) => request.extend_from_slice(&piece[..count]),
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                keep.lock().unwrap().push(text);
                let Some(answer) = answers.get(&path) else { continue };
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn to(location: &str, status: u16) -> String {
    format!(
        "HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// Names and the addresses that they have, one list for each time they are asked for.
#[derive(Default)]
struct Names(Mutex<HashMap<String, Vec<Vec<SocketAddr>>>>);

impl Names {
    fn with(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let list = |answers: &[&[&str]]| {
            let one = |answer: &&[&str]| {
                answer.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()
            };
            answers.iter().map(one).collect()
        };
        let names = names.iter().map(|(name, answers)| ((*name).to_owned(), list(answers)));
        Arc::new(Self(Mutex::new(names.collect())))
    }
}

impl Resolve for Names {
    fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(host).ok_or(io::ErrorKind::NotFound)?;
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Ok(answer.into_iter().map(|it| SocketAddr::new(it.ip(), port)).collect())
    }
}

fn allowed(hosts: &[&str], methods: &[&str], private: &[&str]) -> Effective {
    let asked: Vec<Capability> = serde_json::from_value(serde_json::json!([
        { "name": "http", "hosts": ["*"], "methods": ["*"], "reason": "test" }
    ]))
    .unwrap();
    let grants: Grants = serde_json::from_value(serde_json::json!([
        { "name": "http", "hosts": hosts, "methods": methods, "private": private }
    ]))
    .unwrap();
    effective(&asked, &grants)
}

fn get(url: impl Into<String>) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        secret_names: Vec::new(),
        response_bytes_max: 0,
        timeout_ms: 0,
        redirects_max: 5,
    }
}

struct World {
    client: Client,
    allowed: Effective,
    secrets: Vec<(String, String)>,
}

impl World {
    /// Everything is granted, and the names in `private` may be on this machine.
    fn new(names: &[(&str, &[&[&str]])], private: &[&str]) -> Self {
        let limits = StageLimits {
            http_timeout_ms: 3_000,
            http_response_bytes_max: 1_000,
            ..StageLimits::default()
        };
        let client = Client::new(Names::with(names), None, limits);
        Self { client, allowed: allowed(&["*"], &["*"], private), secrets: Vec::new() }
    }

    fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        let (allowed, secrets) = (self.allowed.clone(), self.secrets.clone());
        self.client.fetch(&Asked { allowed, secrets, request })
    }

    #[track_caller]
    fn refused(&self, request: Request, reason: Reason) -> String {
        let error = self.fetch(request).unwrap_err();
        assert_eq!(error.reason, reason, "{}", error.message);
        error.message
    }
}

#[test]
fn an_answer_comes_back_with_its_headers_from_an_address_that_was_granted() {
    let server = Server::start(&[("/x?a=1", &ok("hello"))]);
    let world = World::new(&[("api.example", &[&["127.0.0.1"]])], &["api.example"]);
    let url = format!("http://API.example:{}/x?a=1", server.address.port());
    let answer = world.fetch(Request { headers: vec![("X-One".into(), "1".into())], ..get(url) });
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    assert!(answer.headers.contains(&("content-length".to_owned(), "5".to_owned())));
    let seen = &server.seen()[0];
    assert!(
        seen.contains("x-one: 1") && seen.to_lowercase().contains("host: api.example"),
        "{seen}"
    );
}

#[test]
fn what_is_inside_is_refused_by_whatever_name_or_notation_it_is_reached() {
    let names: [(&str, &[&[&str]]); 9] = [
        ("loopback.example", &[&["127.0.0.1"]]),
        ("six.example", &[&["::1"]]),
        ("metadata.example", &[&["169.254.169.254"]]),
        ("ten.example", &[&["10.1.2.3"]]),
        ("nat.example", &[&["100.64.1.1"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("mapped-metadata.example", &[&["::ffff:169.254.169.254"]]),
        ("nat64.example", &[&["64:ff9b::7f00:1"]]),
        // Beside a public one: whoever answers so wants the other to be taken.
        ("both.example", &[&["93.184.216.34", "192.168.0.1"]]),
    ];
    let world = World::new(&names, &[]);
    for (name, _) in names {
        let said = world.refused(get(format!("http://{name}/")), Reason::Denied);
        assert!(said.contains(name) && said.contains("public internet"), "{said}");
    }
    for address in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
        "https://10.0.0.1:8443/",
        "http://100.100.100.200/",
    ] {
        world.refused(get(address), Reason::Denied);
    }
}

#[test]
fn a_name_that_changes_between_two_looks_is_asked_once() {
    // The second answer is where a rebinding name wants the connection to go.
    let server = Server::start(&[("/", &ok("inside"))]);
    let names: [(&str, &[&[&str]]); 1] =
        [("rebind.example", &[&["127.0.0.1"], &["169.254.169.254"], &["169.254.169.254"]])];
    let world = World::new(&names, &["rebind.example"]);
    let url = format!("http://rebind.example:{}/", server.address.port());
    assert_eq!(world.fetch(get(&url)).unwrap().body, b"inside");
    world.refused(get(url), Reason::Denied);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn each_redirect_is_checked_like_a_request() {
    let server = Server::start(&[
        ("/to-metadata", &to("http://169.254.169.254/latest", 302)),
        ("/to-inside", &to("http://inside.example/", 301)),
        ("/to-other", &to("http://other.example/", 307)),
        ("/to-file", &to("file:///etc/passwd", 302)),
        ("/relative", &to("../here", 302)),
        ("/here", &ok("here")),
        ("/loop", &to("/loop", 302)),
    ]);
    let names: [(&str, &[&[&str]]); 3] = [
        ("api.example", &[&["127.0.0.1"]]),
        ("inside.example", &[&["127.0.0.1"]]),
        ("other.example", &[&["93.184.216.34"]]),
    ];
    let mut world = World::new(&names, &["api.example"]);
    let port = server.address.port();
    world.allowed =
        allowed(&[&format!("api.example:{port}"), "inside.example"], &["GET"], &["api.example"]);
    let at = |path: &str| get(format!("http://api.example:{port}{path}"));
    world.refused(at("/to-metadata"), Reason::Denied);
    assert!(world.refused(at("/to-inside"), Reason::Denied).contains("inside.example"));
    let said = world.refused(at("/to-other"), Reason::Denied);
    assert!(said.contains("other.example is not granted"), "{said}");
    world.refused(at("/to-file"), Reason::Invalid);
    assert_eq!(world.fetch(at("/relative")).unwrap().body, b"here");
    let said = world.refused(at("/loop"), Reason::TooManyRedirects);
    assert!(said.contains("more than 5"), "{said}");
    let none = world.fetch(Request { redirects_max: 0, ..at("/loop") }).unwrap();
    assert_eq!(none.status, 302, "without redirects the redirect is the answer");
}

#[test]
fn hosts_ports_and_methods_are_those_of_the_grant() {
    let mut world = World::new(&[("api.example", &[&["93.184.216.34"]])], &[]);
    world.allowed = allowed(&["api.example"], &["GET"], &[]);
    for url in ["http://api.example:8080/", "http://api.example.evil/", "http://evil-api.example/"]
    {
        world.refused(get(url), Reason::Denied);
    }
    let post = Request { method: "POST".to_owned(), ..get("http://api.example/") };
    assert!(world.refused(post, Reason::Denied).contains("POST api.example"));
    let nothing = World { allowed: Effective::default(), ..World::new(&[], &[]) };
    nothing.refused(get("http://api.example/"), Reason::Denied);
}

#[test]
fn what_cannot_be_sent_is_said_before_anything_is_sent() {
    let world = World::new(&[("api.example", &[&["93.184.216.34"]])], &[]);
    let with = |name: &str, value: &str| Request {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..get("http://api.example/")
    };
    for request in [
        get("ftp://api.example/"),
        get("http://"),
        get("nonsense"),
        get("http://user:word@api.example/"),
        Request { method: "get".to_owned(), ..get("http://api.example/") },
        Request { method: "GET /x HTTP/1.1\r\nX: y".to_owned(), ..get("http://api.example/") },
        Request { body: b"x".to_vec(), ..get("http://api.example/") },
        with("Host", "169.254.169.254"),
        with("Content-Length", "9"),
        with("Transfer-Encoding", "chunked"),
        with("Proxy-Authorization", "x"),
        with("x", "a\r\nb: c"),
        with("a b", "c"),
    ] {
        world.refused(request, Reason::Invalid);
    }
    world.refused(get("http://unknown.example/"), Reason::NotResolved);
}

#[test]
fn bytes_and_time_have_an_end() {
    let endless = "HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n";
    let server = Server::start(&[
        ("/large", &ok(&"x".repeat(1_001))),
        ("/fits", &ok(&"x".repeat(1_000))),
        ("/short", endless),
    ]);
    let world = World::new(&[("api.example", &[&["127.0.0.1"]])], &["api.example"]);
    let at = |path: &str| get(format!("http://api.example:{}{path}", server.address.port()));
    assert_eq!(world.fetch(at("/fits")).unwrap().body.len(), 1_000);
    world.refused(at("/large"), Reason::TooLarge);
    world.refused(Request { response_bytes_max: 10, ..at("/fits") }, Reason::TooLarge);
    world.refused(at("/short"), Reason::Protocol);
    // One that takes the connection and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://api.example:{}/", silent.local_addr().unwrap().port());
    let begun = Instant::now();
    world.refused(Request { timeout_ms: 200, ..get(url) }, Reason::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(silent);
}

#[test]
fn a_secret_goes_where_it_was_meant_to_go_and_never_comes_back() {
    let other = Server::start(&[("/", &ok("there"))]);
    let port = other.address.port();
    let server = Server::start(&[
        ("/hunter2-token", &ok("you sent hunter2-token")),
        // base64 of the secret behind a name and a colon.
        ("/encoded", &ok("you are dXNlcjpodW50ZXIyLXRva2Vu")),
        ("/hex", &ok("68756e746572322d746f6b656e")),
        ("/away", &to(&format!("http://other.example:{port}/"), 302)),
        ("/away-with-body", &to(&format!("http://other.example:{port}/"), 307)),
    ]);
    let names: [(&str, &[&[&str]]); 2] =
        [("api.example", &[&["127.0.0.1"]]), ("other.example", &[&["127.0.0.1"]])];
    let mut world = World::new(&names, &["api.example", "other.example"]);
    world.secrets = vec![("TOKEN".to_owned(), "hunter2-token".to_owned())];
    let at = |path: &str| Request {
        headers: vec![
            ("Authorization".to_owned(), "Bearer {{TOKEN}}".to_owned()),
            ("X-Key".to_owned(), "{{TOKEN}}".to_owned()),
            ("X-Plain".to_owned(), "{{OTHER}}".to_owned()),
        ],
        ..get(format!("http://api.example:{}{path}", server.address.port()))
    };
    let answer = world.fetch(at("/{{TOKEN}}")).unwrap();
    assert_eq!(answer.body, b"you sent [secret]");
    assert!(answer.url.ends_with("/[secret]"), "{}", answer.url);
    assert_eq!(world.fetch(at("/encoded")).unwrap().body, b"you are dXNlcjp[secret]");
    assert_eq!(world.fetch(at("/hex")).unwrap().body, b"[secret]");
    let seen = &server.seen()[0];
    assert!(
        seen.contains("Bearer hunter2-token") && seen.contains("x-key: hunter2-token"),
        "{seen}"
    );
    assert!(seen.contains("x-plain: {{OTHER}}"), "what is no secret is left alone: {seen}");

    assert_eq!(world.fetch(at("/away")).unwrap().body, b"there");
    let seen = other.seen()[0].to_lowercase();
    assert!(!seen.contains("hunter2") && !seen.contains("authorization"), "{seen}");
    assert!(seen.contains("x-plain"), "{seen}");
    let post =
        Request { method: "POST".to_owned(), body: b"{{TOKEN}}".to_vec(), ..at("/away-with-body") };
    let said = world.refused(post, Reason::Denied);
    assert!(said.contains("another place") && !said.contains("hunter2"), "{said}");
    assert_eq!(other.seen().len(), 1);
}
