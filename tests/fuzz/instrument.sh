#!/bin/sh
# How `cargo xtask fuzz` has rustc called for the crates of the workspace: the host's library is built with coverage for libFuzzer,
# everything else as always. So no dependency is built a second time.
for argument in "$@"; do
    if [ "$last" = "--crate-name" ] && [ "$argument" = "millstream" ]; then
        exec "$@" \
            -Cpasses=sancov-module \
            -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
    fi
    last=$argument
done
exec "$@"
