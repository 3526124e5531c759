//! The logger role alone, for tests.

fn main() {
    windlass_containers::logger::main()
}
