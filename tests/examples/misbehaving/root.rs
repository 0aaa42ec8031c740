//! What `export_plugin!` does, for libraries whose root it would not make.

/// Exports the root module of type `$root` that the function `$make` returns.
macro_rules! export_root {
    (id: $id:literal, root: $root:ty, make: $make:path $(,)?) => {
        const _: () = {
            use clipsmaster_plugin_api::__private::{
                CheckTypeLayout, LibHeader, RootModuleResult, bytes, call_root,
            };

            extern "C" fn call() -> RootModuleResult {
                call_root($make)
            }

            // SAFETY: the name is the one the host looks for, and a `LibHeader` is what it expects there.
            #[unsafe(export_name = clipsmaster_plugin_api::__root_symbol!())]
            static ROOT: LibHeader = {
                // SAFETY: `call` returns the type that the type parameter names.
                unsafe { LibHeader::from_constructor::<$root>(call, CheckTypeLayout::Yes) }
            };

            const IDENTITY: &str =
                concat!("clipsmaster-plugin\n", $id, "\n", env!("CARGO_PKG_VERSION"), "\n");

            #[used]
            // SAFETY: the section holds only bytes that nobody executes.
            #[unsafe(link_section = ".clipsmaster")]
            static SECTION: [u8; IDENTITY.len()] = bytes(IDENTITY);
        };
    };
}
pub(crate) use export_root;
