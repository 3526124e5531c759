//! Apache's configuration: one that is the same in the official image of PHP and on Debian's packages, and
//! that user 1000 can run as the container's first process.

use crate::framework::Served;

/// Where it lies.
pub(crate) const FILE: &str = "/etc/windlass/apache.conf";

/// The command that runs it.
pub(crate) const COMMAND: [&str; 4] = ["/usr/sbin/apache2", "-f", FILE, "-DFOREGROUND"];

/// Logs go through `cat`, because a user cannot open a pipe that root made. Connections are not kept: each
/// would hold a whole process, and the proxy beside it opens new ones at no cost.
const BASE: &str = r#"ServerRoot "/etc/apache2"
ServerName localhost
Listen 0.0.0.0:${PORT}
DefaultRuntimeDir "/tmp"
PidFile "/tmp/apache2.pid"
Mutex posixsem default
ErrorLog "|$exec /bin/cat >&2"
ErrorLogFormat "%M"
LogLevel warn
LogFormat "%a \"%r\" %>s %B %Dus" access
CustomLog "|$exec /bin/cat" access

IncludeOptional "mods-enabled/*.load"
<IfModule !rewrite_module>
    LoadModule rewrite_module "/usr/lib/apache2/modules/mod_rewrite.so"
</IfModule>
<IfModule !headers_module>
    LoadModule headers_module "/usr/lib/apache2/modules/mod_headers.so"
</IfModule>
<IfModule !expires_module>
    LoadModule expires_module "/usr/lib/apache2/modules/mod_expires.so"
</IfModule>
<IfModule !remoteip_module>
    LoadModule remoteip_module "/usr/lib/apache2/modules/mod_remoteip.so"
</IfModule>

<IfModule mpm_prefork_module>
    StartServers 2
    MinSpareServers 2
    MaxSpareServers 8
    ServerLimit 64
    MaxRequestWorkers 64
    MaxConnectionsPerChild 2000
</IfModule>
KeepAlive Off
Timeout 300
ServerTokens Prod
ServerSignature Off
TraceEnable Off
TypesConfig "/etc/mime.types"

# The proxy in front says who asks, and whether over HTTPS.
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8
SetEnvIf X-Forwarded-Proto "^https$" HTTPS=on
SetEnvIf Authorization "(.+)" HTTP_AUTHORIZATION=$1

php_flag display_errors off
php_flag log_errors on
php_admin_flag expose_php off
php_value upload_max_filesize 64M
php_value post_max_size 64M

<FilesMatch "\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
<LocationMatch "/\.(?!well-known(/|$))">
    Require all denied
</LocationMatch>
<Directory "/">
    AllowOverride None
    Require all denied
</Directory>
"#;

/// Where the application's own folder is served: what is of nobody's concern.
const PRIVATE: &str = r#"<FilesMatch "(?i)^(composer\.(json|lock)|package(-lock)?\.json|yarn\.lock|pnpm-lock\.yaml|Procfile|Dockerfile|.*\.(sql|sqlite|sqlite3|db|log|bak|sh|ya?ml|toml|ini))$">
    Require all denied
</FilesMatch>
<LocationMatch "^/(vendor|node_modules|storage|var)/.*\.(?i:php|json|lock|md|xml|neon|dist)$">
    Require all denied
</LocationMatch>
"#;

/// The configuration.
pub(crate) fn configuration(served: &Served) -> String {
    let root = match served.root.as_str() {
        "" => "/app".to_owned(),
        folder => format!("/app/{folder}"),
    };
    let front = served.front.map(|file| format!("    FallbackResource /{file}\n"));
    let index = served.front.filter(|file| *file != "index.php").unwrap_or_default();
    let indexes = format!("index.php {index} index.html").replace("  ", " ");
    let private = if served.root.is_empty() { PRIVATE } else { "" };
    format!(
        "{BASE}{private}DocumentRoot \"{root}\"\nDirectoryIndex {indexes}\n<Directory \"{root}\">\n    \
         Options FollowSymLinks\n    AllowOverride All\n    Require all granted\n{}</Directory>\n",
        front.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(root: &str, front: Option<&'static str>) -> String {
        configuration(&Served { root: root.to_owned(), front })
    }

    #[test]
    fn the_folder_and_its_front_controller_are_named() {
        let text = of("public", Some("index.php"));
        assert!(
            text.contains("DocumentRoot \"/app/public\"\nDirectoryIndex index.php index.html\n")
        );
        assert!(text.contains("FallbackResource /index.php\n</Directory>"));
        assert!(!text.contains("composer"));
        let text = of("web", Some("app.php"));
        assert!(text.contains("DirectoryIndex index.php app.php index.html\n"));
    }

    #[test]
    fn manifests_are_not_served_and_pages_are_pages() {
        let text = of("", None);
        assert!(text.contains("DocumentRoot \"/app\"\n") && text.contains("composer"));
        assert!(!text.contains("FallbackResource"));
    }
}
