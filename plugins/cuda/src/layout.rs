//! Compares the declarations in [`nvcomp`](crate::nvcomp) with nvCOMP's headers, through the C compiler.
//!
//! Skipped without `CLIPSMASTER_NVCOMP_INCLUDE`, the folder that holds `nvcomp.h` (`nvidia/libnvcomp/include` of the Python package). The header
//! of the CUDA runtime need not be there.

use crate::nvcomp::{MAJOR, Opts};
use std::{
    env, fs,
    process::{self, Command},
};

/// What `nvcomp.rs` takes for granted, in C.
const EXPECTED: &str = r#"
#define HOLDS(expression) _Static_assert(expression, #expression)
#define IS(function, ...) HOLDS(__builtin_types_compatible_p(__typeof__(function), nvcompStatus_t(__VA_ARGS__)))
#define FAMILY(F) \
    HOLDS(sizeof(nvcompBatched##F##CompressOpts_t) == OPTS_BYTES); \
    HOLDS(sizeof(nvcompBatched##F##DecompressOpts_t) == OPTS_BYTES); \
    HOLDS(offsetof(nvcompBatched##F##DecompressOpts_t, backend) == 0); \
    IS(nvcompBatched##F##CompressGetRequiredAlignments, \
        nvcompBatched##F##CompressOpts_t, nvcompAlignmentRequirements_t *); \
    IS(nvcompBatched##F##DecompressGetRequiredAlignments, \
        nvcompBatched##F##DecompressOpts_t, nvcompAlignmentRequirements_t *); \
    IS(nvcompBatched##F##CompressGetTempSize, \
        size_t, size_t, nvcompBatched##F##CompressOpts_t, size_t *, size_t, cudaStream_t); \
    IS(nvcompBatched##F##DecompressGetTempSize, \
        size_t, size_t, nvcompBatched##F##DecompressOpts_t, size_t *, size_t, cudaStream_t); \
    IS(nvcompBatched##F##CompressGetMaxOutputChunkSize, size_t, nvcompBatched##F##CompressOpts_t, size_t *); \
    IS(nvcompBatched##F##CompressAsync, const void *const *, const size_t *, size_t, size_t, void *, size_t, \
        void *const *, size_t *, nvcompBatched##F##CompressOpts_t, nvcompStatus_t *, cudaStream_t); \
    IS(nvcompBatched##F##DecompressAsync, const void *const *, const size_t *, const size_t *, size_t *, size_t, \
        void *, size_t, void *const *, nvcompBatched##F##DecompressOpts_t, nvcompStatus_t *, cudaStream_t)
FAMILY(LZ4);
FAMILY(Snappy);
FAMILY(Gzip);
FAMILY(Zstd);
HOLDS(sizeof(nvcompStatus_t) == 4 && sizeof(cudaStream_t) == sizeof(void *));
HOLDS(sizeof(nvcompProperties_t) == 8 && offsetof(nvcompProperties_t, version) == 0);
HOLDS(sizeof(nvcompAlignmentRequirements_t) == 3 * sizeof(size_t));
HOLDS(offsetof(nvcompAlignmentRequirements_t, output) == sizeof(size_t));
HOLDS(NVCOMP_DECOMPRESS_BACKEND_CUDA == 2);
HOLDS(nvcompSuccess == 0 && nvcompErrorNotSupported == 11 && nvcompErrorChunkSizeTooLarge == 18);
HOLDS(nvcompErrorBatchSizeTooLarge == 21 && nvcompErrorCudaError == 1000);
HOLDS(nvcompErrorCannotDecompress == 12 && nvcompErrorBadChecksum == 13 && nvcompErrorWrongInputLength == 20);
"#;

#[test]
fn declarations_are_those_of_the_headers() {
    let Ok(include) = env::var("CLIPSMASTER_NVCOMP_INCLUDE") else {
        eprintln!("skipped: set CLIPSMASTER_NVCOMP_INCLUDE to the folder with nvcomp.h, version {MAJOR}");
        return;
    };
    let mut text = format!("#include <stddef.h>\n#define OPTS_BYTES {}\n", size_of::<Opts>());
    for header in ["nvcomp.h", "nvcomp/lz4.h", "nvcomp/snappy.h", "nvcomp/gzip.h", "nvcomp/zstd.h"] {
        text.push_str(&format!("#include \"{header}\"\n"));
    }
    let file = env::temp_dir().join(format!("clipsmaster-nvcomp-{}.c", process::id()));
    fs::write(&file, text + EXPECTED).expect("a temporary file");
    let output = Command::new("cc").arg("-fsyntax-only").arg("-I").arg(&include).arg(&file).output();
    fs::remove_file(&file).expect("the temporary file");
    match output {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => eprintln!("skipped: no C compiler `cc`"),
    }
}
