//! `wit/REFERENCE.md` is made of the files of the contract's newest release: every interface with its functions
//! and types, and what their comments say.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wit_parser::{
    Docs, Function, Handle, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId,
    World, WorldItem,
};

/// Packages in the order in which an author meets them; others follow by name.
const ORDER: [&str; 15] = [
    "types",
    "log",
    "source",
    "images",
    "detector",
    "builder",
    "migrator",
    "health",
    "rollout",
    "custom",
    "exec",
    "http",
    "artifacts",
    "cache",
    "annotations",
];

const HEAD: &str = "\
# The contract, interface by interface

What the host offers and asks, with every type. [`README.md`](README.md) explains how it is meant and what the
host does with the answers.

This page is generated from the comments in the `*.wit` files of the newest release: `WINDLASS_WRITE_DOCS=1 cargo test -p
xtask --test wit_reference`.
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The folder of the newest release.
fn newest_release() -> PathBuf {
    let entries = std::fs::read_dir(root().join("wit")).unwrap();
    let number = |path: &PathBuf| -> Option<Vec<u64>> {
        let name = path.file_name()?.to_str()?;
        name.split('.').map(|part| part.parse().ok()).collect()
    };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    paths.filter(|path| number(path).is_some()).max_by_key(number).unwrap()
}

#[test]
fn the_reference_of_the_contract_is_made_of_its_files() {
    let mut contract = Resolve::default();
    contract.push_dir(newest_release()).unwrap();
    let page = Page { contract: &contract }.text();
    let file = root().join("wit/REFERENCE.md");
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stored == page,
        "wit/REFERENCE.md is out of date; write it with\n  WINDLASS_WRITE_DOCS=1 cargo test -p xtask \
         --test wit_reference"
    );
}

#[test]
fn comments_types_and_links_arrive_on_the_page() {
    let text = r#"
        package windlass:sample@0.1.0;
        /// Weighs.
        interface sample {
          /// A thing | with a bar.
          record thing {
            /// in grams
            weight: option<u32>, parts: list<thing-part>,
          }
          record thing-part { names: list<tuple<string, string>> }
          variant verdict { light, heavy(thing) }
          /// Says which.
          weigh: func(what: thing) -> result<verdict, string>;
        }
        /// For scales.
        world scale { export sample; }
    "#;
    let mut contract = Resolve::default();
    contract.push_str("sample.wit", text).unwrap();
    let page = Page { contract: &contract }.text();
    for line in [
        "## windlass:sample/sample@0.1.0",
        "Weighs.",
        "### `sample.thing`",
        "A record. A thing | with a bar.",
        "| `weight` | option\\<u32\\> | in grams |",
        "| `parts` | list\\<[thing-part](#samplething-part)\\> |  |",
        "| `names` | list\\<tuple\\<string, string\\>\\> |",
        "| `heavy` | [thing](#samplething) |",
        "### `sample.weigh`",
        "`weigh: func(what: thing) -> result<verdict, string>`",
        "| `scale` |  | [`sample`](#windlasssamplesample010) | For scales. |",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\nin\n{page}");
    }
}

struct Page<'a> {
    contract: &'a Resolve,
}

impl Page<'_> {
    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        self.worlds(&mut text);
        let mut interfaces: Vec<(InterfaceId, &Interface)> =
            self.contract.interfaces.iter().filter(|(_, one)| one.name.is_some()).collect();
        interfaces.sort_by_key(|(_, one)| place(self.package(one)));
        for (_, interface) in interfaces {
            self.interface(interface, &mut text);
        }
        text
    }

    fn package(&self, interface: &Interface) -> &str {
        interface.package.map_or("", |id| &self.contract.packages[id].name.name)
    }

    /// `windlass:types/types@0.1.0`
    fn full_name(&self, interface: &Interface) -> String {
        let name = interface.name.as_deref().unwrap_or_default();
        interface.package.map_or_else(
            || name.to_owned(),
            |id| self.contract.packages[id].name.interface_id(name),
        )
    }

    fn worlds(&self, text: &mut String) {
        text.push_str("\n## Worlds\n");
        let packages: BTreeSet<_> =
            self.contract.worlds.iter().map(|(_, one)| one.package).collect();
        for package in packages.into_iter().flatten() {
            paragraph("", &self.contract.packages[package].docs, text);
        }
        text.push_str("\n| world | imports | exports | |\n|---|---|---|---|\n");
        for (_, world) in self.contract.worlds.iter() {
            let (imports, exports) = (self.linked(world, true), self.linked(world, false));
            let about = cell(&world.docs);
            writeln!(text, "| `{}` | {imports} | {exports} | {about} |", world.name).unwrap();
        }
    }

    fn linked(&self, world: &World, imports: bool) -> String {
        let items = if imports { &world.imports } else { &world.exports };
        let interfaces = items.values().filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(&self.contract.interfaces[*id]),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        });
        let link = |one: &Interface| {
            let name = one.name.as_deref().unwrap_or_default();
            format!("[`{name}`](#{})", anchor(&self.full_name(one)))
        };
        interfaces.map(link).collect::<Vec<_>>().join(", ")
    }

    fn interface(&self, interface: &Interface, text: &mut String) {
        write!(text, "\n## {}\n", self.full_name(interface)).unwrap();
        paragraph("", &interface.docs, text);
        for function in interface.functions.values() {
            self.function(interface, function, text);
        }
        for id in interface.types.values() {
            let known = &self.contract.types[*id];
            // A type that is only used here stands where it is declared.
            if !self.is_used(known, interface) {
                self.declared(interface, known, text);
            }
        }
    }

    /// Whether a type is taken from another interface.
    fn is_used(&self, known: &TypeDef, interface: &Interface) -> bool {
        match known.kind {
            TypeDefKind::Type(Type::Id(id)) => {
                self.owner(id).is_some_and(|owner| owner.name != interface.name)
            }
            _ => false,
        }
    }

    fn function(&self, interface: &Interface, function: &Function, text: &mut String) {
        let owner = interface.name.as_deref().unwrap_or_default();
        let one = |name: &str, ty: &Type| format!("{name}: {}", self.plain(ty));
        let takes: Vec<String> = function.params.iter().map(|p| one(&p.name, &p.ty)).collect();
        let gives = function.result.as_ref();
        let gives = gives.map(|ty| format!(" -> {}", self.plain(ty))).unwrap_or_default();
        let name = &function.name;
        write!(text, "\n### `{owner}.{name}`\n\n`{name}: func({}){gives}`\n", takes.join(", "))
            .unwrap();
        paragraph("", &function.docs, text);
    }

    fn declared(&self, interface: &Interface, known: &TypeDef, text: &mut String) {
        let owner = interface.name.as_deref().unwrap_or_default();
        let name = known.name.as_deref().unwrap_or_default();
        write!(text, "\n### `{owner}.{name}`\n").unwrap();
        let docs = &known.docs;
        match &known.kind {
            TypeDefKind::Record(record) => {
                paragraph("A record.", docs, text);
                let row = |one: &wit_parser::Field| {
                    [code(&one.name), self.linked_type(&one.ty), cell(&one.docs)]
                };
                table(["field", "type", ""], record.fields.iter().map(row), text);
            }
            TypeDefKind::Variant(variant) => {
                paragraph("One of these.", docs, text);
                let carried = |ty: &Type| self.linked_type(ty);
                let row = |one: &wit_parser::Case| {
                    [
                        code(&one.name),
                        one.ty.as_ref().map(carried).unwrap_or_default(),
                        cell(&one.docs),
                    ]
                };
                table(["case", "carries", ""], variant.cases.iter().map(row), text);
            }
            TypeDefKind::Enum(list) => {
                paragraph("One of these.", docs, text);
                let row =
                    |one: &wit_parser::EnumCase| [code(&one.name), String::new(), cell(&one.docs)];
                table(["case", "", ""], list.cases.iter().map(row), text);
            }
            TypeDefKind::Flags(flags) => {
                paragraph("Any of these.", docs, text);
                let row =
                    |one: &wit_parser::Flag| [code(&one.name), String::new(), cell(&one.docs)];
                table(["flag", "", ""], flags.flags.iter().map(row), text);
            }
            TypeDefKind::Resource => paragraph("A resource.", docs, text),
            other => {
                let is = format!("The same as `{}`.", self.kind(other, &|ty| self.plain(ty)));
                paragraph(&is, docs, text);
            }
        }
    }

    /// A type as it stands in the files.
    fn plain(&self, ty: &Type) -> String {
        match ty {
            Type::Id(id) => match &self.contract.types[*id] {
                TypeDef { name: Some(name), .. } => name.clone(),
                unnamed => self.kind(&unnamed.kind, &|ty| self.plain(ty)),
            },
            other => primitive(other).to_owned(),
        }
    }

    /// A type for a cell of a table, with the named ones linked.
    fn linked_type(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return primitive(ty).to_owned() };
        let known = &self.contract.types[*id];
        match (&known.name, self.owner(*id)) {
            (Some(name), Some(owner)) => {
                let owner = owner.name.as_deref().unwrap_or_default();
                format!("[{name}](#{})", anchor(&format!("{owner}.{name}")))
            }
            (Some(name), None) => name.clone(),
            (None, _) => {
                // The angle brackets of this type alone: those inside are escaped already.
                let inner = self.kind(&known.kind, &|ty| {
                    self.linked_type(ty).replace('<', "\u{1}").replace('>', "\u{2}")
                });
                inner
                    .replace('<', "\\<")
                    .replace('>', "\\>")
                    .replace('\u{1}', "<")
                    .replace('\u{2}', ">")
            }
        }
    }

    /// The interface that declares a type, looked for behind every `use`.
    fn owner(&self, id: TypeId) -> Option<&Interface> {
        let mut known = &self.contract.types[id];
        while let TypeDefKind::Type(Type::Id(next)) = known.kind {
            let next = &self.contract.types[next];
            if next.name != known.name {
                break;
            }
            known = next;
        }
        match known.owner {
            wit_parser::TypeOwner::Interface(id) => Some(&self.contract.interfaces[id]),
            wit_parser::TypeOwner::World(_) | wit_parser::TypeOwner::None => None,
        }
    }

    fn kind(&self, kind: &TypeDefKind, name: &dyn Fn(&Type) -> String) -> String {
        let or_none = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), name);
        match kind {
            TypeDefKind::Type(ty) => name(ty),
            TypeDefKind::Option(ty) => format!("option<{}>", name(ty)),
            TypeDefKind::List(ty) => format!("list<{}>", name(ty)),
            TypeDefKind::Tuple(tuple) => {
                format!("tuple<{}>", tuple.types.iter().map(name).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Result(result) => match (&result.ok, &result.err) {
                (None, None) => "result".to_owned(),
                (ok, None) => format!("result<{}>", or_none(ok)),
                (ok, err) => format!("result<{}, {}>", or_none(ok), or_none(err)),
            },
            TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", name(&Type::Id(*id))),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", name(&Type::Id(*id))),
            other => panic!("the page does not know how to show {other:?}"),
        }
    }
}

fn place(package: &str) -> (usize, String) {
    let known = ORDER.iter().position(|name| *name == package);
    (known.unwrap_or(ORDER.len()), package.to_owned())
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        other => panic!("the page does not know how to show {other:?}"),
    }
}

/// How a heading is linked: its letters, digits, hyphens and spaces, the latter as hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

/// A comment on one line of a table.
fn cell(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What it is, then its comment, lines as they are written.
fn paragraph(is: &str, docs: &Docs, text: &mut String) {
    let about = docs.contents.as_deref().unwrap_or_default().trim();
    let whole = [is, about].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    if !whole.is_empty() {
        write!(text, "\n{}\n", whole.join(" ")).unwrap();
    }
}

/// A table without those columns in which nothing stands.
fn table(heading: [&str; 3], rows: impl Iterator<Item = [String; 3]>, text: &mut String) {
    let rows: Vec<[String; 3]> = rows.collect();
    let filled = |n: &usize| n == &0 || rows.iter().any(|row| !row[*n].is_empty());
    let columns: Vec<usize> = (0..3).filter(filled).collect();
    let line = |cells: [&str; 3]| {
        columns.iter().map(|n| format!("| {} ", cells[*n])).collect::<String>() + "|\n"
    };
    text.push('\n');
    text.push_str(&line(heading));
    text.push_str(&line(["---"; 3]).replace(' ', ""));
    for row in &rows {
        text.push_str(&line([&row[0], &row[1], &row[2]]));
    }
}
