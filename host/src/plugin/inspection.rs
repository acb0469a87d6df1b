//! A look at a component before it is compiled: whether it is of a size that compiles in bounded time and memory.
//!
//! The parser reads sections one by one and follows nothing, so the look itself takes time in proportion to the file, which is
//! bounded too. What the sections hold is validated by the compiler, whose own bounds cover types, names and nesting.

use wasmparser::{Parser, Payload};

/// How many functions a component may have, in all its modules.
const MAX_FUNCTIONS: u64 = 50_000;
/// How long the code of one function may be: what compiling it costs grows faster than its length.
const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// How much code a component may have.
const MAX_CODE_BYTES: u64 = 32 << 20;
/// How many modules and components may lie in a component.
const MAX_PARTS: u32 = 256;

/// Refuses a component that would take too much to compile.
pub(super) fn check_size(bytes: &[u8]) -> Result<(), String> {
    let mut functions = 0;
    let mut code = 0;
    let mut parts = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format!("not a valid component: {error}"))? {
            Payload::CodeSectionStart { count, size, .. } => {
                functions += u64::from(count);
                code += u64::from(size);
            }
            Payload::CodeSectionEntry(body) => {
                let size = body.range().len();
                if size > MAX_FUNCTION_BYTES {
                    return Err(too_large(
                        "bytes of code in one function",
                        size,
                        MAX_FUNCTION_BYTES,
                    ));
                }
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => parts += 1,
            _ => {}
        }
        if functions > MAX_FUNCTIONS {
            return Err(too_large("functions", functions, MAX_FUNCTIONS));
        }
        if code > MAX_CODE_BYTES {
            return Err(too_large("bytes of code", code, MAX_CODE_BYTES));
        }
        if parts > MAX_PARTS {
            return Err(too_large("modules and components in it", parts, MAX_PARTS));
        }
    }
    Ok(())
}

fn too_large<N: std::fmt::Display>(what: &str, found: N, most: N) -> String {
    format!("too large to compile: it has {found} {what}, and at most {most} are taken")
}
