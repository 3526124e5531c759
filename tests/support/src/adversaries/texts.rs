//! Components in text, for what no compiler makes: functions that run before anything is called, and
//! parts that do not fit.

/// A manifest, as text has it.
pub const MANIFEST: &str = r#"(@custom "windlass-manifest" "{\22name\22:\22odd\22,\22version\22:\221\22,\22summary\22:\22s\22,\22licence\22:\22MIT\22}")"#;

/// The bytes of a component in text.
pub fn parsed(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A manifest with this JSON.
pub fn manifest(json: &str) -> String {
    let bytes: String = json.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(@custom \"windlass-manifest\" \"{bytes}\")")
}

/// A component that exports a detector without functions, beside what it holds.
pub fn holding(parts: &str) -> String {
    format!(
        r#"(component {MANIFEST} {parts} (instance $nothing)
            (export "windlass:detector/detector@1.0.0" (instance $nothing)))"#
    )
}

/// A component that imports an instance of this name.
pub fn importing(import: &str) -> Vec<u8> {
    parsed(&holding(&format!("(import {import:?} (instance))")))
}

/// A component whose core does this when it is instantiated; `holds` is what the module has beside.
pub fn starting(holds: &str, body: &str) -> Vec<u8> {
    with_functions(
        "",
        &format!(
            "(core module $evil {holds} (func $go {body}) (start $go) (func (export \"detect\")))"
        ),
        "(core instance $evil (instantiate $evil))",
    )
}

/// A component whose core `$evil` is made and instantiated as said; its `detect` is of another type than
/// the contract's.
pub fn with_functions(imports: &str, module: &str, instance: &str) -> Vec<u8> {
    parsed(&format!(
        r#"(component {MANIFEST} {imports} {module} {instance}
            (func $detect (canon lift (core func $evil "detect")))
            (instance $detector (export "detect" (func $detect)))
            (export "windlass:detector/detector@1.0.0" (instance $detector)))"#
    ))
}

/// One that asks for random bytes when it is instantiated.
pub fn random(function: &str, interface: &str, bytes: i64) -> Vec<u8> {
    let imports = format!(
        r#"(import "wasi:random/{interface}@0.2.0" (instance $random
            (export "{function}" (func (param "len" u64) (result (list u8))))))
        (core module $memory (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $memory (instantiate $memory))
        (core func $ask (canon lower (func $random "{function}")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))"#
    );
    let module = format!(
        r#"(core module $evil (import "h" "ask" (func $ask (param i64 i32)))
            (func $go (call $ask (i64.const {bytes}) (i32.const 16)))
            (start $go) (func (export "detect")))"#
    );
    let instance = r#"(core instance $evil (instantiate $evil
        (with "h" (instance (export "ask" (func $ask))))))"#;
    with_functions(&imports, &module, instance)
}

/// One that asks the host for numbers for ever, before it is called.
pub fn asking_for_ever() -> Vec<u8> {
    let imports = r#"(import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-u64" (func (result u64)))))
        (core func $ask (canon lower (func $random "get-random-u64")))"#;
    let module = r#"(core module $evil (import "h" "ask" (func $ask (result i64)))
            (func $go (loop $more (drop (call $ask)) (br $more)))
            (start $go) (func (export "detect")))"#;
    let instance = r#"(core instance $evil (instantiate $evil
        (with "h" (instance (export "ask" (func $ask))))))"#;
    with_functions(imports, module, instance)
}

/// One with so many instances of a module that holds this.
pub fn many_instances(many: usize, holds: &str) -> Vec<u8> {
    let instances = "(core instance (instantiate $evil))".repeat(many - 1);
    with_functions(
        "",
        &format!("(core module $evil {holds} (func (export \"detect\")))"),
        &format!("{instances} (core instance $evil (instantiate $evil))"),
    )
}
