//! Components taken apart and put together again, without a library that knows what is allowed.

use std::fmt::Write as _;
use std::ops::Range;

use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

/// The section of a component that holds a core module.
const CORE_MODULE: u8 = 1;
/// The section of a component that holds a component.
const COMPONENT: u8 = 4;

/// A component with another core: the module that exports `detect` is replaced by `module`.
pub(crate) fn with_core(component: &[u8], module: &[u8]) -> Vec<u8> {
    let core = core_of(component);
    let mut made = component[..8].to_vec();
    for (id, content) in sections(component) {
        let bytes = if content == core { module } else { &component[content] };
        section(&mut made, id, bytes);
    }
    made
}

/// The module of a component that exports `detect`; of one with one module, that one.
pub(crate) fn core(component: &[u8]) -> &[u8] {
    &component[core_of(component)]
}

/// A component inside of so many others, of which the outermost has what `outside` has behind its header.
pub(crate) fn nested(component: &[u8], depth: usize, outside: &[u8]) -> Vec<u8> {
    let mut inner = component.to_vec();
    for _ in 0..depth {
        let mut outer = component[..8].to_vec();
        section(&mut outer, COMPONENT, &inner);
        inner = outer;
    }
    inner.extend_from_slice(&outside[8..]);
    inner
}

/// Adds a section.
pub fn section(to: &mut Vec<u8>, id: u8, content: &[u8]) {
    to.push(id);
    number(to, content.len());
    to.extend_from_slice(content);
}

/// Adds a number in the form that WebAssembly gives it.
pub fn number(to: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        to.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return;
        }
    }
}

/// The outermost sections.
fn sections(component: &[u8]) -> Vec<(u8, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 8);
    while at < component.len() {
        let id = component[at];
        at += 1;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = component[at];
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        found.push((id, at..at + length));
        at += length;
    }
    found
}

/// Where that module is.
fn core_of(component: &[u8]) -> Range<usize> {
    let modules: Vec<Range<usize>> = sections(component)
        .into_iter()
        .filter(|(id, _)| *id == CORE_MODULE)
        .map(|(_, content)| content)
        .collect();
    let detects = |module: &&Range<usize>| {
        exports(&component[(*module).clone()]).iter().any(|(name, _)| name.ends_with("#detect"))
    };
    let found = modules.iter().find(detects).or_else(|| modules.first());
    found.unwrap().clone()
}

/// A function, by its name, with its type.
type Named = (String, FuncType);

/// The functions that a core module exports.
fn exports(module: &[u8]) -> Vec<Named> {
    let (mut types, mut functions, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::TypeSection(section) => {
                for group in section {
                    for one in group.unwrap().into_types() {
                        let CompositeInnerType::Func(one) = one.composite_type.inner else {
                            panic!("a type that is none of a function");
                        };
                        types.push(one);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(index) = import.unwrap().ty {
                        functions.push(index);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                functions.extend(section.into_iter().map(Result::unwrap));
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().map(Result::unwrap) {
                    if export.kind == ExternalKind::Func {
                        found.push((export.name.to_owned(), export.index));
                    }
                }
            }
            _ => {}
        }
    }
    let typed = |(name, index): (String, u32)| {
        let of = functions[usize::try_from(index).unwrap()];
        (name, types[usize::try_from(of).unwrap()].clone())
    };
    found.into_iter().map(typed).collect()
}

/// The full name of a module that the core of a component imports, by how it begins.
pub(crate) fn imported(component: &[u8], begins: &str) -> String {
    for payload in Parser::new(0).parse_all(core(component)) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            let mut names = section.into_imports().map(|import| import.unwrap().module.to_owned());
            if let Some(found) = names.find(|name| name.starts_with(begins)) {
                return found;
            }
        }
    }
    panic!("the guest imports nothing that begins with {begins}")
}

/// Every function that the core of a component exports, in text, with the body that `body` gives for its
/// name.
pub(crate) fn functions(component: &[u8], body: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (name, of) in exports(core(component)) {
        let list = |what: &str, types: &[ValType]| match types {
            [] => String::new(),
            types => {
                let types: Vec<String> = types.iter().map(ToString::to_string).collect();
                format!("({what} {})", types.join(" "))
            }
        };
        let (params, results) = (list("param", of.params()), list("result", of.results()));
        writeln!(text, "(func (export {name:?}) {params} {results} {})", body(&name)).unwrap();
    }
    text
}
