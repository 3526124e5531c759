//! Lines without levels and fields.

wasmtime::component::bindgen!({
    inline: "
        package windlass:log@0.9.0;
        interface log { write: func(message: string); }
        world older { import log; }
    ",
    world: "older",
    imports: { default: trappable },
});

use wasmtime::component::{HasSelf, Linker};

use self::windlass::log::log as older;
use crate::bindings::log as newest;
use crate::state::CallState;

/// Gives it to the components of a linker.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    older::add_to_linker::<_, HasSelf<CallState>>(linker, |it| it)
}

impl older::Host for CallState {
    fn write(&mut self, message: String) -> wasmtime::Result<()> {
        newest::Host::write(self, newest::Level::Info, message, Vec::new())
    }
}
