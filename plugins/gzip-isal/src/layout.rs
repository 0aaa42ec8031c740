//! Compares the declarations in [`ffi`](crate::ffi) with an installed `igzip_lib.h`, through the C compiler.
//!
//! Skipped where there is neither; `apt-get install libisal-dev` brings the header.

use crate::ffi::{InflateState, ZStream};
use std::{
    env, fs,
    mem::offset_of,
    path::Path,
    process::{self, Command},
};

const HEADERS: [&str; 2] = ["/usr/include/isa-l/igzip_lib.h", "/usr/local/include/isa-l/igzip_lib.h"];

/// C expressions and their values here.
fn expected() -> Vec<(String, usize)> {
    let mut all = vec![
        ("sizeof(struct isal_zstream)".to_owned(), size_of::<ZStream>()),
        ("sizeof(struct inflate_state)".to_owned(), size_of::<InflateState>()),
    ];
    macro_rules! offsets {
        ($structure:literal, $own:ty: $($field:ident)+) => {
            $(all.push((
                format!("offsetof(struct {}, {})", $structure, stringify!($field)),
                offset_of!($own, $field),
            ));)+
        };
    }
    offsets!("isal_zstream", ZStream: next_in avail_in total_in next_out avail_out total_out hufftables level
        level_buf_size level_buf end_of_stream flush gzip_flag hist_bits internal_state);
    offsets!("inflate_state", InflateState: next_out avail_out total_out next_in read_in avail_in read_in_length
        lit_huff_code dist_huff_code block_state dict_length bfinal crc_flag crc hist_bits);
    let constants = crate::ffi::constants();
    all.extend(constants.into_iter().map(|(name, value)| (name.to_owned(), value)));
    all
}

/// Has the C compiler check every expression; `None` when there is none.
fn compile(header: &str, expected: &[(String, usize)]) -> Option<process::Output> {
    let asserts = expected.iter().map(|(expression, value)| {
        format!("_Static_assert(({expression}) == {value}, \"{expression} is not {value}\");\n")
    });
    let program = format!("#include <stddef.h>\n#include \"{header}\"\n{}", asserts.collect::<String>());
    let file = env::temp_dir().join(format!("clipsmaster-isal-{}.c", process::id()));
    fs::write(&file, program).expect("a temporary file");
    let output = Command::new("cc").arg("-fsyntax-only").arg(&file).output();
    fs::remove_file(&file).expect("the temporary file");
    output.ok()
}

#[test]
fn declarations_are_those_of_the_header() {
    let Some(header) = HEADERS.into_iter().find(|h| Path::new(h).exists()) else {
        eprintln!("skipped: no igzip_lib.h; apt-get install libisal-dev");
        return;
    };
    let Some(output) = compile(header, &expected()) else {
        eprintln!("skipped: no C compiler `cc`");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wrong = [("sizeof(struct isal_zstream)".to_owned(), 1)];
    let refused = compile(header, &wrong).expect("the compiler is still there");
    assert!(!refused.status.success(), "a wrong size is noticed");
}
