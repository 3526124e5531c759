//! The export macro of `windlass-sdk`. It has its own crate because procedural macros must.

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, Lit, LitByteStr, LitStr, Token, Type, braced, bracketed, parenthesized};

const STAGES: [&str; 6] = ["detector", "builder", "migrator", "health", "rollout", "custom"];

/// Exports a type as a plugin and writes its manifest into the component.
///
/// ```text
/// windlass_sdk::export! {
///     Node: [detector, builder],
///     name: "node",                                       // default: the package's name without
///                                                         // a leading "windlass-plugin-"
///     version: "1.2.0",                                   // default: the package's
///     summary: "Builds Node.js applications",             // default: the package's description
///     licence: "Apache-2.0",                              // default: the package's
///     capabilities: [                                     // default: none
///         { name: "http", hosts: ["api.osv.dev"], methods: ["POST"], reason: "looks up advisories" },
///         { name: "annotations", reason: "says what it found", optional: true },
///     ],
///     custom: [                                           // the custom stages, if it has any
///         { name: "scan", hooks: ["after-build"], provides: ["vulnerabilities"],
///           summary: "Looks the dependencies up" },
///     ],
///     options_schema: r#"{"type":"object"}"#,             // default: no options
///     failures: "failures.toml",                          // beside Cargo.toml; default: none
/// }
/// ```
///
/// A capability may also be written as `("annotations", "says what it found")`. Capabilities and custom
/// stages go into the manifest as they are written here; the host checks them when it loads the plugin.
///
/// The type implements the trait of each stage it names. Outside `wasm32` nothing is exported, so
/// that the crate links natively and its logic can be tested.
#[proc_macro]
pub fn export(input: TokenStream) -> TokenStream {
    let export = syn::parse_macro_input!(input as Export);
    let plugin = &export.plugin;
    let stages = &export.stages;
    let json = export.manifest();
    let bytes = LitByteStr::new(json.as_bytes(), Span::call_site());
    let length = json.len();
    // Named, so that the plugin is built again when the file changes.
    let watched = export.failures_file.iter();
    quote! {
        #( const _: &str = include_str!(#watched); )*
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "windlass-manifest")]
            static MANIFEST: [u8; #length] = *#bytes;
        };
        #( ::windlass_sdk::__export_stage!(#stages, #plugin); )*
        // Natively the type and its traits are still checked, and count as used.
        const _: fn() = || { let _ = ::core::mem::size_of::<#plugin>(); };
    }
    .into()
}

struct Export {
    plugin: Type,
    stages: Vec<Ident>,
    name: String,
    version: String,
    summary: String,
    licence: String,
    capabilities: Vec<serde_json::Value>,
    custom: Vec<serde_json::Value>,
    options_schema: String,
    failures: serde_json::Value,
    failures_file: Option<String>,
}

impl Export {
    fn manifest(&self) -> String {
        let mut manifest = serde_json::json!({
            "name": self.name,
            "version": self.version,
            "summary": self.summary,
            "licence": self.licence,
            "capabilities": self.capabilities,
            "options_schema": self.options_schema,
            "failures": self.failures,
        });
        if !self.custom.is_empty() {
            manifest["custom"] = self.custom.as_slice().into();
        }
        manifest.to_string()
    }

    fn set(&mut self, key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let text = |input: ParseStream<'_>| input.parse::<LitStr>().map(|text| text.value());
        match key.to_string().as_str() {
            "name" => self.name = text(input)?,
            "version" => self.version = text(input)?,
            "summary" => self.summary = text(input)?,
            "licence" => self.licence = text(input)?,
            "options_schema" => self.options_schema = text(input)?,
            "capabilities" => self.capabilities = list(input, capability)?,
            "custom" => self.custom = list(input, value)?,
            "failures" => {
                let (file, failures) = failures(&input.parse::<LitStr>()?)?;
                self.failures = failures;
                self.failures_file = Some(file);
            }
            _ => {
                return Err(syn::Error::new(
                    key.span(),
                    "unknown key; use name, version, summary, licence, capabilities, custom, \
                     options_schema or failures",
                ));
            }
        }
        Ok(())
    }

    fn check(self) -> syn::Result<Self> {
        let problem = |text: &str| Err(syn::Error::new(Span::call_site(), text));
        if self.stages.is_empty() {
            return problem("name at least one stage: `MyPlugin: [detector]`");
        }
        if self.summary.is_empty() {
            return problem("add `summary: \"...\"`, or a description to the package");
        }
        if self.licence.is_empty() {
            return problem(
                "add `licence: \"...\"` (an SPDX expression), or a license to the package",
            );
        }
        if self.stages.iter().any(|stage| stage == "custom") && self.custom.is_empty() {
            return problem(
                "declare its custom stages: `custom: [{ name: \"scan\", hooks: [\"after-build\"], \
                 summary: \"...\" }]`",
            );
        }
        if self.custom.iter().any(|stage| !stage.is_object()) {
            return problem("a custom stage is declared as { name: \"scan\", hooks: [...], ... }");
        }
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=40).contains(&self.name.len()) || !self.name.chars().all(letter) {
            return problem("the name has 1 to 40 lower-case letters, digits and hyphens");
        }
        Ok(self)
    }
}

impl Parse for Export {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let plugin = input.parse()?;
        input.parse::<Token![:]>()?;
        let list;
        bracketed!(list in input);
        let stages: Vec<Ident> =
            Punctuated::<Ident, Token![,]>::parse_terminated(&list)?.into_iter().collect();
        for stage in &stages {
            if !STAGES.iter().any(|known| stage == known) {
                let text = format!("no such stage; use one of {}", STAGES.join(", "));
                return Err(syn::Error::new(stage.span(), text));
            }
        }
        let package = |key: &str| std::env::var(key).unwrap_or_default();
        let name = package("CARGO_PKG_NAME");
        let mut export = Self {
            plugin,
            stages,
            name: name.strip_prefix("windlass-plugin-").unwrap_or(&name).to_owned(),
            version: package("CARGO_PKG_VERSION"),
            summary: package("CARGO_PKG_DESCRIPTION"),
            licence: package("CARGO_PKG_LICENSE"),
            capabilities: Vec::new(),
            custom: Vec::new(),
            options_schema: String::new(),
            failures: serde_json::Value::Array(Vec::new()),
            failures_file: None,
        };
        while input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            export.set(&key, input)?;
        }
        export.check()
    }
}

/// `[one, two]`
fn list<T>(
    input: ParseStream<'_>,
    one: fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let list;
    bracketed!(list in input);
    Ok(list.parse_terminated(one, Token![,])?.into_iter().collect())
}

/// `("http", "looks up advisories")`, or a value with all its fields.
fn capability(input: ParseStream<'_>) -> syn::Result<serde_json::Value> {
    if !input.peek(syn::token::Paren) {
        return value(input);
    }
    let pair;
    parenthesized!(pair in input);
    let name = pair.parse::<LitStr>()?.value();
    pair.parse::<Token![,]>()?;
    let reason = pair.parse::<LitStr>()?.value();
    pair.parse::<Option<Token![,]>>()?;
    Ok(serde_json::json!({ "name": name, "reason": reason }))
}

/// Text, whole number, `true`, `false`, `[…]`, or `{ key: value, … }`.
fn value(input: ParseStream<'_>) -> syn::Result<serde_json::Value> {
    if input.peek(syn::token::Bracket) {
        return list(input, value).map(Into::into);
    }
    if input.peek(syn::token::Brace) {
        let fields;
        braced!(fields in input);
        let fields = fields.parse_terminated(field, Token![,])?;
        return Ok(serde_json::Value::Object(fields.into_iter().collect()));
    }
    match input.parse::<Lit>()? {
        Lit::Str(text) => Ok(text.value().into()),
        Lit::Bool(is) => Ok(is.value.into()),
        Lit::Int(number) => number.base10_parse::<u64>().map(Into::into),
        other => {
            let text = "use text, a whole number, true, false, [...] or { key: value }";
            Err(syn::Error::new(other.span(), text))
        }
    }
}

fn field(input: ParseStream<'_>) -> syn::Result<(String, serde_json::Value)> {
    let key: Ident = input.parse()?;
    input.parse::<Token![:]>()?;
    Ok((key.to_string(), value(input)?))
}

/// Reads the file of failures: `[[failure]]` tables with `code`, `title`, `cause`, `fix`, and where they
/// help `patterns` and `steps`. The host checks the rest when it loads the plugin.
fn failures(name: &LitStr) -> syn::Result<(String, serde_json::Value)> {
    let problem = |text: String| syn::Error::new(name.span(), text);
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let file = std::path::Path::new(&folder).join(name.value());
    let text = std::fs::read_to_string(&file)
        .map_err(|error| problem(format!("{}: {error}", file.display())))?;
    let mut table: serde_json::Map<String, serde_json::Value> =
        toml::from_str(&text).map_err(|error| problem(format!("{}: {error}", file.display())))?;
    let failures = table.remove("failure").unwrap_or_default();
    if let Some(key) = table.keys().next() {
        return Err(problem(format!("{}: unknown table {key}", file.display())));
    }
    Ok((file.display().to_string(), failures))
}
