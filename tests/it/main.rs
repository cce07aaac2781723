//! All tests on real parts, in one binary. Each is ignored unless `tests/run` asks for it by name.

mod archive;
