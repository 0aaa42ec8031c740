//! `export_plugin!`: the only thing a plugin library exports.

/// Makes the crate a plugin: exports `codecs` under the name `id`.
///
/// Version, authors, licence and homepage come from the crate's `Cargo.toml`.
///
/// ```ignore
/// clipsmaster_plugin_api::export_plugin! { id: "store", codecs: [Store] }
/// ```
#[macro_export]
macro_rules! export_plugin {
    (id: $id:literal, codecs: [$($codec:ty),+ $(,)?] $(,)?) => {
        $crate::export_plugin! {
            id: $id, codecs: [$($codec),+],
            extension: $crate::abi::export::standard_extension::<ClipsmasterCodecs>
        }
    };
    (id: $id:literal, codecs: [$($codec:ty),+ $(,)?], extension: $extension:expr $(,)?) => {
        #[doc(hidden)]
        pub struct ClipsmasterCodecs;

        impl $crate::abi::export::CodecList for ClipsmasterCodecs {
            const TABLES: &'static [$crate::abi::CodecV1] =
                &[$($crate::abi::export::codec_table::<$codec>()),+];
            const DECODERS: &'static [Option<$crate::Decoder>] =
                &[$(<$codec as $crate::Codec>::DECODER),+];
            const BATCHES: &'static [$crate::abi::BatchCodecV1] =
                &[$($crate::abi::export::batch_codec::<$codec>()),+];
        }

        const _: () = {
            use $crate::__private::{CheckTypeLayout, LibHeader, RootModuleResult, call_root};

            static PLUGIN: $crate::abi::PluginV1 =
                $crate::abi::export::plugin_table::<ClipsmasterCodecs>(
                    $crate::Manifest::new($id, env!("CARGO_PKG_VERSION")).about(
                        env!("CARGO_PKG_AUTHORS"),
                        env!("CARGO_PKG_LICENSE"),
                        env!("CARGO_PKG_HOMEPAGE"),
                    ),
                    $extension,
                );

            fn root() -> $crate::abi::RootRef {
                $crate::abi::export::root(&PLUGIN)
            }

            extern "C" fn call() -> RootModuleResult {
                call_root(root)
            }

            #[unsafe(export_name = $crate::__root_symbol!())]
            static ROOT: LibHeader = unsafe {
                // SAFETY: `call` returns the `RootRef` that the type parameter names.
                LibHeader::from_constructor::<$crate::abi::RootRef>(call, CheckTypeLayout::Yes)
            };

            const IDENTITY: &str =
                concat!("clipsmaster-plugin\n", $id, "\n", env!("CARGO_PKG_VERSION"), "\n");

            #[used]
            #[unsafe(link_section = ".clipsmaster")]
            static SECTION: [u8; IDENTITY.len()] = $crate::__private::bytes(IDENTITY);
        };
    };
}

/// The symbol abi_stable 0.11 looks for; a test compares it with `abi::ROOT_SYMBOL`.
#[doc(hidden)]
#[macro_export]
macro_rules! __root_symbol {
    () => {
        "_1as_0lib_1header_0root_bmodule_bloader"
    };
}

/// What `export_plugin!` expands to needs these; nobody else does.
#[doc(hidden)]
pub mod private {
    pub use abi_stable::library::{
        __call_root_module_loader as call_root, CheckTypeLayout, LibHeader, RootModuleResult,
    };

    /// The bytes of `text`, whose length is `N`.
    #[must_use]
    pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(text.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_exported_symbol_is_the_one_abi_stable_looks_for() {
        assert_eq!(crate::__root_symbol!(), crate::abi::ROOT_SYMBOL);
    }
}
