//! Configurations of web servers: `nginx.conf`, `httpd.conf`, `Caddyfile`, as far as they say how a folder of
//! files is served.
//!
//! **Invariant: what would protect a page or ask another program is never left out in silence.** Such a
//! directive is refused, with its line; one that only tunes the answer is said in the log.

/// What a configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// The folder as it is written.
    pub(crate) root: Option<String>,
    /// Unknown paths get the page of the root.
    pub(crate) single_page: bool,
    /// The page for what is not there.
    pub(crate) not_found: Option<String>,
    /// The first directive that cannot be done: line and words.
    pub(crate) refused: Option<(usize, String)>,
    /// Directives that are not done and do no harm.
    pub(crate) ignored: Vec<String>,
}

/// A configuration's file, and the plugin's id for it.
pub(crate) const FILES: [(&str, &str, &str); 4] = [
    ("nginx.conf", "nginx", "nginx"),
    ("httpd.conf", "httpd", "Apache httpd"),
    ("apache.conf", "httpd", "Apache httpd"),
    ("Caddyfile", "caddy", "Caddy"),
];

/// Reads a configuration by the id of its server.
pub(crate) fn read(id: &str, text: &str) -> Served {
    match id {
        "nginx" => nginx(text),
        "caddy" => caddy(text),
        _ => httpd(text),
    }
}

impl Served {
    fn refuse(&mut self, line: usize, words: &[String]) {
        if self.refused.is_none() {
            self.refused = Some((line, words.join(" ")));
        }
    }

    fn ignore(&mut self, line: usize, name: &str) {
        self.ignored.push(format!("line {line}: {name}"));
    }

    /// A fallback for everything: the page of the root, or another page.
    fn fall_back(&mut self, target: &str) {
        match target.trim_start_matches('/') {
            "index.html" | "index.htm" | "" => self.single_page = true,
            page if !page.contains(['$', '{', '@', '=']) => self.not_found = Some(page.to_owned()),
            _ => {}
        }
    }
}

fn nginx(text: &str) -> Served {
    const REFUSED: [&str; 12] = [
        "proxy_pass",
        "fastcgi_pass",
        "uwsgi_pass",
        "scgi_pass",
        "grpc_pass",
        "memcached_pass",
        "auth_basic",
        "auth_request",
        "deny",
        "content_by_lua_block",
        "js_content",
        "secure_link",
    ];
    const SAID: [&str; 8] = [
        "return",
        "rewrite",
        "alias",
        "sub_filter",
        "add_header",
        "limit_req",
        "autoindex",
        "internal",
    ];
    let mut served = Served::default();
    for (line, words) in statements(text) {
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        match (words[0].as_str(), arguments.as_slice()) {
            ("auth_basic", ["off"]) => {}
            (name, _) if REFUSED.contains(&name) => served.refuse(line, &words),
            ("root", [folder]) => {
                served.root.get_or_insert_with(|| (*folder).to_owned());
            }
            ("try_files", [.., last]) => served.fall_back(last),
            ("error_page", ["404", page]) => served.fall_back(page),
            ("error_page", ["404", change, page]) if change.starts_with('=') => {
                served.fall_back(page);
            }
            (name, _) if SAID.contains(&name) => served.ignore(line, name),
            _ => {}
        }
    }
    served
}

/// The statements of nginx: the line of each and its words. A block's opening is one, too.
fn statements(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut begun = 0;
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        // A value in a template, `{{port}}` or `{{env "PORT"}}`, is one word.
        while let Some(first) = rest.chars().next() {
            let template = rest.starts_with("{{").then(|| rest.find("}}")).flatten();
            let end = match (template, first) {
                (Some(end), _) => end + 2,
                (None, '#') => break,
                (None, '"' | '\'') => rest[1..].find(first).map_or(rest.len(), |at| at + 2),
                (None, ';' | '{' | '}') => 1,
                (None, _) => rest
                    .find(|c: char| c.is_whitespace() || ";{}#".contains(c))
                    .unwrap_or(rest.len()),
            };
            let (word, behind) = rest.split_at(end.max(first.len_utf8()));
            rest = behind.trim_start();
            if matches!(word, ";" | "{" | "}") {
                if !words.is_empty() {
                    found.push((begun, std::mem::take(&mut words)));
                }
                continue;
            }
            if words.is_empty() {
                begun = number + 1;
            }
            words.push(word.trim_matches(['"', '\'']).to_owned());
        }
    }
    found
}

fn httpd(text: &str) -> Served {
    const REFUSED: [&str; 10] = [
        "proxypass",
        "proxypassmatch",
        "authtype",
        "authuserfile",
        "scriptalias",
        "wsgiscriptalias",
        "sethandler",
        "addhandler",
        "jkmount",
        "fcgiwrapper",
    ];
    const SAID: [&str; 6] =
        ["redirect", "redirectmatch", "header", "alias", "setenvif", "rewritebase"];
    let mut served = Served::default();
    for (line, words) in lines(text) {
        let name = words[0].to_ascii_lowercase();
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        match (name.as_str(), arguments.as_slice()) {
            (name, _) if REFUSED.contains(&name) => served.refuse(line, &words),
            ("require", ["all", "denied"]) | ("deny", [..]) => {
                served.ignore(line, &words.join(" "));
            }
            ("require", ["valid-user", ..] | ["user", ..] | ["ip", ..]) => {
                served.refuse(line, &words);
            }
            ("documentroot", [folder]) => {
                served.root.get_or_insert_with(|| (*folder).to_owned());
            }
            ("fallbackresource", [page]) => served.fall_back(page),
            ("errordocument", ["404", page]) if page.starts_with('/') => served.fall_back(page),
            ("rewriterule", [pattern, page, ..]) => {
                let everything = matches!(*pattern, "." | "^" | ".*" | "^.*$" | "^(.*)$" | "(.*)");
                if everything && matches!(*page, "/index.html" | "index.html") {
                    served.single_page = true;
                } else if *page != "-" {
                    served.ignore(line, "RewriteRule");
                }
            }
            (name, _) if SAID.contains(&name) => served.ignore(line, &words[0]),
            _ => {}
        }
    }
    served
}

fn caddy(text: &str) -> Served {
    const REFUSED: [&str; 6] =
        ["reverse_proxy", "php_fastcgi", "basic_auth", "basicauth", "forward_auth", "templates"];
    const SAID: [&str; 5] = ["redir", "rewrite", "header", "respond", "import"];
    let mut served = Served::default();
    for (line, words) in lines(text) {
        let arguments: Vec<&str> = words
            .iter()
            .skip(1)
            .map(String::as_str)
            .filter(|word| !word.starts_with('@'))
            .collect();
        match (words[0].as_str(), arguments.as_slice()) {
            (name, _) if REFUSED.contains(&name) => served.refuse(line, &words),
            ("root", [.., folder]) => {
                served.root.get_or_insert_with(|| (*folder).to_owned());
            }
            ("try_files", [.., last]) => served.fall_back(last),
            // The way to an error page of one's own: `handle_errors { rewrite * /404.html }`.
            ("rewrite", ["*", page]) if page.contains("404") => served.fall_back(page),
            (name, _) if SAID.contains(&name) => served.ignore(line, name),
            _ => {}
        }
    }
    served
}

/// The lines that say anything, as words.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<String>)> + '_ {
    text.lines().enumerate().filter_map(|(number, line)| {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let words: Vec<String> = line
            .trim_end_matches('{')
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']).to_owned())
            .collect();
        (!words.is_empty() && !words[0].is_empty()).then_some((number + 1, words))
    })
}

/// The folder of the source that a root means: relative ones as they are, absolute ones without the places
/// that images copy sites to.
pub(crate) fn folder_of(root: &str) -> String {
    const PLACES: [&str; 9] = [
        "/usr/share/nginx/html",
        "/usr/local/apache2/htdocs",
        "/usr/share/caddy",
        "/var/www/html",
        "/var/www",
        "/workspace",
        "/srv",
        "/app",
        "${APP_ROOT}",
    ];
    let place = PLACES.iter().find_map(|place| {
        root.strip_prefix(place).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    crate::generators::folder(place.unwrap_or(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_says_root_fallback_and_error_page() {
        let text = "worker_processes 1; # one\nhttp {\n  server {\n    listen {{port}};\n    root public;\n    \
                    index index.html;\n    location / { try_files $uri $uri/ /index.html; }\n    error_page 404 \
                    /missing.html;\n    add_header X-A \"b; c\";\n  }\n}\n";
        let served = read("nginx", text);
        assert_eq!(served.root.as_deref(), Some("public"));
        assert!(served.single_page);
        assert_eq!(served.not_found.as_deref(), Some("missing.html"));
        assert_eq!((served.refused, served.ignored), (None, vec!["line 9: add_header".to_owned()]));
        let plain = read(
            "nginx",
            "server { root /usr/share/nginx/html/web; location / { try_files $uri =404; } }",
        );
        assert!(!plain.single_page && plain.not_found.is_none());
        assert_eq!(folder_of(plain.root.as_deref().unwrap()), "web");
    }

    #[test]
    fn what_protects_or_asks_another_program_is_refused_with_its_line() {
        let text = "server {\n  location /api {\n    proxy_pass http://api:3000;\n  }\n}\n";
        assert_eq!(read("nginx", text).refused, Some((3, "proxy_pass http://api:3000".to_owned())));
        assert!(read("nginx", "server { auth_basic off; }").refused.is_none());
        assert!(read("httpd", "<Location />\nAuthType Basic\n</Location>").refused.is_some());
        assert!(
            read("caddy", ":80\nroot * site\nreverse_proxy /api/* localhost:3000\n")
                .refused
                .is_some()
        );
    }

    #[test]
    fn httpd_and_caddy_are_read() {
        let text = "ServerRoot \"/layers\"\nDocumentRoot \"${APP_ROOT}/htdocs\"\nErrorDocument 404 /404.html\n\
                    RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ index.html [L]\n";
        let served = read("httpd", text);
        assert_eq!(folder_of(served.root.as_deref().unwrap()), "htdocs");
        assert!(served.single_page);
        assert_eq!(served.not_found.as_deref(), Some("404.html"));
        let served = read(
            "caddy",
            ":{$PORT} {\n  root * dist\n  encode gzip\n  try_files {path} /index.html\n  file_server\n}\n",
        );
        assert_eq!((served.root.as_deref(), served.single_page), (Some("dist"), true));
    }
}
